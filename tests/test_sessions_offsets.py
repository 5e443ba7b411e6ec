"""When the stems of a session begin."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.container.recorder import RecorderData
from watcher.sessions import Offsets, offsets, track_offsets

NAMES = ("Anna.wav", "Ben.wav", "Carl.wav", "Dora.wav")
MIDNIGHT = 86_400.0
NONE: Mapping[str, float] = {}
TOO_FAR = (
    "The times of day of the recordings are more than 12 hours apart, and are not used."
    " If they begin at different moments, set `offsets`."
)


def at(
    *starts: float | None, rate: Fraction | None = None, drop: bool = False, manual: Mapping[str, float] = NONE
) -> Offsets:
    recorders = [
        None if start is None else RecorderData(start=start, frame_rate=rate, drop_frame=drop) for start in starts
    ]
    return offsets(NAMES[: len(starts)], recorders, manual)


@pytest.mark.parametrize(
    ("starts", "seconds"),
    [
        ((), ()),
        ((None,), (0.0,)),
        ((100.0,), (0.0,)),
        ((None, None), (0.0, 0.0)),
        ((100.0, 103.5), (0.0, 3.5)),
        ((103.5, 100.0, 100.0), (3.5, 0.0, 0.0)),
        ((MIDNIGHT - 2, 3.0), (0.0, 5.0)),
        ((3.0, MIDNIGHT - 2, MIDNIGHT - 1), (5.0, 0.0, 1.0)),
        ((0.0, 43_200.0), (0.0, 43_200.0)),
    ],
)
def test_stems_begin_by_their_time_of_day_also_across_midnight(
    starts: Sequence[float | None], seconds: tuple[float, ...]
) -> None:
    assert at(*starts) == Offsets(seconds)


@pytest.mark.parametrize(
    ("rate", "drop", "day"),
    [
        (Fraction(24_000, 1001), False, 86_486.4),
        (Fraction(25), False, 86_400.0),
        (Fraction(30_000, 1001), False, 86_486.4),
        (Fraction(30_000, 1001), True, 86_399.9136),
        (Fraction(60_000, 1001), True, 86_399.9136),
    ],
)
def test_a_day_of_timecode_is_as_long_as_its_frames(rate: Fraction, drop: bool, day: float) -> None:  # noqa: FBT001 - a table
    assert at(day - 2, 3.0, rate=rate, drop=drop).seconds == pytest.approx((0.0, 5.0), abs=1e-6)


@pytest.mark.parametrize("starts", [(0.0, 43_201.0, 30_000.0, 60_000.0), (0.0, 28_800.0, 57_600.0)])
def test_clocks_that_differ_by_half_a_day_are_not_believed(starts: tuple[float, ...]) -> None:
    assert at(*starts) == Offsets((0.0,) * len(starts), TOO_FAR)


def test_stems_of_which_only_some_have_a_time_begin_together_and_that_is_said() -> None:
    assert at(100.0, 103.5, None) == Offsets(
        (0.0, 0.0, 0.0),
        "Only 2 of 3 recordings have a time of day, so all are taken to begin together."
        " If they begin at different moments, set `offsets`.",
    )


@pytest.mark.parametrize(
    ("starts", "manual", "seconds"),
    [
        ((None, None), {"Ben.wav": 2.5}, (0.0, 2.5)),
        ((None, None), {"ben": -1.5}, (1.5, 0.0)),
        ((None, None), {"2": 2.5}, (0.0, 2.5)),
        ((None, None), {"1": 5.0, "2": 7.0}, (0.0, 2.0)),
        ((100.0, 103.5, None), {"Carl": 2.0}, (0.0, 3.5, 2.0)),
        ((100.0, 103.5), {"Ben": 0.25}, (0.0, 0.25)),
        ((100.0, 103.5), {"Ben": float("nan"), "Anna": float("inf")}, (0.0, 3.5)),
    ],
)
def test_an_offset_by_hand_goes_before_the_time_of_day(
    starts: Sequence[float | None], manual: dict[str, float], seconds: tuple[float, ...]
) -> None:
    assert at(*starts, manual=manual) == Offsets(seconds)


@given(
    st.lists(st.none() | st.floats(0, 90_000), max_size=4),
    st.sampled_from((None, Fraction(24_000, 1001), Fraction(30_000, 1001), Fraction(25))),
    st.booleans(),
    st.dictionaries(st.sampled_from((*NAMES, "1", "2")), st.floats(-1e6, 1e6)),
)
def test_the_earliest_begins_at_zero(
    starts: list[float | None],
    rate: Fraction | None,
    drop: bool,  # noqa: FBT001 - drawn
    manual: dict[str, float],
) -> None:
    # As `recorder_data` gives it: numbers are only dropped at multiples of 30 frames a second.
    found = at(*starts, rate=rate, drop=drop and rate == Fraction(30_000, 1001), manual=manual)

    assert len(found.seconds) == len(starts)
    assert min(found.seconds, default=0.0) == 0.0
    assert manual or max(found.seconds, default=0.0) <= 43_200.0


@pytest.mark.parametrize(
    ("manual", "expected"),
    [
        ({}, (0.0, 0.0)),
        ({"2": 1.5}, (0.0, 1.5)),
        ({"anna": 1.5, "Track 3": 0.5}, (1.5, 0.5)),
        ({"Anna": -2.0}, (0.0, 2.0)),
        ({"Anna": math.inf, "Desktop": 1.0}, (0.0, 0.0)),
    ],
)
def test_tracks_of_a_recording_begin_with_it_or_when_the_settings_say(
    manual: Mapping[str, float], expected: tuple[float, float]
) -> None:
    """Of three tracks the second one was left out."""
    numbers = (1, 2) if "2" in manual else (1, 3)

    assert track_offsets(numbers, ("Anna", "Desktop", ""), manual) == expected
