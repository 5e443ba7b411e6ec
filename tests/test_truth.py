"""The server of `support.truth` hears the words that were said, and nothing else."""

import json
from pathlib import Path

import pytest
import requests
from support import sounds, truth
from support.scripted import serving

ANNA = truth.chat(0, 1.0, 30.0)
BEN = truth.chat(16, 2.5, 30.0)


def near(found: list[truth.SpokenWord], words: list[truth.SpokenWord]) -> bool:
    """Return whether all words are found in order, at most 30 ms away."""
    words = sorted(words)
    return [word.text for word in found] == [word.text for word in words] and all(
        abs(one.start - other.start) <= 0.03 and abs(one.end - other.end) <= 0.03
        for one, other in zip(found, words, strict=True)
    )


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "m4a", "opus"])
def test_each_word_is_heard_at_its_time(kind: str, tmp_path: Path) -> None:
    path = sounds.encode(truth.voice(ANNA, 30.0), tmp_path / "anna", kind)

    assert near(truth.heard(sounds.decode(path)), ANNA)


@pytest.mark.parametrize("decibels", [0.0, -15.0, -25.0])
def test_quiet_words_are_heard_as_well(decibels: float) -> None:
    later = [truth.SpokenWord(word.start + 30, word.end + 30, word.text) for word in BEN]
    sound = truth.mixed((truth.voice(ANNA, 60.0), 0.0), (truth.voice(later, 60.0), decibels))

    assert near(truth.heard(sound), [*ANNA, *later])


def test_of_words_at_the_same_moment_those_are_heard_that_are_loud_enough() -> None:
    anna, ben = truth.said("alpha bravo charlie", 1.0), truth.said("delta echo foxtrot", 1.05)
    voices = truth.voice(anna, 3.0), truth.voice(ben, 3.0)

    assert near(truth.heard(truth.mixed((voices[0], 0.0), (voices[1], 0.0))), [*anna, *ben])
    assert near(truth.heard(truth.mixed((voices[0], 0.0), (voices[1], -15.0))), anna)


def test_nothing_is_heard_in_silence() -> None:
    assert truth.heard(sounds.silence(5.0)) == []
    assert truth.heard(sounds.silence(0.0)) == []


def test_the_server_answers_with_words_in_segments(tmp_path: Path) -> None:
    path = sounds.encode(truth.voice(truth.said("alpha bravo", 1.0) + truth.said("zulu", 4.0), 6.0), tmp_path / "a.wav")

    with serving(truth.recogniser) as server, path.open("rb") as file:
        answer = json.loads(requests.post(f"{server.url}/audio/transcriptions", files={"file": file}, timeout=10).text)

    assert [segment["text"] for segment in answer["segments"]] == [" alpha bravo", " zulu"]
    assert [word["start"] for word in answer["words"]] == pytest.approx([1.0, 1.35, 4.0], abs=0.02)
    assert answer["duration"] == truth.seconds_of(server.asked) == 6.0
