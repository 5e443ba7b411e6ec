"""Mixing: one channel out of many, without losing a voice, clipping, or a click where weights change."""

import numpy as np
import numpy.typing as npt
import pytest
from support import sounds

from watcher.media.mix import Mixer

Floats = npt.NDArray[np.float32]


def mixed(
    channels: list[npt.NDArray[np.generic]], *, rate: int = 16_000, full: float = 2.0**15, middle: float = 0.0
) -> Floats:
    mixer = Mixer(len(channels), rate, full)
    blocks = list(mixer.feed(channels, middle=middle))
    return np.concatenate([*blocks, mixer.flush()])


def test_one_channel_is_only_scaled() -> None:
    sound = sounds.speech(1.2)

    assert np.allclose(mixed([sound]), sound / 32768)


def test_unsigned_bytes_have_their_middle_at_128() -> None:
    assert np.allclose(mixed([np.array([128, 255, 0], np.uint8)], full=128, middle=128), [0, 127 / 128, -1])


def test_two_channels_are_averaged() -> None:
    left, right = sounds.speech(1.2), sounds.speech(1.2, seed=2)

    assert np.allclose(mixed([left, right]), (left / 2 + right / 2) / 32768, atol=1e-6)


def test_mirror_images_are_turned_and_turned_back_without_a_click() -> None:
    voice = sounds.sine(4.0, frequency=200)
    right = voice.copy()
    right[16_000:48_000] *= -1

    result = mixed([voice, right])

    assert np.abs(result[16_600:47_900]).max() > 0.24
    assert np.abs(np.diff(result)).max() < 0.03


def test_a_mirrored_pair_stays_turned_through_silence() -> None:
    voice = np.concatenate([sounds.speech(2.0), sounds.silence(2.0), sounds.speech(2.0)])

    result = mixed([voice, -voice])

    assert np.allclose(result[600:], voice[600:] / 32768, atol=1e-6)


def test_of_many_channels_the_loud_one_is_heard_at_its_level() -> None:
    voice = sounds.speech(2.0)
    channels = [sounds.noise(2.0, level=0.0005, seed=seed) for seed in range(15)]

    result = mixed([*channels, voice])

    assert np.sqrt(np.mean(result[8_000:] ** 2)) == pytest.approx(
        np.sqrt(np.mean((voice[8_000:] / 32768) ** 2)), rel=0.02
    )


def test_many_equal_channels_do_not_clip() -> None:
    loud = sounds.sine(1.0, level=1.0)

    assert np.abs(mixed([loud] * 32)).max() <= 1.0


def test_silence_on_all_channels_is_silence() -> None:
    assert not mixed([sounds.silence(1.0)] * 6).any()


def test_silence_is_filled_in_between() -> None:
    mixer = Mixer(2, 16_000, 2.0**15)
    voice = sounds.speech(0.3)

    blocks = [*mixer.feed([voice, voice]), *mixer.silence(20_000), *mixer.feed([voice, voice]), mixer.flush()]

    result = np.concatenate(blocks)
    assert len(result) == 2 * len(voice) + 20_000
    assert not result[len(voice) : len(voice) + 20_000].any()
    assert np.allclose(result[-len(voice) :], voice / 32768, atol=1e-6)


def test_not_a_number_and_infinity_are_silence() -> None:
    sound = np.array([0.5, np.nan, np.inf, -np.inf, 0.5], np.float32)

    assert np.allclose(mixed([sound], full=1.0), [0.5, 0, 0, 0, 0.5])


def test_flushing_nothing_gives_nothing() -> None:
    assert len(Mixer(2, 8_000, 1.0).flush()) == 0


def test_timecode_is_left_out_however_loud_it_is() -> None:
    """Of two channels the other one is heard at its full level, not halved; of four they share as ever."""
    voice, ltc = sounds.speech(4.0, rate=48_000, level=0.05), sounds.timecode(4.0)

    assert np.allclose(mixed([voice, ltc], rate=48_000), voice / 32768)
    assert np.allclose(mixed([ltc, voice, ltc], rate=48_000), voice / 32768)
    assert np.allclose(mixed([ltc, voice, voice], rate=48_000), voice / 32768, atol=1e-6)
    assert not mixed([ltc], rate=48_000).any()
    assert not mixed([ltc, ltc], rate=48_000).any()


def test_three_voices_beside_timecode_share_by_their_loudness() -> None:
    voice = sounds.speech(2.0, rate=48_000)
    quiet = [sounds.noise(2.0, rate=48_000, level=0.0005, seed=seed) for seed in (1, 2)]

    result = mixed([quiet[0], sounds.timecode(2.0), voice, quiet[1]], rate=48_000)

    assert np.abs(result[600:] - voice[600:] / 32768).max() < 0.01


def test_a_chosen_channel_is_heard_whatever_it_carries() -> None:
    ltc = sounds.timecode(2.0)
    mixer = Mixer(1, 48_000, 2.0**15, skip_timecode=False)

    assert np.allclose(np.concatenate(list(mixer.feed([ltc]))), ltc / 32768)
