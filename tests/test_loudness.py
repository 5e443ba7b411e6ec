"""Loudness: by frames and by tenths of a second."""

from hypothesis import given
from hypothesis import strategies as st

from watcher.loudness import COARSE_RATE, Loudness


def test_a_tenth_of_a_second_has_the_mean_power_of_its_five_frames() -> None:
    assert Loudness(bytes([20] * 5 + [255] * 5 + [0, 255, 255, 255, 255])).tenths == bytes([20, 255, 7])


def test_the_last_tenth_may_have_fewer_frames() -> None:
    assert Loudness(bytes([20] * 5 + [40, 40])).tenths == bytes([20, 40])
    assert Loudness().tenths == b""


def test_the_tenths_are_computed_once() -> None:
    loudness = Loudness(bytes([20, 40] * 50))

    assert loudness.tenths is loudness.tenths
    assert loudness == Loudness(loudness.levels)


@given(st.binary())
def test_what_was_measured_by_tenths_stays_as_it_is(levels: bytes) -> None:
    assert Loudness(levels, COARSE_RATE).tenths == levels


@given(st.binary())
def test_a_tenth_is_as_loud_as_its_loudest_frame_or_less_by_a_fifth_of_the_power(levels: bytes) -> None:
    for index, tenth in enumerate(Loudness(levels).tenths):
        loudest = min(levels[index * 5 : index * 5 + 5])

        assert loudest <= tenth <= min(loudest + 7, 254) or (tenth, loudest) == (255, 255)
