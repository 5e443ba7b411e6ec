# ruff: noqa: PTH116  paths are bytes here, and pathlib takes text only
"""Scans of a root: subtrees, changed directories, everything.

Scans are generators: they yield every few dozen files, so that a scan of a hundred thousand never holds up an event.
Directories are opened component by component from the root (`tree`), files by their name in the open directory, so that
a name that is swapped for a symbolic link leads nowhere.
"""

import os
import stat
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Final

from watcher import tree
from watcher.folders.judge import Judge
from watcher.folders.known import directory_key, file_key
from watcher.folders.place import RootPlace, child
from watcher.folders.remarks import Remarks
from watcher.folders.unwatched import Unwatched, UnwatchedFiles
from watcher.overrides import NAME
from watcher.settle import NameRuling, is_placeholder, looks_like_audio

#: Entries of a directory, and files opened, between two yields of a scan.
_ENTRIES: Final = 500
_OPENED: Final = 4
#: A directory whose mtime is younger than this may change again without showing it: it is listed once more. FAT counts
#: in steps of two seconds, most others in a few milliseconds.
_RACY_NS: Final = 3_000_000_000
#: Directories remembered beyond twice as many as there were, until it is asked which of them are still there.
_STRAY: Final = 10_000
_SETTINGS: Final = os.fsdecode(NAME)


@dataclass(slots=True)
class ListedDirectory:
    """A directory as it was last listed."""

    #: 0 where it must be listed again.
    mtime_ns: int
    device: int
    inode: int
    #: Number of the last full scan that met it.
    generation: int


@dataclass(slots=True)
class ScanStats:
    """Counts of a scan."""

    directories: int = 0
    files: int = 0
    #: Files that were not known, whole or not.
    news: int = 0
    #: Directories that were not known, or are others now.
    new_directories: int = 0


Scan = Generator[ScanStats, None, None]


