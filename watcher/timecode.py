"""Timecode (SMPTE ST 12-1): the labels of frames, exactly, in whole numbers and fractions.

A label ``HH:MM:SS:FF`` counts frames by the nominal rate, which is a whole number. At 23.976 frames a second 24 frames make a second
of labels, and that lasts 1.001 true seconds: so a label is not a time of day in seconds. With dropped frame numbers (``HH:MM:SS;FF``)
labels 0 and 1 (0 to 3 at 59.94) are left out in each minute but every tenth, so that labels stay with the time of day; no
frame is left out.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from math import ceil, floor
from typing import Final

#: Frames a second that a rate may have.
_RATES: Final = (1, 240)
#: Where a position lies this little before a frame (in frames), it is that frame: a float is seldom exact.
_CLOSE: Final = Fraction(1, 1_000_000)
#: A whole number or a fraction, as ``24000/1001``, ``25``, ``29.97``.
_FRACTION: Final = re.compile(r"(\d{1,9})(?:/(\d{1,9})|\.(\d{1,12}))?", re.ASCII)
#: A rate as settings have it.
_NAMED_RATE: Final = re.compile(r"([\d./]{1,20}) ?(df|ndf|)", re.ASCII | re.IGNORECASE)
_LABEL: Final = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2,3})", re.ASCII)
#: The rates whose numbers may be dropped are multiples of this, and drop two numbers a minute for each.
_DROPPING: Final = 30


def exact_rate(text: str) -> Fraction | None:
    """Return a rate of frames; one that was rounded (``29.97``) as the rate that is meant (30000/1001). None: it is none."""
    match = _FRACTION.fullmatch(text.strip())
    if match is None or (match[2] and not int(match[2])):
        return None
    return meant_rate(Fraction(int(match[1]), int(match[2])) if match[2] else Fraction(match[0]))


def meant_rate(rate: Fraction) -> Fraction | None:
    """Return the rate that is meant by a rounded one; None for less than 1 and more than 240 frames a second."""
    if not _RATES[0] <= rate <= _RATES[1]:
        return None
    slowed = Fraction(ceil(rate) * 1000, 1001)
    for meant, difference in ((slowed, 0.005), (Fraction(round(rate)), 0.001)):
        # Nobody means 1000/1001, which is no rate.
        if abs(rate - meant) < difference and meant >= _RATES[0]:
            return meant
    return rate


def is_label(text: str) -> bool:
    """Return whether a text is a label of a frame, at some rate."""
    match = _LABEL.fullmatch(text)
    return match is not None and int(match[1]) < 24 and int(match[2]) < 60 and int(match[3]) < 60  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class FrameRate:
    """Frames a second, and whether frame numbers are dropped. Raises ValueError for what no timecode has."""

    rate: Fraction
    drop: bool = False

    def __post_init__(self) -> None:
        """Refuse rates out of range, and dropped numbers where nobody drops them."""
        if not _RATES[0] <= self.rate <= _RATES[1]:
            raise ValueError(f"{self.rate} frames a second are out of range: {_RATES[0]} to {_RATES[1]}")
        if self.drop and self.nominal % _DROPPING:
            raise ValueError(f"no frame numbers are dropped at {float(self.rate):g} frames a second")

    @classmethod
    def parse(cls, text: str) -> "FrameRate":
        """Return the rate of a setting: ``25``, ``23.976``, ``29.97df``. Raises ValueError."""
        match = _NAMED_RATE.fullmatch(text.strip())
        rate = exact_rate(match[1]) if match else None
        if match is None or rate is None:
            raise ValueError(f"{text!r} is no rate of frames, such as 25, 23.976 or 29.97df")
        return cls(rate, match[2].lower() == "df")

    @property
    def nominal(self) -> int:
        """Frames in a second of labels."""
        return ceil(self.rate)

    @property
    def is_slowed(self) -> bool:
        """Whether it is slower than its nominal rate by a thousandth, as video for NTSC is."""
        return self.rate == Fraction(self.nominal * 1000, 1001)

    @property
    def day(self) -> int:
        """Frames in 24 hours of labels."""
        return 24 * 6 * self._ten_minutes

    @property
    def _dropped(self) -> int:
        """Labels that are left out in a minute."""
        return self.nominal // _DROPPING * 2 if self.drop else 0

    @property
    def _ten_minutes(self) -> int:
        return 600 * self.nominal - 9 * self._dropped

    def label(self, frame: int) -> str:
        """Return the label of a frame since midnight; after 24 hours labels begin again."""
        count = self._count(frame % self.day)
        seconds, number = divmod(count, self.nominal)
        minutes, seconds = divmod(seconds, 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{';' if self.drop else ':'}{number:02d}"

    def label_seconds(self, frame: Fraction) -> Fraction:
        """Return a position, in frames since midnight, in seconds as labels count them; it goes on after 24 hours."""
        whole = floor(frame)
        days, rest = divmod(whole, self.day)
        return days * 86_400 + (self._count(rest) + frame - whole) / self.nominal

    def frame(self, label: str) -> int:
        """Return the frame since midnight that has this label, with any separator before the frame number. Raises ValueError."""
        match = _LABEL.fullmatch(label.strip())
        hours, minutes, seconds, number = (int(match[group]) for group in (1, 2, 3, 5)) if match else (99, 0, 0, 0)
        if hours >= 24 or minutes >= 60 or seconds >= 60 or number >= self.nominal:  # noqa: PLR2004 - as clocks have it
            raise ValueError(f"there is no timecode {label} at {self}: HH:MM:SS:FF")
        if not seconds and number < self._dropped and minutes % 10:
            raise ValueError(f"there is no timecode {label} at {self}: this number is dropped")
        total = 60 * hours + minutes
        return (60 * total + seconds) * self.nominal + number - self._dropped * (total - total // 10)

    def frames(self, seconds: float | Fraction, *, up: bool = False) -> int:
        """Return the whole frames in so many true seconds; `up`: the next whole number."""
        # In whole numbers, since fractions are reduced each time.
        numerator, denominator = seconds.as_integer_ratio()
        numerator *= self.rate.numerator * _CLOSE.denominator
        denominator *= self.rate.denominator
        parts = denominator * _CLOSE.denominator
        return -((denominator - numerator) // parts) if up else (numerator + denominator) // parts

    def seconds(self, frames: int) -> Fraction:
        """Return how long so many frames last, in true seconds."""
        return frames / self.rate

    def of_samples(self, samples: int, sample_rate: int) -> int:
        """Return the frame since midnight that a sample since midnight belongs to.

        A sample before a frame begins counts as its first one: where a frame has no whole number of samples, recorders round.
        """
        return floor((samples + 1) * self.rate / sample_rate)

    def _count(self, frame: int) -> int:
        """Return the place of a frame of the day among all labels, those included that are left out."""
        if not self.drop:
            return frame
        tens, rest = divmod(frame, self._ten_minutes)
        first, others = 60 * self.nominal, 60 * self.nominal - self._dropped
        minutes = 0 if rest < first else 1 + (rest - first) // others
        return frame + self._dropped * (9 * tens + minutes)

    def __str__(self) -> str:
        """Return the rate as settings have it, with "df" for dropped numbers."""
        return f"{float(self.rate):.5g}{'df' if self.drop else ''}"


#: Of a recording that has a start and no rate: that of the European broadcasters, whose standard the WAV's time is (EBU Tech 3285).
DEFAULT_RATE: Final = FrameRate(Fraction(25))
#: A label with a semicolon is one at this rate, if nothing else is known.
DEFAULT_DROPPING: Final = FrameRate(Fraction(30_000, 1001), drop=True)


@dataclass(frozen=True, slots=True)
class RecordedStart:
    """What a file says about the time at which it begins, as far as it says anything."""

    #: Samples between midnight and the first one, and how many of them make a second; that is 0 where they are not known.
    samples: int = 0
    sample_rate: int = 0
    #: The label of the first frame; "": not known.
    label: str = ""
    #: Frames a second, of the timecode or else of the picture; None: not known.
    frame_rate: Fraction | None = None
    #: Frame numbers are dropped.
    drop: bool = False
    #: Where the start is from: "bext", "iXML" or "timecode" (a tag or a track); "": it is not known.
    source: str = ""
    #: Sentences about what cannot be right.
    doubts: tuple[str, ...] = ()
    #: The day, by the recorder's calendar; None: not known.
    day: date | None = None

    @property
    def rate(self) -> FrameRate | None:
        """Return the rate of the file's timecode; None if it is not known, or is none that timecode has."""
        if self.frame_rate is None:
            return DEFAULT_DROPPING if ";" in self.label else None
        try:
            return FrameRate(self.frame_rate, self.drop)
        except ValueError:
            return None

    def frame(self, rate: FrameRate) -> int | None:
        """Return the first frame, since midnight; None if it is not known. Raises ValueError for a label that there is not."""
        if self.sample_rate:
            return rate.of_samples(self.samples, self.sample_rate) % rate.day
        return rate.frame(self.label) if self.label else None


