"""Scans of a root: subtrees, changed directories, everything.

Scans are generators: they yield every few dozen files, so that a scan of a hundred thousand files never delays an event.
Directories are opened component by component from the root (`tree`), files by their name in the open directory, so that
a name that is replaced by a symbolic link is not followed.
"""

import os
import stat
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from watcher import tree
from watcher.folders.directories import Directories, ListedDirectory
from watcher.folders.judge import Judge
from watcher.folders.known import directory_key, file_key
from watcher.folders.remarks import CROWDED, FILLED, OVERCROWDED, Remarks, endless
from watcher.folders.root_location import RootLocation, child
from watcher.folders.unwatched import Unwatched, UnwatchedFiles
from watcher.overrides import NAME
from watcher.settle import NameRuling, is_placeholder, looks_like_audio

#: Entries of a directory, and files opened, between two yields of a scan.
_ENTRIES: Final = 500
_OPENED: Final = 4
#: A directory with an mtime younger than this (ns) may change again without a new mtime, so it is listed once more. FAT has
#: steps of two seconds, most other file systems of a few milliseconds.
_RACY_NS: Final = 3_000_000_000
#: If the number of remembered directories exceeds twice the last number by this many, those that are gone are removed.
_STRAY: Final = 10_000
_SETTINGS: Final = os.fsdecode(NAME)


@dataclass(slots=True)
class ScanStats:
    """Counts of a scan."""

    directories: int = 0
    files: int = 0
    #: Unknown files found, whole or not.
    news: int = 0
    #: Directories that were unknown, or replaced.
    new_directories: int = 0


Scan = Generator[ScanStats, None, None]


@dataclass(frozen=True, slots=True)
class _TreeWalk:
    """A walk through directories."""

    pending: tree.PendingDirectories
    stats: ScanStats
    #: Whether known directories are scanned, too.
    deep: bool
    #: Whether an event has announced them as new.
    arrived: bool


