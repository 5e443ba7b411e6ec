"""Standing guard over one root: how it is watched, when it is scanned, and what is done when either fails.

Events are hints, scans are the truth. A guard starts the watch first and scans second; it scans what changed every
minute and everything every ten, compares the watches with the directories, and after any distress (a lost reader, an
overflow, a root that was replaced, mounted over or went away) builds the watch anew and scans everything at once.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex
from typing import Final

import structlog

from watcher.folders.folder import Folder
from watcher.folders.mounts import Kind, Mounts
from watcher.folders.root import Root, Tour
from watcher.folders.watch import LIMITS, Inbox, Trouble, Watch, diagnose, kernel_device, watched
from watcher.ledger.protocol import Ledger

_log = structlog.get_logger()

#: Seconds between scans of what changed, and of everything.
CHANGED: Final = 60.0
FULL: Final = 600.0
#: Seconds between scans where no events come: at least, at most, and as a multiple of what the last one took.
_ROUND: Final = (5.0, 60.0, 50.0)
#: Seconds between looks at directories the kernel gave no watch for.
_POLL: Final = 5.0
#: Seconds until a probe file's event must have come.
_PROOF: Final = 3.0
#: Seconds between a first finding of the audit and its confirmation: a new directory gets its watch a moment later.
_CONFIRM: Final = 1.0
#: Seconds before a watch that keeps failing is built anew: first, longest; and how long it must hold to start over.
_REBUILD: Final = (0.5, 30.0)
_HELD: Final = 5.0

PROBE_PREFIX: Final = ".watcher-probe-"


class How(StrEnum):
    """How a folder is watched."""

    EVENTS = "events"
    SCAN = "scan"
    #: It is not there: waited for.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class FolderState:
    """How a folder is watched now, for `status`."""

    name: str
    path: str
    how: How
    why: str
    filesystem: str
    directories: int
    known: int
    waiting: int
    unwatched: int


class Post:
    """The guard of one root. Not thread-safe: the detector thread owns it."""

    def __init__(
        self,
        folder: Folder,
        ledger: Ledger,
        mounts: Mounts,
        inbox: Inbox,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = Root(folder, ledger, mounts, clock=clock, monotonic=monotonic)
        self.how = How.LOST
        self.why = ""
        self.real = b""
        #: The first scan has begun, or there is nothing to scan.
        self.begun = False
        self._ledger = ledger
        self._inbox = inbox
        self._monotonic = monotonic
        self._watch: Watch | None = None
        self._identity = (0, 0)
        self._loaded = False
        self._said: tuple[object, ...] = ()
        self._scan: Iterator[Tour] | None = None
        self._scan_why = ""
        self._scan_began = 0.0
        self._scan_full = False
        self._tour = Tour()
        self._full_wanted = ""
        self._subtrees: dict[bytes, None] = {}
        self._next_changed = 0.0
        self._next_full = 0.0
        self._next_poll = 0.0
        self._proof: tuple[bytes, float] | None = None
        self._audit_at: float | None = None
        self._suspects: frozenset[bytes] = frozenset()
        self._unwatched: frozenset[bytes] = frozenset()
        self._rebuilt_for_audit = False
        self._rebuild_at: float | None = None
        self._rebuild_wait = 0.0
        self._rebuilt_at = float("-inf")

    @property
    def folder(self) -> Folder:
        """What is asked of it."""
        return self.root.folder

    @property
    def present(self) -> bool:
        """Whether the root is there."""
        return self.how is not How.LOST

    def state(self) -> FolderState:
        """Give how it is watched."""
        return FolderState(
            name=self.folder.name,
            path=os.fsdecode(self.root.path),
            how=self.how,
            why=self.why,
            filesystem=self.root.mount().filesystem if self.present else "",
            directories=len(self.root.directories),
            known=len(self.root.known),
            waiting=len(self.root.candidates),
            unwatched=len(self._unwatched),
        )

    # Starting and ending.

    def begin(self, why: str = "start") -> None:
        """Watch the root and ask for a full scan; a root that is not there is lost, and waited for."""
        path = self.root.path
        try:
            status = os.stat(path)
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            self.real = os.path.realpath(path)
        except OSError as error:
            self._lose(error)
            return
        self._identity = (status.st_dev, status.st_ino)
        self.root.settle_in(self.real)
        if not self._loaded:
            self.root.load()
            self._loaded = True
        self._choose()
        self.want_full(why)

    def close(self) -> None:
        """Let go of the watch; what was found and not handed over yet is found again at the next start."""
        self._stop_scan()
        self._subtrees.clear()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def want_full(self, why: str) -> None:
        """Ask for a full scan."""
        self._full_wanted = why
        self._subtrees.clear()

    def want_subtree(self, path: bytes) -> None:
        """Ask for a scan of a directory and what lies below."""
        if not self._full_wanted:
            self._subtrees[path] = None

    def _choose(self) -> None:
        """Choose between events and scans, and start."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._proof = None
        mount = self.root.mount()
        if self.folder.detect == "scan":
            self._watch_by(How.SCAN, "asked for")
        elif self.folder.detect == "auto" and mount.kind is Kind.NETWORK:
            self._watch_by(How.SCAN, f"{mount.filesystem}: changes made elsewhere raise no events here")
        else:
            self._listen()

    def _listen(self) -> None:
        watch = Watch(os.fsdecode(self.real), self._inbox, recursive=self.folder.recursive)
        self._rebuilt_at = self._monotonic()
        try:
            watch.start()
        except OSError as error:
            watch.close()
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                self._lose(error)
                return
            self._watch_by(How.SCAN, error.strerror or str(error))
            self._degraded("no_watch", error=error.strerror or str(error), hint=LIMITS.get(error.errno or 0, ""))
            return
        self._watch = watch
        self.how = How.EVENTS
        if self.folder.detect == "auto":
            self._prove()
        else:
            self._watch_by(How.EVENTS, "asked for")

    def _watch_by(self, how: How, why: str) -> None:
        self.how, self.why = how, why
        mount = self.root.mount()
        said = (how, why, mount.filesystem)
        if said != self._said:
            self._said = said
            _log.info(
                "folder.watching",
                folder=self.folder.name,
                path=os.fsdecode(self.root.path),
                how=how,
                why=why,
                filesystem=mount.filesystem,
            )

    # The proof that events arrive.

    def _prove(self) -> None:
        """Make a file with a dot name and remove it: its event proves that events arrive here."""
        name = os.path.join(self.root.path, (PROBE_PREFIX + token_hex(4)).encode())
        self._ledger.enter_temporary(name)
        try:
            touch(name)
        except OSError as error:
            self._watch_by(How.EVENTS, f"{self.root.mount().filesystem}, not proved: {error.strerror}")
        else:
            seen = os.path.join(self.real, os.path.basename(name))
            self._proof = (seen, self._monotonic() + _PROOF)
        finally:
            self._ledger.drop_temporary(name)

    def proved(self, path: bytes) -> bool:
        """Take note of an event; True when it was the probe file's."""
        if self._proof is None or path != self._proof[0]:
            return False
        self._proof = None
        self._watch_by(How.EVENTS, f"{self.root.mount().filesystem}, an event arrived")
        return True

    # Distress.

    def check(self) -> None:
        """Compare the root and its watch with what they should be; to be called a few times per second."""
        now = self._monotonic()
        if not self.present:
            if self._back():
                self.begin("returned")
            return
        try:
            status = os.stat(self.root.path)
        except OSError as error:
            self._lose(error)
            return
        if (status.st_dev, status.st_ino) != self._identity or self._retargeted():
            self._degraded("replaced", hint="")
            self.begin("replaced")
            return
        if self.root.path in self.root.closed:
            self._lose(PermissionError(errno.EACCES, self.root.closed.pop(self.root.path)))
            return
        self._check_watch(now)
        if self._proof is not None and now >= self._proof[1]:
            self._deaf_ground()

    def intact(self) -> bool:
        """Say whether the root is still the one that was last checked."""
        try:
            status = os.stat(self.root.path)
        except OSError:
            return False
        return self.present and (status.st_dev, status.st_ino) == self._identity

    def remounted(self) -> None:
        """Something was mounted or unmounted somewhere: look at every directory, and at the watches."""
        self.root.settle_in(self.real)
        self._next_changed = 0.0
        self._audit_at = self._monotonic() + _CONFIRM

    def _retargeted(self) -> bool:
        return os.path.islink(self.root.path) and os.path.realpath(self.root.path) != self.real

    def _check_watch(self, now: float) -> None:
        if self._rebuild_at is not None:
            if now >= self._rebuild_at:
                self._rebuild_at = None
                self.begin("watch_lost")
            return
        if self._watch is None:
            return
        trouble = self._watch.trouble()
        if trouble is Trouble.OVERFLOW:
            self._degraded("overflow", hint="raise fs.inotify.max_queued_events if this comes often")
            self.want_full("overflow")
            self._audit_at = now + _CONFIRM
        elif trouble is Trouble.DEAF:
            self._rebuild_soon(now, "watch_lost")

    def _rebuild_soon(self, now: float, reason: str) -> None:
        """Build the watch anew: at once, or after a while when the last one did not hold."""
        self._rebuild_wait = (
            0.0 if now - self._rebuilt_at > _HELD else min(_REBUILD[1], max(_REBUILD[0], self._rebuild_wait * 2))
        )
        self._degraded(reason, hint="", retry_seconds=self._rebuild_wait)
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._proof = None
        self._rebuild_at = now + self._rebuild_wait
        if self._rebuild_wait == 0.0:
            self._check_watch(now)

    def _deaf_ground(self) -> None:
        """No event came from the probe file: scan instead."""
        self._proof = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._degraded("no_events", hint='set detect = "scan" for this folder to skip the proof')
        self._watch_by(How.SCAN, f"{self.root.mount().filesystem}: no event arrived")

    def _lose(self, error: OSError) -> None:
        self.close()
        self.begun = True
        reason = error.strerror or str(error)
        if self.how is How.LOST and self.why == reason:
            return
        self.how, self.why, self._said = How.LOST, reason, ()
        self._proof = self._rebuild_at = self._audit_at = None
        for candidate in self.root.candidates:
            self.root.candidates.forget(candidate.path)
        _log.error(
            "folder.lost",
            folder=self.folder.name,
            path=os.fsdecode(self.root.path),
            reason=reason,
            hint="it is waited for; mount it, create it, or make it readable for the service's user",
        )

    def _back(self) -> bool:
        with suppress(OSError):
            os.close(os.open(self.root.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            return True
        return False

    def _degraded(self, reason: str, **keys: object) -> None:
        _log.warning(
            "folder.degraded", folder=self.folder.name, path=os.fsdecode(self.root.path), reason=reason, **keys
        )

    # Scans.

    @property
    def busy(self) -> bool:
        """Whether there is something to scan right now."""
        return self.present and (self._scan is not None or bool(self._full_wanted) or bool(self._subtrees))

    def next_need(self) -> float:
        """Monotonic time at which something falls due besides the regular check."""
        due = self.root.candidates.next_due()
        return float("inf") if due is None or not self.present else due

    def schedule(self) -> None:
        """Start the scans that are due."""
        if not self.present:
            return
        now = self._monotonic()
        if now >= self._next_full and self._next_full:
            self.want_full("periodic")
        if self._audit_at is not None and now >= self._audit_at and not self.busy:
            self._audit_at = None
            self._audit(now)

    def scan(self, until: Callable[[], bool]) -> None:
        """Go on scanning until `until` says so, or nothing is left to scan."""
        while self.present and not until():
            if self._scan is None and not self._next_scan():
                return
            scan = self._scan
            if scan is None:
                return
            last: Tour | None = None
            for last in scan:
                if until():
                    self._tour = last
                    return
            if last is not None:
                self._tour = last
            self._scan = None
            self._finished()

    def _next_scan(self) -> bool:
        now = self._monotonic()
        self._scan_began, self._tour = now, Tour()
        if self._full_wanted:
            self._scan_why, self._full_wanted = self._full_wanted, ""
            self._scan, self._scan_full = self.root.full(), True
            self._next_full, self._next_changed = now + FULL, now + self._interval(0.0)
            self.begun = True
            return True
        self._scan_full = False
        if self._subtrees:
            path = next(iter(self._subtrees))
            del self._subtrees[path]
            self._scan, self._scan_why = self.root.subtree(path), "subtree"
            return True
        if now >= self._next_changed:
            self._scan, self._scan_why = self.root.changed(glance=self.how is How.SCAN), "changed"
            return True
        if self._unwatched and now >= self._next_poll:
            self._next_poll = now + _POLL
            self._scan, self._scan_why = self.root.changed(self._unwatched), "poll"
            return True
        return False

    def _finished(self) -> None:
        now = self._monotonic()
        took = now - self._scan_began
        self.root.flush()
        if self._scan_why == "changed":
            self._next_changed = now + self._interval(took)
        if self._scan_full:
            self._next_changed = now + self._interval(took)
            self._audit_at = now if self._watch is not None else None
            say = _log.debug if self._scan_why in ("periodic", "start") and not self._tour.news else _log.info
            say(
                "folder.rescanned",
                folder=self.folder.name,
                path=os.fsdecode(self.root.path),
                reason=self._scan_why,
                directories=self._tour.directories,
                files=self._tour.files,
                news=self._tour.news,
                seconds=round(took, 3),
            )

    def _interval(self, took: float) -> float:
        if self.how is How.EVENTS and self._watch is not None:
            return CHANGED
        if self.how is How.EVENTS:
            return 1.0  # the watch is being built anew
        least, most, factor = _ROUND
        return min(most, max(least, took * factor))

    def _stop_scan(self) -> None:
        if self._scan is not None:
            close = getattr(self._scan, "close", None)
            if close is not None:
                close()
            self._scan = None

    # The audit: has every directory its watch?

    def _audit(self, now: float) -> None:
        if self._watch is None:
            return
        missing = self._missing()
        if not missing:
            self._suspects = self._unwatched = frozenset()
            self._rebuilt_for_audit = False
            return
        confirmed = missing & self._suspects
        self._suspects = missing
        if not confirmed:
            self._audit_at = now + _CONFIRM
            return
        refusal = diagnose(os.fsdecode(self._real_of(next(iter(confirmed)))))
        if refusal == 0 and not self._rebuilt_for_audit:
            self._rebuilt_for_audit = True
            self._rebuild_soon(now, "unwatched")
            return
        if confirmed != self._unwatched:
            self._degraded(
                "watch_limit" if refusal == errno.ENOSPC else "unwatched",
                directories=len(confirmed),
                example=os.fsdecode(next(iter(confirmed))),
                hint=LIMITS.get(refusal, "they are looked at every few seconds instead"),
            )
        self._unwatched = confirmed

    def _missing(self) -> frozenset[bytes]:
        pairs = watched()
        if self.root.mount().filesystem == "btrfs":  # its subvolumes show another device than stat does
            inodes = {inode for _, inode in pairs}
            return frozenset(
                path for path, directory in self.root.directories.items() if directory.inode not in inodes
            )
        return frozenset(
            path
            for path, directory in self.root.directories.items()
            if (kernel_device(directory.device), directory.inode) not in pairs
        )

    def _real_of(self, path: bytes) -> bytes:
        return self.real + path[len(self.root.path) :]


def touch(path: bytes) -> None:
    """Make an empty file that was not there, and remove it; OSError where that is not possible."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.close(descriptor)
    finally:
        os.unlink(path)
