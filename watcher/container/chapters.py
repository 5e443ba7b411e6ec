"""Chapters that a file has: the cue points of a WAV, the CHAP frames of an MP3, the chapters of an MP4 or M4B.

Their sources: RIFF (`cue `, `LIST adtl`, `labl`), ID3v2 Chapter Frame Addendum 1.0, and for MP4 both what Nero writes (`chpl`) and
what Apple does, a track of texts (QuickTime File Format Specification, "Chapter Lists").
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, chain, islice, repeat
from struct import Struct
from typing import Final

from watcher.container import mp4
from watcher.container.chunks import all_chunks
from watcher.container.source import Source
from watcher.text import quoted_line, stream_safe


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter: seconds from the start of the recording, and its title on one printable line, perhaps ""."""

    start: float
    title: str


def chapters(descriptor: int, size: int) -> tuple[Chapter, ...]:
    """Return the chapters of an open file in order of time, at most 1,000; none where it has none, or where they are damaged.

    Reads with pread only. Never raises because of what it reads, only OSError when reading itself fails.
    """
    found: list[Chapter] = []
    with suppress(EOFError, struct.error):
        source = Source(descriptor, size)
        magic = source.read(0, 12)
        if magic[:4] in (b"RIFF", b"RF64", b"BW64"):
            found.extend(islice(_of_wave(source), _MOST))
        elif magic.startswith(b"ID3"):
            found.extend(islice(_of_id3(source), _MOST))
        elif magic[4:8] in mp4.FIRST_BOXES:
            found.extend(islice(_of_mp4(source), _MOST))
    timed = {chapter.start: chapter for chapter in reversed(found) if 0 <= chapter.start < _LONGEST}
    return tuple(timed[start] for start in sorted(timed))


_MOST: Final = 1_000
#: Bytes of one table, and of a title or name; characters of a title; seconds.
_LONGEST_TABLE: Final = 1 << 18
_LONGEST_TEXT: Final = 1_000
_LONGEST_TITLE: Final = 200
_LONGEST: Final = 1e7


def _title(data: bytes, encoding: str = "utf-8") -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return stream_safe(quoted_line(text.partition("\0")[0].strip()))[:_LONGEST_TITLE].rstrip()


# WAV

_CUE: Final = Struct("<II4sIII")
_RATE: Final = Struct("<4xI")
_LABEL: Final = Struct("<4sII")


def _of_wave(source: Source) -> Iterator[Chapter]:
    rate = 0
    points: dict[int, int] = {}
    titles: dict[int, str] = {}
    for name, body, length in all_chunks(source):
        if name not in (b"fmt ", b"cue ", b"LIST"):
            continue
        data = source.read(body, min(length, _LONGEST_TABLE, source.size - body))
        if name == b"fmt ":
            (rate,) = _RATE.unpack_from(data)
        elif name == b"cue ":
            points = {number: sample for number, _, _, _, _, sample in _CUE.iter_unpack(_whole(data[4:], _CUE))}
        elif data.startswith(b"adtl"):
            titles.update(islice(_labels(data[4:]), _MOST - len(titles)))
    if rate:
        for number, sample in points.items():
            yield Chapter(sample / rate, titles.get(number, ""))


