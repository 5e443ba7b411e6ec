"""The gain of quiet speech: how much, for which sound, and that nothing is cut off."""

import hashlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import sounds
from support.sounds import Samples

from watcher.media import Cutting, MediaOptions
from watcher.media.gain import gain
from watcher.media.levels import decibels, power


def at(level: float, samples: Samples) -> Samples:
    """Return the samples at an RMS level (dBFS)."""
    mean = float(decibels(np.mean(power(samples), keepdims=True))[0])
    quieter: Samples = np.rint(samples * 10 ** ((level - mean) / 20)).astype(np.int16)
    return quieter


NOISE = sounds.noise(10.0)
#: Speech in a room.
TALK = sounds.speech(10.0) + at(-42, NOISE)


def click(samples: Samples) -> Samples:
    result = samples.copy()
    result[16_000:16_010] = 20_000
    return result


@pytest.mark.parametrize(
    ("why", "samples", "expected"),
    [
        ("loud enough", at(-30, TALK), 0.0),
        ("as loud as others", at(-50, TALK), 25.0),
        ("no more than 30 dB", at(-65, TALK), 30.0),
        ("no click is cut off", click(at(-55, TALK)), 3.3),
        ("nobody speaks in a steady noise", at(-50, NOISE), 0.0),
        ("nobody speaks in silence", sounds.silence(3.0), 0.0),
        ("there is nothing", sounds.silence(0.0), 0.0),
    ],
)
def test_quiet_speech_becomes_as_loud_as_speech_is(why: str, samples: Samples, expected: float) -> None:
    assert 20 * np.log10(gain(samples)) == pytest.approx(expected, abs=3.0 if expected else 0.0), why


@given(st.floats(-90, 0), st.integers(0, 16_000), st.sampled_from([TALK, NOISE, click(TALK)]))
def test_a_gain_is_one_to_30_db_and_cuts_nothing_off(level: float, count: int, sound: Samples) -> None:
    samples = at(level, sound)[:count] if level < -20 else sound[:count]

    factor = gain(samples)

    assert 1.0 <= factor <= 10**1.5 + 1e-6
    if len(samples):
        assert np.abs(samples.astype(np.float64) * factor).max() <= 32768


@pytest.mark.parametrize("codec", ["flac", "mp3", "wav"])
def test_pieces_of_a_quiet_recording_are_louder_and_known_by_the_sound_that_was_recorded(
    codec: str, tmp_path: Path
) -> None:
    quiet = at(-55, TALK)
    path = sounds.encode(quiet, tmp_path / "talk.wav")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with Cutting(
            descriptor,
            MediaOptions(codec=codec),  # type: ignore[arg-type]
            spool=tmp_path / "spool",
            stop=threading.Event(),
            in_flight=lambda: 1,
        ) as running:
            [piece] = [(piece.cut, sounds.decode(piece.path)) for piece in running]
            summary = running.summary
    finally:
        os.close(descriptor)
    cut, sent = piece
    recorded = quiet[cut.start : cut.end]

    assert cut.digest == hashlib.sha256(recorded.tobytes()).hexdigest()
    assert decibels(np.mean(power(sent), keepdims=True))[0] == pytest.approx(-25, abs=5)
    assert min(summary.loudness.levels) > 40
    if codec != "mp3":
        assert np.array_equal(sent, np.rint(recorded * np.float32(gain(recorded))))
