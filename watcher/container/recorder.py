"""Read what a recorder wrote about a take into its WAV: when it began, who is on which track, which files belong together.

Two chunks hold it, each before or behind the sound. `bext` (EBU Tech 3285) has the time of the first sample, and a
description in which some recorders write lines such as ``sTRK1=Boom``. `iXML` (ixml.info) has the rest, as XML that is often not well-formed
and often in another encoding than it says. So no XML parser reads it: a scanner finds the few elements that are wanted.

The time of the first sample is a number of samples since midnight. Divided by their rate, it gives true seconds. At 23.976
and 29.97 frames a second without dropped frames, a timecode of one hour is 3603.6 true seconds: use the samples for a
timecode, not the time of day. A number of 0 means that the recorder knew no time.
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import islice
from math import ceil
from struct import Struct
from typing import Final

from watcher.container.chunks import all_chunks
from watcher.container.source import Source
from watcher.text import quoted_line, stream_safe
from watcher.timecode import exact_rate


@dataclass(frozen=True, slots=True)
class RecorderTrack:
    """A track of a recording, as its recorder describes it."""

    #: The channel of this file that holds it, from 1.
    place: int
    #: "" where the recorder has none.
    name: str = ""
    #: Its part in a stereo pair or the like ("M-MID_SIDE", "LEFT"), "" as a rule.
    function: str = ""


@dataclass(frozen=True, slots=True)
class RecorderData:
    """What a recorder wrote about a take; None and "" where it is not known. Texts are one printable line each."""

    #: Samples between midnight and the first one. bext cannot say 0: programs write it where they know none. iXML can.
    time_reference: int | None = None
    #: Samples a second at which `time_reference` counts.
    rate: int | None = None
    #: True seconds between midnight and the first sample.
    start: float | None = None
    #: The day on which it was recorded, by the recorder's calendar.
    day: date | None = None
    #: Frames of timecode a second.
    frame_rate: Fraction | None = None
    #: The timecode drops frame numbers, so that it stays with the time of day at 29.97 and 59.94 frames a second.
    drop_frame: bool = False
    #: The identity that the files of a set share.
    family: str = ""
    family_name: str = ""
    #: How many files the set has.
    family_files: int | None = None
    #: In the order of their channels, each channel at most once.
    tracks: tuple[RecorderTrack, ...] = ()
    project: str = ""
    scene: str = ""
    take: str = ""
    tape: str = ""
    note: str = ""
    #: Where `time_reference` is from: "bext" or "iXML"; "" if it is None.
    time_source: str = ""
    #: Sentences about what cannot be right, and those of them about time and timecode.
    doubtful: tuple[str, ...] = ()
    doubtful_times: tuple[str, ...] = ()


def recorder_data(descriptor: int, size: int) -> RecorderData:
    """Return what the recorder of a WAV, RF64, BW64 or Wave64 of `size` bytes wrote about the take; of other files, nothing.

    Reads with pread only: the heads of at most 128 chunks, and 256 KiB of iXML, up to 10,000 tags and texts. Never raises because of what it reads, only
    OSError when reading itself fails.
    """
    found: dict[bytes, bytes] = {}
    with suppress(EOFError):
        source = Source(descriptor, size)
        for name, body, length in all_chunks(source):
            if name in _LONGEST and name not in found:
                found[name] = source.read(body, min(length, _LONGEST[name], size - body))
            if len(found) == len(_LONGEST):
                break
    return _Reading(found.get(b"fmt ", b""), found.get(b"bext", b""), found.get(b"iXML", b"")).data()


#: The chunks that are read, and so many bytes of each.
_LONGEST: Final = {b"fmt ": 16, b"bext": 346, b"iXML": 1 << 18}
#: Channels, samples a second.
_FMT: Final = Struct("<2xHI")
_DESCRIPTION_BYTES: Final = 256
#: Behind description, originator and its reference; year, month and day, with any sign between them.
_ORIGINATION_DATE: Final = slice(320, 330)
_DATE: Final = re.compile(rb"(\d{4})\D(\d{2})\D(\d{2})")
#: bext is of this year (EBU Tech 3285): an earlier date is that of a clock which nobody has set.
_FIRST_YEAR: Final = 1997
#: Behind date and time.
_TIME_REFERENCE: Final = Struct("<338xQ")

_MOST_TRACKS: Final = 64
_MOST_FILES: Final = 10_000
_HIGHEST_RATE: Final = 768_000
#: Seconds that a time of day has at most: at 23.976 frames, 24 hours of timecode last 86,486 s.
_LONGEST_DAY: Final = 90_000
#: Seconds by which two times of the first sample may differ: one is perhaps rounded.
_SAME: Final = 0.001
#: Most characters of a name, and of a note.
_LONGEST_NAME: Final = 100
_LONGEST_NOTE: Final = 500

#: ``023.976-ND``, ``29.97 DF``.
_SPEED: Final = re.compile(r"([\d./]{1,20}+)[\s-]*+([A-Za-z]*+)", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,20}", re.ASCII)
#: A line of the description: one letter for the maker, a name, and for tracks their number.
_LINE: Final = re.compile(r"[a-z]?([A-Z]{2,16})(\d{0,3})=(.*)", re.ASCII)


class _Reading:
    """What the chunks of one file say, each fact from the chunk that is better at it."""

    def __init__(self, fmt: bytes, bext: bytes, ixml: bytes) -> None:
        self._channels, self._rate = _FMT.unpack_from(fmt) if len(fmt) >= _FMT.size else (0, 0)
        self._samples: int = _TIME_REFERENCE.unpack_from(bext)[0] if len(bext) >= _TIME_REFERENCE.size else 0
        self._day = _day(bext[_ORIGINATION_DATE])
        self._lines, self._numbered = _lines(_decoded(bext[:_DESCRIPTION_BYTES].partition(b"\0")[0]))
        self._xml = _Ixml(_decoded(ixml))
        self._doubtful: list[str] = []

    def data(self) -> RecorderData:
        facts = {**self._lines, **{name: text for name, text in self._xml.facts.items() if text.strip()}}
        source, samples, rate = self._time()
        frame_rate, drop_frame = self._frames()
        doubtful_times = tuple(self._doubtful)
        return RecorderData(
            time_reference=samples,
            time_source=source,
            rate=rate,
            start=samples / rate if samples is not None and rate else None,
            day=self._day,
            frame_rate=frame_rate,
            drop_frame=drop_frame,
            family=_line(facts.get("FAMILY_UID", ""), _LONGEST_NAME),
            family_name=_line(facts.get("FAMILY_NAME", ""), _LONGEST_NAME),
            family_files=_number(facts.get("TOTAL_FILES", ""), _MOST_FILES) or None,
            tracks=self._tracks(),
            project=_line(facts.get("PROJECT", ""), _LONGEST_NAME),
            scene=_line(facts.get("SCENE", ""), _LONGEST_NAME),
            take=_line(facts.get("TAKE", ""), _LONGEST_NAME),
            tape=_line(facts.get("TAPE", ""), _LONGEST_NAME),
            note=_line(facts.get("NOTE", ""), _LONGEST_NOTE),
            doubtful=tuple(self._doubtful),
            doubtful_times=doubtful_times,
        )

    def _time(self) -> tuple[str, int | None, int | None]:
        """Return the chunk that knows the time, the number of samples since midnight and their rate: bext, else iXML."""
        facts = self._xml.facts
        low, high = (_number(facts.get(f"SINCE_MIDNIGHT_{half}", ""), 0xFFFFFFFF) for half in ("LO", "HI"))
        stamp = (high or 0) << 32 | (low or 0)
        is_stamped = stamp or (low == 0 and not self._samples)
        rates = (_number(facts.get(name, ""), _HIGHEST_RATE) for name in ("RATE", "FILE_SAMPLE_RATE"))
        known = [
            (chunk, samples, rate)
            for chunk, samples, rate in (
                ("bext", self._samples or None, self._rate),
                ("iXML", stamp if is_stamped else None, next(filter(None, rates), self._rate)),
            )
            if samples is not None and 0 < rate <= _HIGHEST_RATE and self._is_of_a_day(chunk, samples, rate)
        ]
        if not known:
            return "", None, None
        (chunk, samples, rate), *others = known
        for other, other_samples, other_rate in others:
            if abs(samples / rate - other_samples / other_rate) > _SAME:
                self._doubtful.append(
                    f"By {chunk} the recording begins {samples / rate:.3f} s after midnight, by {other}"
                    f" {other_samples / other_rate:.3f} s; {chunk} is used."
                )
        return chunk, samples, rate

    def _is_of_a_day(self, chunk: str, samples: int, rate: int) -> bool:
        if samples / rate < _LONGEST_DAY:
            return True
        self._doubtful.append(f"By {chunk} the recording begins more than a day after midnight; that is not used.")
        return False

    def _frames(self) -> tuple[Fraction | None, bool]:
        """Return the frames of timecode a second, and whether numbers are dropped."""
        line = _SPEED.match(self._lines.get("SPEED", "").strip())
        by_line = exact_rate(line[1]) if line else None
        by_xml = exact_rate(self._xml.facts.get("TIMECODE_RATE", ""))
        if by_xml and by_line and by_xml != by_line:
            self._doubtful.append(
                f"By iXML the timecode has {float(by_xml):g} frames a second, by bext {float(by_line):g}; iXML is used."
            )
        rate = by_xml or by_line
        flag = self._xml.facts.get("TIMECODE_FLAG", "") if by_xml else line[2] if line else ""
        drops = flag.strip().upper().startswith("D")
        if rate is None or not drops:
            return rate, False
        if ceil(rate) % 30:
            self._doubtful.append(
                f"The file says that frame numbers are dropped, which nobody does at {float(rate):g} frames a second; that is not used."
            )
            return rate, False
        return rate, True

    def _tracks(self) -> tuple[RecorderTrack, ...]:
        """Return the tracks of iXML, else of the description."""
        if listed := self._xml.tracks:
            named = [
                (_number(track.get("INTERLEAVE_INDEX", ""), 0xFFFF), track.get("NAME", ""), track.get("FUNCTION", ""))
                for track in listed
            ]
        else:
            # Their numbers are the recorder's, which may have left out some inputs.
            named = [(None, name, "") for _, name in sorted(self._numbered.items())]
        if self._channels and len(named) > min(self._channels, _MOST_TRACKS):
            self._doubtful.append(
                f"The recorder describes {len(named)} tracks, and the file has {self._channels}; their names are not used."
            )
            return ()
        placed: dict[int, RecorderTrack] = {}
        for position, (given, name, function) in enumerate(named, 1):
            place = given or position
            if place <= (self._channels or _MOST_TRACKS):
                track = RecorderTrack(place, _line(name, _LONGEST_NAME), _line(function, _LONGEST_NAME))
                placed.setdefault(place, track)
        return tuple(track for _, track in sorted(placed.items()))


def _lines(description: str) -> tuple[dict[str, str], dict[int, str]]:
    """Return the lines of a bext description by name (``sSPEED=``), and the names of tracks by number (``sTRK1=``)."""
    facts: dict[str, str] = {}
    tracks: dict[int, str] = {}
    for line in filter(None, map(_LINE.fullmatch, map(str.strip, description.splitlines()))):
        name, number, text = line.groups()
        if number and name == "TRK":
            tracks.setdefault(int(number), text)
        elif not number and text:
            facts.setdefault(name, text)
    return facts, tracks


def _number(text: str, most: int) -> int | None:
    """Return a whole number from 0 to `most`; None for anything else."""
    text = text.strip()
    number = int(text) if _NUMBER.fullmatch(text) else None
    return number if number is not None and number <= most else None


def _day(words: bytes) -> date | None:
    match = _DATE.fullmatch(words)
    with suppress(ValueError):
        if match and int(match[1]) >= _FIRST_YEAR:
            return date(*map(int, match.groups()))
    return None


def _line(text: str, longest: int) -> str:
    """Return the text of an element as one printable line of at most `longest` characters."""
    # No reference has more than 12 characters.
    text = _REFERENCE.sub(_referred, text.strip()[: 12 * longest])
    return stream_safe(quoted_line(text))[:longest].rstrip()


#: A character by number or by one of the five names that XML has without a definition.
_REFERENCE: Final = re.compile(r"&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));", re.ASCII)
_NAMED: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_LAST_CHARACTER: Final = 0x10FFFF


def _referred(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name:
        return _NAMED[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(number) if number <= _LAST_CHARACTER else ""


#: Byte order marks, and how XML begins without one.
_BEGINNINGS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<\0", "utf-16-be"),
)


def _decoded(data: bytes) -> str:
    """Return the text of a chunk: in UTF-16 if it begins so, else in UTF-8 if it can be, else in Latin-1, whatever it says."""
    for beginning, encoding in _BEGINNINGS:
        if data.startswith(beginning):
            return data.decode(encoding, "replace").removeprefix("\ufeff")
    try:
        # The last character may be cut.
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return data.decode("latin-1")


class _Ixml:
    """The wanted elements among the first tags and texts of an iXML text, found in one pass."""

    def __init__(self, text: str) -> None:
        #: By name; of a timestamp what follows the second underscore: ``SINCE_MIDNIGHT_LO``, ``RATE``.
        self.facts: dict[str, str] = {}
        #: Of each track, in the order of the text.
        self.tracks: list[dict[str, str]] = []
        self._track: dict[str, str] | None = None
        self._open: list[str] = []
        self._text: list[str] = []
        #: The element whose text is being read, and its parent; "": none.
        self._leaf = self._parent = ""
        for kind, content in islice(_tokens(text), _MOST_TOKENS):
            if kind == "text":
                self._text.append(content)
            elif kind == "begin":
                self._begin(content)
            else:
                self._end(content)

    def _begin(self, name: str) -> None:
        self._leaf, self._parent = name, self._open[-1] if self._open else ""
        self._text = []
        if len(self._open) < _DEEPEST:
            self._open.append(name)
        if name == "TRACK":
            self._track = {}
            if len(self.tracks) < _MOST_TRACKS:
                self.tracks.append(self._track)

    def _end(self, name: str) -> None:
        if name == self._leaf:
            self._take(name, "".join(self._text))
        self._leaf = ""
        if name in ("TRACK", "TRACK_LIST"):
            self._track = None
        if name in self._open:
            while self._open.pop() != name:
                pass

    def _take(self, name: str, text: str) -> None:
        """Keep the first text of an element, if it is wanted."""
        if self._track is not None:
            if name in _OF_A_TRACK:
                self._track.setdefault(name, text)
        elif name in _ANYWHERE or (name in _AT_THE_TOP and self._parent in _TOPS):
            self.facts.setdefault(name, text)
        elif match := _TIMESTAMP.fullmatch(name):
            self.facts.setdefault(match[1], text)


_OF_A_TRACK: Final = frozenset({"INTERLEAVE_INDEX", "NAME", "FUNCTION"})
_ANYWHERE: Final = frozenset(
    {"TIMECODE_RATE", "TIMECODE_FLAG", "FILE_SAMPLE_RATE", "FAMILY_UID", "FAMILY_NAME", "TOTAL_FILES"}
)
#: SPEED has a NOTE of its own.
_AT_THE_TOP: Final = frozenset({"PROJECT", "SCENE", "TAKE", "TAPE", "NOTE"})
_TOPS: Final = ("", "BWFXML")
#: TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO, TIMESTAMP_SAMPLE_RATE; some writers misspell the second word.
_TIMESTAMP: Final = re.compile(r"TIMESTAMP_[A-Z]{1,12}_(SINCE_MIDNIGHT_HI|SINCE_MIDNIGHT_LO|RATE)")
#: Elements within each other that are followed.
_DEEPEST: Final = 16
#: Tags and texts that are read, which takes 4 ms: 64 tracks have some 2,000. Each stem is read when it is found, and again
#: whenever its session is made.
_MOST_TOKENS: Final = 10_000

#: A comment, text that may hold tags, a tag, other text. What has no end goes on to the end of the whole.
_TOKEN: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[(?P<raw>.*?)(?:\]\]>|\Z)|<(?P<end>/?)(?P<name>[A-Za-z_][\w.:-]*+)[^<>]*+>|(?P<text>[^<]++|<)",
    re.ASCII | re.DOTALL,
)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield tags ("begin" and "end", with their names) and the "text" between them; a "<" that begins no tag is text."""
    for match in _TOKEN.finditer(text):
        raw, end, name, between = match.groups()
        if between:
            yield "text", between
        elif raw:
            yield "text", raw.replace("&", "&amp;")
        # A tag that ends in a slash is an element without text.
        elif name and not match.group().endswith("/>"):
            yield "end" if end else "begin", name
