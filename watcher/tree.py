"""Open files and directories below a root without ever leaving it.

People who can write into a watched folder are not trusted: a name may become a symbolic link between two calls. So
every path is opened component by component from the root's own descriptor with ``O_NOFOLLOW``, and a file is judged,
read and uploaded through one descriptor. (openat2 with RESOLVE_BENEATH would do the same in one call; Python has no binding
for it.)
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final

_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Flags for an untrusted file: follow no link, and do not wait for a pipe or device.
FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
#: Mode bits that a new directory gets from its parent: all except set-user-ID, which has no meaning there.
_INHERITED_MODE: Final = 0o3777


@contextmanager
def directory(root: bytes, path: bytes) -> Iterator[int]:
    """Yield a descriptor of the directory `path`, which is `root` or lies below it.

    Only the root itself may be behind symbolic links. Raises OSError (ELOOP or ENOTDIR if a component is a
    link) and ValueError if `path` is not below `root`.
    """
    components = _components(root, path)
    descriptor = os.open(root, _ROOT)
    try:
        for component in components:
            descriptor = _descend(descriptor, component)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def directory_in(descriptor: int, name: bytes) -> Iterator[int]:
    """Yield a descriptor of a directory in an open one; `name` has no slash. Raises OSError, also if it is a link."""
    below = os.open(name, _DIRECTORY, dir_fd=descriptor)
    try:
        yield below
    finally:
        os.close(below)


def levels(root: bytes, path: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield path and descriptor of every directory from `root` down to `path`, which is `root` or lies below it.

    A descriptor is valid until the next one is requested. Raises as `directory` does, after yielding the levels above the
    obstacle.
    """
    components = _components(root, path)
    at = root.rstrip(b"/")
    descriptor = os.open(root, _ROOT)
    try:
        yield at or b"/", descriptor
        for component in components:
            descriptor = _descend(descriptor, component)
            at += b"/" + component
            yield at, descriptor
    finally:
        os.close(descriptor)


@contextmanager
def made_directory(root: bytes, path: bytes) -> Iterator[int]:
    """Yield a descriptor of the directory `path` below `root`; first make it and its parents if they are missing.

    The root itself is never made. A new directory has the mode of the one above it, and as far as permitted its owner.
    Raises as `directory` does.
    """
    components = _components(root, path)
    descriptor = os.open(root, _ROOT)
    try:
        for component in components:
            with suppress(FileExistsError):
                _make(descriptor, component)
            descriptor = _descend(descriptor, component)
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(root: bytes, path: bytes) -> int:
    """Open the file `path` below `root` for reading; the caller closes the descriptor.

    Never blocks on a FIFO and never follows a link; the caller checks that it is a regular file.
    """
    parent, name = os.path.split(path)
    with directory(root, parent) as descriptor:
        return open_below(descriptor, name)


def open_below(descriptor: int, name: bytes) -> int:
    """Open a file in an open directory, as `open_file` does; `name` has no slash."""
    return os.open(name, FILE, dir_fd=descriptor)


def status(root: bytes, path: bytes) -> os.stat_result:
    """Return the stat of what is at a path below a root. Raises OSError (ELOOP or ENOTDIR behind a link) and ValueError.

    Unlike `os.lstat`, it looks at the name in its open folder: a path may be longer than PATH_MAX, or lead through a link to
    a mount that hangs.
    """
    parent, name = os.path.split(path)
    with directory(root, parent) as folder:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)


def stands(root: bytes, path: bytes) -> bool | None:
    """Return whether a path below a root exists; None if that cannot be known, because its folder cannot be opened.

    It looks at the name in its open folder, as `status` does.
    """
    parent, name = os.path.split(path)
    try:
        with directory(root, parent) as folder:
            try:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return False
    except (OSError, ValueError):
        return None
    return True


class PathLink:
    """A name below another one, so that many paths with a long common beginning need memory only for their own names."""

    __slots__ = ("above", "name")

    def __init__(self, name: bytes, above: "PathLink | None" = None) -> None:
        """`name` is a whole path if there is nothing `above` it."""
        self.name = name
        self.above = above

    @property
    def path(self) -> bytes:
        """The whole path."""
        names, link = [self.name], self.above
        while link is not None:
            names.append(link.name)
            link = link.above
        # Of the root of the file system no slash is kept.
        return b"/".join(reversed(names)) or b"/"


