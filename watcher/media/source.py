"""Read the source through its descriptor: hashes, and the file object that FFmpeg reads while the content is hashed.

Everything here uses pread, so the descriptor's offset never moves and threads and processes may share it.
"""

import errno
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from watcher.container import FilePart, FinishedHeader, finished_header, open_header, parts
from watcher.errors import SourceError, StoppedError
from watcher.media.sentences import NOT_READABLE_YET

_CHUNK: Final = 1 << 20
_SAMPLES: Final = 16
_SAMPLE: Final = 16 << 10
#: After a forward seek of up to this many bytes, the gap is read at once, while the disk's head is there; after a longer one, at the end.
_FILL: Final = 8 << 20
#: The value for an unknown size of a chunk.
_UNTOLD: Final = b"\xff\xff\xff\xff"
#: Bytes that are checked for anything other than zeros.
_FAR: Final = 256 << 20
#: A file that ends with a hole of more than this many bytes is read only up to the end of its data: otherwise a few KB on the disk
#: could take hours to read. Shorter holes are read, so that, as for nearly all files, the digest is that of all bytes.
LONG_HOLE: Final = 256 << 20
#: Bytes of a file that is still being written, as far as its reader knows.
_ENDLESS: Final = 1 << 62


def sketch(descriptor: int) -> str:
    """Return the SHA-256 (hex) over the size and 16 samples of 16 KiB spread evenly over the file, ends included.

    It is quick for a file of any size. Equal sketches are a hint that two files are the same, never a proof.
    """
    size = _size(descriptor)
    result = hashlib.sha256(size.to_bytes(8, "big"))
    if size <= _SAMPLES * _SAMPLE:
        result.update(_read(descriptor, 0, size))
    else:
        for index in range(_SAMPLES):
            result.update(_read(descriptor, index * (size - _SAMPLE) // (_SAMPLES - 1), _SAMPLE))
    return result.hexdigest()


def digest(descriptor: int, stop: threading.Event, waiting: Callable[[], object] = lambda: None) -> str:
    """Return the SHA-256 (hex) of the whole file; other threads run meanwhile, and `waiting` is called at every read.

    Raises SourceError if it cannot be read, and StoppedError once `stop` is set: a large file takes minutes.
    """

    def tick() -> None:
        if stop.is_set():
            raise StoppedError("the daemon stops")
        waiting()

    return SourceReader(descriptor, tick=tick).content()


def has_long_hole(descriptor: int, size: int) -> bool:
    """Return whether a file of `size` bytes ends with a hole that is not read, so that its `digest` is not that of its bytes."""
    return _data_end(descriptor, size) < size


class _Seekable:
    """The position of a seekable binary file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and return the new position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seekable(self) -> bool:
        """Return whether the reader may go to any position, and ask for the size."""
        return True

    def _at_most(self, size: int) -> int:
        """Return how many of `size` bytes (negative: all) there are from the position on."""
        left = max(0, self.size - self._position)
        return left if size < 0 else min(size, left)


class SourceReader(_Seekable):
    """A seekable binary file over the descriptor, for FFmpeg; it hashes bytes that are read in sequence.

    It has no name: FFmpeg must judge the content only by its bytes. `content` finally reads the bytes that FFmpeg
    skipped, so the hash is always of the whole file. If it ends with a long hole, it appears to end with its
    data: `size` is without the `hole`, and the hash is of the data and the hole's length. Raises SourceError if it
    cannot be read.
    """

    def __init__(self, descriptor: int, *, tick: Callable[[], None] = lambda: None) -> None:
        """`tick` is called at every read: a sign of life on slow disks and long stretches without sound."""
        size = _size(descriptor)
        end = _data_end(descriptor, size)
        super().__init__(end)
        #: Bytes after the last data that are not read: they are zeros.
        self.hole = size - end
        self._descriptor = descriptor
        self._tick = tick
        self._hash = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes from the current position; b"" at the end."""
        # Read only up to the size at the start, even if somebody appends to the file meanwhile.
        size = self._at_most(size)
        if not size:
            return b""
        self._tick()
        data = _read(self._descriptor, self._position, size)
        self._note(data)
        self._position += len(data)
        return data

    def parts(self) -> tuple[FilePart, ...]:
        """Return the recordings in the file; there may be several, end to end."""
        with _reported():
            return parts(self._descriptor, self.size, self._tick)

    def has_content(self, start: int) -> bool:
        """Return whether there is anything other than zeros from `start` on; only the next 256 MiB are checked."""
        for offset in range(start, min(self.size, start + _FAR), _CHUNK):
            self._tick()
            if _read(self._descriptor, offset, min(_CHUNK, self.size - offset)).strip(b"\0"):
                return True
        return False

    def content(self) -> str:
        """Read the bytes not read yet, and return the SHA-256 (hex) of all bytes."""
        self._hash_to(self.size)
        if not self.hole:
            return self._hash.hexdigest()
        told = self._hash.copy()
        told.update(b"hole" + self.hole.to_bytes(8, "big"))
        return told.hexdigest()

    def window(self, part: FilePart) -> "FileWindow":
        """Return one of the recordings as a separate file.

        In a WAV whose sizes overflowed, they are replaced by the value that means "up to the file's end", as recorders write it.
        """
        changes = {}
        if part.sound:
            changes = {part.sound - part.start - len(_UNTOLD): _UNTOLD}
            if _read(self._descriptor, part.start, 4) in (b"RF64", b"BW64"):
                # These formats have a larger size field elsewhere, which overflowed as well.
                changes[0] = b"RIFF"
        return FileWindow(self, part.start, min(part.end, self.size), changes)

    def _note(self, data: bytes) -> None:
        if self._hashed < self._position <= self._hashed + _FILL:
            self._hash_to(self._position)
        if self._position <= self._hashed < self._position + len(data):
            self._hash.update(memoryview(data)[self._hashed - self._position :])
            self._hashed = self._position + len(data)

    def _hash_to(self, end: int) -> None:
        while self._hashed < end:
            self._tick()
            data = _read(self._descriptor, self._hashed, min(_CHUNK, end - self._hashed))
            if not data:
                # The file was truncated meanwhile: the fingerprint will show it; the hash must not loop.
                break
            self._hash.update(data)
            self._hashed += len(data)


def _changed(data: bytes, offset: int, instead: bytes) -> bytes:
    """Return `data` with `instead` written at `offset`, as far as this is within `data`."""
    begin, end = max(0, offset), min(len(data), offset + len(instead))
    if begin >= end:
        return data
    return data[:begin] + instead[begin - offset : end - offset] + data[end:]


def _data_end(descriptor: int, size: int) -> int:
    """Return the end of the last data of a file of `size` bytes, to the MiB, if a long hole follows; else `size`."""
    if size <= LONG_HOLE or _has_data(descriptor, size - LONG_HOLE):
        return size
    start, end = 0, size - LONG_HOLE
    while end - start > _CHUNK:
        middle = (start + end) // 2
        if _has_data(descriptor, middle):
            start = middle
        else:
            end = middle
    return end


def _has_data(descriptor: int, offset: int) -> bool:
    """Return whether there is data after `offset`, as far as the file system tells; the descriptor's offset does not change."""
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        return error.errno != errno.ENXIO
    else:
        return True
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)


def _size(descriptor: int) -> int:
    with _reported():
        return os.fstat(descriptor).st_size


class GrowingReader(SourceReader):
    """A recording that is still being written, read from its start on; a read at its end waits until there is more.

    It has no end until `ends_with` has found one, and no `content`. Bytes are read once they have been there for a while, because the last ones may be a header's or
    a footer's, or may not be written yet; and not beyond a hole, which is room that the recorder keeps. Raises SourceError
    if it cannot be read, or became shorter than what was read of it.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        hold: float,
        pause: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hold`: seconds for which bytes must have been there; `pause` is called while there are none, and waits."""
        super().__init__(descriptor)
        self._hold = hold
        self._pause = pause
        self._monotonic = monotonic
        #: Sizes that the file had, and when each was seen first.
        self._sizes: deque[tuple[float, int]] = deque()
        #: How many bytes may be read.
        self._there = 0
        self.size, self.hole = _ENDLESS, 0
        #: The header of the whole recording; None: it is still being written.
        self._header: FinishedHeader | None = None
        #: What was read: how much of it, its first block, a number for each block, and the bytes since the last one. Two blocks that differ
        #: have the same number by a chance of 1 in 2^64, and nobody can aim at it: the numbers depend on a secret of the process.
        self._kept = 0
        self._first = b""
        self._numbers: list[int] = []
        self._rest = bytearray()
        self._is_in_order = True

    def seekable(self) -> bool:
        """Return False: what FFmpeg would look for at the end is not there yet."""
        return False

    def read(self, size: int = -1) -> bytes:
        """Return 1 to `size` bytes from the current position, once they are there; b"" at the end."""
        while self._position >= self._there:
            if self._header is not None:
                return b""
            self._look()
            if self._position >= self._there:
                self._pause()
        data = _read(self._descriptor, self._position, min(size, self._there - self._position))
        if not data:
            raise _shorter()
        self._keep(data)
        self._position += len(data)
        return data

    def ends_with(self, whole: SourceReader) -> bool:
        """Take it that the recording is `whole` now, and read up to its end; return False if more than that may have been read already."""
        with _reported():
            header = finished_header(self._descriptor, whole.size, self._first or bytes(self._rest))
        if header is None or not self._is_in_order or self._kept > header.end:
            return False
        self._header, self._there = header, header.end
        return True

    def was_right(self, whole: SourceReader) -> bool:
        """Return whether all that was read here is what `whole` has; False before `ends_with`.

        Reads the bytes of `whole` that were read here, and no more: what was decoded is what `whole` hashes.
        """
        return (
            self._header is not None
            and self._is_in_order
            and all(hash(data) == number for data, number in self._again(whole, self._header.loose))
        )

    def _again(self, whole: SourceReader, loose: Sequence[tuple[int, int]]) -> Iterator[tuple[bytes, int]]:
        """Yield the blocks that were read here as they are in `whole`, each with the number that it had."""
        whole.seek(0)
        first = self._first or bytes(self._rest)
        for index, number in enumerate((*self._numbers, hash(bytes(self._rest)))):
            data = whole.read(_CHUNK if index < len(self._numbers) else len(self._rest))
            if not index:
                for start, end in loose:
                    data = _changed(data, start, first[start:end])
            yield data, number

    def _keep(self, data: bytes) -> None:
        if self._position != self._kept:
            self._is_in_order = False
            return
        self._kept += len(data)
        self._rest += data
        while len(self._rest) >= _CHUNK:
            block = bytes(memoryview(self._rest)[:_CHUNK])
            del self._rest[:_CHUNK]
            self._first = self._first or block
            self._numbers.append(hash(block))

    def parts(self) -> tuple[FilePart, ...]:
        """Return the recording as one part without an end."""
        return (FilePart(0, _ENDLESS, None),)

    def window(self, part: FilePart) -> "FileWindow":
        """Return the recording as a file whose header tells no size. Raises FileError ("growing") if it cannot be read yet."""
        with _reported():
            changes = open_header(self._descriptor, _size(self._descriptor))
        if changes is None:
            raise NOT_READABLE_YET.error()
        return FileWindow(self, part.start, part.end, changes)

    def _look(self) -> None:
        now, size = self._monotonic(), _size(self._descriptor)
        if size < self._position:
            raise _shorter()
        if not self._sizes or size != self._sizes[-1][1]:
            self._sizes.append((now, size))
        while self._sizes and self._sizes[0][0] <= now - self._hold:
            self._there = self._sizes[0][1]
            if len(self._sizes) == 1:
                break
            self._sizes.popleft()
        self._there = min(self._there, size, _hole_after(self._descriptor, self._position, size))


def _shorter() -> SourceError:
    return SourceError.of(OSError(errno.ESTALE, os.strerror(errno.ESTALE)))


def _hole_after(descriptor: int, offset: int, size: int) -> int:
    """Return where the first hole from `offset` on begins, as far as the file system tells; `size` if there is none."""
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        return os.lseek(descriptor, offset, os.SEEK_HOLE)
    except OSError:
        return size
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)


