"""MP4, M4A, QuickTime and 3GP: boxes that must end exactly where the file does (ISO/IEC 14496-12)."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from watcher.container.inspection import NO_INDEX, Inspection, Verdict, duration
from watcher.container.source import Source

#: Types a file may begin with. QuickTime's older files have no ftyp.
FIRST_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"})

#: A fragment is two boxes; this is some ten hours of the usual ones, walked in less than half a second.
_MOST_BOXES: Final = 400_000
#: A movie has a handful; so has a track.
_MOST_CHILDREN: Final = 256

_IS_LARGE: Final = 1
_OPEN: Final = -1

_BOX: Final = Struct(">I4s")
_LARGE: Final = Struct(">Q")
#: Version and flags, two dates, units per second, duration: of a movie's and of a media's header alike.
_TIMES: Final = Struct(">IIIII")
_LARGE_TIMES: Final = Struct(">IQQIQ")
_EXTENDS: Final = Struct(">II")
_LARGE_EXTENDS: Final = Struct(">IQ")
_HANDLER: Final = Struct(">II4s")


def mp4(source: Source) -> Inspection:
    """Walk the boxes, and look into the movie box when it comes by."""
    form, size = _form(source), source.size
    movie: _Movie | None = None
    fragmented = False
    position, name = 0, b""
    for _ in range(_MOST_BOXES):
        if position == size:
            break
        name, body, end = _box(source, position)
        if end == _OPEN:
            break
        if not body <= end <= size:
            return Inspection(Verdict.INCOMPLETE, form, None, "a box ends beyond the file")
        if movie is not None and name in (b"ftyp", b"moov"):
            # Recordings joined end to end: the first one's index knows nothing of the others.
            return Inspection(Verdict.TRAILING, form, None, "longer than its header says", end=position)
        if name == b"moov":
            movie = _read_movie(source, body, end)
        elif name == b"moof":
            fragmented = True
        position = end
    else:
        return Inspection(Verdict.INCOMPLETE, form, None, "too many boxes")
    if movie is None:
        return Inspection(Verdict.INCOMPLETE, form, None, NO_INDEX)
    # While a fragmented file grows its index stands at the front already: only the last box proves the end.
    proven = position == size and (name == b"mfra" or not (fragmented or movie.extended))
    verdict = Verdict.COMPLETE if proven else Verdict.UNKNOWN
    return Inspection(verdict, form, movie.duration, "", movie.has_video, movie.tracks)


@dataclass(slots=True)
class _Movie:
    per_second: int = 0
    units: int = 0
    #: Of the first sound track; stands in where the movie does not say.
    sound: float | None = None
    #: More fragments are to come (mvex), for so many units in all where that is told (mehd).
    extended: bool = False
    extended_units: int = 0
    has_video: bool = False
    tracks: int = 0

    @property
    def duration(self) -> float | None:
        if self.extended:  # the movie's own length is then that of its beginning
            return duration(self.extended_units, self.per_second)
        return duration(self.units, self.per_second) or self.sound


def _form(source: Source) -> str:
    if source.read(4, 4) not in (b"ftyp", b"styp"):
        return "mov"
    brand = source.read(8, 4)
    if brand == b"qt  ":
        return "mov"
    if brand.startswith(b"3g"):
        return "3gp"
    return "m4a" if brand in (b"M4A ", b"M4B ", b"M4P ") else "mp4"


def _box(source: Source, position: int) -> tuple[bytes, int, int]:
    """Return the type, where the body begins, and the end; _OPEN when the box goes on to the end of the file."""
    length, name = source.unpack(_BOX, position)
    if length == _IS_LARGE:
        return name, position + 16, position + source.unpack(_LARGE, position + 8)[0]
    return name, position + 8, position + length if length else _OPEN


def _children(source: Source, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(_MOST_CHILDREN):
        if end - start < _BOX.size:
            return
        name, body, stop = _box(source, start)
        if not body <= stop <= end:
            return
        yield name, body, stop
        start = stop


def _read_movie(source: Source, start: int, end: int) -> _Movie:
    movie = _Movie()
    for name, body, stop in _children(source, start, end):
        if name == b"mvhd":
            movie.per_second, movie.units = _times(source, body)
        elif name == b"trak":
            _read_track(movie, source, body, stop)
        elif name == b"mvex":
            movie.extended = True
            for inner, at, _ in _children(source, body, stop):
                if inner == b"mehd":
                    layout = _LARGE_EXTENDS if source.read(at, 1) == b"\1" else _EXTENDS
                    movie.extended_units = source.unpack(layout, at)[1]
    return movie


def _read_track(movie: _Movie, source: Source, start: int, end: int) -> None:
    for name, body, stop in _children(source, start, end):
        if name != b"mdia":
            continue
        kind, length = b"", None
        for inner, at, _ in _children(source, body, stop):
            if inner == b"mdhd":
                per_second, units = _times(source, at)
                length = duration(units, per_second)
            elif inner == b"hdlr":
                kind = source.unpack(_HANDLER, at)[2]
        if kind == b"vide":
            movie.has_video = True
        elif kind == b"soun":
            movie.tracks += 1
            movie.sound = movie.sound if movie.tracks > 1 else length


def _times(source: Source, body: int) -> tuple[int, int]:
    """Return units per second and the duration in units; 0 where it is not known (all bits set)."""
    if source.read(body, 1) == b"\1":
        _, _, _, per_second, units = source.unpack(_LARGE_TIMES, body)
        return per_second, 0 if units == (1 << 64) - 1 else units
    _, _, _, per_second, units = source.unpack(_TIMES, body)
    return per_second, 0 if units == (1 << 32) - 1 else units
