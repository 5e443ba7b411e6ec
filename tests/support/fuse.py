"""A file system that the test itself is the server of, and whose every answer may be an error: /dev/fuse, without a library.

It has one directory with regular files; see fuse(4), and linux/fuse.h for the layouts.
"""

import ctypes
import errno
import os
import select
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_libc: Final = ctypes.CDLL(None, use_errno=True)
#: Request codes, as linux/fuse.h has them.
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT, BATCH_FORGET = 27, 28, 29, 34, 36, 42
_ROOT: Final = 1
#: umount2(2): whoever uses it keeps it, and nobody else finds it.
_DETACH: Final = 2
_HEADER: Final = struct.Struct("<IIQQIIII")

_OPENED: Final = struct.pack("<QII", 1, 0, 0)
#: Answers that are always the same.
_SIMPLE: Final = {OPEN: _OPENED, OPENDIR: _OPENED, STATFS: bytes(80), RELEASE: b"", RELEASEDIR: b"", FLUSH: b""}

#: Request code and node -> the errno that it is answered with, 0 for the true answer, None for no answer at all.
Verdict = Callable[[int, int], int | None]


def mount_device(point: Path) -> int:
    """Mount /dev/fuse; return the descriptor whose owner is the server. Raises OSError where that is not permitted."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other".encode()
    if _libc.mount(b"test", os.fsencode(point), b"fuse", 0, options):
        os.close(device)
        raise OSError(ctypes.get_errno(), "cannot mount")
    return device


def detach(point: Path) -> None:
    """Unmount it; whoever uses it keeps it, and nobody else finds it."""
    _libc.umount2(os.fsencode(point), _DETACH)


class FuseMount:
    """A directory with files whose server is a thread of this process."""

    def __init__(self, point: Path, files: Mapping[str, bytes], verdict: Verdict) -> None:
        """Mount it; raises OSError where that is not permitted. `verdict` is asked in the server's thread."""
        self.point = point
        #: Errors that were given.
        self.failures = 0
        self._files = [(name.encode(), content) for name, content in files.items()]
        self._verdict = verdict
        self._device = mount_device(point)
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="fuse")
        self._thread.start()

    def close(self) -> None:
        """Unmount; whoever still uses it gets no more answers."""
        detach(self.point)
        os.close(self._end)
        self._thread.join()

    def _serve(self) -> None:
        with os.fdopen(self._ended, "rb"), os.fdopen(self._device, "rb+", buffering=0):
            poll = select.poll()
            for descriptor in (self._device, self._ended):
                poll.register(descriptor, select.POLLIN)
            while all(descriptor == self._device for descriptor, _ in poll.poll()):
                try:
                    self._attend(os.read(self._device, 1 << 18))
                except OSError as error:
                    if error.errno == errno.ENODEV:  # unmounted
                        return

    def _attend(self, request: bytes) -> None:
        """Answer a request. OSError where who asked has gone."""
        _, code, unique, node, *_ = _HEADER.unpack_from(request)
        if code in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        number = 0 if code == INIT else self._verdict(code, node)
        if number is None:
            return
        self.failures += number != 0
        answer = b"" if number else self._answer(code, node, request[_HEADER.size :])
        if answer is None:
            number, answer = (errno.ENOENT if code == LOOKUP else errno.ENOSYS), b""
        os.write(self._device, struct.pack("<IiQ", 16 + len(answer), -number, unique) + answer)

    def _answer(self, code: int, node: int, body: bytes) -> bytes | None:
        """Return the body of the true answer; None where there is none."""
        if code == INIT:
            return struct.pack("<IIIIHHIIHH", 7, 31, 1 << 16, 0, 16, 12, 1 << 16, 1, 16, 0) + bytes(32)
        if code == LOOKUP:
            return self._found(body.split(b"\0")[0])
        if code == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if code in (READ, READDIR):
            _, start, size = struct.unpack_from("<QQI", body)
            if code == READDIR:
                return self._entries(start, size)
            return self._files[node - _ROOT - 1][1][start : start + size]
        return _SIMPLE.get(code)

    def _found(self, name: bytes) -> bytes | None:
        names = [name for name, _ in self._files]
        if name not in names:
            return None
        node = names.index(name) + _ROOT + 1
        return struct.pack("<QQQQII", node, 1, 0, 0, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        size = 4096 if node == _ROOT else len(self._files[node - _ROOT - 1][1])
        mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o644
        when = 1_700_000_000
        return struct.pack(
            "<QQQQQQIIIIIIIIII", node, size, (size + 511) // 512, when, when, when, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )

    def _entries(self, start: int, size: int) -> bytes:
        found = b""
        for index, (name, _) in list(enumerate(self._files))[start:]:
            entry = struct.pack("<QQII", index + _ROOT + 1, index + 1, len(name), stat.S_IFREG >> 12) + name
            entry += bytes(-len(entry) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return found


@contextmanager
def fuse_mount(point: Path, files: Mapping[str, bytes], verdict: Verdict) -> Iterator[FuseMount]:
    """Mount such a file system at `point`, which is made, while the context lasts."""
    point.mkdir(exist_ok=True)
    mount = FuseMount(point, files, verdict)
    try:
        yield mount
    finally:
        mount.close()


def _may_serve() -> bool:
    with tempfile.TemporaryDirectory() as place:
        try:
            with fuse_mount(Path(place, "point"), {}, lambda _code, _node: 0):
                return True
        except OSError:
            return False


needs_fuse_device = pytest.mark.skipif(not _may_serve(), reason="/dev/fuse is not there, or nothing can be mounted")
