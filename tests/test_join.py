"""Joining: no word lost, none doubled, true times, whatever the server's habits."""

import math
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watcher.join import join as joined_parts
from watcher.join.speakers import identify_speakers
from watcher.transcript import PieceTranscript, Segment, Transcript, Word


def join(parts: Sequence[PieceTranscript], *, duration: float) -> Transcript:
    return joined_parts(parts, duration=duration).transcript


def in_doubt(parts: Sequence[PieceTranscript]) -> bool:
    return joined_parts(parts, duration=900).speakers_in_doubt


CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


def spoken(seed: int, count: int, *, repeats: bool = True) -> list[Word]:
    """Invent a speech: words of 0.1 to 0.7 s, some said twice, with and without pauses."""
    chance = random.Random(seed)
    words: list[Word] = []
    moment = chance.uniform(0, 2)
    for index in range(count):
        text = "".join(chance.choice(CONSONANTS) + chance.choice(VOWELS) for _ in range(chance.randint(1, 4)))
        if repeats and words and chance.random() < 0.1:
            text = words[-1].text
        end = moment + chance.uniform(0.1, 0.7)
        words.append(Word(text if repeats else f"{text}{index}", moment, end))
        moment = end + chance.choice([0.0, 0.02, 0.1, 0.4, 1.5])
    return words


def heard(
    words: Sequence[Word], start: float, end: float, chance: random.Random, *, jitter: float, timed: str
) -> PieceTranscript:
    """Say what a good server hears of `words` between `start` and `end`: all whole words, and a mangled one at each edge."""
    found = []
    for word in words:
        if start <= word.start and word.end <= end:
            text = word.text
        elif word.start < end and word.end > start:
            text = word.text[: max(1, len(word.text) // 2)] + "ck"
        else:
            continue
        begin = max(0.0, word.start - start + chance.uniform(-jitter, jitter))
        found.append(Word(text, begin, max(begin, word.end - start + chance.uniform(-jitter, jitter))))
    segments = []
    while found:
        # Servers end a segment at a long pause, at the latest.
        pauses = (index for index, (one, two) in enumerate(pairwise(found), 1) if two.start - one.end > 1)
        size = min(chance.randint(1, 9), next(pauses, len(found)))
        group, found = found[:size], found[size:]
        text = " ".join(word.text for word in group).capitalize() + chance.choice([".", "?", "", " --"])
        segments.append(Segment(text, group[0].start, group[-1].end, words=tuple(group) if timed == "words" else ()))
    return PieceTranscript(start, end, Transcript(tuple(segments), "en", end - start))


def keys(transcript: Transcript) -> list[str]:
    return re.findall(r"\w+", transcript.text.casefold())


def times(transcript: Transcript) -> list[Word]:
    return [word for segment in transcript.segments for word in segment.words]


def pieces(words: Sequence[Word], chance: random.Random, length: float, overlap: float) -> list[tuple[float, float]]:
    duration = words[-1].end + 1
    spans, start = [], 0.0
    while True:
        end = min(duration, start + length * chance.uniform(0.7, 1.3))
        spans.append((start, end))
        if end == duration:
            return spans
        start = end - overlap


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), length=st.floats(6, 40), jitter=st.sampled_from([0.0, 0.02, 0.05]))
@example(seed=0, length=6.0, jitter=0.05)
def test_with_word_times_no_word_is_lost_or_doubled_wherever_the_cuts_fall(
    seed: int, length: float, jitter: float
) -> None:
    chance = random.Random(seed)
    words = spoken(seed, 150)
    parts = [heard(words, *span, chance, jitter=jitter, timed="words") for span in pieces(words, chance, length, 2.0)]

    joined = join(parts, duration=words[-1].end + 1)

    assert keys(joined) == [word.text for word in words]
    assert [word.text for word in times(joined)] == [word.text for word in words]
    for word, truth in zip(times(joined), words, strict=True):
        assert abs(word.start - truth.start) <= 0.05 + jitter
        assert abs(word.end - truth.end) <= 0.05 + jitter


@given(seed=st.integers(0, 2**32), length=st.floats(8, 40))
def test_with_segment_times_alone_no_word_is_lost_or_doubled(seed: int, length: float) -> None:
    chance = random.Random(seed)
    words = spoken(seed, 120, repeats=False)
    parts = [heard(words, *span, chance, jitter=0.0, timed="segments") for span in pieces(words, chance, length, 2.0)]

    joined = join(parts, duration=words[-1].end + 1)

    found = keys(joined)
    assert set(found) >= {word.text for word in words}
    assert [key for key in found if not key.endswith("ck")] == [word.text for word in words]


