from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from watcher.cues import CaptionRules
from watcher.cues.timing import EARLY, LATE, place

LIMITS = CaptionRules().limits("abc")
spans = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 3000), st.integers(0, 84)), max_size=30)


def scene(drawn: list[tuple[int, int, int]]) -> tuple[list[tuple[int, int]], list[int]]:
    """Turn pauses, lengths and units into spans of speech and units."""
    now = 0
    spoken = []
    for pause, length, _ in drawn:
        spoken.append((now + pause, now + pause + length))
        now += pause + length
    return spoken, [units for _, _, units in drawn]


@given(spans, st.sampled_from([0, 1, 500, 10_000, 200_000]))
def test_captions_follow_each_other_and_last_at_least_a_moment(drawn: list[tuple[int, int, int]], audio: int) -> None:
    spoken, units = scene(drawn)

    placed = place(spoken, units, LIMITS, audio)

    assert all(0 <= start < end for start, end in placed)
    assert all(end <= start for (_, end), (start, _) in pairwise(placed))


@given(spans)
def test_a_caption_is_never_far_from_its_words_and_never_too_long(drawn: list[tuple[int, int, int]]) -> None:
    # Apart as speech is: a caption takes at least a tenth of a second to say.
    spoken, units = scene([(pause, max(length, 150), units) for pause, length, units in drawn])

    placed = place(spoken, units, LIMITS, 0)

    assert all(said - EARLY <= start <= said + LATE for (start, _), (said, _) in zip(placed, spoken, strict=True))
    assert all(end - start <= LIMITS.longest for start, end in placed)


@given(spans)
def test_the_gap_is_kept_wherever_the_words_leave_it(drawn: list[tuple[int, int, int]]) -> None:
    spoken, units = scene([(pause, max(length, 150), units) for pause, length, units in drawn])

    placed = place(spoken, units, LIMITS, 0)

    assert all(start - end >= LIMITS.gap for (_, end), (start, _) in pairwise(placed))


def test_a_caption_comes_with_its_words_and_lingers_half_a_second() -> None:
    assert place([(1000, 3000), (9000, 10_000)], [20, 20], LIMITS, 20_000) == [(1000, 3500), (9000, 10_500)]


def test_a_caption_of_a_short_word_lasts_a_second_if_no_other_needs_the_time() -> None:
    placed = place([(1000, 1200), (5000, 5200), (5800, 7000)], [4, 4, 20], LIMITS, 20_000)

    assert placed[:2] == [(1000, 2000), (5000, 5833)]


def test_a_short_gap_is_closed_to_the_smallest_allowed() -> None:
    assert place([(1000, 3000), (3900, 5000)], [20, 20], LIMITS, 20_000)[0] == (1000, 3817)


def test_what_is_said_fast_stays_until_it_is_read() -> None:
    assert place([(1000, 1200), (5000, 6000)], [40, 20], LIMITS, 20_000)[0] == (1000, 3000)


def test_reading_time_is_taken_before_the_words_where_none_is_left_behind() -> None:
    assert place([(2000, 2500)], [20], LIMITS, 2600) == [(1600, 2600)]


def test_the_next_caption_comes_a_little_late_where_nothing_else_helps() -> None:
    placed = place([(0, 900), (900, 3000)], [20, 20], LIMITS, 10_000)

    assert placed == [(0, 1000), (1083, 3500)]


def test_a_too_short_caption_takes_no_time_from_its_neighbours() -> None:
    placed = place([(0, 2000), (2000, 2300), (2300, 5000)], [40, 60, 40], LIMITS, 10_000)

    assert placed[0][1] - placed[0][0] >= 2000 - EARLY
    assert placed[2][1] - placed[2][0] >= 2000


def test_a_hundred_captions_in_a_tenth_of_a_second_share_it() -> None:
    placed = place([(0, 0)] * 100, [10] * 100, LIMITS, 100)

    assert placed == [(moment, moment + 1) for moment in range(100)]


def test_more_captions_than_milliseconds_run_past_the_end_in_order() -> None:
    assert place([(0, 0)] * 3, [10] * 3, LIMITS, 1) == [(0, 1), (1, 2), (2, 3)]


def test_no_captions_need_no_time() -> None:
    assert place([], [], LIMITS, 0) == []