def _labels(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the labels of cue points by their numbers."""
    at = 0
    while at + _LABEL.size <= len(data):
        name, length, number = _LABEL.unpack_from(data, at)
        if name == b"labl":
            yield number, _title(data[at + _LABEL.size : at + 8 + length])
        at += 8 + length + length % 2


def _whole(data: bytes, layout: Struct) -> bytes:
    return data[: len(data) // layout.size * layout.size]


# ID3v2.3 and 2.4

_FRAME: Final = Struct(">4sIH")
_TIMES: Final = Struct(">IIII")
_TEXTS: Final = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}
_UNSYNCHRONISED: Final = 0x80
_EXTENDED: Final = 0x40
#: Frames of a tag, with those in its chapters.
_MOST_FRAMES: Final = 8_192
_FOURTH: Final = 4


def _of_id3(source: Source) -> Iterator[Chapter]:
    version, _, flags = source.read(3, 3)
    if version not in (3, _FOURTH) or flags & _UNSYNCHRONISED:
        return
    at, end = 10, 10 + _seven_bits(source.read(6, 4))
    if flags & _EXTENDED:
        extended = source.read(at, 4)
        at += _seven_bits(extended) if version == _FOURTH else 4 + int.from_bytes(extended)
    budget = iter(range(_MOST_FRAMES))
    for name, body, length in _frames(source, at, min(end, source.size), version, budget):
        if name == b"CHAP":
            identity = source.read(body, min(length, _LONGEST_TEXT)).find(b"\0")
            start, *_ = _TIMES.unpack(source.read(body + identity + 1, _TIMES.size))
            inner = _frames(source, body + identity + 1 + _TIMES.size, body + length, version, budget)
            yield Chapter(start / 1000, next((_id3_text(source, *at) for kind, *at in inner if kind == b"TIT2"), ""))


def _frames(source: Source, at: int, end: int, version: int, budget: Iterator[int]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the frames of a tag or of a frame: name, where the body begins, and its length; each takes one from the `budget`."""
    for _ in budget:
        if at + _FRAME.size > end:
            return
        head = source.read(at, _FRAME.size)
        name, length, _ = _FRAME.unpack(head)
        length = _seven_bits(head[4:8]) if version == _FOURTH else length
        at += _FRAME.size
        if not name.strip(b"\0") or at + length > end:
            return
        yield name, at, length
        at += length


def _id3_text(source: Source, body: int, length: int) -> str:
    data = source.read(body, min(length, _LONGEST_TEXT))
    return _title(data[1:], _TEXTS.get(data[0], "utf-8")) if data else ""


def _seven_bits(data: bytes) -> int:
    """Return a number of which each byte has seven bits ("synchsafe")."""
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number


# MP4

_NERO: Final = Struct(">QB")
#: Units of Nero's times in a second.
_NERO_UNITS: Final = 10_000_000
_COUNTED: Final = Struct(">4xI")
_TIMED: Final = Struct(">II")
_CHUNKED: Final = Struct(">III")
_SIZES: Final = Struct(">4xII")
_LONG: Final = Struct(">Q")
_SHORT: Final = Struct(">I")
_LENGTH: Final = Struct(">H")
#: Tracks that one track names as its chapters.
_MOST_NAMED: Final = 16
#: The tables that say when each sample of a track is, how large, and where.
_TABLES: Final = frozenset({b"stts", b"stsz", b"stsc", b"stco", b"co64"})


def _of_mp4(source: Source) -> Iterator[Chapter]:
    position = 0
    for _ in range(mp4.QUICK_BOXES):
        name, body, end = mp4.box(source, position)
        if name == b"moov":
            movie = _Boxes(source, body, end)
            listed = [Chapter(start, title) for start, title in movie.nero()]
            yield from listed or movie.track()
            return
        if end <= position:
            return
        position = end


class _Boxes:
    """The boxes of a movie, by their paths."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source = source
        self._budget = iter(range(mp4.MOST_CHILDREN))
        self._movie = (start, end)

    def nero(self) -> Iterator[tuple[float, str]]:
        for body, end in self._find(self._movie, b"udta", b"chpl"):
            data = self._read(body, end)
            at = 9 if data[:1] == b"\1" else 5
            while at + _NERO.size <= len(data):
                start, length = _NERO.unpack_from(data, at)
                at += _NERO.size + length
                yield start / _NERO_UNITS, _title(data[at - length : at])

    def track(self) -> Iterator[Chapter]:
        """Yield the texts of the track that another track names as its chapters."""
        tracks = list(self._find(self._movie, b"trak"))
        named = {
            number
            for track in tracks
            for body, end in self._find(track, b"tref", b"chap")
            for (number,) in _SHORT.iter_unpack(_whole(self._read(body, end, _MOST_NAMED * _SHORT.size), _SHORT))
        }
        for track in tracks:
            if any(self._number(body) in named for body, _ in self._find(track, b"tkhd")):
                yield from self._texts(track)
                return

    def _texts(self, track: tuple[int, int]) -> Iterator[Chapter]:
        for media in islice(self._find(track, b"mdia"), 1):
            per_second = next((mp4.times(self._source, body)[0] for body, _ in self._find(media, b"mdhd")), 0)
            found: dict[bytes, tuple[int, int]] = {}
            for table in self._find(media, b"minf", b"stbl"):
                for name, body, end in mp4.children(self._source, *table, self._budget):
                    if name in _TABLES:
                        found.setdefault(name, (body, end))
            if not per_second or not {b"stts", b"stsz", b"stsc"} <= found.keys():
                return
            tables = {name: self._read(*place) for name, place in found.items()}
            lasts = chain.from_iterable(repeat(units, count) for count, units in _rows(tables[b"stts"], _TIMED))
            starts = accumulate(islice(lasts, _MOST), initial=0)
            for start, (offset, size) in zip(starts, islice(_samples(tables), _MOST), strict=False):
                data = self._source.read(offset, min(size, _LONGEST_TEXT))
                (length,) = _LENGTH.unpack_from(data)
                text = data[2 : 2 + length]
                yield Chapter(
                    start / per_second, _title(text, "utf-16" if text[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-8")
                )

    def _find(self, inside: tuple[int, int], *path: bytes) -> Iterator[tuple[int, int]]:
        for name, body, end in mp4.children(self._source, *inside, self._budget):
            if name == path[0]:
                if path[1:]:
                    yield from self._find((body, end), *path[1:])
                else:
                    yield body, end

    def _number(self, body: int) -> int:
        """Return the number of a track, from its header."""
        layout = ">20xI" if self._source.read(body, 1) == b"\1" else ">12xI"
        (number,) = self._source.unpack(Struct(layout), body)
        return int(number)

    def _read(self, body: int, end: int, most: int = _LONGEST_TABLE) -> bytes:
        return self._source.read(body, min(end - body, most))


def _rows(table: bytes, layout: Struct) -> Iterator[tuple[int, ...]]:
    """Yield the rows of a table that begins with their number."""
    (count,) = _COUNTED.unpack_from(table)
    return islice(layout.iter_unpack(_whole(table[_COUNTED.size :], layout)), count)


def _samples(tables: dict[bytes, bytes]) -> Iterator[tuple[int, int]]:
    """Yield where each sample of a track is, and its size."""
    (size, count) = _SIZES.unpack_from(tables[b"stsz"])
    sizes = (
        repeat(size, min(count, _MOST))
        if size
        else (one for (one,) in _SHORT.iter_unpack(_whole(tables[b"stsz"][12:], _SHORT)))
    )
    offsets = [
        one
        for (one,) in _rows(
            tables.get(b"co64") or tables.get(b"stco", bytes(8)), _LONG if b"co64" in tables else _SHORT
        )
    ]
    spans = list(_rows(tables[b"stsc"], _CHUNKED))
    firsts = [first for first, _, _ in spans[1:]] + [len(offsets) + 1]
    for (first, each, _), behind in zip(spans, firsts, strict=True):
        if not 0 < first < behind:
            # Damaged: only spans that follow each other pass each chunk once.
            return
        for offset in offsets[first - 1 : behind - 1]:
            for size in islice(sizes, each):
                yield offset, size
                offset += size  # noqa: PLW2901 - the next sample lies behind it
