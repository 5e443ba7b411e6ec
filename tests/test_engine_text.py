"""Words become sentences, and sentences the five formats."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.engine import text
from watcher.engine.recognition import RecognisedWord, Recognition
from watcher.engine.sphinx import sentences


def words(*spans: tuple[str, float, float]) -> tuple[RecognisedWord, ...]:
    return tuple(RecognisedWord(word, start, end, 0.5) for word, start, end in spans)


TWO = Recognition(
    sentences.segments(
        words(("hello", 0.0, 0.5), ("there", 0.5, 1.0), ("i'm", 3661.5, 3662.0), ("here", 3662.2, 3662.504)), 0.5
    ),
    3663.0,
)


def test_a_pause_of_half_a_second_ends_a_sentence() -> None:
    assert text.as_text(TWO) == "Hello there. I'm here."


def test_silence_is_an_empty_text() -> None:
    silence = Recognition((), 2.0)

    assert text.as_json(silence) == {"text": "", "usage": {"type": "duration", "seconds": 2}}
    assert text.as_srt(silence) == ""
    assert text.as_vtt(silence) == "WEBVTT\n\n"
    assert text.as_verbose_json(silence, task="transcribe", granularities=["segment"])["segments"] == []


def test_srt_counts_its_cues_and_writes_hours_and_a_comma() -> None:
    assert text.as_srt(TWO) == (
        "1\n00:00:00,000 --> 00:00:01,000\nHello there.\n\n2\n01:01:01,500 --> 01:01:02,504\nI'm here.\n\n"
    )


def test_vtt_has_its_mark_and_writes_a_point() -> None:
    assert text.as_vtt(TWO).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello there.\n\n")


@pytest.mark.parametrize(
    ("word", "written"),
    [("i", "I"), ("i'll", "I'll"), ("friday", "Friday"), ("friday's", "Friday's"), ("may", "may"), ("in", "in")],
)
def test_words_that_english_capitalises_are_written_so(word: str, written: str) -> None:
    assert sentences.spelled(word) == written


def test_a_long_sentence_comes_in_several_segments_parted_at_the_longest_pause() -> None:
    said = [("one", 0.0, 5.0), ("two", 5.1, 9.0), ("three", 9.4, 13.0), ("four", 13.0, 14.0)]

    segments = sentences.segments(words(*said), 0.0)

    assert [segment.text for segment in segments] == [" One two", " three four."]


def test_granularities_choose_what_is_listed() -> None:
    both = text.as_verbose_json(TWO, task="translate", granularities=["word", "segment"])
    only = text.as_verbose_json(TWO, task="translate", granularities=["word"])

    assert [word["word"] for word in both["words"]] == ["Hello", "there", "I'm", "here"]
    assert [segment["id"] for segment in both["segments"]] == [0, 1]
    assert "segments" not in only
    assert (both["task"], both["language"], both["duration"]) == ("translate", "english", 3663.0)


def test_the_metrics_are_those_of_the_words() -> None:
    segment = text.as_verbose_json(TWO, task="transcribe", granularities=["segment"])["segments"][1]

    assert segment["avg_logprob"] == pytest.approx(-0.6931)  # ln 0.5
    assert segment["no_speech_prob"] == pytest.approx(0.2 / 1.004, abs=1e-4)
    assert 0 < segment["compression_ratio"] < 2.4
    assert segment["temperature"] == 0.5
    assert segment["tokens"] == []


@st.composite
def said(draw: st.DrawFn) -> tuple[RecognisedWord, ...]:
    clock, words = 0.0, []
    for _ in range(draw(st.integers(0, 40))):
        clock += draw(st.floats(0, 3))
        end = clock + draw(st.floats(0.01, 4))
        words.append(
            RecognisedWord(
                draw(st.sampled_from(["i", "a", "monday", "word", "it's"])), clock, end, draw(st.floats(1e-4, 1))
            )
        )
        clock = end
    return tuple(words)


@pytest.mark.slow
@given(said())
def test_every_word_is_kept_once_and_in_order(said: tuple[RecognisedWord, ...]) -> None:
    segments = sentences.segments(said, 0.0)

    listed = [word for segment in segments for word in segment.words]
    assert [(word.text.lower(), word.start, word.end) for word in listed] == [
        (word.text, word.start, word.end) for word in said
    ]
    heard = text.as_text(Recognition(segments, 0.0))
    assert [word.lower().rstrip(".") for word in heard.split()] == [word.text for word in said]
    assert all(before.end <= after.start for before, after in pairwise(segments))
    assert all(len(segment.words) == 1 or segment.end - segment.start <= 12.0 for segment in segments)
    assert heard.endswith("." if said else "")
