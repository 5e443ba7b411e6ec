"""Encoding: FLAC is lossless, mp3 is where it was, and a full disk is said."""

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from support import sounds

from watcher.media.encode import encode


def test_flac_gives_back_every_sample_and_has_its_length(tmp_path: Path) -> None:
    sound = sounds.speech(7.3)
    path = tmp_path / "piece.flac"

    size = encode(sound, path, "flac")

    assert size == path.stat().st_size < len(sound) * 2
    assert np.array_equal(sounds.decode(path), sound)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(7.3e6, abs=100)


def test_mp3_is_small_and_moves_nothing(tmp_path: Path) -> None:
    sound = sounds.speech(7.3)
    path = tmp_path / "piece.mp3"

    size = encode(sound, path, "mp3")

    decoded = sounds.decode(path)[: len(sound)]
    assert size < 7.3 * 48_000 / 8 * 1.05
    assert len(decoded) == len(sound)
    assert np.corrcoef(decoded.astype(float), sound.astype(float))[0, 1] > 0.97


def test_wav_gives_back_every_sample_behind_the_plainest_header(tmp_path: Path) -> None:
    sound = sounds.speech(7.3)
    path = tmp_path / "piece.wav"

    size = encode(sound, path, "wav")

    written = path.read_bytes()
    assert size == len(written) == 44 + 2 * len(sound)
    assert (written[:4], written[8:16], written[36:40]) == (b"RIFF", b"WAVEfmt ", b"data")
    with wave.open(str(path)) as read:
        assert read.getparams()[:4] == (1, 2, 16_000, len(sound))
        assert np.array_equal(np.frombuffer(read.readframes(len(sound)), "<i2"), sound)


@pytest.mark.parametrize("codec", ["flac", "mp3", "wav"])
def test_the_shortest_pieces_can_be_made(codec: str, tmp_path: Path) -> None:
    assert encode(sounds.speech(0.1), tmp_path / "piece", codec) > 0


@pytest.mark.parametrize("codec", ["flac", "mp3", "wav"])
def test_a_folder_that_is_not_there_is_an_os_error(codec: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        encode(sounds.speech(0.1), tmp_path / "none" / "piece", codec)


@pytest.mark.parametrize("codec", ["flac", "wav"])
def test_a_full_disk_is_an_os_error(codec: str) -> None:
    with pytest.raises(OSError, match="No space left"):
        encode(sounds.noise(20.0), Path("/dev/full"), codec)
