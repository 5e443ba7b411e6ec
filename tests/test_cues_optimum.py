import random
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.cues import CaptionLimits, CaptionRules, Cue, optimum
from watcher.cues.check import check
from watcher.cues.optimum import PAUSE_BREAK, CaptionBreaks, cut
from watcher.cues.stream import Stream
from watcher.cues.timing import place

LIMITS = CaptionRules().limits("abc")


def stream(*tokens: tuple[int, int, int, int], turns: tuple[int, ...] = (), blank: int = 1) -> Stream:
    """Make a stream of tokens: width, start and end in milliseconds, price of the break before."""
    return Stream(
        text=["x" * width for width, _, _, _ in tokens],
        width=[width for width, _, _, _ in tokens],
        blank=[0] + [blank] * (len(tokens) - 1),
        start=[start for _, start, _, _ in tokens],
        end=[end for _, _, end, _ in tokens],
        cost=[cost for _, _, _, cost in tokens],
        speaker=[""] * len(tokens),
        turn=[index in turns for index in range(len(tokens))],
        spoken=[start for _, start, _, _ in tokens],
    )


def steady(widths: list[int], costs: list[int], *, per_unit: int = 70) -> Stream:
    """Speak tokens without pauses."""
    tokens = []
    now = 0
    for width, cost in zip(widths, costs, strict=True):
        tokens.append((width, now, now + width * per_unit, cost))
        now += width * per_unit
    return stream(*tokens)


def borders(captions: list[CaptionBreaks]) -> list[tuple[int, ...]]:
    return [(*caption.lines, caption.end) for caption in captions]


def test_what_fits_on_one_line_stays_on_one() -> None:
    assert borders(cut(steady([10, 10, 10], [0, 30, 30]), LIMITS, 0)) == [(0, 3)]


def test_two_lines_are_broken_where_it_costs_least() -> None:
    assert borders(cut(steady([10] * 6, [0, 60, 30, 10, 60, 60]), LIMITS, 0)) == [(0, 3, 6)]


def test_of_equal_breaks_the_one_that_balances_the_lines_is_taken() -> None:
    assert borders(cut(steady([10] * 6, [0] + [30] * 5), LIMITS, 0)) == [(0, 3, 6)]


def test_of_two_uneven_breaks_the_lower_line_is_the_wider() -> None:
    assert borders(cut(steady([9] * 5, [0] + [30] * 4), LIMITS, 0)) == [(0, 2, 5)]


def test_captions_end_with_sentences() -> None:
    assert borders(cut(steady([20] * 5, [0, 30, 0, 30, 30]), LIMITS, 0)) == [(0, 2), (2, 3, 5)]


def test_a_caption_that_one_hardly_sees_is_joined_to_the_next_one() -> None:
    # "The same creator | who names the stars | ...": the first of these would be gone after 0.9 s.
    text = stream(
        (27, 0, 1760, 0), (16, 1960, 2870, 0), (19, 2920, 4000, 15), (21, 4000, 5200, 32), (25, 5200, 6700, 20)
    )

    assert 2 not in [caption.end for caption in cut(text, LIMITS, 8000)]


def test_a_short_sentence_is_seen_soon() -> None:
    # "Please try again. | Please enter your password, / followed by the pound key."
    text = stream((17, 0, 1000, 0), (26, 1150, 3000, 0), (26, 3000, 5500, 10))

    assert borders(cut(text, LIMITS, 9000)) == [(0, 1), (1, 2, 3)]


def test_a_short_word_between_two_pauses_is_no_caption() -> None:
    text = stream((24, 0, 1600, 0), (8, 2800, 3300, 32), (24, 4500, 6100, 32))

    assert borders(cut(text, LIMITS, 9000)) == [(0, 2), (2, 3)]


def test_a_short_word_that_is_a_sentence_may_be_one() -> None:
    text = stream((24, 0, 1600, 0), (4, 3400, 3700, 0), (24, 5500, 7100, 0))

    assert borders(cut(text, LIMITS, 8000)) == [(0, 1), (1, 2), (2, 3)]


def test_a_pause_hardly_helps_between_words_that_belong_together() -> None:
    text = stream((30, 0, 2000, 0), (12, 2000, 2800, 20), (12, 3700, 4500, 62), (24, 4500, 6100, 20))

    assert 2 not in [caption.end for caption in cut(text, LIMITS, 9000)]