class Scanner:
    """Lists the directories of one root. Owned by the detector thread."""

    def __init__(
        self,
        place: RootPlace,
        judge: Judge,
        remarks: Remarks,
        *,
        directories: dict[bytes, ListedDirectory],
        settings: Callable[[bytes], None] | None = None,
    ) -> None:
        """`directories`: where those that were listed are kept. `settings` hears of each `.watcher.toml` that is met."""
        self.directories = directories
        #: What looks like recordings and is not taken.
        self.unwatched = Unwatched()
        #: Directories with placeholders: only in these is a placeholder looked for beside each file. Where somebody makes
        #: thousands of files, each look-up of a missing name waits for the directory's lock.
        self.unfinished: set[bytes] = set()
        #: Files that the last full scan met.
        self.met = 0
        self._place = place
        self._judge = judge
        self._remarks = remarks
        self._settings = settings
        self._generation = 0
        #: So many directories may be remembered until it is asked which are still there.
        self._enough = _STRAY

    def full(self) -> Scan:
        """List everything below the root."""
        self._generation += 1
        generation = self._generation
        stats = ScanStats()
        yield from self._walk([self._place.path], stats)
        self.met = stats.files
        for path, directory in list(self.directories.items()):
            if directory.generation < generation:
                self._forget_directory(path)
        self._enough = 2 * len(self.directories) + _STRAY
        yield stats

    def subtree(self, path: bytes) -> Scan:
        """List a directory and what lies below it."""
        stats = ScanStats()
        relative = self._place.relative(path)
        if path == self._place.path or (
            self._place.owns(path) and self._place.folder.recursive and self._place.names.enters_all(relative)
        ):
            yield from self._walk([path], stats, arrived=True)
        yield stats

    def below(self, path: bytes) -> Scan:
        """List a directory that a person named, and what lies below it if the folder is a recursive one."""
        stats = ScanStats()
        yield from self._walk([path], stats, arrived=True)
        yield stats

    def changed(self, paths: Iterable[bytes] | None = None, *, glance: bool = False) -> Scan:
        """List the directories (all, or these) that changed since they were listed last.

        `glance`: list the others too, by name only, where a directory's mtime is not to be trusted.
        """
        stats = ScanStats()
        stale: list[bytes] = []
        for count, path in enumerate(list(self.directories) if paths is None else list(paths), 1):
            if self._changed(path):
                stale.append(path)
            elif glance:
                yield from self._glance(path, stale)
            if count % _ENTRIES == 0:
                yield stats
        stale.extend(self._remarks.closed)
        yield from self._walk(stale, stats, deep=False)
        yield stats

    def _changed(self, path: bytes) -> bool:
        directory = self.directories.get(path)
        if directory is None:
            return True
        try:
            status = os.stat(path, follow_symlinks=path == self._place.path)
        except (FileNotFoundError, NotADirectoryError):
            self._forget_directory(path)
            return False
        except OSError:
            return True
        return (status.st_mtime_ns, status.st_ino, status.st_dev) != (
            directory.mtime_ns,
            directory.inode,
            directory.device,
        )

    def _glance(self, path: bytes, stale: list[bytes]) -> Scan:
        """Note the directory as stale when it holds a name that is not known; stats nothing."""
        key = directory_key(path)
        prefix = path.rstrip(b"/") + b"/"
        try:
            with tree.directory(self._place.path, path) as directory, os.scandir(directory) as entries:
                for count, entry in enumerate(entries, 1):
                    name = entry.name
                    if self._place.names.interesting(name) and self._judge.known.get(file_key(key, name)) is None:
                        full = prefix + os.fsencode(name)
                        taken = self._place.names.file(self._place.relative(full)) is NameRuling.TAKE
                        if taken and full not in self._judge.candidates and entry.is_file(follow_symlinks=False):
                            stale.append(path)
                            return
                    if count % _ENTRIES == 0:
                        yield ScanStats()
        except OSError:
            stale.append(path)
        yield ScanStats()

    def _walk(self, pending: list[bytes], stats: ScanStats, *, deep: bool = True, arrived: bool = False) -> Scan:
        """List the `pending` directories and what lies below; not `deep`: only those below that are new."""
        while pending:
            path = pending.pop()
            below: list[bytes] = []
            try:
                with tree.directory(self._place.path, path) as directory:
                    yield from self._list(directory, path, below, stats, arrived=arrived)
            except (FileNotFoundError, NotADirectoryError):
                self._forget_directory(path)
                self._remarks.closed.pop(path, None)
                continue
            except OSError as error:
                self._remarks.shut(path, error)
                continue
            self._remarks.closed.pop(path, None)
            if len(self.directories) > self._enough:
                yield from self._forget_strays(stats)
            pending.extend(below if deep else (child for child in below if child not in self.directories))
            yield stats

    def _forget_strays(self, stats: ScanStats) -> Scan:
        """Forget directories that are gone: where one is renamed again and again, all that lie in it are new each time."""
        for count, path in enumerate(list(self.directories), 1):
            self._changed(path)
            if count % _ENTRIES == 0:
                yield stats
        self._enough = 2 * len(self.directories) + _STRAY

    def _forget_directory(self, path: bytes) -> None:
        self.directories.pop(path, None)
        self.unfinished.discard(path)
        self.unwatched.drop(path)

    def _list(self, directory: int, path: bytes, below: list[bytes], stats: ScanStats, *, arrived: bool) -> Scan:
        """Look at every entry of an open directory; its subdirectories are added to `below`."""
        status = os.fstat(directory)
        key, inodes = directory_key(path), self._place.site(path, status.st_dev).inodes
        interesting, known, is_file = self._place.names.interesting, self._judge.known.get, stat.S_ISREG
        files = placeholders = 0
        unwatched = UnwatchedFiles()
        with os.scandir(directory) as entries:
            for count, entry in enumerate(entries, 1):
                if count % _ENTRIES == 0:
                    yield stats
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
                        # file_key and mark, written out: this line runs for every file of every scan.
                        if known(hash((key, name))) == hash(
                            (seen.st_size, seen.st_mtime_ns, seen.st_ino if inodes else 0)
                        ):
                            continue
                        self._unknown(directory, path, name, seen, stats, arrived=arrived)
                        self._pass_over(path, entry, unwatched)
                        if self._judge.opened >= _OPENED:
                            self._judge.opened = 0
                            yield stats
                        continue
                    self._remarks.odd(path, name, seen, unwatched)
                else:
                    self._pass_over(path, entry, unwatched)
                placeholders += is_placeholder(name)
                if self._place.folder.recursive and entry.is_dir(follow_symlinks=False):
                    self._descend(path.rstrip(b"/") + b"/" + os.fsencode(name), below)
        stats.directories += 1
        stats.files += files
        stats.new_directories += self._listed(path, status, unwatched, placeholders=placeholders > 0)

    def _listed(self, path: bytes, status: os.stat_result, unwatched: UnwatchedFiles, *, placeholders: bool) -> bool:
        """Note a directory as listed; say whether it was not known, or is another now."""
        self.unwatched.put(path, unwatched)
        (self.unfinished.add if placeholders else self.unfinished.discard)(path)
        before = self.directories.get(path)
        racy = abs(time.time_ns() - status.st_mtime_ns) < _RACY_NS
        self.directories[path] = ListedDirectory(
            0 if racy else status.st_mtime_ns, status.st_dev, status.st_ino, self._generation
        )
        return before is None or (before.device, before.inode) != (status.st_dev, status.st_ino)

    def _descend(self, path: bytes, below: list[bytes]) -> None:
        """Add a directory to those `below` unless it is left out."""
        relative = self._place.relative(path)
        if path not in self._place.foreign and self._place.names.enters(relative):
            below.append(path)
        elif self._place.names.too_deep(relative):
            self._remarks.too_deep(path)

    def _unknown(
        self, directory: int, path: bytes, name: str, status: os.stat_result, stats: ScanStats, *, arrived: bool
    ) -> None:
        """Look at a file a scan met for the first time, or changed; one that waits has its own times."""
        full = path.rstrip(b"/") + b"/" + os.fsencode(name)
        if full in self._judge.candidates or not self._judge.wanted(self._place.relative(full)):
            return
        if not self._judge.is_foreign(directory, path, name, status):
            stats.news += 1
            self._judge.regard(directory, path, name, status, arrived=arrived, siblings=True)

    def _pass_over(self, parent: bytes, entry: "os.DirEntry[str]", unwatched: UnwatchedFiles) -> None:
        """Count a file whose name says that it is sound in a form that Watcher cannot decode."""
        name = entry.name
        if not looks_like_audio(name) or not entry.is_file(follow_symlinks=False):
            return
        if self._place.names.passes_over(self._place.relative(child(parent, name))):
            unwatched.add(name, "suffix")
