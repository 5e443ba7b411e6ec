"""Levels: loudness as it is stored, runs, and what counts as silence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import sounds
from support.sounds import RATE

from watcher.media.levels import FRAME, LoudnessMeter, LoudnessScale, decibels, power, runs, without_clicks


def test_loudness_is_minus_dbfs_in_fiftieths_of_a_second() -> None:
    meter = LoudnessMeter()
    square = np.full(RATE // 2, 3277, np.int16)
    meter.add(np.concatenate([square, sounds.silence(0.5), np.full(RATE // 2, 32767, np.int16)]))

    assert meter.finish() == bytes([20] * 25 + [255] * 25 + [0] * 25)


def test_a_last_part_of_a_frame_is_measured_too() -> None:
    meter = LoudnessMeter()
    meter.add(np.full(FRAME + 7, 3277, np.int16))

    assert meter.finish() == bytes([20, 20])


@given(st.lists(st.integers(0, 4000), max_size=12))
def test_loudness_does_not_depend_on_how_the_sound_is_fed(sizes: list[int]) -> None:
    sound = sounds.noise(1.3)
    whole, parts = LoudnessMeter(), LoudnessMeter()
    whole.add(sound)
    for start, end in zip([0, *np.cumsum(sizes)], [*np.cumsum(sizes), len(sound)], strict=True):
        parts.add(sound[start : max(start, end)])

    assert parts.finish() == whole.finish() or sum(sizes) > len(sound)


def test_the_faintest_signal_is_not_digital_silence() -> None:
    meter = LoudnessMeter()
    faint = np.zeros(FRAME, np.int16)
    faint[0] = 1
    meter.add(faint)

    assert meter.finish() == bytes([115])


def test_levels_of_frames_are_rms() -> None:
    levels = decibels(power(np.full(3 * FRAME + 5, 3277, np.int16)))

    assert levels == pytest.approx([-20.0] * 3, abs=0.01)


@given(st.lists(st.booleans(), max_size=60))
def test_runs_are_exactly_the_stretches_of_true(values: list[bool]) -> None:
    mask = np.array(values, np.bool_)

    first, behind = runs(mask)

    rebuilt = np.zeros(len(mask), np.bool_)
    for one, two in zip(first, behind, strict=True):
        rebuilt[one:two] = True
    assert np.array_equal(rebuilt, mask)
    assert np.all(behind[:-1] < first[1:])


@given(st.lists(st.booleans(), max_size=60))
def test_only_stretches_too_short_for_a_word_are_taken_out(values: list[bool]) -> None:
    mask = np.array(values, np.bool_)

    result = without_clicks(mask)

    assert not np.any(result & ~mask)
    for one, two in zip(*runs(mask), strict=True):
        assert result[one:two].all() == (two - one >= 5)


def test_a_scale_that_heard_nothing_takes_only_the_inaudible_for_silence() -> None:
    scale = LoudnessScale()

    sound = scale.sound(np.array([-120.0, -80.0, -70.0] * 5, np.float32).repeat(20))

    assert sound.reshape(-1, 20)[:, 0].tolist()[:3] == [False, False, True]


@pytest.mark.slow
def test_a_scale_forgets_what_was_long_ago() -> None:
    scale = LoudnessScale()
    scale.add(decibels(power(sounds.noise(60.0, level=0.5))))
    scale.add(decibels(power(np.tile(sounds.noise(60.0, level=0.001), 60))))

    assert not scale.sound(decibels(power(sounds.noise(5.0, level=0.001, seed=2)))).any()