@given(seed=st.integers(0, 2**32), length=st.floats(8, 40))
def test_without_any_times_no_word_is_lost(seed: int, length: float) -> None:
    chance = random.Random(seed)
    words = spoken(seed, 120, repeats=False)
    parts = [heard(words, *span, chance, jitter=0.0, timed="segments") for span in pieces(words, chance, length, 2.0)]
    parts = [replace(part, transcript=replace(part.transcript, timed=False)) for part in parts]

    joined = join(parts, duration=words[-1].end + 1)

    assert set(keys(joined)) >= {word.text for word in words}
    assert not joined.timed


def part(start: float, end: float, *segments: Segment, language: str = "en", timed: bool = True) -> PieceTranscript:
    return PieceTranscript(start, end, Transcript(segments, language, end - start, timed))


def test_parts_are_moved_to_their_true_start_words_and_segments_alike() -> None:
    joined = join(
        [
            part(0, 600.25, Segment("one", 1.0, 2.0, words=(Word("one", 1.0, 2.0),))),
            part(600.25, 900, Segment("two", 1.0, 2.0, words=(Word("two", 1.0, 2.0),))),
        ],
        duration=900,
    )

    assert [(segment.start, segment.end) for segment in joined.segments] == [(1.0, 2.0), (601.25, 602.25)]
    assert [(word.start, word.end) for word in times(joined)] == [(1.0, 2.0), (601.25, 602.25)]


def test_parts_are_joined_by_place_and_not_by_arrival() -> None:
    joined = join([part(600, 900, Segment("two", 1, 2)), part(0, 600, Segment("one", 1, 2))], duration=900)

    assert joined.text == "one two"


def test_times_beyond_a_part_are_cut_to_it_and_the_last_ends_within_the_recording() -> None:
    joined = join(
        [part(0, 10, Segment("one", 8, 30)), part(10, 20.5, Segment("two", 9, 30, words=(Word("two", 9, 30),)))],
        duration=20,
    )

    assert [(segment.start, segment.end) for segment in joined.segments] == [(8, 10), (19, 20)]
    assert times(joined) == [Word("two", 19, 20)]


def test_a_single_time_out_of_order_is_moved_between_its_neighbours() -> None:
    said = [Segment(str(index), start, start + 1) for index, start in enumerate([1, 2, 290, 4, 0, 6])]

    joined = join([part(0, 300, *said)], duration=300)

    assert [segment.start for segment in joined.segments] == [1, 2, 2, 4, 4, 6]
    assert [segment.text for segment in joined.segments] == ["0", "1", "2", "3", "4", "5"]


def test_a_changed_capital_or_full_stop_does_not_hide_that_a_word_was_heard_twice() -> None:
    one = Segment("and then we went home", 5, 10, words=tuple(_even("and then we went home", 5, 10)))
    two = Segment("Went home. The door", 0, 4, words=tuple(_even("Went home The door", 0, 4)))

    joined = join([part(0, 10, one), part(8, 20, two)], duration=20)

    assert keys(joined) == ["and", "then", "we", "went", "home", "the", "door"]


def test_different_words_at_one_moment_in_both_pieces_are_not_both_kept() -> None:
    one = Segment("a b colour", 7, 9.5, words=(Word("a", 7, 7.5), Word("b", 7.5, 8), Word("colour", 8.6, 9.4)))
    two = Segment("collar c", 0, 3, words=(Word("collar", 0.6, 1.4), Word("c", 2.5, 3)))

    joined = join([part(0, 10, one), part(8, 20, two)], duration=20)

    assert keys(joined) in (["a", "b", "colour", "c"], ["a", "b", "collar", "c"])


def test_what_only_one_piece_heard_in_the_overlap_is_kept() -> None:
    one = Segment("a b", 7, 9.5, words=(Word("a", 7, 7.5), Word("b", 9.3, 9.6)))
    two = Segment("c d", 0, 3, words=(Word("c", 0.3, 0.6), Word("d", 2.5, 3)))

    joined = join([part(0, 10, one), part(8, 20, two)], duration=20)

    assert sorted(keys(joined)) == ["a", "b", "c", "d"]


