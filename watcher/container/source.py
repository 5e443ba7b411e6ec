"""Read single fields out of a large file, with few system calls and no trust in what the file says."""

import os
from struct import Struct
from typing import Any, Final

#: Most headers lie wholly in here, so that one read serves them.
_HEAD_BYTES: Final = 4096
#: What is read around a field elsewhere: its neighbours are usually asked for next.
_WINDOW_BYTES: Final = 512


class Source:
    """Reads a file's bytes by offset; offset 0 is the file's byte `start`, and what is before that byte cannot be read.

    Never moves the descriptor's own offset and never reads beyond `size`, which counts from `start`.

    Every method raises EOFError when what is asked for does not lie wholly within the file.
    """

    __slots__ = ("_base", "_descriptor", "_start", "_window", "quick", "size")

    def __init__(self, descriptor: int, size: int, start: int = 0, *, quick: bool = False) -> None:
        #: As in `inspect`.
        self.quick = quick
        self._descriptor = descriptor
        self._base = start
        self.size = size
        self._start = 0
        self._window = os.pread(descriptor, min(size, _HEAD_BYTES), start)

    def read(self, offset: int, count: int) -> bytes:
        """Return the `count` bytes at `offset`; the caller bounds `count`, whatever the file declares."""
        start = offset - self._start
        if start < 0 or start + count > len(self._window):
            start = self._move(offset, count)
        return self._window[start : start + count]

    def unpack(self, layout: Struct, offset: int) -> tuple[Any, ...]:
        """Return the fields of `layout` at `offset`."""
        start = offset - self._start
        if start < 0 or start + layout.size > len(self._window):
            start = self._move(offset, layout.size)
        return layout.unpack_from(self._window, start)

    def tail(self, count: int) -> bytes:
        """Return the last `count` bytes, or all there are."""
        count = min(count, self.size)
        return self.read(self.size - count, count)

    def _move(self, offset: int, count: int) -> int:
        room = self.size - offset
        if offset < 0 or not 0 <= count <= room:
            raise EOFError
        self._window = os.pread(self._descriptor, min(max(count, _WINDOW_BYTES), room), self._base + offset)
        self._start = offset
        # The file may have become shorter since its size was read.
        if len(self._window) < count:
            raise EOFError
        return 0


class BytesSource(Source):
    """Bytes in memory, as if they were a whole file."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        self.quick = False
        self._descriptor = -1
        self._base = self._start = 0
        self._window = data
        self.size = len(data)
