"""MP4, M4A, QuickTime and 3GP: boxes that must end exactly where the file does (ISO/IEC 14496-12)."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from watcher.container.inspection import NO_INDEX, Completeness, Inspection, duration
from watcher.container.source import Source

#: Types a file may begin with. QuickTime's older files have no ftyp.
FIRST_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"})

#: Boxes of a file. A fragment is two of them, so that this is some ten hours of the usual ones, walked in 0.2 to 0.4 s.
_MOST_BOXES: Final = 400_000
#: The same for a quick inspection, in a few milliseconds: the first half hour of fragments, or more.
QUICK_BOXES: Final = 4_000
#: Boxes inside a movie, all levels together. A track has a dozen, and a movie rarely more than a handful of tracks.
MOST_CHILDREN: Final = 4_096
#: Where the last fragment is looked for, in bytes from the end: two seconds of a film at 4 Mbit/s, a minute of sound.
_TAIL_BYTES: Final = 1 << 20
#: How a fragment begins behind its length: with the header that each of them must have.
_FRAGMENT: Final = b"moof\0\0\0\x10mfhd"
#: Boxes of the last fragment, and what follows it.
_MOST_LAST_BOXES: Final = 64

_IS_LARGE: Final = 1
OPEN: Final = -1
_LENGTH_BYTES: Final = 4

_BOX: Final = Struct(">I4s")
_LARGE: Final = Struct(">Q")
#: Version and flags, two dates, units per second, duration: of a movie's and of a media's header alike.
_TIMES: Final = Struct(">IIIII")
_LARGE_TIMES: Final = Struct(">IQQIQ")
_EXTENDS: Final = Struct(">II")
_LARGE_EXTENDS: Final = Struct(">IQ")
#: Handlers of subtitle tracks (ISO/IEC 14496-12, QuickTime). Audio books have their chapters in tracks of the type `text`.
_SUBTITLES: Final = frozenset({b"sbtl", b"subt", b"clcp"})
HANDLER: Final = Struct(">II4s")
#: Length, name, version and flags, length of the mfra box that ends with this one.
_OFFSET: Final = Struct(">I4sII")


def mp4(source: Source) -> Inspection:
    """Walk the boxes, and read the movie box on the way.

    A quick inspection of hours of fragments walks only the first ones and the last one.
    """
    walk = _Walk(source, _form(source))
    found = walk.along(QUICK_BOXES if source.quick else _MOST_BOXES)
    if found is None and not walk.ended and walk.fragmented and walk.movie is not None:
        last = _last_fragment(source)
        if last < walk.position:
            return walk.movie.inspection(walk.form, proven=False)
        walk.position = last
        found = walk.along(_MOST_LAST_BOXES)
    return found or walk.conclusion()


@dataclass(slots=True)
class _Walk:
    """How far the boxes of a file were walked, and what they said."""

    source: Source
    form: str
    position: int = 0
    #: Name of the last box.
    name: bytes = b""
    movie: "_Movie | None" = None
    fragmented: bool = False
    #: The last box was met.
    ended: bool = False

    def along(self, most: int) -> Inspection | None:
        """Walk on, over up to `most` boxes; return what one of them already proves."""
        source = self.source
        for _ in range(most):
            if self.position == source.size:
                self.ended = True
                break
            self.name, body, end = box(source, self.position)
            if end == OPEN:
                self.ended = True
                break
            if not body <= end <= source.size:
                return Inspection(Completeness.INCOMPLETE, self.form, None, "a box ends beyond the file")
            if self.movie is not None and self.name in (b"ftyp", b"moov"):
                # Recordings joined end to end: the first one's index knows nothing of the others.
                reason = "longer than its header says"
                return Inspection(Completeness.TRAILING, self.form, None, reason, end=self.position)
            if self.name == b"moov":
                self.movie = _read_movie(source, body, end)
            elif self.name == b"moof":
                self.fragmented = True
            self.position = end
        return None

    def conclusion(self) -> Inspection:
        """Return the verdict where no single box proves one."""
        if not self.ended:
            return Inspection(Completeness.INCOMPLETE, self.form, None, "too many boxes")
        if self.movie is None:
            return Inspection(Completeness.INCOMPLETE, self.form, None, NO_INDEX)
        # While a fragmented file grows its index is at the front already: only the last box proves the end.
        last = self.name == b"mfra" or not (self.fragmented or self.movie.extended)
        return self.movie.inspection(self.form, proven=last and self.position == self.source.size)


def _last_fragment(source: Source) -> int:
    """Return where the index of fragments (mfra) at the file's end begins, else where the last fragment begins; -1: neither found."""
    tail = source.tail(_TAIL_BYTES)
    name: bytes
    length: int
    _, name, _, length = _OFFSET.unpack(tail[-_OFFSET.size :])
    if name == b"mfro" and _BOX.size < length <= source.size:
        return source.size - length
    found = tail.rfind(_FRAGMENT)
    return source.size - len(tail) + found - _LENGTH_BYTES if found >= _LENGTH_BYTES else -1


