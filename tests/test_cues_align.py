import math
from itertools import pairwise

import pytest
from hypothesis import given
from support.transcripts import spoken, transcripts

from watcher.cues.align import Times, align
from watcher.cues.text import clean, width
from watcher.cues.tokens import tokens
from watcher.transcript import Segment, Transcript, Word


def times(*segments: Segment, duration: float = 0.0, wide: bool = False) -> Times:
    texts = [[token for token, _ in tokens(clean(segment.text), line=42, wide=wide)] for segment in segments]
    widths = [[width(text, wide=wide) for text in group] for group in texts]
    return align(segments, texts, widths, round(duration * 1000))


def said(text: str, *moments: float) -> tuple[Word, ...]:
    """Words of half a second, each at its moment."""
    return tuple(Word(word, moment, moment + 0.5) for word, moment in zip(text.split(), moments, strict=True))


@given(transcripts())
def test_whatever_the_server_says_times_rise_and_stay_in_the_audio(case: tuple[Transcript, float]) -> None:
    transcript, duration = case
    kept = [segment for segment in transcript.segments if clean(segment.text)]

    found = times(*kept, duration=duration)

    assert all(start <= end for start, end in zip(found.start, found.end, strict=True))
    assert all(end <= start for end, start in zip(found.end, found.start[1:], strict=False))
    assert all(start >= 0 for start in found.start)
    if duration:
        assert all(end <= round(duration * 1000) for end in found.end)


def test_words_without_punctuation_give_their_times_to_the_text_with_it() -> None:
    found = times(Segment("Well, I don't!", 0, 3, said("well I don't", 0.5, 1.2, 2.0)))

    assert found.start == [500, 1200, 2000]
    assert found.end == [1000, 1480, 2500]


def test_a_word_that_the_server_stretched_over_a_silence_is_cut_to_what_speech_takes() -> None:
    found = times(Segment("Yes. No.", 0, 10, (Word("Yes", 0, 9.0), Word("No", 9.0, 9.4))))

    assert found.end[0] < 2000
    assert found.start[1] == 9000


def test_a_missing_word_gets_the_time_between_its_neighbours() -> None:
    found = times(Segment("one two three", 0, 3, said("one three", 0.0, 2.0)))

    assert 500 <= found.start[1] <= found.end[1] <= 2000
    assert found.start[2] == 2000


def test_words_that_are_cut_otherwise_than_the_text_are_found_by_their_letters() -> None:
    found = times(
        Segment("state-of-the-art work", 0, 3, said("state of the art work", 0.0, 0.5, 1.0, 1.5, 2.0)),
    )

    assert (found.start, found.end[0]) == ([0, 2000], 2000)


def test_tokens_of_words_are_put_together() -> None:
    found = times(Segment("Hello there", 0, 3, (Word("Hel", 0, 0.4), Word("lo", 0.4, 1.0), Word("there", 1.0, 1.5))))

    assert (found.start, found.end) == ([0, 1000], [1000, 1500])


def test_numbers_written_otherwise_share_the_time_they_were_said_in() -> None:
    words = said("it costs twenty three dollars now", 0.0, 0.5, 1.0, 1.5, 2.0, 2.5)

    found = times(Segment("It costs $23 now", 0, 3, words))

    assert found.start[3] == 2500
    assert 1000 <= found.start[2] <= found.end[2] <= 2500


def test_a_word_in_the_neighbouring_segment_is_found_there() -> None:
    first = Segment("one two three", 0, 2.0, said("one two", 0.0, 0.6))
    second = Segment("four five", 2.0, 4.0, said("three four five", 1.4, 2.2, 3.0))

    assert times(first, second).start == [0, 600, 1400, 2200, 3000]


def test_a_word_far_outside_its_segment_is_not_believed() -> None:
    words = (Word("one", 0.0, 0.4), Word("two", 90.0, 90.4), Word("three", 1.0, 1.4))

    assert times(Segment("one two three", 0, 1.5, words)).start == [0, 400, 1000]


