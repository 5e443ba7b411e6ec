"""Labels of frames, exactly: rates, dropped numbers, samples since midnight, seconds of a recording."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.timecode import DEFAULT_RATE, FrameRate, RecordedStart, Timecode, TimecodeOptions, exact_rate, meant_rate

NAMES = ("23.976", "24", "25", "29.97", "29.97df", "30", "30df", "47.952", "48", "50", "59.94", "59.94df", "60", "60df")
RATES = st.sampled_from(NAMES).map(FrameRate.parse)
FILM = FrameRate.parse("23.976")
DROPPING = FrameRate.parse("29.97df")
FRAMES = st.integers(0, 60 * 86_400)
LABELS = st.builds(
    lambda rate, *numbers: (rate, "{:02d}:{:02d}:{:02d}:{:02d}".format(*numbers)),
    RATES,
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 59),
)


def test_the_label_at_23_976_is_not_the_time_of_day() -> None:
    """The sample of wavinfo: a recorder that began at 12:40:00 by its own clock, one second later."""
    frame = FILM.of_samples(2_190_940_753, 48_000)

    assert frame == 1_094_376
    assert FILM.label(frame) == "12:39:59:00"


@pytest.mark.parametrize(
    ("rate", "frame", "label"),
    [
        ("25", 25 * 3600, "01:00:00:00"),
        ("29.97df", 1799, "00:00:59;29"),
        ("29.97df", 1800, "00:01:00;02"),
        ("29.97df", 17_981, "00:09:59;29"),
        ("29.97df", 17_982, "00:10:00;00"),
        ("29.97df", 107_892, "01:00:00;00"),
        ("29.97", 107_892, "00:59:56:12"),
        ("59.94df", 3600, "00:01:00;04"),
        ("59.94df", 35_964, "00:10:00;00"),
        ("50", 50 * 86_400 - 1, "23:59:59:49"),
        ("50", 50 * 86_400, "00:00:00:00"),
    ],
)
def test_known_labels(rate: str, frame: int, label: str) -> None:
    assert FrameRate.parse(rate).label(frame) == label


@given(rate=RATES, frame=FRAMES)
def test_a_label_leads_back_to_its_frame(rate: FrameRate, frame: int) -> None:
    assert rate.frame(rate.label(frame)) == frame % rate.day


@given(rate=RATES, frame=FRAMES)
def test_no_label_is_written_that_is_dropped(rate: FrameRate, frame: int) -> None:
    label = rate.label(frame)
    minute, second, number = int(label[3:5]), label[6:8], int(label[9:])

    assert number < rate.nominal
    assert (";" in label) is rate.drop
    assert not (rate.drop and second == "00" and minute % 10 and number < rate.nominal // 15)


@given(case=LABELS)
def test_each_label_is_of_a_frame_or_is_refused(case: tuple[FrameRate, str]) -> None:
    rate, label = case
    number = int(label[9:])
    is_dropped = rate.drop and label[6:8] == "00" and label[4] != "0" and number < rate.nominal // 15
    if number >= rate.nominal or is_dropped:
        with pytest.raises(ValueError, match="there is no timecode"):
            rate.frame(label)
    else:
        assert rate.label(rate.frame(label)).replace(";", ":") == label


@given(rate=RATES, frame=FRAMES)
def test_seconds_lead_back_to_their_frame(rate: FrameRate, frame: int) -> None:
    for seconds in (rate.seconds(frame), float(rate.seconds(frame))):
        assert rate.frames(seconds) == rate.frames(seconds, up=True) == frame


@given(rate=RATES, frame=FRAMES, sample_rate=st.sampled_from([8_000, 44_100, 48_000, 96_000, 192_000]))
def test_the_first_sample_of_a_frame_is_of_that_frame_however_it_was_rounded(
    rate: FrameRate, frame: int, sample_rate: int
) -> None:
    exact = rate.seconds(frame) * sample_rate

    assert rate.of_samples(int(exact), sample_rate) == frame
    assert rate.of_samples(-int(-exact // 1), sample_rate) == frame


@given(rate=RATES, frame=FRAMES)
def test_seconds_of_labels_are_what_the_label_says(rate: FrameRate, frame: int) -> None:
    label = rate.label(frame)
    said = int(label[:2]) * 3600 + int(label[3:5]) * 60 + int(label[6:8]) + Fraction(int(label[9:]), rate.nominal)

    assert rate.label_seconds(Fraction(frame)) == frame // rate.day * 86_400 + said


@given(rate=RATES, frames=st.tuples(FRAMES, st.fractions(0, 2000)))
def test_seconds_of_labels_go_on(rate: FrameRate, frames: tuple[int, Fraction]) -> None:
    first, more = frames

    assert rate.label_seconds(first + more) >= rate.label_seconds(Fraction(first)) + more / rate.nominal


@pytest.mark.parametrize("text", ["", "0", "25 fps", "-25", "1/0", "1e3", "500", "24/0", "25df", "24 df", "٢٥"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="frame"):
        FrameRate.parse(text)


@pytest.mark.parametrize(
    "label", ["", "1:00:00:00", "24:00:00:00", "00:60:00:00", "00:00:60:00", "00:00:00:25", "10:00:00"]
)
def test_what_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="there is no timecode"):
        DEFAULT_RATE.frame(label)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("23.98", Fraction(24_000, 1001)),
        ("24000/1001", Fraction(24_000, 1001)),
        ("29.970", Fraction(30_000, 1001)),
        ("59.94", Fraction(60_000, 1001)),
        ("24", Fraction(24)),
        ("25.000", Fraction(25)),
        ("12.5", Fraction(25, 2)),
        ("0.5", None),
        ("241", None),
    ],
)
def test_a_rounded_rate_is_the_one_that_is_meant(text: str, rate: Fraction | None) -> None:
    assert exact_rate(text) == rate


@given(rate=st.fractions(0, 250) | st.sampled_from((Fraction(1), Fraction(1001, 1000), Fraction(240))))
def test_whatever_rate_is_meant_is_one_of_timecode(rate: Fraction) -> None:
    meant = meant_rate(rate)

    assert meant is None or FrameRate(meant).rate == meant


def test_a_rate_in_nanoseconds_a_frame_is_the_one_that_is_meant() -> None:
    assert meant_rate(Fraction(1_000_000_000, 41_708_333)) == Fraction(24_000, 1001)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name[:2] in {"23", "24", "25", "29", "30", "50", "59", "60"}]
)
def test_a_rate_is_named_as_in_the_settings(name: str) -> None:
    assert str(FrameRate.parse(name)) == name
    assert FrameRate.parse(name).is_slowed is ("." in name)


#: Within a day: later, the two disagree about what comes after 24 hours.
@given(
    name=st.sampled_from(["23.976", "24", "25", "29.97", "29.97df", "30", "50", "59.94", "59.94df", "60"]),
    part=st.floats(0, 0.9999),
)
def test_labels_agree_with_another_implementation(name: str, part: float) -> None:
    opentime = pytest.importorskip("opentimelineio", reason="opentimelineio is not installed").opentime
    rate = FrameRate.parse(name)
    frame = int(part * rate.day)
    other = opentime.RationalTime(frame, float(rate.rate))

    assert opentime.to_timecode(other, float(rate.rate), rate.drop) == rate.label(frame)


class TestTimecodeOfARecording:
    def test_the_recorders_samples_give_the_label(self) -> None:
        said = RecordedStart(2_190_940_753, 48_000, frame_rate=Fraction(24_000, 1001), source="bext")

        timecode, problem = TimecodeOptions().timecode(said)

        assert problem == ""
        assert (timecode.label(0.0), timecode.source, timecode.rate) == ("12:39:59:00", "bext", FILM)

    def test_without_a_rate_it_is_25(self) -> None:
        timecode, _ = TimecodeOptions().timecode(RecordedStart(48_000 * 36_000, 48_000, source="bext"))

        assert timecode.label(1.5) == "10:00:01:12"

    def test_the_settings_count_before_the_file(self) -> None:
        said = RecordedStart(48_000, 48_000, frame_rate=Fraction(25), source="bext")

        timecode, problem = TimecodeOptions("10:00:00:00", "50").timecode(said)

        assert (timecode.label(0.5), timecode.source, problem) == ("10:00:00:25", "setting", "")

    @pytest.mark.parametrize(
        ("options", "said", "label"),
        [
            (TimecodeOptions("10:00:00;00"), RecordedStart(), "10:00:00;00"),
            (TimecodeOptions("10:00:00;00", "59.94"), RecordedStart(), "10:00:00;00"),
            (TimecodeOptions("10:00:00;00", "25"), RecordedStart(), "10:00:00:00"),
            (TimecodeOptions("10:00:00;00"), RecordedStart(frame_rate=Fraction(25)), "10:00:00:00"),
            (TimecodeOptions("10:00:00:00", "29.97df"), RecordedStart(), "10:00:00;00"),
            (TimecodeOptions(), RecordedStart(label="01:02:03;04", source="timecode"), "01:02:03;04"),
            (
                TimecodeOptions(),
                RecordedStart(label="01:02:03:04", frame_rate=Fraction(24), source="timecode"),
                "01:02:03:04",
            ),
        ],
    )
    def test_a_semicolon_means_dropped_numbers_where_there_are_some(
        self, options: TimecodeOptions, said: RecordedStart, label: str
    ) -> None:
        assert options.timecode(said)[0].label(0.0) == label

    def test_a_setting_that_cannot_be_used_is_said(self) -> None:
        timecode, problem = TimecodeOptions("10:00:00:29", "25").timecode(RecordedStart())

        assert timecode == Timecode(DEFAULT_RATE)
        assert problem == "there is no timecode 10:00:00:29 at 25: HH:MM:SS:FF; so it is not used"

    def test_nothing_is_known_of_a_recording_that_says_nothing(self) -> None:
        timecode, _ = TimecodeOptions().timecode(RecordedStart(frame_rate=Fraction(50)))

        assert (timecode.start, timecode.source, str(timecode.rate)) == (None, "", "50")

    def test_a_rate_that_no_timecode_has_is_not_used(self) -> None:
        said = RecordedStart(48_000, 48_000, frame_rate=Fraction(24), drop=True, source="bext")

        assert said.rate is None
        assert TimecodeOptions().timecode(said)[0].rate == DEFAULT_RATE

    def test_labels_count_slower_than_true_seconds_at_23_976(self) -> None:
        timecode = Timecode(FILM, 0)

        assert timecode.label(3603.6) == "01:00:00:00"
        assert timecode.label_seconds(3603.6) == pytest.approx(3600.0)

    def test_ends_are_rounded_up(self) -> None:
        timecode = Timecode(DEFAULT_RATE, 0)

        assert (timecode.label(1.01), timecode.label(1.01, up=True)) == ("00:00:01:00", "00:00:01:01")
