# ruff: noqa: PTH120  paths are bytes here, and pathlib takes text only
"""One root of the finder: its known files, looks at single paths, and its scans."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import chain, groupby, islice
from typing import Final

from watcher import tree
from watcher.folders.directories import Directories, ListedDirectory
from watcher.folders.folder import Folder
from watcher.folders.handover import AssignSessions, Handover
from watcher.folders.inbox import WaitingPaths
from watcher.folders.judge import Judge
from watcher.folders.known import KnownFiles, directory_key, file_key, mark_of
from watcher.folders.mounts import MountKind, Mounts
from watcher.folders.remarks import CLOSED_HINT, Obstacle, Remarks, kind_of
from watcher.folders.root_location import RootLocation, child
from watcher.folders.scanner import Scan, Scanner, ScanStats
from watcher.job import FoundRecording
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import PutResult
from watcher.settle import UNREADABLE_HINT, Candidates, is_placeholder

#: Paths looked at between two calls of `enough`: a look takes up to 20 ms, and much more if its
#: reads wait for a disk.
_AT_ONCE: Final = 4
#: If the number of known files exceeds twice that of the ledger and the last full scan by this many, the ledger is read
#: again: otherwise names that are gone would stay known forever.
_STRAY: Final = 10_000
#: Files read from the ledger between two yields.
_ENTRIES: Final = 500
#: The path is gone, or leads through a symbolic link, which is not followed.
_NOT_THERE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
#: The oddity of a path that belongs to no folder, or to another one.
_OUTSIDE: Final = "outside its folder"


class Root:
    """One root: candidates, known files, directories. Owned by the finder's thread."""

    def __init__(
        self,
        folder: Folder,
        ledger: Ledger,
        mounts: Mounts,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        told: Callable[[FoundRecording, PutResult], None] | None = None,
        settings: Callable[[bytes], None] | None = None,
        assign: AssignSessions | None = None,
    ) -> None:
        """Compile the folder's globs (ValueError for a broken one); `told` is called with the ledger's results.

        `settings` is called for each `.watcher.toml` that a scan finds, `assign` for each recording before it is put into the ledger.
        """
        self.location = RootLocation(folder, mounts)
        self.path = self.location.path
        self.candidates = Candidates(folder.rules(), clock=clock, monotonic=monotonic)
        self.known = KnownFiles()
        self.directories = Directories(self.path)
        self._ledger = ledger
        self.remarks = Remarks(self.location, monotonic=monotonic)
        self._handover = Handover(ledger, self.known, told, assign)
        self._judge = Judge(
            self.location,
            self.remarks,
            candidates=self.candidates,
            known=self.known,
            handover=self._handover,
            directories=self.directories,
            clock=clock,
            monotonic=monotonic,
        )
        self._scanner = Scanner(
            self.location, self._judge, self.remarks, directories=self.directories, settings=settings
        )
        self.subtree = self._scanner.subtree
        self.below = self._scanner.below
        self.changed = self._scanner.changed
        #: Number of files that the ledger knew when it was read.
        self._learned = 0
        #: A file may be known that should have been forgotten.
        self._doubted = False
        #: Keys of files to forget, noted while `learn` reads the ledger, as it may have read their rows already; None: it does not read.
        self._unlearned: set[int] | None = None

    @property
    def first(self) -> bool:
        """Whether the first scan of the first start has not ended yet."""
        return self._judge.first

    def begin(self) -> None:
        """Have the next full scan begin with what the ledger knows below this root. Raises StateError."""
        self.doubt()
        self._judge.first = all(self._ledger.memory.remembered(key) is None for key in self._memories)

    def learn(self) -> Scan:
        """Forget all known files, and read those of the ledger; all others are looked at once more."""
        self.known.clear()
        self._doubted, unlearned = False, set[int]()
        self._unlearned = unlearned
        directory, key = b"", 0
        try:
            for count, (path, known, _) in enumerate(self._ledger.history.known(self.path), 1):
                parent, name = os.path.split(path)
                if parent != directory:
                    directory, key = parent, directory_key(parent)
                if (file := file_key(key, os.fsdecode(name))) not in unlearned:
                    self.known.put(file, mark_of(known))
                if count % _ENTRIES == 0:
                    yield ScanStats()
        finally:
            self._unlearned = None
        self._learned = len(self.known)

    @property
    def overgrown(self) -> bool:
        """Whether it is time to read the known files again."""
        return self._doubted or len(self.known) > 2 * (self._learned + self._scanner.met) + _STRAY

    def doubt(self) -> None:
        """Read all known files again before the next full scan, since one of them must be forgotten and it is not known which."""
        self._doubted = True

    def remote_directories(self) -> frozenset[ListedDirectory]:
        """Return the directories on network mounts below a local root: they have no events."""
        if self.location.mount().kind is MountKind.NETWORK:
            return frozenset()
        return frozenset(directory for directory in self.directories if self.location.is_remote(directory.device))

    # One path.

    def inspect(self, path: bytes, *, asked: bool = False) -> None:
        """Look at one path, whatever it is, or even if it is gone. `asked`: ignore the rules for names."""
        self.inspect_all((path,), asked=asked)

    def inspect_some(self, paths: WaitingPaths, enough: Callable[[], bool]) -> None:
        """Look at paths, and remove them from `paths`, until `enough`; at least at a few."""
        while some := paths.take(_AT_ONCE):
            self.inspect_all(some)
            if enough():
                break

    def inspect_all(self, paths: Iterable[bytes], *, asked: bool = False) -> None:
        """Look at paths, as `inspect` does; successive paths in one directory open it once."""
        for parent, group in groupby(paths, os.path.dirname):
            together = list(group)
            # For unknown directories placeholders are checked per file.
            listed = self.directories.get(parent)
            if listed is not None and any(is_placeholder(os.fsdecode(path)) for path in together):
                listed.unfinished = True
            wanted = [
                path
                for path in together
                if self.location.owns(path) and (asked or self._judge.wanted(self.location.relative(path)))
            ]
            if not wanted:
                continue
            try:
                with tree.directory(self.location.path, parent) as directory:
                    for path in wanted:
                        self._look(directory, path, asked=asked)
            except OSError as error:
                for path in wanted:
                    self._out_of_reach(path, error)
            except ValueError:  # a path no kernel makes, such as a doubled slash
                continue

    def _look(self, directory: int, path: bytes, *, asked: bool) -> None:
        parent, name = os.path.split(path)
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            self._out_of_reach(path, error)
        else:
            listed = self.directories.get(parent)
            siblings = listed is None or listed.unfinished
            if asked or not self._judge.is_foreign(directory, parent, os.fsdecode(name), status):
                self._judge.decide(directory, parent, os.fsdecode(name), status, arrived=True, siblings=siblings)

    def _out_of_reach(self, path: bytes, error: OSError) -> None:
        if error.errno in _NOT_THERE:
            self.candidates.forget(path)
            return
        # No permission, a server that is away, no descriptor left: candidates go on waiting, and new files are found by
        # the next scan.
        self.candidates.postpone(path)
        if (listed := self.directories.get(os.path.dirname(path))) is not None:
            listed.mtime_ns = 0

    def oddity(self, path: bytes) -> str:
        """Return why a path cannot be a recording of this root (the kind of thing that it is), or ""."""
        try:
            mode = tree.status(self.path, path).st_mode
        except OSError as error:
            return error.strerror or str(error)
        except ValueError:
            return _OUTSIDE
        if not stat.S_ISREG(mode):
            return kind_of(mode)
        return "" if self.location.owns(path) else _OUTSIDE

    def unlearn(self, path: bytes) -> None:
        """Forget a path, so that the next scan that finds it counts it as new."""
        parent, name = os.path.split(path)
        key = file_key(directory_key(parent), os.fsdecode(name))
        self.known.drop(key)
        if self._unlearned is not None:
            self._unlearned.add(key)

    def check_due(self, limit: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Look again at up to `limit` candidates that are due, until `enough`; at least at a few."""
        for _ in range(0, limit, _AT_ONCE):
            due = self.candidates.due(_AT_ONCE)
            self.inspect_all(due, asked=True)
            for path in due:
                if self.candidates.neglected(path):  # it belongs to another folder now, whose scan finds it
                    self.candidates.forget(path)
            if not due or enough():
                break
        self.candidates.tell()

    # Scans.

    def full(self) -> Scan:
        """List everything below the root."""
        yield from self._scanner.full()
        if self._judge.first:
            self.flush()
            self._ledger.memory.remember(
                self._memories[0], {"path": os.fsdecode(self.path).encode(errors="replace").decode()}
            )
            self._judge.first = False

    # Results.

    def obstacles(self, limit: int) -> tuple[Obstacle, ...]:
        """Return up to `limit` obstacles: files and directories that cannot be read, or are too many."""
        crowded = (Obstacle(self.path, *self.remarks.crowded),) if self.remarks.crowded is not None else ()
        closed = (Obstacle(path, why, CLOSED_HINT) for path, why in self.remarks.closed.items())
        files = (Obstacle(path, why, UNREADABLE_HINT) for path, why in self.candidates.unreadable.items())
        return tuple(islice(chain(crowded, closed, files), limit))

    @property
    def passed_over(self) -> int:
        """Count the files that look like recordings and are not taken."""
        return self._scanner.unwatched.count

    def unwatched(self, limit: int) -> tuple[tuple[bytes, str], ...]:
        """Return up to `limit` of the files that look like recordings and are not taken: path, and reason (see `settle.UNWATCHED`)."""
        found = ((child(directory, name), why) for directory, name, why in self._scanner.unwatched.some())
        return tuple(islice(found, limit))

    def flush(self, *, bulk: bool = False) -> int:
        """Put whole files into the ledger; return the number of files queued. See `Handover.flush`."""
        return self._handover.flush(bulk=bulk)

    @property
    def _memories(self) -> tuple[str, str]:
        """Memory keys for the fact that this root was scanned before: by its name on all hosts, and by its path here.

        The second key is from a time when the ledger was not shared.
        """
        common, path = (
            f"folder.{sha256(name).hexdigest()[:32]}" for name in (self._ledger.hosts.common(self.path), self.path)
        )
        return common, path
