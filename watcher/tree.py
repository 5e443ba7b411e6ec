"""Opening what lies below a root without ever leaving it.

Whoever can write into a watched folder is not trusted: a name may become a symbolic link between two looks. So every
path is walked component by component from the root's own descriptor with ``O_NOFOLLOW``, and what was judged, read and
uploaded is one descriptor. (openat2 with RESOLVE_BENEATH would do the same in one call; Python has no binding for it.)
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


@contextmanager
def directory(root: bytes, path: bytes) -> Iterator[int]:
    """Yield a descriptor of the directory `path`, which is `root` or lies below it.

    Only the root itself may be reached through symbolic links. Raises OSError (ELOOP or ENOTDIR where a component is a
    link) and ValueError when `path` is not below `root`.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for component in _components(root, path):
            below = os.open(component, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(root: bytes, path: bytes) -> int:
    """Open the file `path` below `root` for reading; the caller closes the descriptor.

    Never blocks on a FIFO and never follows a link; the caller checks that it is a regular file.
    """
    parent, name = os.path.split(path)
    with directory(root, parent) as descriptor:
        return os.open(name, _FILE, dir_fd=descriptor)


def _components(root: bytes, path: bytes) -> list[bytes]:
    root, path = root.rstrip(b"/"), path.rstrip(b"/")
    if path == root:
        return []
    if not path.startswith(root + b"/"):
        message = f"{os.fsdecode(path)!r} is not below {os.fsdecode(root)!r}"
        raise ValueError(message)
    components = path[len(root) + 1 :].split(b"/")
    if b".." in components or b"." in components or b"" in components:
        message = f"{os.fsdecode(path)!r} is not a plain path"
        raise ValueError(message)
    return components