def test_no_line_has_one_short_word_if_another_break_is_nearly_as_good() -> None:
    ((_, at, _),) = borders(cut(steady([4, 9, 9, 9, 9], [0, 15, 32, 32, 32]), LIMITS, 0))

    assert at > 1


def test_no_caption_reaches_over_a_long_silence() -> None:
    found = cut(stream((5, 0, 500, 0), (5, 3100, 3600, 90)), LIMITS, 0)

    assert borders(found) == [(0, 1), (1, 2)]


def test_a_token_longer_than_any_caption_may_last_is_one() -> None:
    assert borders(cut(stream((5, 0, 9000, 0), (5, 9000, 9500, 30)), LIMITS, 0)) == [(0, 1), (1, 2)]


def test_no_caption_lasts_longer_than_allowed() -> None:
    text = steady([4] * 12, [0] + [30] * 11, per_unit=300)

    assert all(text.end[caption.end - 1] - text.start[caption.lines[0]] <= 7000 for caption in cut(text, LIMITS, 0))


def test_a_worse_break_is_taken_rather_than_one_that_leaves_no_time_to_read() -> None:
    # The sentence ends after the first token, but what follows it is over at once.
    text = stream((30, 0, 2500, 0), (10, 2500, 2700, 0), (20, 2700, 5000, 60))

    assert (0, 1) not in borders(cut(text, LIMITS, 5000))


@given(st.integers(0, 1 << 32))
def test_no_more_captions_are_hurried_than_any_cut_makes_necessary(seed: int) -> None:
    chance = random.Random(seed)
    text, audio_end = hurried_speech(chance)

    found = offending(text, cut(text, LIMITS, audio_end), audio_end)

    assert found <= min(offending(text, captions, audio_end) for captions in every_cut(text))


def hurried_speech(chance: random.Random) -> tuple[Stream, int]:
    """Speak up to eight tokens about as fast as one can read, some faster."""
    tokens = []
    now = chance.randint(0, 1500)
    pace = chance.uniform(0.5, 1.6)
    for _ in range(chance.randint(2, 8)):
        width = chance.choice([1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 20, 30])
        length = int(width * chance.uniform(30, 75) * pace)
        tokens.append((width, now, now + length, chance.choice([0, 10, 20, 32, 62, 95])))
        now += length + chance.choice([0, 0, 0, 0, 100, 300, 600, 1500])
    return stream(*tokens), chance.choice([0, now, now + 3000])


def every_cut(text: Stream) -> Iterator[list[CaptionBreaks]]:
    """Yield every way to cut a text into captions of two lines that last no longer than allowed."""
    count = len(text.text)
    for inner in product([False, True], repeat=count - 1):
        places = [0, *(index for index, here in enumerate(inner, 1) if here), count]
        captions = [_caption(text, begin, end) for begin, end in pairwise(places)]
        if all(captions):
            yield [caption for caption in captions if caption]


def _caption(text: Stream, begin: int, end: int) -> CaptionBreaks | None:
    if end - begin > 1 and text.end[end - 1] - text.start[begin] > LIMITS.longest:
        return None
    if _width(text, begin, end) <= LIMITS.line:
        return CaptionBreaks((begin,), end, dialogue=False)
    for at in range(begin + 1, end):
        if max(_width(text, begin, at), _width(text, at, end)) <= LIMITS.line:
            return CaptionBreaks((begin, at), end, dialogue=False)
    return None


def offending(text: Stream, captions: list[CaptionBreaks], audio_end: int) -> int:
    """Count the captions that break a rule when they are placed in time."""
    spoken = [(text.start[caption.lines[0]], text.end[caption.end - 1]) for caption in captions]
    lines = [
        tuple("x" * _width(text, begin, end) for begin, end in pairwise((*caption.lines, caption.end)))
        for caption in captions
    ]
    times = place(spoken, [sum(map(len, group)) for group in lines], LIMITS, audio_end)
    cues = [Cue(start / 1000, end / 1000, group) for (start, end), group in zip(times, lines, strict=True)]
    return len({fault.cue for fault in check(cues, LIMITS, audio_end=audio_end)})


