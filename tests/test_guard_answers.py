"""The guard on real answers: Whisper tiny.en about recordings of speech, noise, music and silence, with and without fallback."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from watcher.guard import review
from watcher.transcript import Segment, Transcript, Word

_ANSWERS: dict[str, Any] = json.loads(Path(__file__).with_name("guard_answers.json").read_text())


def segments(name: str) -> tuple[Segment, ...]:
    return tuple(
        Segment(**{**found, "words": tuple(Word(*word) for word in found.get("words", ()))})
        for found in _ANSWERS[name]["segments"]
    )


def reviewed(name: str, change: Callable[[Segment], Segment] = lambda segment: segment) -> tuple[Segment, ...]:
    """Review an answer, with its segments changed if the test says so."""
    found = Transcript(tuple(change(segment) for segment in segments(name)))
    return review(found, loudness=bytes.fromhex(_ANSWERS[name]["loudness"])).segments


def verdicts(found: tuple[Segment, ...]) -> list[tuple[tuple[str, ...], bool]]:
    return [(segment.flags, segment.left_out) for segment in found]


def test_speech_at_minus_60_dbfs_stays_though_the_server_has_doubts_about_its_last_window() -> None:
    assert verdicts(reviewed("quiet speech")) == [((), False)] * 6 + [(("no_speech",), False)]


def test_speech_that_the_server_is_sure_of_is_no_doubt_however_quiet() -> None:
    """Real speech at -60 dBFS: no_speech_prob 0.97 with avg_logprob -0.08."""
    found = reviewed("quiet speech", lambda segment: replace(segment, no_speech_prob=0.97, avg_logprob=-0.08))

    assert verdicts(found) == [((), False)] * 7


def test_a_sentence_that_varies_one_word_each_time_is_no_loop() -> None:
    found = reviewed("speech that resembles a loop")

    assert "it was the worst of times" in found[0].text
    assert verdicts(found) == [((), False)]


def test_a_doubt_of_the_server_that_alone_is_none_counts_beside_repetition() -> None:
    assert verdicts(reviewed("applause")) == [(("no_speech", "ratio", "loop", "pace"), True)] * 2
    sure = reviewed("speech that resembles a loop", lambda segment: replace(segment, no_speech_prob=0.7))
    assert verdicts(sure) == [((), False)]


def test_a_window_s_ratio_is_no_sign_against_a_segment_that_repeats_nothing() -> None:
    (first, *others) = segments("applause in a window of repeats")

    assert first.compression_ratio == 15.27
    assert verdicts(review(Transcript((first,))).segments) == [((), False)]
    assert verdicts(reviewed("applause in a window of repeats")) == [((), False)] + [(("loop",), False)] * len(others)


def test_what_speaks_against_one_repeat_speaks_against_all_and_the_first_saying_stays() -> None:
    (first, *others) = segments("applause in a window of repeats")
    hurried = replace(others[-1], end=others[-1].start + 0.2)

    found = review(Transcript((first, *others[:-1], hurried))).segments

    assert [segment.left_out for segment in found] == [False] + [True] * len(others)


def test_an_impossible_pace_of_repeats_leaves_out_the_repeats_and_its_phrase() -> None:
    """Over music; the server is sure: no_speech_prob 0.09, avg_logprob -0.32."""
    first, again = reviewed("music")

    assert (first.text, first.flags, first.left_out) == (
        "and thank you so much for watching, ",
        ("ratio", "loop", "phrase", "pace"),
        True,
    )
    assert (again.flags, again.left_out) == (("ratio", "loop", "pace"), True)


def test_of_repeats_at_an_impossible_pace_one_saying_stays() -> None:
    whole = segments("applause")[0]

    first, again = reviewed("applause", lambda segment: replace(segment, no_speech_prob=0.1))[:2]

    assert (first.text, first.left_out) == ("I don't know how to do it, ", False)
    assert again.left_out
    assert (first.text + again.text, first.start, again.end) == (whole.text, whole.start, whole.end)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        # avg_logprob -1.76 and no_speech_prob 0.59: so little is never said of speech.
        ("noise", [("no_speech", "garbled"), ("no_speech", "phrase")]),
        # 33 characters in a tenth of a second, behind the last word.
        ("after the speech", [("no_speech", "pace")]),
        # The second time, the server is sure: avg_logprob -0.35.
        ("digital silence", [("silence", "no_speech", "phrase"), ("silence", "no_speech", "phrase")]),
    ],
)
def test_phantoms_are_left_out(name: str, flags: list[tuple[str, ...]]) -> None:
    assert verdicts(reviewed(name)) == [(signs, True) for signs in flags]
