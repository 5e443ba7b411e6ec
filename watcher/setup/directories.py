"""Open and make directories by their whole paths, where some on the way may belong to other users.

The owner of a directory can put a link in the place of anything in it, at any time, and root would follow it to places that only
root may change. So root follows a link only if it is root's own.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_WAY: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
#: As many links as the kernel follows (path_resolution(7)).
_MOST_LINKS: Final = 40


@contextmanager
def opened(path: str, *, make: bool = False) -> Iterator[int]:
    """Yield a descriptor of the directory at an absolute path; `make`: those that are missing are made. Raises OSError."""
    descriptor = _reached(path, make=make)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _reached(path: str, *, make: bool) -> int:
    at = os.open("/", _WAY)
    names, links = _names(path), 0
    try:
        while names:
            name = names.pop()
            below = _entered(at, name, make=make)
            status = os.fstat(below)
            if not stat.S_ISLNK(status.st_mode):
                at = _in_place_of(at, below)
                continue
            try:
                target, links = os.readlink("", dir_fd=below), links + 1
            finally:
                os.close(below)
            if links > _MOST_LINKS or (os.geteuid() == 0 and status.st_uid != 0):
                raise OSError(errno.ELOOP, f"root does not follow {name}, a link of another user", path)
            names += _names(target)
            if target.startswith("/"):
                at = _in_place_of(at, os.open("/", _WAY))
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _entered(at: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _WAY, dir_fd=at)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(name, dir_fd=at)
    return os.open(name, _WAY, dir_fd=at)


def _in_place_of(former: int, descriptor: int) -> int:
    os.close(former)
    return descriptor


def _names(path: str) -> list[str]:
    """Return the names in a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in {"", "."}]
