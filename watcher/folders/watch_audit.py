"""Audit a watch: find the directories of a root that have no watch of the kernel."""

import errno
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from watcher.folders.directories import ListedDirectory
from watcher.folders.kernel_watches import diagnose, kernel_device, watched
from watcher.folders.root import Root

#: Device and inode of each directory on which this process has a watch of the kernel.
_Watched: TypeAlias = frozenset[tuple[int, int]]
#: Seconds to wait for the kernel's list of watches; a longer one is looked at a moment later.
_LIST: Final = 0.05


class AuditVerdict(StrEnum):
    """What to do after an audit."""

    #: Look again in a moment: a new directory gets its watch after a moment.
    UNSURE = "unsure"
    #: Build the watch again: the kernel would now accept the missing watches.
    REBUILD = "rebuild"
    #: Do nothing: directories without a watch are scanned regularly.
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Result of an audit."""

    verdict: AuditVerdict
    #: Directories that had no watch in two audits.
    missing: frozenset[ListedDirectory]
    #: Whether some of these had one before.
    news: bool
    #: The errno with which the kernel refuses a watch on one of them; 0: it does not refuse.
    refusal: int


class WatchAudit:
    """The audit of one root's watch. Not thread-safe."""

    def __init__(self) -> None:
        #: Directories without a watch at the last audit.
        self.unwatched: frozenset[ListedDirectory] = frozenset()
        self._suspects: frozenset[ListedDirectory] = frozenset()
        #: Building the watch again did not help.
        self._rebuild_useless = False
        #: The kernel's list of watches that is being read.
        self._listing: Future[_Watched] | None = None

    def look(self, root: Root, *, is_full: bool = False) -> AuditFinding:
        """Compare the kernel's watches with the directories; UNSURE also while the list of watches is being read.

        `is_full`: the folder takes no more watches.
        """
        listing, self._listing = self._listing or _begin_listing(), None
        try:
            pairs = listing.result(_LIST)
        except TimeoutError:
            self._listing = listing
            return AuditFinding(AuditVerdict.UNSURE, frozenset(), news=False, refusal=0)
        return self._compare(root, pairs, is_full=is_full)

    def _compare(self, root: Root, pairs: _Watched, *, is_full: bool) -> AuditFinding:
        missing = _missing(root, pairs)
        confirmed = missing & self._suspects
        self._suspects = missing
        if missing and not confirmed:
            return AuditFinding(AuditVerdict.UNSURE, confirmed, news=False, refusal=0)
        refusal = 0
        if confirmed:
            refusal = errno.ENOSPC if is_full else diagnose(root.path, next(iter(confirmed)).path)
        watchable = bool(confirmed) and refusal == 0
        if watchable and not self._rebuild_useless:
            self._rebuild_useless = True
            return AuditFinding(AuditVerdict.REBUILD, confirmed, news=True, refusal=0)
        news = bool(confirmed - self.unwatched)
        self._rebuild_useless, self.unwatched = watchable, confirmed
        return AuditFinding(AuditVerdict.SETTLED, confirmed, news=news, refusal=refusal)


def _begin_listing() -> Future[_Watched]:
    """Read the list of watches in a thread: for a million of them, which others can cause, it takes many seconds."""
    listing = Future[_Watched]()

    def read() -> None:
        try:
            listing.set_result(watched())
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: `look` raises it
            listing.set_exception(error)

    # The exception to "no daemonic threads": a stop need not wait for it.
    threading.Thread(target=read, name="watch-list", daemon=True).start()
    return listing


def _missing(root: Root, pairs: _Watched) -> frozenset[ListedDirectory]:
    # btrfs shows different devices in stat and fdinfo, so only inode numbers are compared there.
    inodes = {inode for _, inode in pairs} if root.location.mount().filesystem == "btrfs" else frozenset()
    return frozenset(
        directory
        for directory in root.directories
        if directory.inode not in inodes and (kernel_device(directory.device), directory.inode) not in pairs
    )
