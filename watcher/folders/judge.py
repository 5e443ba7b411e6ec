"""Judge found files: whether a file is queued, is ignored, or waits until it is whole."""

import os
import stat
import time
from collections.abc import Callable

import structlog

from watcher import container, tree
from watcher.folders.directories import Directories
from watcher.folders.handover import Handover
from watcher.folders.known import KnownFiles, directory_key, file_key, mark_of
from watcher.folders.remarks import Remarks
from watcher.folders.root_location import RootLocation, child
from watcher.job import FoundRecording
from watcher.settle import SHARED_SUFFIXES, Candidates, NameRuling, abandoned, fingerprint

_log = structlog.get_logger()


class Judge:
    """Judges the files of one root. Owned by the finder's thread."""

    def __init__(
        self,
        location: RootLocation,
        remarks: Remarks,
        *,
        candidates: Candidates,
        known: KnownFiles,
        handover: Handover,
        directories: Directories,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`directories`: the directories listed so far."""
        #: Whether the first scan of the first start has not ended yet.
        self.first = False
        #: Number of files that were opened; read and reset by the scanner.
        self.opened = 0
        self.candidates = candidates
        self.known = known
        self._location = location
        self._remarks = remarks
        self._handover = handover
        self._directories = directories
        self._clock = clock
        self._monotonic = monotonic
        self._began = clock()

    def wanted(self, relative: str) -> bool:
        """Return whether to look at a file, by its path; log excluded recordings once."""
        parent, _, _ = relative.rpartition("/")
        if parent and not self._location.folder.recursive:
            return False
        ruling = self._location.names.file(relative)
        if ruling is not NameRuling.TAKE:
            if ruling is not NameRuling.OTHER:
                self._remarks.ignore(relative, ruling.value, quiet=True)
            return False
        known = (self._location.path + b"/" + os.fsencode(parent)) in self._directories if parent else True
        return known or self._location.names.enters_all(parent)

    def decide(
        self, directory: int, parent: bytes, name: str, status: os.stat_result, *, arrived: bool, siblings: bool
    ) -> None:
        """Decide whether a file is already known, is skipped, or is examined.

        `arrived`: because of an event or a due look, not of a scan. `siblings`: there may be a placeholder beside it.
        """
        path = parent.rstrip(b"/") + b"/" + os.fsencode(name)
        if not stat.S_ISREG(status.st_mode):
            self.candidates.forget(path)
            self._remarks.not_regular(parent, name, status)
            return
        site = self._location.site(parent, status.st_dev)
        stamp = fingerprint(status, site)
        key = file_key(directory_key(parent), name)
        is_abandoned = abandoned(status, self._clock())
        if is_abandoned:
            self.known.put(key, mark_of(stamp))
        if is_abandoned or self.known.get(key) == mark_of(stamp):
            self.candidates.forget(path)
            return
        if self._handover.is_pending(path, stamp):
            return
        # On network mounts ctime cannot be compared: count all files of the first scan as old.
        old = self.first and not arrived and (site.network or status.st_ctime < self._began)
        if old and not self._location.folder.backlog:
            self._handover.skip(FoundRecording(self._location.path, path, stamp, backlog=True))
            return
        candidate = self.candidates.get(path)
        if candidate is None:
            _log.debug("file.found", path=os.fsdecode(path), bytes=status.st_size)
        self.opened += 1
        found = self.candidates.look(directory, path, status, site, backlog=old, arrived=arrived, siblings=siblings)
        if found is not None:
            waited = 0.0 if candidate is None else self._monotonic() - candidate.seen
            self._handover.take(found, waited=waited, urgent=arrived)

    def is_foreign(self, directory: int, parent: bytes, name: str, status: os.stat_result) -> bool:
        """Return whether a file has a suffix of recordings and is none; then it counts as known until it changes."""
        form = SHARED_SUFFIXES.get(os.path.splitext(name)[1].lower())  # noqa: PTH122 - a name
        if form is None or not stat.S_ISREG(status.st_mode):
            return False
        try:
            descriptor = os.open(name, tree.FILE, dir_fd=directory)
        except OSError:
            # Examining it will report why.
            return False
        self.opened += 1
        try:
            if container.inspect(descriptor, status.st_size, quick=True).format == form:
                return False
        except OSError:
            return False
        finally:
            os.close(descriptor)
        stamp = fingerprint(status, self._location.site(parent, status.st_dev))
        self.known.put(file_key(directory_key(parent), name), mark_of(stamp))
        self._remarks.ignore(self._location.relative(child(parent, name)), "no_recording", quiet=True)
        return True
