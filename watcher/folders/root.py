# ruff: noqa: PTH100, PTH116, PTH120  paths are bytes here, and pathlib takes text only
"""One root as the detector knows it, and its scans: single paths, subtrees, changed directories, everything.

Scans are generators: they yield every few dozen files, so that a scan of a hundred thousand never holds up an event.
Directories are opened component by component from the root (`tree`), files by their name in the open directory, so that
a name that is swapped for a symbolic link leads nowhere.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, groupby, islice
from typing import Final

import structlog

from watcher import container, tree
from watcher.folders.folder import Folder
from watcher.folders.handover import Handover
from watcher.folders.inbox import WaitingPaths
from watcher.folders.known import KnownFiles, directory_key, file_key, mark_of
from watcher.folders.mounts import Mount, MountKind, Mounts
from watcher.folders.unwatched import Unwatched, UnwatchedFiles
from watcher.job import FoundRecording
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import PutResult
from watcher.overrides import NAME
from watcher.settle import (
    DEEPEST,
    LONGEST,
    SHARED_SUFFIXES,
    UNREADABLE_HINT,
    Candidates,
    FileSite,
    NameRuling,
    Quota,
    abandoned,
    fingerprint,
    is_audio,
    is_placeholder,
    looks_like_audio,
    too_deep,
)

_log = structlog.get_logger()

#: Entries of a directory, and files opened, between two yields of a scan.
_ENTRIES: Final = 500
_OPENED: Final = 4
#: Paths looked at between two questions whether that was enough for now: a look takes up to 20 ms, and much more where its
#: reads wait for a disk.
_AT_ONCE: Final = 4
#: A directory whose mtime is younger than this may change again without showing it: it is listed once more. FAT counts
#: in steps of two seconds, most others in a few milliseconds.
_RACY_NS: Final = 3_000_000_000
#: Files known beyond twice as many as the ledger and the last full scan had, until all are learned anew: names that are
#: gone would be known for ever. Likewise for directories, until it is asked which of them are still there.
_STRAY: Final = 10_000
#: Paths remembered as ignored, so that each is spoken of once.
_IGNORED: Final = 10_000
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_SETTINGS: Final = os.fsdecode(NAME)
#: What to do about a directory that cannot be listed.
CLOSED_HINT: Final = (
    "let the user that Watcher runs as list it: chmod g+rx where the user is in its group, else chmod o+rx"
)
#: The path is gone, or leads through a symbolic link, which is not followed.
_NOT_THERE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))


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


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A file or directory that cannot be read, why, and what to do about it."""

    path: bytes
    why: str
    hint: str