@dataclass(slots=True)
class _Movie:
    per_second: int = 0
    units: int = 0
    #: Of the first sound track; used where the movie does not say.
    sound: float | None = None
    #: More fragments are to come (mvex), for so many units in all where that is given (mehd).
    extended: bool = False
    extended_units: int = 0
    has_video: bool = False
    tracks: int = 0
    subtitles: int = 0

    @property
    def duration(self) -> float | None:
        if self.extended:  # the movie's own length is then that of its beginning
            return duration(self.extended_units, self.per_second)
        return duration(self.units, self.per_second) or self.sound

    def inspection(self, form: str, *, proven: bool) -> Inspection:
        """Return the verdict on a file whose end is `proven`, or not known."""
        completeness = Completeness.COMPLETE if proven else Completeness.UNKNOWN
        return Inspection(completeness, form, self.duration, "", self.has_video, self.tracks, self.subtitles)


def _form(source: Source) -> str:
    if source.read(4, 4) not in (b"ftyp", b"styp"):
        return "mov"
    brand = source.read(8, 4)
    if brand == b"qt  ":
        return "mov"
    if brand.startswith(b"3g"):
        return "3gp"
    return "m4a" if brand in (b"M4A ", b"M4B ", b"M4P ") else "mp4"


def box(source: Source, position: int) -> tuple[bytes, int, int]:
    """Return the type, where the body begins, and the end; OPEN when the box goes on to the end of the file."""
    length, name = source.unpack(_BOX, position)
    if length == _IS_LARGE:
        return name, position + 16, position + source.unpack(_LARGE, position + 8)[0]
    return name, position + 8, position + length if length else OPEN


def children(source: Source, start: int, end: int, budget: Iterator[int]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes from `start` to `end`; each takes one from the `budget` of the whole movie."""
    for _ in budget:
        if end - start < _BOX.size:
            return
        name, body, stop = box(source, start)
        if not body <= stop <= end:
            return
        yield name, body, stop
        start = stop


def _read_movie(source: Source, start: int, end: int) -> _Movie:
    movie, budget = _Movie(), iter(range(MOST_CHILDREN))
    for name, body, stop in children(source, start, end, budget):
        if name == b"mvhd":
            movie.per_second, movie.units = times(source, body)
        elif name == b"trak":
            _read_track(movie, source, body, stop, budget)
        elif name == b"mvex":
            movie.extended = True
            for inner, at, _ in children(source, body, stop, budget):
                if inner == b"mehd":
                    layout = _LARGE_EXTENDS if source.read(at, 1) == b"\1" else _EXTENDS
                    movie.extended_units = source.unpack(layout, at)[1]
    return movie


def _read_track(movie: _Movie, source: Source, start: int, end: int, budget: Iterator[int]) -> None:
    for name, body, stop in children(source, start, end, budget):
        if name != b"mdia":
            continue
        kind, length = b"", None
        for inner, at, _ in children(source, body, stop, budget):
            if inner == b"mdhd":
                per_second, units = times(source, at)
                length = duration(units, per_second)
            elif inner == b"hdlr":
                kind = source.unpack(HANDLER, at)[2]
        if kind == b"vide":
            movie.has_video = True
        elif kind == b"soun":
            movie.tracks += 1
            movie.sound = movie.sound if movie.tracks > 1 else length
        elif kind in _SUBTITLES:
            movie.subtitles += 1


def times(source: Source, body: int) -> tuple[int, int]:
    """Return units per second and the duration in units; 0 where it is not known (all bits set)."""
    if source.read(body, 1) == b"\1":
        _, _, _, per_second, units = source.unpack(_LARGE_TIMES, body)
        return per_second, 0 if units == (1 << 64) - 1 else units
    _, _, _, per_second, units = source.unpack(_TIMES, body)
    return per_second, 0 if units == (1 << 32) - 1 else units
