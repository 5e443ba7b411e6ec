"""The first scan of a folder: what is there is counted, and said, before anything is bought."""

import os
import stat
from contextlib import suppress
from typing import Final

import structlog

from watcher import container, tree
from watcher.folders.known import directory_key, file_key, mark_of
from watcher.folders.root import Root
from watcher.folders.scanner import Scan, ScanStats
from watcher.settle import SHARED_SUFFIXES, NameRuling, fingerprint

_log = structlog.get_logger()

#: Entries looked at between two yields: a header takes up to 30 ms to read.
_ENTRIES: Final = 4


def full_scan(root: Root) -> Scan:
    """Scan everything; before the first scan of the first start, count the backlog."""
    if root.overgrown:
        yield from root.learn()
    if root.first:
        yield from _FirstScan(root).scan()
    yield from root.full()


class _FirstScan:
    """Counts what is in a root before its first start."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._pending = tree.PendingDirectories(root.path)
        self._files = 0
        self._bytes = 0
        self._seconds = 0.0
        #: Files whose header tells no duration.
        self._untimed = 0

    def scan(self) -> Scan:
        """Count, and say what was counted in one event."""
        while (link := self._pending.pop()) is not None:
            path = link.path
            with suppress(OSError):
                with tree.directory(self._root.path, path) as directory, os.scandir(directory) as entries:
                    for count, entry in enumerate(entries, 1):
                        self._count(directory, link, path, entry)
                        if count % _ENTRIES == 0:
                            yield ScanStats()
        if self._files:
            _log.info(
                "folder.backlog",
                folder=self._root.location.folder.name,
                path=os.fsdecode(self._root.path),
                files=self._files,
                bytes=self._bytes,
                hours=round(self._seconds / 3600, 3),
                seconds=round(self._seconds, 3),
                untimed=self._untimed,
                left_alone=not self._root.location.folder.backlog,
            )

    def _count(self, directory: int, link: tree.PathLink, path: bytes, entry: "os.DirEntry[str]") -> None:
        root = self._root
        child = path.rstrip(b"/") + b"/" + os.fsencode(entry.name)
        relative = root.location.relative(child)
        if entry.is_dir(follow_symlinks=False):
            if (
                root.location.folder.recursive
                and child not in root.location.foreign
                and root.location.names.enters(relative)
            ):
                self._pending.push(link, os.fsencode(entry.name))
            return
        if not root.location.names.interesting(entry.name) or root.location.names.file(relative) is not NameRuling.TAKE:
            return
        status = entry.stat(follow_symlinks=False)
        stamp = fingerprint(status, root.location.site(path, status.st_dev))
        known = root.known.get(file_key(directory_key(path), entry.name)) == mark_of(stamp)
        if not stat.S_ISREG(status.st_mode) or not status.st_size or known:
            return
        found = _inspected(directory, entry.name, status.st_size)
        form = SHARED_SUFFIXES.get(os.path.splitext(entry.name)[1].lower())  # noqa: PTH122 - a name
        if found is not None and form not in (None, found.format):
            return
        self._files += 1
        self._bytes += status.st_size
        seconds = None if found is None else found.seconds
        if seconds is None:
            self._untimed += 1
        else:
            self._seconds += seconds


def _inspected(directory: int, name: str, size: int) -> container.Inspection | None:
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