class FileWindow(_Seekable):
    """A part of a `SourceReader` as a seekable binary file; only one of a reader's windows is used at a time."""

    def __init__(self, reader: SourceReader, start: int, end: int, changes: Mapping[int, bytes]) -> None:
        """`start` and `end`: offsets in the reader; `changes`: replacement bytes, by their offset in this window."""
        super().__init__(end - start)
        self._reader = reader
        self._start = start
        self._changes = changes

    def seekable(self) -> bool:
        """Return whether the whole file is there."""
        return self._reader.seekable()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes from the current position; b"" at the end."""
        size = self._at_most(size)
        if not size:
            return b""
        self._reader.seek(self._start + self._position)
        data = self._reader.read(size)
        for offset, instead in self._changes.items():
            data = _changed(data, offset - self._position, instead)
        self._position += len(data)
        return data


def _read(descriptor: int, offset: int, size: int) -> bytes:
    """Read exactly `size` bytes, or fewer if the file ends before."""
    with _reported():
        data = os.pread(descriptor, size, offset)
        if len(data) == size or not data:
            return data
        pieces = [data]
        while (missing := size - sum(map(len, pieces))) and (
            data := os.pread(descriptor, missing, offset + size - missing)
        ):
            pieces.append(data)
    return b"".join(pieces)


@contextmanager
def _reported() -> Iterator[None]:
    """Raise SourceError if the source cannot be read in the block."""
    try:
        yield
    except OSError as exc:
        raise SourceError.of(exc) from exc