def test_han_text_without_blanks_is_joined_by_its_characters() -> None:
    one = Segment("今天天气很好、我们去公园", 0, 10, words=tuple(_even("今天天气很好我们去公园", 0, 10)))
    two = Segment("去公园。大家都很高兴", 0, 8, words=tuple(_even("去公园大家都很高兴", 0, 8)))
    shared = 10 * 3 / 11

    joined = join([part(0, 10, one), part(10 - shared, 20, two)], duration=20)

    assert "".join(keys(joined)) == "今天天气很好我们去公园大家都很高兴"
    assert "。" in joined.text


def test_a_transcript_without_times_stays_one_and_has_its_pieces_bounds() -> None:
    joined = join([part(0, 600, Segment("one", 0, 0), timed=False), part(600, 900, Segment("two", 1, 2))], duration=900)

    assert not joined.timed
    assert [(segment.text, segment.start, segment.end) for segment in joined.segments] == [
        ("one", 0, 600),
        ("two", 601, 602),
    ]


def test_text_heard_twice_is_found_without_times() -> None:
    joined = join(
        [
            part(0, 600, Segment("so we came to the old bridge", 0, 0), timed=False),
            part(598, 900, Segment("to the old bridge and crossed it", 0, 0), timed=False),
        ],
        duration=900,
    )

    assert joined.text == "so we came to the old bridge and crossed it"


def test_a_word_said_once_on_each_side_without_times_is_kept_when_it_touches_no_edge() -> None:
    joined = join(
        [
            part(0, 600, Segment("the cat sat down", 0, 0), timed=False),
            part(598, 900, Segment("a dog sat up", 0, 0), timed=False),
        ],
        duration=900,
    )

    assert joined.text == "the cat sat down a dog sat up"


def test_a_silent_part_without_times_does_not_make_the_whole_untimed() -> None:
    joined = join([part(0, 600, timed=False), part(600, 900, Segment("two", 1, 2))], duration=900)

    assert joined.timed
    assert joined.text == "two"


def test_the_language_is_that_of_most_spoken_seconds() -> None:
    joined = join(
        [
            part(0, 500, Segment("eins", 1, 2), language="de"),
            part(500, 600, Segment("two", 1, 2), language="en"),
            part(600, 2000, language="cy"),
            part(2000, 2100, Segment("drei", 1, 2), language="de"),
            part(2100, 2900, Segment("?", 1, 2), language=""),
        ],
        duration=2900,
    )

    assert joined.language == "de"


def voice(start: float, end: float, speaker: str, text: str = "hello") -> Segment:
    return Segment(text, start, end, speaker=speaker, words=(Word(text, start, end, speaker),))


def named(*parts: PieceTranscript) -> list[str]:
    joined = join(parts, duration=900)
    assert [segment.speaker for segment in joined.segments] == [word.speaker for word in times(joined)]
    return [segment.speaker for segment in joined.segments]


def test_speakers_of_pieces_that_share_nothing_are_distinguished_by_the_piece() -> None:
    parts = [part(0, 600, voice(1, 2, "A")), part(600, 900, voice(1, 2, "A"))]

    assert named(*parts) == ["1-A", "2-A"]
    assert in_doubt(parts)
    assert named(parts[0]) == ["A"]
    assert not in_doubt(parts[:1])


def test_who_speaks_where_two_pieces_overlap_has_one_name_in_both() -> None:
    parts = [
        part(0, 100, voice(1, 2, "A", "one"), voice(3, 4, "B", "two"), voice(98, 99, "A", "three")),
        part(98, 200, voice(0.1, 1.1, "B", "three"), voice(1.2, 1.9, "A", "four"), voice(5, 6, "B", "five")),
    ]

    assert named(*parts) == ["1-A", "1-B", "1-A", "2-A", "1-A"]
    assert in_doubt(parts)


def test_where_all_speakers_are_known_from_one_piece_their_names_stay_plain() -> None:
    first = part(0, 100, voice(1, 2, "A", "one"), voice(98.5, 99.5, "A", "two"))
    second = part(98, 200, voice(0.5, 1.5, "X", "two"), voice(5, 6, "X", "three"))
    third = replace(part(200, 300, voice(1, 2, "known", "four")), known={"known": "A", "nobody": "B"})

    assert named(first, second, third) == ["A", "A", "A", "A"]
    assert not in_doubt([first, second, third])


