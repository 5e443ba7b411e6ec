"""Audit a watch: find the directories of a root that the kernel does not watch for us."""

from dataclasses import dataclass
from enum import StrEnum

from watcher.folders.directories import ListedDirectory
from watcher.folders.kernel_watches import diagnose, kernel_device, watched
from watcher.folders.root import Root


class AuditVerdict(StrEnum):
    """What has to be done after a look."""

    #: Look again in a moment: a new directory gets its watch a moment later.
    UNSURE = "unsure"
    #: Build the watch anew: the kernel would watch what it does not.
    REBUILD = "rebuild"
    #: Nothing: what is not watched is looked at now and then.
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """What a look has found."""

    verdict: AuditVerdict
    #: Directories that had no watch at two looks.
    missing: frozenset[ListedDirectory]
    #: Some of these had one before.
    news: bool
    #: Why the kernel refuses a watch on one of them: an errno; 0: it does not.
    refusal: int


class WatchAudit:
    """The audit of one root's watch. Not thread-safe."""

    def __init__(self) -> None:
        #: Directories without a watch, as found last.
        self.unwatched: frozenset[ListedDirectory] = frozenset()
        self._suspects: frozenset[ListedDirectory] = frozenset()
        #: Building the watch anew did not help.
        self._rebuild_useless = False

    def look(self, root: Root) -> AuditFinding:
        """Compare the kernel's watches with the directories."""
        missing = _missing(root)
        confirmed = missing & self._suspects
        self._suspects = missing
        if missing and not confirmed:
            return AuditFinding(AuditVerdict.UNSURE, confirmed, news=False, refusal=0)
        refusal = diagnose(root.path, next(iter(confirmed)).path) if confirmed else 0
        watchable = bool(confirmed) and refusal == 0
        if watchable and not self._rebuild_useless:
            self._rebuild_useless = True
            return AuditFinding(AuditVerdict.REBUILD, confirmed, news=True, refusal=0)
        news = bool(confirmed - self.unwatched)
        self._rebuild_useless, self.unwatched = watchable, confirmed
        return AuditFinding(AuditVerdict.SETTLED, confirmed, news=news, refusal=refusal)


def _missing(root: Root) -> frozenset[ListedDirectory]:
    pairs = watched()
    # btrfs shows another device in a stat than in fdinfo, so there inode numbers have to do.
    inodes = {inode for _, inode in pairs} if root.location.mount().filesystem == "btrfs" else frozenset()
    return frozenset(
        directory
        for directory in root.directories
        if directory.inode not in inodes and (kernel_device(directory.device), directory.inode) not in pairs
    )
