"""List the recordings of a root that the ledger does not know, with the lengths of their headers; queue nothing."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from watcher import container, tree
from watcher.folders.known import directory_key, file_key, mark_of
from watcher.folders.root import Root
from watcher.job import FoundRecording
from watcher.settle import SHARED_SUFFIXES, NameRuling, fingerprint

#: Entries read between two yields: reading a header takes up to 30 ms.
_ENTRIES: Final = 4


def unknown(root: Root, below: bytes) -> Iterator[FoundRecording | None]:
    """Yield each recording in and below a directory of a root that the ledger does not know.

    Yields None after every few files, so that other work can go on. Directories that cannot be listed are left out.
    """
    pending = tree.PendingDirectories(below)
    while (link := pending.pop()) is not None:
        path = link.path
        with suppress(OSError):
            with tree.directory(root.path, path) as directory, os.scandir(directory) as entries:
                for count, entry in enumerate(islice(entries, tree.MOST_NAMES), 1):
                    if entry.is_dir(follow_symlinks=False):
                        if _is_entered(root, path, entry.name):
                            pending.push(link, os.fsencode(entry.name))
                    elif _is_named(root, path, entry.name):
                        yield _looked_at(root, directory, path, entry.name)
                    if count % _ENTRIES == 0:
                        yield None


def unknown_file(root: Root, path: bytes) -> FoundRecording | None:
    """Return the recording at a path below a root, whatever its name; None if the ledger knows it, or if it is none."""
    parent, name = os.path.split(path)
    try:
        with tree.directory(root.path, parent) as directory:
            return _looked_at(root, directory, parent, os.fsdecode(name))
    except (OSError, ValueError):
        return None


def _is_entered(root: Root, parent: bytes, name: str) -> bool:
    path = parent.rstrip(b"/") + b"/" + os.fsencode(name)
    location = root.location
    return location.folder.recursive and path not in location.foreign and location.names.enters(location.relative(path))


def _is_named(root: Root, parent: bytes, name: str) -> bool:
    """Return whether a file is a recording by its name."""
    names = root.location.names
    if not names.interesting(name):
        return False
    relative = root.location.relative(parent.rstrip(b"/") + b"/" + os.fsencode(name))
    return names.file(relative) is NameRuling.TAKE


def _looked_at(root: Root, directory: int, parent: bytes, name: str) -> FoundRecording | None:
    """Return a recording in an open directory; None if the ledger knows it, or if it is none."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    stamp = fingerprint(status, root.location.site(parent, status.st_dev))
    known = root.known.get(file_key(directory_key(parent), name)) == mark_of(stamp)
    if not stat.S_ISREG(status.st_mode) or not status.st_size or known:
        return None
    found = _inspected(directory, name, status.st_size)
    form = SHARED_SUFFIXES.get(os.path.splitext(name)[1].lower())  # noqa: PTH122 - a name
    if found is not None and form not in (None, found.format):
        return None
    path = parent.rstrip(b"/") + b"/" + os.fsencode(name)
    return FoundRecording(root.path, path, stamp, seconds=None if found is None else found.seconds)


def _inspected(directory: int, name: str, size: int) -> container.Inspection | None:
    """Return what a file's header says; None if it cannot be read."""
    try:
        descriptor = os.open(name, tree.FILE, dir_fd=directory)
    except OSError:
        return None
    try:
        return container.inspect(descriptor, size, quick=True)
    except OSError:
        return None
    finally:
        os.close(descriptor)