def test_words_out_of_order_are_not_believed() -> None:
    words = (Word("one", 0.0, 0.3), Word("two", 1.2, 1.3), Word("three", 0.6, 0.8), Word("four", 1.0, 1.2))

    found = times(Segment("one two three four", 0, 1.5, words))

    assert found.start[0] == 0
    assert found.start == sorted(found.start)


def test_segments_without_times_take_those_of_their_words() -> None:
    first = Segment("one two", 0, 0, said("one two", 10.0, 11.0))
    silent = Segment("(laughs)", 0, 0)
    second = Segment("three four", 0, 0, said("three four", 20.0, 21.0))

    assert times(first, silent, second).start == [10_000, 11_000, 11_500, 20_000, 21_000]


def test_without_words_time_is_shared_by_width_with_a_rest_after_punctuation() -> None:
    found = times(Segment("aaaa. bbbb cccc", 0, 2.0))

    assert found.start[0] == 0
    assert found.start[1] - found.end[0] > found.start[2] - found.end[1]
    assert found.end[-1] == 2000


def test_a_few_words_in_a_long_segment_are_spoken_at_its_start() -> None:
    found = times(Segment("Thank you.", 0, 3600))

    assert found.end[-1] < 5000


def test_a_segment_of_no_length_lasts_as_long_as_speech_takes_or_until_the_next() -> None:
    assert times(Segment("hello world", 5, 5)).end[-1] > 5500
    assert times(Segment("hello world", 5, 5), Segment("again", 5.2, 6)).end[1] == 5200


def test_overlapping_segments_follow_each_other() -> None:
    found = times(Segment("one two three", 0, 5), Segment("four", 3, 6))

    assert found.start[3] == 3000


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, 1e300])
def test_times_that_are_no_times_are_replaced(broken: float) -> None:
    found = times(
        Segment("one", 0, 1),
        Segment("two", broken, broken, (Word("two", broken, 2.0),)),
        Segment("three", 3, broken, (Word("three", 3.1, broken),)),
        duration=5,
    )

    assert found.start[0] == 0
    assert 0 <= found.start[1] <= 3100
    assert found.start[2] == 3100


def test_a_segment_out_of_order_stays_where_its_text_stands() -> None:
    found = times(Segment("one", 0, 1), Segment("two", 50, 51), Segment("three", 2, 3), Segment("four", 4, 5))

    assert found.start[3] == 4000
    assert found.start == sorted(found.start)


def test_sound_beyond_the_end_of_the_audio_is_pulled_inside() -> None:
    assert times(Segment("one two", 9, 12, said("one two", 9.0, 11.0)), duration=10).end[-1] <= 10_000


def test_who_speaks_is_known_by_the_word_or_else_by_the_segment() -> None:
    words = (Word("one", 0, 0.5, "A"), Word("two", 0.5, 1.0))

    assert times(Segment("one two three", 0, 3, words, speaker="B")).speaker == ["A", "B", "B"]


def test_chinese_characters_and_words_of_the_server_meet_by_their_letters() -> None:
    words = (Word("今天", 0.0, 0.6), Word("天气", 0.6, 1.2), Word("不错", 1.2, 1.8))

    found = times(Segment("今天天气不错。", 0, 2, words), wide=True)

    assert found.start[0] == 0
    assert found.end[-1] == 1800
    assert found.begins_word[0]


def test_a_letter_that_was_heard_otherwise_does_not_lose_the_rest() -> None:
    words = tuple(Word(letter, index * 0.2, index * 0.2 + 0.2) for index, letter in enumerate("今田天气真不错"))

    found = times(Segment("今天天气真不错", 0, 2, words), wide=True)

    assert found.start[-1] >= 800


def test_an_hour_in_one_segment_keeps_its_words_times() -> None:
    text = "The quick brown fox jumps over the lazy dog, and then it sleeps. " * 700
    parts = spoken(text, "en")
    words = tuple(word for part in parts for word in part.words)
    damaged = words[:4000] + words[4003:]

    found = times(Segment(text, parts[0].start, parts[-1].end, damaged))

    assert found.start[0] == round(words[0].start * 1000)
    assert found.start[-1] == round(words[-1].start * 1000)
    assert all(left <= right for left, right in pairwise(found.start))


def test_nothing_has_no_times() -> None:
    assert times() == Times([], [], [], [])
