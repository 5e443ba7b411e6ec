"""Read when a recording began, by its own clock: a WAV's bext and iXML, the timecode track of MP4 and QuickTime, Matroska's tag.

The timecode track is Apple's (QuickTime File Format, "Timecode Media"); FFmpeg, cameras and editors write it. Matroska has a tag
TIMECODE, as FFmpeg and OBS write it. The frame rate is that of the timecode, else that of the picture.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from struct import Struct
from typing import Final

from watcher.container import matroska, mp4
from watcher.container.recorder import recorder_data
from watcher.container.source import Source
from watcher.timecode import FrameRate, RecordedStart, meant_rate

#: By first bytes: of Matroska, and of what `recorder_data` reads.
_EBML: Final = b"\x1aE\xdf\xa3"
_WAVES: Final = (b"RIFF", b"RF64", b"BW64", b"riff")


def recorded_start(descriptor: int, size: int) -> RecordedStart:
    """Return what a file of `size` bytes says about the time at which it begins.

    Reads with pread only, some headers at most. Never raises because of what it reads, only OSError when reading itself fails.
    """
    source = Source(descriptor, size)
    with suppress(EOFError):
        head = source.read(0, 8)
        if head[:4] in _WAVES:
            return _of_recorder(descriptor, size)
        if head[:4] == _EBML:
            return _of_matroska(source)
        if head[4:] in mp4.FIRST_BOXES:
            return _of_movie(source)
    return RecordedStart()


def _of_recorder(descriptor: int, size: int) -> RecordedStart:
    said = recorder_data(descriptor, size)
    return RecordedStart(
        samples=said.time_reference or 0,
        sample_rate=said.rate or 0,
        frame_rate=said.frame_rate,
        day=said.day,
        drop=said.drop_frame,
        source=said.time_source,
        doubts=said.doubtful_times,
    )


#: Of a timecode track's description: its name, flags, units a second, units a frame. (Size and name; reserved, index, reserved.)
_DESCRIPTION: Final = Struct(">4x4s12xIII")
_DROPS: Final = 1
#: It counts something else than the time of day.
_COUNTS: Final = 8
#: Version and flags, how many entries, and the first of them: of offsets (32 and 64 bits), and of lengths (how many samples, units).
_OFFSETS: Final = Struct(">4xII")
_LARGE_OFFSETS: Final = Struct(">4xIQ")
_LENGTHS: Final = Struct(">4xIII")
#: The frame number of a timecode track's sample.
_NUMBER: Final = Struct(">I")


@dataclass(slots=True)
class _Track:
    kind: bytes = b""
    per_second: int = 0
    #: Units of the first samples; 0: the first entry does not say it of nearly all.
    units: int = 0
    #: Of a timecode track: flags, units a second, units a frame; and where its first sample lies.
    description: tuple[int, int, int] = (0, 0, 0)
    position: int = 0

    @property
    def rate(self) -> Fraction | None:
        """Frames a second of a picture."""
        return meant_rate(Fraction(self.per_second, self.units)) if self.units and self.per_second else None


def _of_movie(source: Source) -> RecordedStart:
    tracks = list(_tracks(source))
    picture = next((track.rate for track in tracks if track.kind == b"vide" and track.rate), None)
    for track in tracks:
        flags, per_second, units = track.description
        if track.kind != b"tmcd" or flags & _COUNTS or not per_second or not units:
            continue
        with suppress(EOFError, ValueError):
            drop = bool(flags & _DROPS)
            rate = FrameRate(meant_rate(Fraction(per_second, units)) or Fraction(0), drop)
            label = rate.label(source.unpack(_NUMBER, track.position)[0])
            return RecordedStart(label=label, frame_rate=rate.rate, drop=drop, source="timecode")
    return RecordedStart(frame_rate=picture)


def _tracks(source: Source) -> Iterator[_Track]:
    """Yield the tracks of the movie box."""
    position, budget = 0, iter(range(mp4.MOST_CHILDREN))
    for _ in range(mp4.QUICK_BOXES):
        name, body, end = mp4.box(source, position)
        if name == b"moov":
            for inner, at, stop in mp4.children(source, body, source.size if end == mp4.OPEN else end, budget):
                if inner == b"trak":
                    track = _Track()
                    _read_track(track, source, at, stop, budget, inside=inner)
                    yield track
            return
        if not position < end <= source.size:
            return
        position = end


#: The box that holds more of a track, in each of those that do.
_BELOW: Final = {b"trak": b"mdia", b"mdia": b"minf", b"minf": b"stbl", b"stbl": b""}


def _read_track(track: _Track, source: Source, start: int, end: int, budget: Iterator[int], *, inside: bytes) -> None:
    for name, body, stop in mp4.children(source, start, end, budget):
        if name == _BELOW[inside]:
            _read_track(track, source, body, stop, budget, inside=name)
        elif name == b"hdlr" and not track.kind:
            # The media's; a later one, of its data, has another.
            track.kind = source.unpack(mp4.HANDLER, body)[2]
        elif name == b"mdhd":
            track.per_second, _ = mp4.times(source, body)
        elif name == b"stts":
            entries, samples, units = source.unpack(_LENGTHS, body)
            # The last frame of a picture with a constant rate may have a length of its own.
            track.units = units if entries and (entries == 1 or (samples > 1 and entries == 2)) else 0  # noqa: PLR2004
        elif name == b"stsd" and track.kind == b"tmcd":
            kind, *fields = source.unpack(_DESCRIPTION, body + 8)
            track.description = (fields[0], fields[1], fields[2]) if kind == b"tmcd" else (0, 0, 0)
        elif name in (b"stco", b"co64"):
            entries, position = source.unpack(_OFFSETS if name == b"stco" else _LARGE_OFFSETS, body)
            track.position = position if entries else source.size


_SEEK_HEAD: Final = 0x114D9B74
_SEEK: Final = 0x4DBB
_SEEK_ID: Final = 0x53AB
_SEEK_POSITION: Final = 0x53AC
_TAGS: Final = 0x1254C367
_TAG: Final = 0x7373
_SIMPLE_TAG: Final = 0x67C8
_TAG_NAME: Final = 0x45A3
_TAG_STRING: Final = 0x4487
#: Nanoseconds of a frame.
_DEFAULT_DURATION: Final = 0x23E383
#: Characters of a label, and more.
_LONGEST: Final = 32


def _of_matroska(source: Source) -> RecordedStart:
    segment, found = _found(source)
    if _TAGS not in found:
        with suppress(EOFError):
            name, body, end = matroska.element(source, segment + _position_of_tags(found.get(_SEEK_HEAD, b"")))
            found |= {_TAGS: matroska.content(source, body, end)} if name == _TAGS and end != matroska.OPEN else {}
    rate, label = _rate_of(found.get(matroska.TRACKS, b"")), _label_in(found.get(_TAGS, b""))
    drop = ";" in label
    with suppress(ValueError):
        FrameRate(rate or FrameRate.parse("29.97" if drop else "25").rate, drop).frame(label)
        return RecordedStart(label=label, frame_rate=rate, drop=drop, source="timecode")
    return RecordedStart(frame_rate=rate)


def _found(source: Source) -> tuple[int, dict[int, bytes]]:
    """Return where the first segment begins, and its wanted elements before the first cluster."""
    found: dict[int, bytes] = {}
    _, _, position = matroska.element(source, 0)
    name, segment = 0, 0
    for _ in range(matroska.MOST_ELEMENTS):
        if name == matroska.SEGMENT:
            break
        name, segment, position = matroska.element(source, position)
    position = segment
    with suppress(EOFError):
        for _ in range(matroska.MOST_ELEMENTS):
            name, body, position = matroska.element(source, position)
            if name == matroska.CLUSTER or position == matroska.OPEN:
                break
            if name in (_SEEK_HEAD, _TAGS, matroska.TRACKS):
                found.setdefault(name, matroska.content(source, body, position))
    return segment, found


def _within(data: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the contents of the elements with an id."""
    return (data[body:end] for name, body, end in matroska.fields(data) if name == wanted)


