"""One scan, for `watcher once`: judge the existing files and queue them, without watching."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Final

from watcher import reach
from watcher.folders import notes as notes_of_failures
from watcher.folders.census import unknown, unknown_file
from watcher.folders.doubles import distinct, inside, report
from watcher.folders.folder import Folder
from watcher.folders.handover import AssignSessions
from watcher.folders.mounts import Mounts
from watcher.folders.root import Root
from watcher.job import FoundRecording
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput, PutResult
from watcher.settle import Candidate, WaitReason
from watcher.tree import is_below

#: A file that changed more often than this while it waited counts as being written.
_CHANGES: Final = 2
#: Seconds to wait for the end of a copy; a longer one is left for the next run.
_WRITING: Final = 2.0
#: Seconds between two looks at the clock while waiting.
_TICK: Final = 0.25
_LOOKS: Final = 200
#: Most files to name that look like recordings and are not taken.
_UNWATCHED: Final = 1000


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A file, or a folder, that was not taken."""

    path: bytes
    #: For a file that may become whole, a `settle.WaitReason`; else the kind of thing: directory, symlink, fifo, missing …;
    #: "lost" for a folder that does not exist, or whose mount hangs (`detail` says so); "closed" for one that may not be listed;
    #: "too_long" for a path that leaves no room for the names of outputs;
    #: "changed" and "gone" for a file to which that happened while it was processed.
    reason: str
    detail: str = ""
    #: Whether a person named it.
    named: bool = False


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Result of one scan."""

    #: Queued now, in the order found.
    queued: tuple[bytes, ...]
    #: Named files that the ledger knew already, in any state.
    known: tuple[bytes, ...]
    #: Paths not taken: being written, empty, unreadable, or no files.
    left: tuple[NotTaken, ...]
    #: Some of the files that look like recordings and are not taken; see `settle.UNWATCHED` for the reasons.
    unwatched: tuple[NotTaken, ...] = ()


def collect(
    folders: Sequence[Folder],
    files: Sequence[tuple[Folder, str]],
    ledger: Ledger,
    *,
    stop: threading.Event,
    parts: Sequence[tuple[Folder, str]] = (),
    assign: AssignSessions | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> ScanResult:
    """Scan the folders and check the named files, until no file is left that only has to be quiet for longer.

    Of the folders in `parts`, only the given directory below them is scanned. A directory that the folder's rules exclude
    is reported, not scanned. A named file is judged by the rules of its folder, except the rules for names. An incomplete file
    that nobody writes is taken after the quiet time, and marked as suspect; a file that is being
    written is left. When `stop` is set, returns at once what was found so far. `assign`: see `Root`. ValueError for a broken glob.
    """
    mounts = Mounts()
    try:
        collection = _Collection(ledger, mounts, assign=assign, clock=clock, monotonic=monotonic)
        collection.look_at(folders, files, parts)
        collection.heed_notes()
        collection.scan(stop)
        while not stop.is_set() and (wait := collection.check_due()) is not None:
            stop.wait(min(wait, _TICK))
        return collection.result()
    finally:
        mounts.close()


def unknown_recordings(
    folders: Sequence[Folder],
    files: Sequence[tuple[Folder, str]],
    ledger: Ledger,
    *,
    parts: Sequence[tuple[Folder, str]] = (),
) -> Iterator[FoundRecording]:
    """Yield the recordings that `collect` would find with these arguments, complete or not, without changing anything."""
    mounts = Mounts()
    try:
        collection = _Collection(ledger, mounts, clock=time.time, monotonic=time.monotonic)
        collection.look_at(folders, files, parts)
        yield from collection.unknown()
    finally:
        mounts.close()


class _Collection:
    """The roots of one call."""

    def __init__(
        self,
        ledger: Ledger,
        mounts: Mounts,
        *,
        assign: AssignSessions | None = None,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._assign = assign
        self._ledger = ledger
        self._mounts = mounts
        self._clock = clock
        self._monotonic = monotonic
        self._known: dict[Folder, Root] = {}
        self._roots: list[Root] = []
        self._parts: list[tuple[Root, bytes]] = []
        #: Directories that were named and are excluded.
        self._excluded: list[bytes] = []
        #: Folders that do not exist, or whose mount hangs, and why.
        self._lost: list[tuple[bytes, str]] = []
        #: Folders and files whose paths are too long to be stored.
        self._too_long: list[bytes] = []
        #: Folders that may not be listed, and why.
        self._closed: list[tuple[bytes, str]] = []
        self._files: list[tuple[Root, bytes]] = []
        self._queued: list[bytes] = []
        self._began = monotonic()

    def look_at(
        self, folders: Sequence[Folder], files: Sequence[tuple[Folder, str]], parts: Sequence[tuple[Folder, str]]
    ) -> None:
        """Add folders, single files, and single directories of folders; see `collect`."""
        for folder in folders:
            self.add(folder)
        for folder, path in parts:
            self.add_part(folder, os.fsencode(path))
        for folder, path in files:
            self.add_file(folder, os.fsencode(os.path.abspath(path)))  # noqa: PTH100  keeps symbolic links

    def add(self, folder: Folder) -> None:
        """Add a folder to scan, unless its mount hangs, it does not exist, or it may not be listed."""
        path = os.fsencode(folder.path)
        try:
            reach.ask(path, partial(_list, path), seconds=reach.PATIENT_SECONDS)
        except reach.SilentError:
            self._lost.append((path, reach.SILENT))
        except PermissionError as exc:
            self._closed.append((path, exc.strerror or str(exc)))
        except OSError:
            self._lost.append((path, ""))
        else:
            if folder.is_too_long(path):
                self._too_long.append(path)
            else:
                self._roots.append(self._root(folder))

    def add_part(self, folder: Folder, path: bytes) -> None:
        """Add a directory of a folder to scan."""
        root = self._root(folder)
        if root.location.names.enters_all(root.location.relative(path)):
            self._parts.append((root, path))
        else:
            self._excluded.append(path)

    def add_file(self, folder: Folder, path: bytes) -> None:
        """Add one file, unless its path is too long."""
        if folder.is_too_long(os.path.dirname(path)):  # noqa: PTH120 - bytes
            self._too_long.append(path)
        else:
            self._files.append((self._root(folder), path))

    def heed_notes(self) -> None:
        """Put back failed sources whose note was deleted, among those that this call is about."""
        files = {path for _, path in self._files}
        parts = [path for _, path in self._parts]

        def is_meant(note: OwnedOutput) -> bool:
            path = note.source
            if path in files or any(is_below(path, part) for part in parts):
                return True
            return any(root.location.owns(path) for root in self._roots)

        def root_of(path: bytes) -> bytes | None:
            return max((root.path for root in self._all() if is_below(path, root.path)), key=len, default=None)

        put_back, _ = notes_of_failures.heed(self._ledger, filter(is_meant, self._ledger.outputs.notes()), root_of)
        self._queued += put_back

    def scan(self, stop: threading.Event) -> None:
        """Scan everything once."""
        self._part_roots()
        scans = [
            *((root, root.full()) for root in self._roots),
            *((root, root.below(path)) for root, path in self._parts),
        ]
        for root, scan in scans:
            for _ in scan:
                root.flush(bulk=True)
                if stop.is_set():
                    self._flush()
                    return
        for root, path in self._files:
            root.inspect(path, asked=True)
        self._flush()

    def unknown(self) -> Iterator[FoundRecording]:
        """Yield the recordings that the ledger does not know."""
        self._part_roots()
        places = [*((root, root.path) for root in self._roots), *self._parts]
        found = (one for root, path in places for one in unknown(root, path))
        yield from filter(None, chain(found, (unknown_file(root, path) for root, path in self._files)))

    def _part_roots(self) -> None:
        """Make each file belong to one root: of nested roots, also through links, to the inner one."""
        roots = {root.location.folder: root for root in self._roots}
        locations, doubles = distinct(roots, self._mounts)
        for folder, other in doubles:
            report(folder, other)
            self._roots.remove(roots[folder])
        for root in self._all():
            location = self._mounts.locate(root.path)
            root.location.foreign = inside(location, root.location.folder, locations, self._mounts)

    def check_due(self) -> float | None:
        """Check files that are due; return the seconds until the next check that may take a file, None if none will."""
        now = self._monotonic()
        for root in self._all():
            root.check_due(_LOOKS)
        self._flush()
        hopeful = [candidate.due for candidate in self._waiting() if self._hopeful(candidate, now)]
        return max(0.0, min(hopeful) - now) if hopeful else None

    def result(self) -> ScanResult:
        """Return the result so far."""
        named = {path for _, path in self._files}
        left = [
            NotTaken(candidate.path, str(candidate.reason), candidate.detail, named=candidate.path in named)
            for candidate in self._waiting()
        ]
        left += [
            NotTaken(path, "excluded", "by its name, or by the settings of the folder above", named=True)
            for path in self._excluded
        ]
        left += [NotTaken(path, "lost", why, named=True) for path, why in self._lost]
        left += [NotTaken(path, "too_long", named=True) for path in self._too_long]
        closed = (one for root in self._all() for one in root.remarks.closed.items())
        left += [NotTaken(path, "closed", why) for path, why in (*self._closed, *closed)]
        waiting = {candidate.path for candidate in self._waiting()}
        settled = waiting.union(self._queued)
        known = []
        for root, path in self._files:
            if path in settled:
                continue
            odd = root.oddity(path)
            if odd:
                left.append(NotTaken(path, odd, named=True))
            else:
                known.append(path)
        unwatched = (NotTaken(path, why) for root in self._all() for path, why in root.unwatched(_UNWATCHED))
        return ScanResult(tuple(self._queued), tuple(known), tuple(left), tuple(islice(unwatched, _UNWATCHED)))

    def _root(self, folder: Folder) -> Root:
        if folder not in self._known:
            self._known[folder] = self._made(folder)
        return self._known[folder]

    def _made(self, folder: Folder) -> Root:
        # `once` does not wait ten minutes for a file that looks cut off: it is taken after the quiet time.
        patient = replace(folder, incomplete_after=folder.quiet_seconds)
        root = Root(
            patient,
            self._ledger,
            self._mounts,
            clock=self._clock,
            monotonic=self._monotonic,
            told=self._told,
            assign=self._assign,
        )
        root.location.set_real_path(reach.real_path(root.path))
        for _ in root.learn():
            pass
        return root

    def _told(self, found: FoundRecording, answer: PutResult) -> None:
        if answer is not PutResult.KNOWN:
            self._queued.append(found.path)

    def _flush(self) -> None:
        for root in self._all():
            root.flush()

    def _all(self) -> Iterable[Root]:
        return self._known.values()

    def _waiting(self) -> list[Candidate]:
        return [candidate for root in self._all() for candidate in root.candidates]

    def _hopeful(self, candidate: Candidate, now: float) -> bool:
        """Return whether a file may become whole by itself within the quiet time."""
        if candidate.reason in (WaitReason.SETTLING, WaitReason.INCOMPLETE):
            return candidate.changes <= _CHANGES
        return candidate.reason is WaitReason.WRITER and now - self._began < _WRITING


def _list(path: bytes) -> None:
    """Raise OSError if a directory does not exist, or may not be listed."""
    with os.scandir(path):
        pass