class Scanner:
    """Lists the directories of one root. Owned by the finder's thread."""

    def __init__(
        self,
        location: RootLocation,
        judge: Judge,
        remarks: Remarks,
        *,
        directories: Directories,
        settings: Callable[[bytes], None] | None = None,
    ) -> None:
        """`directories`: stores the listed directories. `settings` is called for each `.watcher.toml` found."""
        self.directories = directories
        #: Files that look like recordings and are not taken.
        self.unwatched = Unwatched()
        #: Number of files that the last full scan found.
        self.met = 0
        self._location = location
        self._judge = judge
        self._remarks = remarks
        self._settings = settings
        self._generation = 0
        #: Above this number of directories, those that are gone are removed.
        self._enough = _STRAY
        #: The full scan since which this was done last because no more directories fitted in.
        self._asked = -1
        #: Whether some directories were not remembered, or not scanned, since the last full scan began.
        self._left_out = False

    def full(self) -> Scan:
        """List everything below the root."""
        self._generation += 1
        generation, self._left_out = self._generation, False
        stats = ScanStats()
        yield from self._walk(self._location.path, stats)
        self.met = stats.files
        for directory in self.directories:
            if directory.generation < generation:
                self.directories.forget(directory)
                self.unwatched.drop(directory)
        self._enough = 2 * len(self.directories) + _STRAY
        if not self._left_out:
            self._remarks.has_room()
        yield stats

    def subtree(self, path: bytes) -> Scan:
        """List a directory and everything below it."""
        stats = ScanStats()
        relative = self._location.relative(path)
        if path == self._location.path or (
            self._location.owns(path) and self._location.folder.recursive and self._location.names.enters_all(relative)
        ):
            yield from self._walk(path, stats, arrived=True)
        yield stats

    def below(self, path: bytes) -> Scan:
        """List a directory that a person named, and everything below it if the folder is recursive."""
        stats = ScanStats()
        yield from self._walk(path, stats, arrived=True)
        yield stats

    def changed(self, directories: Iterable[ListedDirectory] | None = None, *, glance: bool = False) -> Scan:
        """List the directories (all, or these) that changed since they were last listed.

        `glance`: also list the names of the others, if the mtime of directories is not reliable.
        """
        stats = ScanStats()
        for count, directory in enumerate(self.directories if directories is None else directories, 1):
            if directory.known:
                path = directory.path
                stale = self._changed(directory, path)
                if glance and not stale and directory.known:
                    stale = yield from self._glance(path)
                if stale:
                    yield from self._walk(path, stats, deep=False)
            if count % _ENTRIES == 0:
                yield stats
        for path in list(self._remarks.closed):
            yield from self._walk(path, stats, deep=False)
        yield stats

    def _changed(self, directory: ListedDirectory, path: bytes) -> bool:
        """Return whether a directory has to be listed again; forget it if it is gone."""
        try:
            # Do not use its path, in which a folder may have been replaced by a link to a mount that hangs.
            with tree.directory(self._location.path, path) as opened:
                status = os.fstat(opened)
        except (FileNotFoundError, NotADirectoryError):
            self._forget(directory)
            return False
        except OSError:
            return True
        return (status.st_mtime_ns, status.st_ino, status.st_dev) != (
            directory.mtime_ns,
            directory.inode,
            directory.device,
        )

    def _glance(self, path: bytes) -> Generator[ScanStats, None, bool]:
        """Return whether a directory has an unknown name, or cannot be listed; without a stat of any entry."""
        key = directory_key(path)
        prefix = path.rstrip(b"/") + b"/"
        try:
            with tree.directory(self._location.path, path) as directory, os.scandir(directory) as entries:
                for count, entry in enumerate(islice(entries, tree.MOST_NAMES), 1):
                    name = entry.name
                    if self._location.names.interesting(name) and self._judge.known.get(file_key(key, name)) is None:
                        full = prefix + os.fsencode(name)
                        taken = self._location.names.file(self._location.relative(full)) is NameRuling.TAKE
                        if taken and full not in self._judge.candidates and entry.is_file(follow_symlinks=False):
                            return True
                    if count % _ENTRIES == 0:
                        yield ScanStats()
        except OSError:
            return True
        yield ScanStats()
        return False

    def _walk(self, top: bytes, stats: ScanStats, *, deep: bool = True, arrived: bool = False) -> Scan:
        """List a directory and the directories below it; unless `deep`, only new ones below it."""
        walk = _TreeWalk(tree.PendingDirectories(top), stats, deep=deep, arrived=arrived)
        while (link := walk.pending.pop()) is not None:
            path = link.path
            try:
                with tree.directory(self._location.path, path) as directory:
                    yield from self._list(directory, link, path, walk)
            except (FileNotFoundError, NotADirectoryError):
                if (known := self.directories.get(path)) is not None:
                    self._forget(known)
                self._remarks.closed.take(path)
                continue
            except OSError as error:
                self._remarks.unreadable(path, error)
                continue
            self._remarks.closed.take(path)
            crowded = self.directories.full and self._asked < self._generation
            if crowded or len(self.directories) > self._enough:
                self._asked = self._generation
                yield from self._forget_strays(stats)
            yield stats

    def _forget_strays(self, stats: ScanStats) -> Scan:
        """Forget directories that are gone: if one is renamed again and again, all below it are new each time."""
        for count, directory in enumerate(self.directories, 1):
            self._changed(directory, directory.path)
            if count % _ENTRIES == 0:
                yield stats
        self._enough = 2 * len(self.directories) + _STRAY

    def _forget(self, directory: ListedDirectory) -> None:
        """Forget a directory that is gone, and all below it."""
        for one in self.directories.forget_all(directory):
            self.unwatched.drop(one)

    def _list(self, directory: int, link: tree.PathLink, path: bytes, walk: "_TreeWalk") -> Scan:
        """Look at every entry of an open directory; add its subdirectories to the walk."""
        status = os.fstat(directory)
        key, inodes = directory_key(path), self._location.site(path, status.st_dev).inodes
        interesting, known, is_file = self._location.names.interesting, self._judge.known.get, stat.S_ISREG
        files = placeholders = 0
        unwatched = UnwatchedFiles()
        with os.scandir(directory) as entries:
            for count, entry in enumerate(self._bounded(path, entries), 1):
                if count % _ENTRIES == 0:
                    yield walk.stats
                name = entry.name
                if name == _SETTINGS and self._settings is not None:
                    self._settings(path.rstrip(b"/") + b"/" + NAME)
                if interesting(name):
                    try:
                        seen = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if is_file(seen.st_mode):
                        files += 1
                        # file_key and mark_of are inlined: this line runs for every file of every scan.
                        if known(hash((key, name))) == hash(
                            (seen.st_size, seen.st_mtime_ns, seen.st_ino if inodes else 0)
                        ):
                            continue
                        self._unknown(directory, path, name, seen, walk)
                        self._pass_over(path, entry, unwatched)
                        if self._judge.opened >= _OPENED:
                            self._judge.opened = 0
                            yield walk.stats
                        continue
                    self._remarks.not_regular(path, name, seen, unwatched)
                else:
                    self._pass_over(path, entry, unwatched)
                placeholders += is_placeholder(name)
                if self._location.folder.recursive and entry.is_dir(follow_symlinks=False):
                    self._descend(link, path, os.fsencode(name), walk)
        walk.stats.directories += 1
        walk.stats.files += files
        walk.stats.new_directories += self._listed(path, status, unwatched, placeholders=placeholders > 0)

    def _bounded(self, path: bytes, entries: "Iterator[os.DirEntry[str]]") -> "Iterator[os.DirEntry[str]]":
        """Yield the entries of a directory; leave out those beyond what is read of one."""
        yield from islice(entries, tree.MOST_NAMES)
        if next(entries, None) is not None:
            self._leave_out(endless(path, tree.MOST_NAMES))

    def _listed(self, path: bytes, status: os.stat_result, unwatched: UnwatchedFiles, *, placeholders: bool) -> bool:
        """Store a directory as listed, if there is room; return whether it was unknown, or was replaced."""
        before = self.directories.get(path)
        if before is None and self.directories.full:
            self._leave_out(CROWDED)
            return False
        directory = self.directories.put(path)
        is_new = before is None or (before.device, before.inode) != (status.st_dev, status.st_ino)
        racy = abs(time.time_ns() - status.st_mtime_ns) < _RACY_NS
        directory.mtime_ns = 0 if racy else status.st_mtime_ns
        directory.device, directory.inode, directory.generation = status.st_dev, status.st_ino, self._generation
        directory.unfinished = placeholders
        self.unwatched.put(directory, unwatched)
        return is_new

    def _descend(self, link: tree.PathLink, path: bytes, name: bytes, walk: "_TreeWalk") -> None:
        """Add a directory in another one to the walk, unless it is excluded."""
        full = path.rstrip(b"/") + b"/" + name
        relative = self._location.relative(full)
        if full not in self._location.foreign and self._location.names.enters(relative):
            if (walk.deep or full not in self.directories) and not walk.pending.push(link, name):
                self._leave_out(OVERCROWDED)
        elif self._location.names.too_deep(relative):
            self._remarks.too_deep(full)

    def _leave_out(self, why: tuple[str, str]) -> None:
        self._left_out = True
        self._remarks.too_many(why)

    def _unknown(self, directory: int, path: bytes, name: str, status: os.stat_result, walk: "_TreeWalk") -> None:
        """Look at a file that is new or changed; a candidate has its own times for the next look."""
        full = path.rstrip(b"/") + b"/" + os.fsencode(name)
        if full in self._judge.candidates or not self._judge.wanted(self._location.relative(full)):
            return
        if self._judge.known.full:
            self._leave_out(FILLED)
        if not self._judge.is_foreign(directory, path, name, status):
            # What is not remembered is no news each time.
            walk.stats.news += not self._judge.known.full
            self._judge.decide(directory, path, name, status, arrived=walk.arrived, siblings=True)

    def _pass_over(self, parent: bytes, entry: "os.DirEntry[str]", unwatched: UnwatchedFiles) -> None:
        """Count a file whose name says that it is audio in a format that Watcher cannot decode."""
        name = entry.name
        if not looks_like_audio(name) or not entry.is_file(follow_symlinks=False):
            return
        if self._location.names.passes_over(self._location.relative(child(parent, name))):
            unwatched.add(name, "suffix")