class PendingDirectories:
    """Directories that are still to be listed, the last one first. The memory is limited, as anybody can make very many."""

    def __init__(self, *tops: bytes) -> None:
        """Begin with these paths."""
        self._links = [PathLink(top.rstrip(b"/")) for top in tops]
        self._bytes = 0

    def push(self, above: PathLink, name: bytes) -> bool:
        """Add the directory `name` in another one; return False if too many wait."""
        if self._bytes >= MOST_PENDING:
            return False
        self._links.append(PathLink(name, above))
        self._bytes += len(name) + _PENDING
        return True

    def pop(self) -> PathLink | None:
        """Remove and return the last one; None if there is none."""
        if not self._links:
            return None
        link = self._links.pop()
        self._bytes -= (len(link.name) + _PENDING) if link.above is not None else 0
        return link


#: Most bytes of waiting directories: some 600,000 with names of usual length; and bytes of each without its name.
MOST_PENDING: Final = 100_000_000
_PENDING: Final = 150
#: Names that are read of one directory at most: ext4 has room for some 10 million, and a FUSE server can list names without end.
MOST_NAMES: Final = 20_000_000


def walk(
    top: bytes,
    *,
    root: bytes | None = None,
    deepest: int | None = None,
    named: Callable[[bytes], bool] = lambda _: True,
) -> Iterator[tuple[bytes, list[bytes], list[bytes]]]:
    """Yield every directory from `top` down, each before those in it: its path, the names of directories in it, and others.

    Directories that cannot be listed are skipped, and those beyond MOST_PENDING. Links are not followed, also not on the way from
    `root` to `top`. `deepest`: directories in those whose path has this many slashes are skipped. `named`: which of the other names
    are returned, as anybody can make a million of them. Unlike `os.walk` before Python 3.12, it is not recursive, so that deeply
    nested directories do not exhaust the interpreter's stack.
    """
    pending = PendingDirectories(top)
    while (link := pending.pop()) is not None:
        path = link.path
        directories: list[bytes] = []
        others: list[bytes] = []
        entered = deepest is None or path.count(b"/") < deepest
        try:
            with directory(top if root is None else root, path) as opened, os.scandir(opened) as entries:
                for entry in islice(entries, MOST_NAMES):
                    name = os.fsencode(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        if entered and pending.push(link, name):
                            directories.append(name)
                    elif named(name):
                        others.append(name)
        except OSError:
            continue
        yield path, directories, others


def is_below(path: bytes, directory: bytes) -> bool:
    """Return whether an absolute path lies below a directory, only by the names."""
    return path.startswith(directory.rstrip(b"/") + b"/")


def _descend(descriptor: int, component: bytes) -> int:
    """Open a directory below an open one, and close that one; it stays open when this raises."""
    below = os.open(component, _DIRECTORY, dir_fd=descriptor)
    # Linux frees a descriptor even if close fails (close(2)); closing it twice could close another thread's file.
    with suppress(OSError):
        os.close(descriptor)
    return below


def _make(parent: int, name: bytes) -> None:
    """Make a directory like its parent."""
    above = os.fstat(parent)
    mode = stat.S_IMODE(above.st_mode) & _INHERITED_MODE
    # Set-group-ID is inherited; setting it explicitly is refused under systemd's RestrictSUIDSGID=.
    os.mkdir(name, mode & ~stat.S_ISGID, dir_fd=parent)
    made = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        if not _is_new(made):
            return
        # This fails without root's rights, or if the file system has no owners: then owner and group stay.
        with suppress(OSError):
            os.fchown(made, above.st_uid, above.st_gid)
        # Avoid a needless chmod: for a group of which this process is no member, it would clear set-group-ID (chmod(2)).
        if stat.S_IMODE(os.fstat(made).st_mode) != mode:
            with suppress(OSError):
                os.fchmod(made, mode)
        with suppress(OSError):
            os.fsync(parent)
    finally:
        os.close(made)


def _is_new(made: int) -> bool:
    """Return whether an open directory can be the one that was just made: somebody may have put another one in its place.

    That one may belong to somebody else, who would lose it to the owner of the folder above.
    """
    with os.scandir(made) as entries:
        return os.fstat(made).st_uid == os.geteuid() and next(entries, None) is None


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