class Root:
    """One root: candidates, known files, directories. Owned by the detector thread."""

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
    ) -> None:
        """Compile the folder's globs (ValueError when one cannot be understood); `told` hears the ledger's answers.

        `settings` hears of each `.watcher.toml` that a scan meets.
        """
        self.folder = folder
        self.path = os.fsencode(os.path.abspath(folder.path))
        self.names = folder.names()
        self.candidates = Candidates(folder.rules(), clock=clock, monotonic=monotonic)
        self.known = KnownFiles()
        self.directories: dict[bytes, ListedDirectory] = {}
        #: Directories that could not be listed, with the reason.
        self.closed: dict[bytes, str] = {}
        self._unwatched = Unwatched()
        #: So many directories may be remembered until it is asked which are still there.
        self._enough = _STRAY
        #: Roots of other folders inside this one: theirs, not ours.
        self.foreign: frozenset[bytes] = frozenset()
        #: The first scan of the first start is not over.
        self.first = False
        #: Directories with placeholders: only there is every file's sibling asked for. Where somebody makes thousands of
        #: files, each question about a name that is not there waits for the directory's lock.
        self._unfinished: set[bytes] = set()
        self._settings = settings
        self._ledger = ledger
        self._handover = Handover(ledger, self.known, told)
        self._mounts = mounts
        self._clock = clock
        self._prefix = self.path.rstrip(b"/") + b"/"
        self._sites: dict[int, FileSite] = {}
        self._real = self.path
        self._began = clock()
        self._generation = 0
        self._ignored: set[int] = set()
        self._quota = Quota(60, per=60.0, monotonic=monotonic)
        self._monotonic = monotonic
        self._opened = 0
        #: Files that the ledger knew when it was read, and that the last full scan met.
        self._learned = 0
        self._met = 0
        #: Something that should have been unlearned may be known.
        self._doubted = False
        #: What was unlearned while the ledger is being read, as it may have been read before.
        self._unlearned: set[int] | None = None

    def load(self, *, first: bool = True) -> None:
        """Read what the ledger knows below this root, and whether this may be its `first` start; StateError passes."""
        for _ in self.learn():
            pass
        self.first = first and all(self._ledger.memory.remembered(key) is None for key in self._memories)

    def learn(self) -> Scan:
        """Forget all known files, and read what the ledger knows; what else is there is looked at once more."""
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
        """Whether it is time to learn anew."""
        return self._doubted or len(self.known) > 2 * (self._learned + self._met) + _STRAY

    def doubt(self) -> None:
        """Have all known files learned anew before the next full scan, as it was not said which one to unlearn."""
        self._doubted = True

    def settle_in(self, real: bytes) -> None:
        """Note where the root really lies now, and forget what was known of the mounts below it."""
        self._real = real
        self._sites.clear()

    def remote_directories(self) -> frozenset[bytes]:
        """Return the directories that lie on network mounts below a local root: no event comes from there."""
        if self.mount().kind is MountKind.NETWORK:
            return frozenset()
        remote = {device for device, site in self._sites.items() if site.network}
        return frozenset(path for path, directory in self.directories.items() if directory.device in remote)

    def owns(self, path: bytes) -> bool:
        """Return whether an absolute path lies below this root and below none inside it."""
        if not path.startswith(self._prefix):
            return False
        return not any(path == other or path.startswith(other + b"/") for other in self.foreign)

    # One path.

    def inspect(self, path: bytes, *, asked: bool = False) -> None:
        """Look at one path; whatever it is or was, this is harmless. `asked`: whatever its name."""
        self.inspect_all((path,), asked=asked)

    def inspect_some(self, paths: WaitingPaths, enough: Callable[[], bool]) -> None:
        """Look at paths, and take them out of `paths`, until `enough`; at a few of them at least."""
        while some := paths.take(_AT_ONCE):
            self.inspect_all(some)
            if enough():
                break

    def inspect_all(self, paths: Iterable[bytes], *, asked: bool = False) -> None:
        """Look at paths, as `inspect` does; those that follow each other in one directory share its opening."""
        for parent, group in groupby(paths, os.path.dirname):
            together = list(group)
            # In one that is not known every sibling is asked for anyway.
            if parent in self.directories and any(is_placeholder(os.fsdecode(path)) for path in together):
                self._unfinished.add(parent)
            wanted = [path for path in together if self.owns(path) and (asked or self._wanted(self.relative(path)))]
            if not wanted:
                continue
            try:
                with tree.directory(self.path, parent) as directory:
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
            siblings = parent in self._unfinished or parent not in self.directories
            if asked or not self._is_foreign(directory, parent, os.fsdecode(name), status):
                self._regard(directory, parent, os.fsdecode(name), status, arrived=True, siblings=siblings)

    def _out_of_reach(self, path: bytes, error: OSError) -> None:
        if error.errno in _NOT_THERE:
            self.candidates.forget(path)
            return
        # A directory that was closed, a server that is away, no descriptor left: what waits goes on waiting, and what
        # was not met before is met by the next scan.
        self.candidates.postpone(path)
        if (listed := self.directories.get(os.path.dirname(path))) is not None:
            listed.mtime_ns = 0

    def oddity(self, path: bytes) -> str:
        """Return why a path can never be a recording of this root: what kind of thing it is; "" when it can."""
        try:
            mode = os.lstat(path).st_mode
        except OSError as error:
            return error.strerror or str(error)
        if not stat.S_ISREG(mode):
            return _kind(mode)
        return "" if self.owns(path) else "outside its folder"

    def unlearn(self, path: bytes) -> None:
        """Know nothing of a path, so that the next scan which meets it takes it for new."""
        parent, name = os.path.split(path)
        key = file_key(directory_key(parent), os.fsdecode(name))
        self.known.drop(key)
        if self._unlearned is not None:
            self._unlearned.add(key)

    def check_due(self, limit: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Look again at up to `limit` candidates that are due, until `enough`; at a few of them at least."""
        for _ in range(0, limit, _AT_ONCE):
            due = self.candidates.due(_AT_ONCE)
            self.inspect_all(due, asked=True)
            for path in due:
                if self.candidates.neglected(path):  # another folder's by now: its owner finds it by a scan
                    self.candidates.forget(path)
            if not due or enough():
                break
        self.candidates.tell()

    # Scans.

    def full(self) -> Scan:
        """List everything below the root."""
        self._generation += 1
        generation = self._generation
        stats = ScanStats()
        yield from self._walk([self.path], stats)
        self._met = stats.files
        for path, directory in list(self.directories.items()):
            if directory.generation < generation:
                self._forget_directory(path)
        self._enough = 2 * len(self.directories) + _STRAY
        if self.first:
            self.flush()
            self._ledger.memory.remember(
                self._memories[0], {"path": os.fsdecode(self.path).encode(errors="replace").decode()}
            )
            self.first = False
        yield stats

    def subtree(self, path: bytes) -> Scan:
        """List a directory and what lies below it."""
        stats = ScanStats()
        relative = self.relative(path)
        if path == self.path or (self.owns(path) and self.folder.recursive and self.names.enters_all(relative)):
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
        stale.extend(self.closed)
        yield from self._walk(stale, stats, deep=False)
        yield stats

    def _changed(self, path: bytes) -> bool:
        directory = self.directories.get(path)
        if directory is None:
            return True
        try:
            status = os.stat(path, follow_symlinks=path == self.path)
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
            with tree.directory(self.path, path) as directory, os.scandir(directory) as entries:
                for count, entry in enumerate(entries, 1):
                    name = entry.name
                    if self.names.interesting(name) and self.known.get(file_key(key, name)) is None:
                        full = prefix + os.fsencode(name)
                        taken = self.names.file(self.relative(full)) is NameRuling.TAKE
                        if taken and full not in self.candidates and entry.is_file(follow_symlinks=False):
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
                with tree.directory(self.path, path) as directory:
                    yield from self._list(directory, path, below, stats, arrived=arrived)
            except (FileNotFoundError, NotADirectoryError):
                self._forget_directory(path)
                self.closed.pop(path, None)
                continue
            except OSError as error:
                self._shut(path, error)
                continue
            self.closed.pop(path, None)
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
        self._unfinished.discard(path)
        self._unwatched.drop(path)

    def _list(self, directory: int, path: bytes, below: list[bytes], stats: ScanStats, *, arrived: bool) -> Scan:
        """Look at every entry of an open directory; its subdirectories are added to `below`."""
        status = os.fstat(directory)
        key, inodes = directory_key(path), self.site(path, status.st_dev).inodes
        interesting, known, is_file = self.names.interesting, self.known.get, stat.S_ISREG
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
                        if self._opened >= _OPENED:
                            self._opened = 0
                            yield stats
                        continue
                    self._odd(path, name, seen, unwatched)
                else:
                    self._pass_over(path, entry, unwatched)
                placeholders += is_placeholder(name)
                if self.folder.recursive and entry.is_dir(follow_symlinks=False):
                    self._descend(path.rstrip(b"/") + b"/" + os.fsencode(name), below)
        stats.directories += 1
        stats.files += files
        stats.new_directories += self._listed(path, status, unwatched, placeholders=placeholders > 0)

    def _listed(self, path: bytes, status: os.stat_result, unwatched: UnwatchedFiles, *, placeholders: bool) -> bool:
        """Note a directory as listed; say whether it was not known, or is another now."""
        self._unwatched.put(path, unwatched)
        (self._unfinished.add if placeholders else self._unfinished.discard)(path)
        before = self.directories.get(path)
        racy = abs(time.time_ns() - status.st_mtime_ns) < _RACY_NS
        self.directories[path] = ListedDirectory(
            0 if racy else status.st_mtime_ns, status.st_dev, status.st_ino, self._generation
        )
        return before is None or (before.device, before.inode) != (status.st_dev, status.st_ino)

    def _descend(self, path: bytes, below: list[bytes]) -> None:
        """Add a directory to those `below` unless it is left out; speak of one that is nested too deeply, once."""
        relative = self.relative(path)
        if path not in self.foreign and self.names.enters(relative):
            below.append(path)
        elif too_deep(relative) and self._first_time(relative, "too_deep") and self._quota.spend():
            _log.warning(
                "folder.degraded",
                folder=self.folder.name,
                path=os.fsdecode(path),
                reason="too_deep",
                hint=f"recordings are looked for in {DEEPEST} levels of folders, and where the path of a folder has at most "
                f"{LONGEST} characters: move what lies deeper up",
            )

    def _unknown(
        self, directory: int, path: bytes, name: str, status: os.stat_result, stats: ScanStats, *, arrived: bool
    ) -> None:
        """Look at a file a scan met for the first time, or changed; one that waits has its own times."""
        full = path.rstrip(b"/") + b"/" + os.fsencode(name)
        if full in self.candidates or not self._wanted(self.relative(full)):
            return
        if not self._is_foreign(directory, path, name, status):
            stats.news += 1
            self._regard(directory, path, name, status, arrived=arrived, siblings=True)

    def _pass_over(self, parent: bytes, entry: "os.DirEntry[str]", unwatched: UnwatchedFiles) -> None:
        """Count a file whose name says that it is sound in a form that is not decoded here."""
        name = entry.name
        if not looks_like_audio(name) or not entry.is_file(follow_symlinks=False):
            return
        if self.names.passes_over(self.relative(_child(parent, name))):
            unwatched.add(name, "suffix")

    # Judging what was found.

    def _wanted(self, relative: str) -> bool:
        """Return whether a file is to be looked at by its path; speak of recordings that are left out, once."""
        parent, _, _ = relative.rpartition("/")
        if parent and not self.folder.recursive:
            return False
        ruling = self.names.file(relative)
        if ruling is not NameRuling.TAKE:
            if ruling is not NameRuling.OTHER:
                self._ignore(relative, ruling.value, quiet=True)
            return False
        known = (self.path + b"/" + os.fsencode(parent)) in self.directories if parent else True
        return known or self.names.enters_all(parent)

    def _regard(
        self, directory: int, parent: bytes, name: str, status: os.stat_result, *, arrived: bool, siblings: bool
    ) -> None:
        """Take a file for known, for left alone, or have it looked at.

        `arrived`: an event or a due look says so. `siblings`: a placeholder may be beside it.
        """
        path = parent.rstrip(b"/") + b"/" + os.fsencode(name)
        if not stat.S_ISREG(status.st_mode):
            self.candidates.forget(path)
            self._odd(parent, name, status)
            return
        site = self.site(parent, status.st_dev)
        stamp = fingerprint(status, site)
        key = file_key(directory_key(parent), name)
        if abandoned(status, self._clock()):
            self.known.put(key, mark_of(stamp))
        if self.known.get(key) == mark_of(stamp):
            self.candidates.forget(path)
            return
        if self._handover.holds(path, stamp):
            return
        # A server's clock is not ours, so there what the first scan meets was there before.
        old = self.first and not arrived and (site.network or status.st_ctime < self._began)
        if old and not self.folder.backlog:
            self._handover.leave(FoundRecording(self.path, path, stamp, backlog=True))
            return
        candidate = self.candidates.get(path)
        if candidate is None:
            _log.debug("file.found", path=os.fsdecode(path), bytes=status.st_size)
        self._opened += 1
        found = self.candidates.look(directory, path, status, site, backlog=old, arrived=arrived, siblings=siblings)
        if found is not None:
            waited = 0.0 if candidate is None else self._monotonic() - candidate.seen
            self._handover.take(found, waited=waited, urgent=arrived)

    def _is_foreign(self, directory: int, parent: bytes, name: str, status: os.stat_result) -> bool:
        """Return whether a file shares its suffix with recordings and is none; then it is known until it changes."""
        form = SHARED_SUFFIXES.get(os.path.splitext(name)[1].lower())  # noqa: PTH122 - a name
        if form is None or not stat.S_ISREG(status.st_mode):
            return False
        try:
            descriptor = os.open(name, _FILE, dir_fd=directory)
        except OSError:
            # The look at it will report why.
            return False
        self._opened += 1
        try:
            if container.inspect(descriptor, status.st_size, quick=True).format == form:
                return False
        except OSError:
            return False
        finally:
            os.close(descriptor)
        stamp = fingerprint(status, self.site(parent, status.st_dev))
        self.known.put(file_key(directory_key(parent), name), mark_of(stamp))
        self._ignore(self.relative(_child(parent, name)), "no_recording", quiet=True)
        return True

    def _odd(self, parent: bytes, name: str, status: os.stat_result, unwatched: UnwatchedFiles | None = None) -> None:
        """Speak of a thing that is named like a recording and is none; count a link."""
        relative = self.relative(_child(parent, name))
        if not is_audio(name) or self.names.file(relative) is not NameRuling.TAKE:
            return
        self._ignore(relative, _kind(status.st_mode))
        if unwatched is not None and stat.S_ISLNK(status.st_mode):
            unwatched.add(name, "symlink")

    def _first_time(self, relative: str, reason: str) -> bool:
        key = hash((relative, reason))
        if key in self._ignored:
            return False
        if len(self._ignored) >= _IGNORED:
            self._ignored.clear()
        self._ignored.add(key)
        return True

    def _ignore(self, relative: str, reason: str, *, quiet: bool = False) -> None:
        if not self._first_time(relative, reason):
            return
        path = os.fsdecode(self._prefix) + relative
        if quiet or not self._quota.spend():
            _log.debug("file.ignored", path=path, reason=reason)
        else:
            _log.info("file.ignored", path=path, reason=reason)

    def _shut(self, path: bytes, error: OSError) -> None:
        """Note a directory that could not be listed; once per reason."""
        reason = error.strerror or str(error)
        told = self.closed.get(path) == reason
        if path == self.path:  # its guard sees that, and calls it lost
            return
        if len(self.closed) < _IGNORED:
            self.closed[path] = reason
        if not told and self._quota.spend():
            _log.warning(
                "folder.degraded",
                folder=self.folder.name,
                path=os.fsdecode(path),
                reason="unreadable",
                error=reason,
                hint=CLOSED_HINT,
            )

    def obstacles(self, limit: int) -> tuple[Obstacle, ...]:
        """Return up to `limit` files and directories that wait for somebody to let us read them."""
        closed = (Obstacle(path, why, CLOSED_HINT) for path, why in self.closed.items())
        files = (Obstacle(path, why, UNREADABLE_HINT) for path, why in self.candidates.unreadable.items())
        return tuple(islice(chain(closed, files), limit))

    @property
    def passed_over(self) -> int:
        """Count the files that look like recordings and are not taken."""
        return self._unwatched.count

    def unwatched(self, limit: int) -> tuple[tuple[bytes, str], ...]:
        """Return up to `limit` of them: the path, and the reason (see `settle.UNWATCHED`)."""
        found = ((_child(directory, name), why) for directory, name, why in self._unwatched.some())
        return tuple(islice(found, limit))

    def site(self, directory: bytes, device: int) -> FileSite:
        """Return what can be relied on in a directory; by device, so that a mount below the root counts."""
        site = self._sites.get(device)
        if site is None:
            mount = self.mount(directory)
            site = self._sites[device] = FileSite(
                self.path, network=mount.kind is MountKind.NETWORK, inodes=mount.stable_inodes
            )
        return site

    def mount(self, directory: bytes = b"") -> Mount:
        """Return the mount that a directory of this root lies on."""
        return self._mounts.of(self._real + directory[len(self.path) :] if directory else self._real)

    def relative(self, path: bytes) -> str:
        """Return a path below this root as text, without the root."""
        return os.fsdecode(path[len(self._prefix) :])

    def flush(self, *, bulk: bool = False) -> int:
        """Hand what is whole to the ledger; give the number of files queued. See `Handover.flush`."""
        return self._handover.flush(bulk=bulk)

    @property
    def _memories(self) -> tuple[str, str]:
        """Keys under which the ledger remembers that this root was scanned once: by its name on all hosts, by its path here.

        The second one is what a ledger that was not shared has left to one that is.
        """
        common, path = (
            f"folder.{sha256(name).hexdigest()[:32]}" for name in (self._ledger.hosts.common(self.path), self.path)
        )
        return common, path


def _child(parent: bytes, name: str) -> bytes:
    return parent.rstrip(b"/") + b"/" + os.fsencode(name)


def _kind(mode: int) -> str:
    for test, kind in (
        (stat.S_ISDIR, "directory"),
        (stat.S_ISLNK, "symlink"),
        (stat.S_ISFIFO, "fifo"),
        (stat.S_ISSOCK, "socket"),
    ):
        if test(mode):
            return kind
    return "device"
