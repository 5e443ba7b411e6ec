"""Linear timecode is told from everything that people and rooms sound like."""

from pathlib import Path

import numpy as np
import pytest
from support import sounds

from watcher.media.timecode import TimecodeDetector, is_timecode


@pytest.mark.parametrize("frames", [24, 25, 30])
@pytest.mark.parametrize("rate", [16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_every_rate_of_frames_is_recognised_at_every_rate_of_samples(rate: int, frames: int) -> None:
    assert is_timecode(sounds.timecode(0.5, rate=rate, frames=frames).astype(np.float32), rate)


@pytest.mark.parametrize("kind", ["mp3", "m4a", "ogg"])
def test_it_is_recognised_behind_an_encoder(kind: str, tmp_path: Path) -> None:
    samples = np.repeat(sounds.timecode(4.0)[:, None], 2, axis=1)
    path = sounds.encode(samples, tmp_path / f"ltc{sounds.FORMATS[kind].suffix}", kind, rate=48_000)

    assert is_timecode(sounds.decode(path, rate=48_000)[48_000:72_000].astype(np.float32), 48_000)


def test_an_offset_and_a_turned_wire_change_nothing() -> None:
    signal = sounds.timecode(0.5, level=0.2).astype(np.float32)

    assert is_timecode(5000 - signal, 48_000)


@pytest.mark.parametrize(
    "sound",
    [
        sounds.speech(20.0, rate=48_000),
        sounds.noise(5.0, rate=48_000),
        sounds.silence(5.0, rate=48_000),
        *(sounds.sine(5.0, rate=48_000, frequency=frequency) for frequency in (50, 960, 1000, 1200, 1920, 2400)),
        sounds.sine(5.0, rate=48_000, frequency=1000) // 2 + sounds.sine(5.0, rate=48_000, frequency=2000) // 2,
    ],
)
def test_nothing_else_is_taken_for_it(sound: sounds.Samples) -> None:
    detector = TimecodeDetector(1, 48_000, 32768.0)
    blocks = sound.astype(np.float32)[None, :]

    assert not any(detector.look(blocks[:, at : at + 24_000]).any() for at in range(0, len(sound), 24_000))
    assert not any(is_timecode(blocks[0, at : at + 24_000], 48_000) for at in range(0, len(sound) - 23_999, 24_000))


def test_a_channel_keeps_its_name_through_silence_and_loses_it_to_speech() -> None:
    parts = [sounds.timecode(3.0), sounds.silence(30.0, rate=48_000), sounds.speech(30.0, rate=48_000)]
    detector = TimecodeDetector(1, 48_000, 32768.0)
    blocks = np.concatenate(parts).astype(np.float32)[None, :]

    found = [bool(detector.look(blocks[:, at : at + 24_000])[0]) for at in range(0, blocks.shape[1], 24_000)]

    assert all(found[: 2 * 33])
    assert not any(found[-2 * 15 :])