def _position_of_tags(seek_head: bytes) -> int:
    """Return where the tags lie, from the segment's beginning; beyond any file if that is not said."""
    for seek in _within(seek_head, _SEEK):
        names = [int.from_bytes(name) for name in _within(seek, _SEEK_ID)]
        if names == [_TAGS]:
            return next((int.from_bytes(position[:8]) for position in _within(seek, _SEEK_POSITION)), 1 << 62)
    return 1 << 62


def _rate_of(tracks: bytes) -> Fraction | None:
    """Return the frames a second of the picture."""
    for track in _within(tracks, matroska.TRACK_ENTRY):
        kinds = [int.from_bytes(kind[:8]) for kind in _within(track, matroska.TRACK_TYPE)]
        lengths = [int.from_bytes(length[:8]) for length in _within(track, _DEFAULT_DURATION)]
        if kinds == [matroska.VIDEO] and lengths and lengths[0]:
            return meant_rate(Fraction(matroska.NANOSECONDS, lengths[0]))
    return None


def _label_in(tags: bytes) -> str:
    """Return the value of the tag TIMECODE, of the file or of a track; "": there is none."""
    for tag in _within(tags, _TAG):
        for simple in _within(tag, _SIMPLE_TAG):
            names = [name.rstrip(b"\0").upper() for name in _within(simple, _TAG_NAME)]
            if names == [b"TIMECODE"]:
                values = (
                    value[:_LONGEST].rstrip(b"\0").decode("ascii", "replace") for value in _within(simple, _TAG_STRING)
                )
                return next(values, "").strip()
    return ""