def test_a_speaker_with_a_sample_and_a_new_one_are_distinguished() -> None:
    first = part(0, 100, voice(1, 2, "A", "one"))
    second = replace(part(200, 300, voice(1, 2, "known", "two"), voice(3, 4, "A", "three")), known={"known": "A"})

    assert named(first, second) == ["1-A", "1-A", "2-A"]


@pytest.mark.parametrize(
    "second",
    [
        # Two speak together with one, as long as each other.
        [voice(0.0, 0.9, "X"), voice(1.0, 1.9, "Y")],
        # Too short to tell.
        [voice(0.0, 0.2, "X")],
        # Nobody is named.
        [voice(0.0, 1.9, "")],
    ],
)
def test_a_doubtful_likeness_of_speakers_is_none(second: list[Segment]) -> None:
    first = part(0, 100, voice(97, 100, "A", "one"))
    parts = [first, part(98, 200, *second, voice(50, 51, "X", "two"))]

    assert named(*parts)[-1] == "2-X"


def test_words_may_have_other_speakers_than_their_segment() -> None:
    words = (Word("one", 1, 2, "B"), Word("two", 2, 3))
    joined = join([part(0, 100, Segment("one two", 1, 3, words, "A"))], duration=100)

    assert joined.segments[0].speaker == "A"
    assert [word.speaker for word in times(joined)] == ["B", ""]


def test_metrics_and_verdicts_stay_with_their_segment() -> None:
    said = Segment("hello", 1, 2, avg_logprob=-0.5, flags=("loop",), left_out=True)

    joined = join([part(0, 600), part(600, 900, said)], duration=900)

    assert joined.segments == (replace(said, start=601, end=602),)


def test_nothing_joins_to_nothing() -> None:
    assert join([], duration=12.5) == Transcript((), "", 12.5)


@given(
    starts=st.lists(st.floats(-5, 700), max_size=20),
    lengths=st.lists(st.floats(-2, 40), min_size=20, max_size=20),
    overlap=st.floats(0, 2),
)
def test_whatever_times_a_server_gives_the_result_is_in_order_and_within_the_recording(
    starts: list[float], lengths: list[float], overlap: float
) -> None:
    said = [
        Segment(f"w{index} x", start, start + length, words=(Word(f"w{index}", start, start + length),))
        for index, (start, length) in enumerate(zip(starts, lengths, strict=False))
    ]

    joined = join([part(0, 300, *said), part(300 - overlap, 600, *said)], duration=590)

    moments = [segment.start for segment in joined.segments]
    assert moments == sorted(moments)
    assert [word.start for word in times(joined)] == sorted(word.start for word in times(joined))
    assert all(0 <= segment.start <= segment.end <= 590 for segment in joined.segments)
    assert all(0 <= word.start <= word.end <= 590 for word in times(joined))
    assert not any(math.isnan(moment) for moment in moments)


@pytest.mark.parametrize("text", ["…", "—", "!?"])
def test_punctuation_alone_is_no_word_to_join_at(text: str) -> None:
    joined = join([part(0, 10, Segment(f"one {text}", 8, 10)), part(8, 20, Segment(text, 0, 1))], duration=20)

    assert keys(joined) == ["one"]


def _even(text: str, start: float, end: float) -> list[Word]:
    texts = text.split() if " " in text else list(text)
    step = (end - start) / len(texts)
    return [Word(one, start + index * step, start + (index + 1) * step) for index, one in enumerate(texts)]


def test_ends_that_are_crowded_with_words_are_cut_in_the_middle_of_the_overlap() -> None:
    said = [f"w{index}" for index in range(400)]
    ahead = Segment(" ".join(said), 28, 30, words=tuple(_even(" ".join(said), 28, 30)))
    behind = Segment(" ".join(said), 0, 2, words=tuple(_even(" ".join(said), 0, 2)))

    joined = join([part(0, 30, ahead), part(28, 60, behind)], duration=60)

    assert keys(joined) == said


def test_of_many_speakers_at_one_moment_none_is_taken_for_another() -> None:
    ahead = [Segment(f"a{index}", 28, 30, speaker=f"x{index}") for index in range(150)]
    behind = [Segment(f"b{index}", 0, 2, speaker=f"y{index}") for index in range(150)]

    found = identify_speakers([part(0, 30, *ahead), part(28, 60, *behind)])

    assert [sorted(names.values()) for names in found.names] == [
        sorted(f"1-x{index}" for index in range(150)),
        sorted(f"2-y{index}" for index in range(150)),
    ]
