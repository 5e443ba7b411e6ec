"""The recordings other tests rely on are what they say they are."""

import io
from pathlib import Path

import numpy as np
import pytest
from support import sounds


@pytest.mark.parametrize("kind", sorted(sounds.FORMATS))
def test_every_kind_of_recording_can_be_heard(tmp_path: Path, kind: str) -> None:
    path = sounds.tone(tmp_path / f"tone{sounds.FORMATS[kind].suffix}", 1.0, kind=kind)
    heard = sounds.decode(path)

    assert len(heard) / sounds.RATE == pytest.approx(1.0, abs=0.15)
    assert np.abs(heard.astype(np.int32)).max() > 4000


def test_the_suffix_tells_the_kind(tmp_path: Path) -> None:
    assert sounds.tone(tmp_path / "tone.FLAC").read_bytes().startswith(b"fLaC")
    assert sounds.tone(tmp_path / "tone.aif").read_bytes().startswith(b"FORM")


def test_the_same_call_gives_the_same_samples() -> None:
    assert np.array_equal(sounds.speech(2, seed=3), sounds.speech(2, seed=3))
    assert not np.array_equal(sounds.speech(2, seed=3), sounds.speech(2, seed=4))
    assert np.array_equal(sounds.noise(1), sounds.noise(1))


def test_speech_has_sentences_and_pauses_between_them(tmp_path: Path) -> None:
    samples = sounds.decode(sounds.speechlike(tmp_path / "talk.wav", 12.0))
    tenths = np.abs(samples.astype(np.int32)).reshape(-1, sounds.RATE // 10).max(axis=1)

    assert len(samples) == 12 * sounds.RATE
    assert 10 <= np.count_nonzero(tenths == 0) <= 30
    assert tenths.max() == pytest.approx(0.4 * 32767, rel=0.05)


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    left, right = sounds.sine(1.0), sounds.silence(1.0)
    path = sounds.encode(np.stack([left, right], axis=1), tmp_path / "two.wav")

    assert path.stat().st_size == pytest.approx(2 * 2 * sounds.RATE, abs=200)
    assert np.abs(sounds.decode(path).astype(np.int32)).max() < np.abs(left.astype(np.int32)).max()


def test_a_recording_can_be_closed_twice() -> None:
    file = io.BytesIO()
    with sounds.recording(file, "wav") as recording:
        recording.write(sounds.sine(0.5))
        recording.close()

    assert len(file.getvalue()) > sounds.RATE


def test_nothing_is_a_recording_too(tmp_path: Path) -> None:
    assert len(sounds.decode(sounds.encode(sounds.silence(0), tmp_path / "empty.wav"))) == 0
    assert len(sounds.speech(0)) == 0
