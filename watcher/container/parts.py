"""Recordings joined end to end: where each of them begins and ends, as far as its container tells."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watcher.container.chunks import timecode
from watcher.container.magic import inspect
from watcher.container.source import Source

#: Of one file; what lies behind them is told of as not heard.
_MOST_PARTS: Final = 1000
_CHUNK: Final = 1 << 20
_LONGEST_MARK: Final = 8

#: How a stream begins in formats whose streams go on without a word in between: of FLAC its marker and the header of
#: the block that must come first (RFC 9639), of Ogg a page that begins a stream (RFC 3533).
_FLAC_BEGINS: Final = re.compile(rb"fLaC[\0\x80]\0\0\x22")
_OGG_BEGINS: Final = re.compile(rb"OggS\0[\x02\x03\x06\x07]")
_OGG_GOES_ON: Final = re.compile(rb"OggS\0[\x00\x01\x04\x05]")


@dataclass(frozen=True, slots=True)
class Part:
    """One recording of a file; offsets in bytes."""

    start: int
    #: Behind what its header declares, or the file's end.
    end: int
    #: Seconds by its header; None where it does not say.
    seconds: float | None
    #: Of a wav whose sizes overflowed: where its sound begins, which ends at `end`. 0: its sizes are right.
    sound: int = 0


def parts(descriptor: int, size: int) -> tuple[Part, ...]:
    """Return the recordings that lie end to end in a file of `size` bytes: one as a rule, never none.

    Where the last one ends before `size`, nothing is known of what follows. Raises OSError when reading fails.
    """
    return tuple(_parts(descriptor, size))


def _parts(descriptor: int, size: int) -> Iterator[Part]:
    start = 0
    for _ in range(_MOST_PARTS):
        found = inspect(descriptor, size - start, start)
        if found.sound is not None:
            begin, end = found.sound
            yield Part(start, start + end, found.seconds, sound=start + begin)
            return
        end = size if found.end is None else start + found.end
        yield Part(start, end, found.seconds)
        # Only what begins as the same kind of file does is the next part; anything may follow by chance.
        if end >= size or inspect(descriptor, size - end, end).format != found.format:
            return
        start = end


def is_chained(descriptor: int, size: int, form: str) -> bool:
    """Return whether a FLAC or Ogg file holds more streams than its first header knows of; reads the whole file.

    Some ms for 10 MB. Always False for other formats: their headers tell. Raises OSError when reading fails.
    """
    if form == "flac":
        return sum(1 for _ in _marks(descriptor, size, _FLAC_BEGINS)) > 1
    if form in {"ogg", "opus", "ogx"}:
        sound = next(_marks(descriptor, size, _OGG_GOES_ON), size)
        return any(mark > sound for mark in _marks(descriptor, size, _OGG_BEGINS))
    return False


def has_timecode(descriptor: int, size: int, form: str) -> bool:
    """Return whether a channel of a WAV carries timecode instead of speech; reads 0.5 s of its sound, in less than 1 ms.

    Always False for other formats: these have to be decoded first. Raises OSError when reading fails.
    """
    try:
        return form == "wav" and timecode(Source(descriptor, size))
    except EOFError:
        return False


def _marks(descriptor: int, size: int, pattern: re.Pattern[bytes]) -> Iterator[int]:
    """Yield where the pattern, of at most `_LONGEST_MARK` bytes, is met."""
    met = -1
    for start in range(0, size, _CHUNK):
        data = os.pread(descriptor, min(_CHUNK + _LONGEST_MARK, size - start), start)
        for match in pattern.finditer(data):
            if start + match.start() > met:
                met = start + match.start()
                yield met