@dataclass(frozen=True, slots=True)
class Timecode:
    """The timecode of a recording: its rate, and the frame since midnight at which it begins."""

    rate: FrameRate = field(default=DEFAULT_RATE)
    #: None: nobody knows when it began.
    start: int | None = None
    #: "setting", or as in `RecordedStart`; "" if the start is not known.
    source: str = ""

    @property
    def first(self) -> int:
        """The frame since midnight at which it begins; 0 if that is not known."""
        return self.start or 0

    def label(self, seconds: float, *, up: bool = False) -> str:
        """Return the label at so many seconds after the recording's start; `up`: of the next whole frame."""
        return self.rate.label(self.first + self.rate.frames(seconds, up=up))

    def label_seconds(self, seconds: float) -> float:
        """Return a time of the recording in seconds as its labels count them since midnight."""
        return float(self.rate.label_seconds(self.first + Fraction(seconds) * self.rate.rate))


@dataclass(frozen=True, slots=True)
class TimecodeOptions:
    """The settings of a recording's timecode."""

    #: The label at which it begins; "": as the file says.
    start: str = ""
    #: As `FrameRate.parse` takes it; "": as the file says.
    frame_rate: str = ""

    def timecode(self, recorded: RecordedStart) -> tuple[Timecode, str]:
        """Return the timecode of a recording, and a sentence about a setting that cannot be used; "": there is none.

        The settings count before what the file says. Without a rate from either it is 25; with a semicolon in the label, 29.97
        with dropped numbers.
        """
        rate = FrameRate.parse(self.frame_rate) if self.frame_rate else recorded.rate or DEFAULT_RATE
        if ";" in self.start and not rate.drop:
            if rate.nominal % _DROPPING == 0:
                rate = FrameRate(rate.rate, drop=True)
            elif not self.frame_rate and recorded.rate is None:
                rate = DEFAULT_DROPPING
        try:
            if self.start:
                return Timecode(rate, rate.frame(self.start), "setting"), ""
            start = recorded.frame(rate)
        except ValueError as exc:
            return Timecode(rate), f"{exc}; so it is not used"
        return Timecode(rate, start, recorded.source if start is not None else ""), ""
