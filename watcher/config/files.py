"""Read the files that hold settings, or that settings name, within bounds of time and size."""

import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import Final

#: Bytes of a settings file; a thousand folders take a tenth of it.
LARGEST_SETTINGS: Final = 1024 * 1024
#: Bytes of a file that holds a key.
LARGEST_KEY: Final = 64 * 1024
#: Seconds in which a pipe has to say all that it says.
_PATIENCE: Final = 10.0

_OPENED: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_KINDS: Final = {
    stat.S_IFDIR: "it is a directory",
    stat.S_IFIFO: "it is a pipe (fifo), and has to be a regular file",
    stat.S_IFSOCK: "it is a socket, and has to be a regular file",
    stat.S_IFCHR: "it is a device, and has to be a regular file",
    stat.S_IFBLK: "it is a device, and has to be a regular file",
}


def regular(path: Path, largest: int) -> bytes:
    """Return the content of a regular file of at most `largest` bytes. Raises OSError, with the reason as strerror."""
    _require(path, {stat.S_IFREG})
    return _content(path, largest, _PATIENCE)


def regular_or_stream(path: Path, largest: int, *, patience: float = _PATIENCE) -> bytes:
    """Return the content of a regular file, or what a pipe or terminal says, ``<(cat settings.toml)`` for example.

    `patience`: seconds until it has to have ended. Raises OSError as `regular` does, also for a pipe that says nothing.
    """
    kind = _require(path, {stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR})
    content = _content(path, largest, patience)
    if kind == stat.S_IFIFO and not content:
        raise _unfit("it is a pipe (fifo), and nothing comes out of it")
    return content


def _require(path: Path, kinds: set[int]) -> int:
    # Looked at before it is opened: opening some devices does something.
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind not in kinds:
        raise _unfit(_KINDS.get(kind, "it is no regular file"))
    return kind


def _content(path: Path, largest: int, patience: float) -> bytes:
    content = b""
    deadline = time.monotonic() + patience
    descriptor = os.open(path, _OPENED)
    try:
        while more := _next(descriptor, largest + 1 - len(content), deadline):
            content += more
    finally:
        os.close(descriptor)
    if len(content) > largest:
        raise _unfit(f"it is larger than {largest // 1024} KiB")
    return content


def _next(descriptor: int, count: int, deadline: float) -> bytes:
    """Return some bytes; b"" at the end, and where no more are wanted."""
    while True:
        try:
            return os.read(descriptor, count)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _unfit("it did not end in time") from None
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(left * 1000)


def _unfit(reason: str) -> OSError:
    return OSError(errno.EINVAL, reason)
