"""A file that waits until it is whole: what is known about it, and how a change is noticed."""

import os
from dataclasses import dataclass
from typing import Final, NamedTuple

from watcher import container
from watcher.job import Fingerprint
from watcher.settle.decision import WaitReason

#: An empty file that nobody touched for a day is no longer looked at until it changes.
_EMPTY_FORGOTTEN: Final = 86_400.0


class Signature(NamedTuple):
    """Fields of a stat that show a change; device and inode show that the name now belongs to another file."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Signature":
        """Take it from a stat."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def survived(self, other: "Signature", *, inodes: bool) -> bool:
        """Return whether `other` may be the same unchanged file after a remount, which changes device numbers."""
        return (not inodes or self.inode == other.inode) and self[2:] == other[2:]


@dataclass(frozen=True, slots=True)
class FileSite:
    """Properties of a file's file system that matter for judging it."""

    root: bytes
    #: Whether other machines may write, which this kernel does not see.
    network: bool = False
    #: Whether inode numbers stay the same after a remount.
    inodes: bool = True


@dataclass(slots=True)
class Candidate:
    """A waiting file. Times are monotonic."""

    path: bytes
    signature: Signature
    #: When this signature was first seen (earlier, for a file that was quiet before we started).
    since: float
    #: When the file was first seen.
    seen: float
    backlog: bool
    site: FileSite
    #: Seconds that it was seen unchanged before it was out of reach; they count for long waits only (incomplete files).
    earlier: float = 0.0
    due: float = 0.0
    #: Unix time at which it is taken if nothing changes; None: waiting alone is not enough.
    ready_at: float | None = None
    reason: WaitReason | None = None
    detail: str = ""
    looks: int = 0
    #: How often it was found changed, and how often of these it was longer than before.
    changes: int = 0
    growths: int = 0
    #: Number of this candidate's valid entry in the heap of due looks; 0: it has none.
    heap_number: int = 0
    told: WaitReason | None = None
    told_at: float = 0.0
    #: Result of the inspection of its content, as long as its signature stays the same.
    inspection: container.Inspection | None = None

    def interrupt(self, seen_until: float, now: float) -> None:
        """Restart the quiet time at `now`: the file was out of reach. The quiet before `seen_until` counts for incomplete files only.

        A writer on another machine may have lost access, too, and may continue at the same time as we do.
        """
        self.earlier += max(0.0, seen_until - self.since)
        self.since = now

    def change(self, signature: Signature, now: float, site: FileSite) -> bool:
        """Restart the quiet time at `now`: its stat differs. Return True if only a remount explains the change."""
        self.inspection = None
        remounted = self.signature.survived(signature, inodes=site.inodes)
        if remounted:
            self.interrupt(now, now)
        else:
            self.since, self.earlier = now, 0.0
            self.changes += 1
            self.growths += self.signature[:2] == signature[:2] and signature.size > self.signature.size
        return remounted


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A file that waits, for people; times are Unix seconds."""

    path: bytes
    reason: WaitReason
    message: str
    hint: str
    since: float
    #: When it is taken if nothing changes; None: waiting alone is not enough.
    ready_at: float | None


@dataclass(frozen=True, slots=True)
class GrowingFile:
    """A file that has become longer again and again, and is not whole yet."""

    root: bytes
    path: bytes
    #: Another file may get its name: a take is thrown away, and the next one begins.
    device: int
    inode: int


def abandoned(status: os.stat_result, now: float) -> bool:
    """Return whether it is an empty file that nobody touched for a day; `now` is Unix time."""
    return status.st_size == 0 and now - status.st_mtime > _EMPTY_FORGOTTEN


def fingerprint(status: os.stat_result, site: FileSite) -> Fingerprint:
    """Take a file's fingerprint from its stat."""
    return Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino if site.inodes else 0)