def test_short_turns_share_a_caption_a_line_for_each() -> None:
    text = stream((20, 0, 1200, 0), (4, 1200, 1500, 0), turns=(1,))

    (caption,) = cut(text, LIMITS, 0)

    assert (caption.lines, caption.end, caption.dialogue) == ((0, 1), 2, True)


def test_turns_too_long_for_a_line_make_no_dialogue() -> None:
    text = stream((41, 0, 2500, 0), (4, 2500, 2800, 0), turns=(1,))

    assert [caption.dialogue for caption in cut(text, LIMITS, 0)] == [False, False]


def test_three_turns_do_not_share_two_lines() -> None:
    text = stream((4, 0, 300, 0), (4, 300, 600, 0), (4, 600, 900, 0), turns=(1, 2))

    assert all(len(caption.lines) <= 2 for caption in cut(text, LIMITS, 0))
    assert sum(len(caption.lines) for caption in cut(text, LIMITS, 0)) == 3


@pytest.mark.parametrize("lines", [1, 3, 4])
def test_any_number_of_lines_is_kept(lines: int) -> None:
    limits = CaptionRules(max_lines=lines).limits("abc")
    text = steady([13] * 30, [0] + [0 if index % 7 == 0 else 30 for index in range(1, 30)], per_unit=45)

    found = cut(text, limits, 0)

    assert max(len(caption.lines) for caption in found) == lines
    assert all(_width(text, begin, end) <= 42 for caption in borders(found) for begin, end in pairwise(caption))


def test_three_lines_are_balanced_too() -> None:
    limits: CaptionLimits = CaptionRules(max_lines=3).limits("abc")

    assert borders(cut(steady([10] * 9, [0] + [30] * 8), limits, 0)) == [(0, 3, 6, 9)]


def test_text_too_dense_to_read_is_cut_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer within its bounds, that of ten minutes took 18 s and 180 MB: most ways were between single characters."""
    ways: list[None] = []
    made = optimum._Way

    def counted(*values: Any) -> Any:
        ways.append(None)
        return made(*values)

    monkeypatch.setattr(optimum, "_Way", counted)
    text = steady([1] * 10_000, [0] + [32] * 9999, per_unit=2)

    found = cut(text, LIMITS, 20_000)

    assert (len(ways) < 5000, len(found) < 300) == (True, True)


@pytest.mark.slow
@given(st.integers(0, 1 << 32), st.integers(1, 4))
@settings(max_examples=30)
def test_captions_of_dense_text_hold_all_of_it_and_keep_their_lines(seed: int, lines: int) -> None:
    chance = random.Random(seed)
    limits = CaptionRules(max_lines=lines, max_seconds=chance.choice([1.5, 7])).limits("abc")
    tokens, turns, now = [], [], 0
    for index in range(1500):
        width, pause = chance.choice([1, 1, 2, 42]), chance.choice([0] * 40 + [50, 300, PAUSE_BREAK])
        now += pause
        tokens.append((width, now, now + width // 2, chance.choice([0, 10, 32, 62])))
        now += width // 2
        if not chance.randrange(60):
            turns.append(index)
    text = stream(*tokens, turns=tuple(turns))

    found = cut(text, limits, 0)

    assert [caption.lines[0] for caption in found] == [0, *(caption.end for caption in found[:-1])]
    assert found[-1].end == 1500
    assert max(len(caption.lines) for caption in found) <= lines
    assert all(_width(text, begin, end) <= 42 for caption in borders(found) for begin, end in pairwise(caption))
    assert all(text.end[one.end - 1] - text.start[one.lines[0]] <= limits.longest for one in found)
    assert not any(
        text.start[at] - text.end[at - 1] >= PAUSE_BREAK for one in found for at in range(one.lines[0] + 1, one.end)
    )


def test_a_long_search_gives_signs_of_life() -> None:
    signs: list[None] = []

    cut(steady([4] * 10_000, [0] + [32] * 9999), LIMITS, 0, alive=lambda: signs.append(None))

    assert len(signs) == 2


def test_without_text_there_are_no_captions() -> None:
    assert cut(stream(), LIMITS, 0) == []


def _width(text: Stream, begin: int, end: int) -> int:
    return sum(text.width[begin:end]) + sum(text.blank[begin + 1 : end])
