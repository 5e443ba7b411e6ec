"""Which channels and streams have the same sound."""

import numpy as np
import pytest
from support import sounds, truth
from support.sounds import Samples

from watcher.media.comparison import ChannelComparison, StreamComparison

RATE = 16_000
ANNA = truth.voice(truth.chat(0, 1.0, 20.0), 20.0)
BEN = truth.voice(truth.chat(16, 2.5, 20.0), 20.0)


def repeats(*channels: Samples) -> tuple[int, ...]:
    comparison = ChannelComparison()
    block = np.stack(channels).astype(np.float32)
    for first in range(0, block.shape[1], RATE // 2):
        comparison.add(block[:, first : first + RATE // 2], 1 / 32768)
    return comparison.repeats()


def quieter(sound: Samples, decibels: float) -> Samples:
    return truth.mixed((sound, -decibels))


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(ANNA, id="a copy"),
        pytest.param(quieter(ANNA, 6.0), id="a quieter copy"),
        pytest.param(-ANNA, id="a reversed copy"),
        pytest.param(truth.mixed((ANNA, 0.0), (sounds.noise(20.0, level=0.001), 0.0)), id="a copy with hiss"),
        pytest.param((ANNA + 300).astype(np.int16), id="a copy with a constant"),
    ],
)
def test_dual_mono_is_one_sound(second: Samples) -> None:
    assert repeats(ANNA, second) == (0, 1)


@pytest.mark.parametrize("decibels", [6.0, 15.0, 25.0, 40.0])
def test_two_people_are_two_sounds_however_much_their_microphones_hear_of_each_other(decibels: float) -> None:
    """As a pure copy: while one of them speaks, the correlation is 1."""
    first = truth.mixed((ANNA, 0.0), (BEN, -decibels))
    second = truth.mixed((BEN, 0.0), (ANNA, -decibels))

    assert repeats(first, second) == (0, 0)


@pytest.mark.parametrize("hum", [1, 33, 300])
def test_hum_and_constants_that_all_channels_have_do_not_make_them_the_same(hum: int) -> None:
    constant = np.full(len(ANNA), hum, np.int16)

    assert repeats(ANNA + constant, BEN + constant) == (0, 0)


def test_silence_repeats_nothing() -> None:
    nothing = sounds.silence(20.0)

    assert repeats(ANNA, nothing) == (0, 0)
    assert repeats(nothing, nothing) == (0, 0)


def test_channels_that_are_the_same_for_a_while_only_are_two() -> None:
    second = ANNA.copy()
    second[: RATE * 5] = BEN[: RATE * 5]

    assert repeats(ANNA, second) == (0, 0)


def test_of_several_channels_each_repeats_the_first_that_is_like_it() -> None:
    assert repeats(ANNA, BEN, ANNA, BEN, ANNA) == (0, 0, 1, 2, 1)


def test_channels_that_come_and_go_are_not_compared() -> None:
    comparison = ChannelComparison()
    for channels in (2, 1, 2):
        comparison.add(np.stack([ANNA] * channels).astype(np.float32), 1 / 32768)

    assert comparison.repeats() == (0, 0)


def test_streams_repeat_others_only_if_every_sample_is_the_same() -> None:
    comparison = StreamComparison()
    other = ANNA.copy()
    other[-1] += 1
    for first in range(0, len(ANNA), RATE):
        for number, sound in enumerate((ANNA, BEN, ANNA, other, np.zeros_like(ANNA), np.zeros_like(ANNA)), 1):
            comparison.add(number, sound[first : first + RATE])

    assert comparison.repeats(range(1, 7)) == (0, 0, 1, 0, 0, 0)
