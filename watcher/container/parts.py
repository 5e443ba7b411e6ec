"""Recordings joined end to end: where each of them begins and ends, as far as its container tells."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final

from watcher.container.chunks import timecode
from watcher.container.inspection import Completeness
from watcher.container.magic import inspect
from watcher.container.source import Source

#: Of one file; what lies behind them is reported as not transcribed.
_MOST_PARTS: Final = 1000
#: Places of a FLAC or Ogg looked at where a part may begin.
_MOST_BEGINNINGS: Final = 10_000
_CHUNK: Final = 1 << 20
_LONGEST_MARK: Final = 8

#: Formats of `inspect` that are Ogg.
_OGG: Final = frozenset({"ogg", "opus", "ogx"})
#: How a stream begins in formats that mark no border between two streams: FLAC by its marker and the header of the
#: block that must come first (RFC 9639), Ogg by a page whose flags say so (RFC 3533).
_FLAC_BEGINS: Final = re.compile(rb"fLaC[\0\x80]\0\0\x22")
_OGG_PAGE: Final = re.compile(rb"OggS\0[\0-\x07]")
#: Flag of a page that begins a stream, in the byte behind the pattern and the version.
_OGG_FIRST: Final = 0x02


@dataclass(frozen=True, slots=True)
class FilePart:
    """One recording of a file; offsets in bytes."""

    start: int
    #: Behind what its header declares, or the file's end.
    end: int
    #: Seconds by its header; None where it does not say.
    seconds: float | None
    #: Of a wav whose sizes overflowed: where its sound begins, which ends at `end`. 0: its sizes are right.
    sound: int = 0
    #: As of an Inspection: seconds promised by the header of one that is cut short.
    promised: float | None = None


def parts(descriptor: int, size: int, tick: Callable[[], object] = lambda: None) -> tuple[FilePart, ...]:
    """Return the recordings that lie end to end in a file of `size` bytes: one as a rule, never none.

    Where the last one ends before `size`, nothing is known about the bytes after it. Reads a whole Ogg, or a FLAC that does not end
    as its header says, and calls `tick` at each read of it, and at each part. Raises OSError when reading fails.
    """
    found = inspect(descriptor, size)
    # Two FLAC streams of exactly the same length end as the first header says, and are taken for one.
    if found.format in _OGG or (found.format == "flac" and found.completeness is not Completeness.COMPLETE):
        return tuple(_streams(descriptor, size, found.format, tick))
    return tuple(_parts(descriptor, size, tick))


def _parts(descriptor: int, size: int, tick: Callable[[], object]) -> Iterator[FilePart]:
    start = 0
    for _ in range(_MOST_PARTS):
        tick()
        found = inspect(descriptor, size - start, start)
        if found.sound is not None:
            begin, end = found.sound
            yield FilePart(start, start + end, found.seconds, sound=start + begin)
            return
        end = size if found.end is None else start + found.end
        yield FilePart(start, end, found.seconds, promised=found.promised)
        # Only what begins as the same kind of file is the next part; other bytes may follow by chance.
        if end >= size or inspect(descriptor, size - end, end).format != found.format:
            return
        start = end


def _streams(descriptor: int, size: int, form: str, tick: Callable[[], object]) -> Iterator[FilePart]:
    """Yield the recordings of a FLAC or Ogg; bytes that begin as another kind of file belong to the recording before them."""
    begins = (
        begin
        for begin in islice(_beginnings(descriptor, size, form, tick), _MOST_BEGINNINGS)
        if inspect(descriptor, size - begin, begin).format == form
    )
    borders = [0, *islice(begins, _MOST_PARTS - 1), size]
    for start, end in pairwise(borders):
        tick()
        yield FilePart(start, end, inspect(descriptor, end - start, start).seconds)


def is_chained(descriptor: int, size: int, form: str) -> bool:
    """Return whether a FLAC or Ogg file holds more streams than its first header knows of; reads the whole file.

    Some ms for 10 MB. Always False for other formats: their headers tell. Raises OSError when reading fails.
    """
    return any(True for _ in _beginnings(descriptor, size, form, lambda: None))


def _beginnings(descriptor: int, size: int, form: str, tick: Callable[[], object]) -> Iterator[int]:
    """Yield where each recording of a FLAC or Ogg but the first begins."""
    if form == "flac":
        yield from islice((start for start, _ in _marks(descriptor, size, _FLAC_BEGINS, tick)), 1, None)
    elif form in _OGG:
        # Sound and picture of one recording begin side by side, before any page that goes on.
        goes_on = False
        for start, mark in _marks(descriptor, size, _OGG_PAGE, tick):
            begins = bool(mark[-1] & _OGG_FIRST)
            if begins and goes_on:
                yield start
            goes_on = not begins


def has_timecode(descriptor: int, size: int, form: str) -> bool:
    """Return whether a channel of a WAV carries timecode instead of speech; reads 0.5 s of its sound, in less than 1 ms.

    Always False for other formats: these have to be decoded first. Raises OSError when reading fails.
    """
    try:
        return form == "wav" and timecode(Source(descriptor, size))
    except EOFError:
        return False


def _marks(
    descriptor: int, size: int, pattern: re.Pattern[bytes], tick: Callable[[], object]
) -> Iterator[tuple[int, bytes]]:
    """Yield each place where the pattern, of at most `_LONGEST_MARK` bytes, matches, and the bytes that match."""
    met = -1
    for start in range(0, size, _CHUNK):
        tick()
        data = os.pread(descriptor, min(_CHUNK + _LONGEST_MARK, size - start), start)
        for match in pattern.finditer(data):
            if start + match.start() > met:
                met = start + match.start()
                yield met, match.group()
