"""Stretches of speech are cut at silences; their places are exact."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from support import sounds

from watcher.engine.recognition import RATE
from watcher.engine.sphinx.speech import SpeechStretch, stretches


def cut(*sound: NDArray[np.int16], block: int = 1000) -> list[SpeechStretch]:
    samples = np.concatenate(sound)

    def blocks() -> Iterator[NDArray[np.int16]]:
        for begin in range(0, len(samples), block):
            yield samples[begin : begin + block]

    return list(stretches(blocks()))


def voice(seconds: float) -> NDArray[np.int16]:
    """Make a buzz with the harmonics of a voice, without a pause."""
    time = np.arange(int(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 140 * harmonic * time) / harmonic for harmonic in range(1, 25))
    return np.asarray(3000 * buzz, np.int16)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 5.0])
def test_silence_holds_no_speech(seconds: float) -> None:
    assert cut(sounds.silence(seconds)) == []


def test_hiss_below_the_floor_is_silence() -> None:
    assert cut(np.random.default_rng(1).normal(0, 10, 5 * RATE).astype(np.int16)) == []


def test_a_stretch_holds_the_voice_and_a_little_of_the_quiet_around_it() -> None:
    (stretch,) = cut(sounds.silence(3.0), voice(2.0), sounds.silence(3.0))

    begin, end = stretch.start / RATE, (stretch.start + len(stretch.samples)) / RATE
    assert 2.5 <= begin <= 2.8
    assert 5.2 <= end <= 5.7


def test_a_pause_parts_two_stretches() -> None:
    first, second = cut(voice(2.0), sounds.silence(1.5), voice(2.0))

    assert first.start == 0
    assert len(first.samples) <= second.start
    assert second.start / RATE == pytest.approx(3.1, abs=0.2)


def test_a_short_pause_parts_nothing() -> None:
    assert len(cut(voice(2.0), sounds.silence(0.3), voice(2.0))) == 1


def test_after_twelve_seconds_a_short_pause_is_enough() -> None:
    first, second = cut(voice(12.5), sounds.silence(0.5), voice(3.0))

    border = (first.start + len(first.samples)) / RATE
    assert border == second.start / RATE
    assert 12.5 <= border <= 13.0


def test_speech_without_a_pause_is_cut_where_it_is_quietest_and_nothing_is_lost() -> None:
    sound = voice(30.0)
    sound[17 * RATE : 17 * RATE + 960] //= 50

    first, *rest = cut(sound)

    assert len(first.samples) / RATE == pytest.approx(17.0, abs=0.1)
    joined = np.concatenate([first.samples, *(stretch.samples for stretch in rest)])
    assert np.array_equal(joined[: len(sound)], sound)


@pytest.mark.slow
def test_memory_stays_bounded_however_long_somebody_speaks() -> None:
    assert max(len(stretch.samples) for stretch in cut(voice(90.0))) <= 20.1 * RATE


@pytest.mark.parametrize("block", [1, 479, 480, 481, 100_000])
def test_the_size_of_the_blocks_changes_nothing(block: int) -> None:
    sound = np.concatenate((sounds.silence(0.5), voice(0.7), sounds.silence(1.0), voice(0.5)))

    found, expected = cut(sound, block=block), cut(sound)

    assert [stretch.start for stretch in found] == [stretch.start for stretch in expected]
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(found, expected, strict=True))


def test_stretches_come_in_order_and_without_overlap() -> None:
    found = cut(*(part for index in range(8) for part in (sounds.speech(3.0, seed=index), sounds.silence(0.9))))

    assert len(found) > 4
    assert all(one.start + len(one.samples) <= other.start for one, other in pairwise(found))
