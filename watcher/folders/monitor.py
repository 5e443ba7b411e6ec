"""Monitor one root: watch it by events or scans, and repair a watch that fails.

A monitor scans after all watches exist, so that no change is missed. It checks the root and the watch's threads a few times a second,
and compares the watches with the directories after every full scan. After a fault (a lost reader, an overflow, a root that was
replaced, mounted over or removed) the watch is built again and everything is scanned.
"""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from watcher.folders.event_proof import EventProof
from watcher.folders.folder import Folder
from watcher.folders.folder_state import FolderState, WatchMode
from watcher.folders.handover import AssignSessions
from watcher.folders.inbox import Inbox, WaitingPaths
from watcher.folders.kernel_watches import REMEDIES
from watcher.folders.mounts import Mount, MountKind, Mounts
from watcher.folders.root import Root
from watcher.folders.root_location import identity
from watcher.folders.scan_lease import ScanLease
from watcher.folders.scan_schedule import ScanSchedule
from watcher.folders.watch import Watch, WatchFault
from watcher.folders.watch_audit import AuditVerdict, WatchAudit
from watcher.ledger.ledger import Ledger
from watcher.settle import Quotas

_log = structlog.get_logger()

#: Seconds between a finding of the audit and its confirmation: a new directory gets its watch after a moment.
_CONFIRM: Final = 1.0
#: Seconds before a watch that keeps failing is built again: the first and the longest wait; the first, if it worked for longer than that.
_REBUILD: Final = (0.5, 30.0)
_HELD: Final = 5.0
_WAITED_FOR: Final = "it is waited for: mount it, create it, or let the user that Watcher runs as read it"
_WALKS: Final = "its directories are being added to the watch, one by one"
_QUEUE_HINT: Final = "raise fs.inotify.max_queued_events if this comes often"
#: Most obstacles, and most waiting files, to report.
_OBSTACLES: Final = 20


class FolderMonitor:
    """The monitor of one root. Not thread-safe: the finder's thread owns it."""

    def __init__(
        self,
        folder: Folder,
        ledger: Ledger,
        mounts: Mounts,
        inbox: Inbox,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        settings: Callable[[bytes], None] | None = None,
        assign: AssignSessions | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        """`quotas`: limits the log lines about each folder."""
        self.folder = folder
        self.root = Root(folder, ledger, mounts, clock=clock, monotonic=monotonic, settings=settings, assign=assign)
        self._quotas = Quotas(monotonic=monotonic) if quotas is None else quotas
        self.schedule = ScanSchedule(self.root, monotonic=monotonic, quotas=self._quotas)
        self._scan_lease = ScanLease(folder, self.root.path, ledger.hosts, monotonic=monotonic)
        self.how = WatchMode.LOST
        self.why = ""
        #: The root's real path, with a slash at the end.
        self.real_prefix = b""
        #: Paths from events or workers that wait for a look.
        self._heard_of = WaitingPaths()
        self._ledger = ledger
        self._mounts = mounts
        #: The mount that the root lies on, and those below the root.
        self._concerned: tuple[Mount, ...] = ()
        self._inbox = inbox
        self._monotonic = monotonic
        self._watch: Watch | None = None
        #: Watches that were dropped, and whose threads had not ended then.
        self._dropped: list[Watch] = []
        #: Reason of the scan that follows the set-up of the watches; None: the set-up is over.
        self._scan_reason: str | None = None
        #: A scan was requested that does not wait for the watches.
        self._impatient = False
        self._identity = (0, 0)
        self._told: tuple[object, ...] = ()
        #: How it is watched is still to be logged.
        self._untold = False
        self._proof = EventProof(ledger, monotonic=monotonic)
        self._rebuild_at: float | None = None
        self._rebuild_wait = 0.0
        self._built_at = float("-inf")
        self._audited = (0, 0)
        self._audit_at: float | None = None
        self._audit = WatchAudit()

    @property
    def present(self) -> bool:
        """Whether the root exists and can be read."""
        return self.how is not WatchMode.LOST

    @property
    def hangs(self) -> bool:
        """Whether a thread of a watch that was dropped has not ended."""
        return any(watch.is_alive for watch in self._dropped)

    @property
    def begun(self) -> bool:
        """Whether the first scan has begun, or is not needed on this host."""
        return self.schedule.begun > 0 or not self.present or not self.schedule.ours

    @property
    def busy(self) -> bool:
        """Whether there is something to scan right now."""
        return self.present and self.schedule.busy

    def next_need(self) -> float:
        """Monotonic time of the next look at a file."""
        if self._heard_of:
            return float("-inf")
        due = self.root.candidates.next_due() if self.present else None
        return float("inf") if due is None else due

    def state(self) -> FolderState:
        """Return the folder's state."""
        return FolderState(
            name=self.folder.name,
            path=os.fsdecode(self.root.path),
            how=self.how,
            why=self.why if self.schedule.ours or not self.present else f"{self.why}; another host scans it",
            filesystem=self.root.location.mount().filesystem if self.present else "",
            directories=len(self.root.directories),
            known=len(self.root.known),
            waiting=len(self.root.candidates),
            unwatched=len(self._audit.unwatched),
            hint="" if self.present else _WAITED_FOR,
            obstacles=self.root.obstacles(_OBSTACLES) if self.present else (),
            passed_over=self.root.passed_over if self.present else 0,
            incoming=self.root.candidates.waiting(_OBSTACLES) if self.present else (),
            growing=self.root.candidates.growing(_OBSTACLES) if self.present else (),
        )

    def begin(self, why: str) -> None:
        """Watch the root and request a full scan; a root that does not exist is lost, and tried again."""
        path = self.root.path
        try:
            self._identity = identity(path)
            real = os.path.realpath(path)
        except OSError as error:
            self._lose(error)
            return
        self.real_prefix = real.rstrip(b"/") + b"/"
        self._concerned = self._mounts.concerning(self.root.path, self.real_prefix)
        self.root.location.set_real_path(real)
        self._choose()
        if self.present:
            self._take_turn()
            self._scan_after_watches(why)

    def _take_turn(self) -> bool:
        """Check the scan lease. When this host has just got it, the next scan reads what others have found; then return True."""
        if came := self._scan_lease.check():
            self.root.begin()
        self.schedule.ours = self._scan_lease.ours
        return came

    def _scan_after_watches(self, why: str) -> None:
        """Request a full scan, which begins once every directory has its watch."""
        if self._scan_reason is None:
            self.schedule.want_full(why)
        else:
            self._scan_reason = self._scan_reason or why

    def close(self) -> None:
        """Release the watch; files found and not queued yet are found again at the next start."""
        self.schedule.stop()
        self._heard_of.clear()
        self._scan_lease.release()
        self.drop_watch()

    def scan(self, enough: Callable[[], bool]) -> None:
        """Scan what is due until `enough`; the first full scan comes first, and waits for the watches."""
        if self.present and (self._scan_reason is None or self.schedule.begun or self.schedule.busy):
            self.schedule.run(enough)

    def want_look(self, path: bytes) -> None:
        """Request a look at a changed path; if too many wait, request a full scan instead."""
        if self.schedule.covers(path) or self._heard_of.add(path):
            return
        if self._watch is not None:
            self._watch.overflowed = True
        else:
            self.schedule.want_full("overflow")

    def again(self, path: bytes) -> None:
        """Request a look at a path as if it were unknown: its content changed while a worker read it."""
        self.root.unlearn(path)
        # If the root is missing, do nothing more: the file is found when the root is back.
        if self.present and self.root.location.owns(path):
            self.want_look(path)

    def look(self, limit: int, enough: Callable[[], bool]) -> None:
        """Look at paths from events, and at up to `limit` waiting files that are due, until `enough`."""
        self.root.inspect_some(self._heard_of, enough)
        self.root.check_due(limit, enough)

    def want_full(self, why: str) -> None:
        """Request a full scan."""
        if self.present:
            self.schedule.want_full(why)

    def missed(self) -> None:
        """Request a scan of everything, because some paths to look at again were dropped."""
        self.root.doubt()
        self.want_full("overflow")

    def want_subtree(self, path: bytes) -> None:
        """Request a scan of a directory and what lies below."""
        if self.folder.recursive:
            self.schedule.want_subtree(path)

    def heard(self, path: bytes) -> bytes | None:
        """Note an event at a real path; return it as a path of this root, or None if it was the proof's event."""
        if self._proof.hear(path):
            self._say(WatchMode.EVENTS, f"{self.root.location.mount().filesystem}, an event arrived")
            return None
        return self.named(path)

    def named(self, path: bytes) -> bytes:
        """Convert a real path below the root to a path of this root."""
        return self.root.path.rstrip(b"/") + b"/" + path[len(self.real_prefix) :]

    def _choose(self) -> None:
        self.drop_watch()
        mount = self.root.location.mount()
        if self.folder.detect == "scan":
            self._say(WatchMode.SCAN, "asked for")
        elif self.folder.detect == "auto" and mount.kind is MountKind.NETWORK:
            self._say(WatchMode.SCAN, mount.silence)
        else:
            self._listen()

    def _listen(self) -> None:
        watch = Watch(
            os.fsdecode(self.real_prefix.rstrip(b"/") or b"/"),
            self._inbox,
            recursive=self.folder.recursive,
            enters=self.root.location.names.enters_all,
        )
        self._built_at = self._monotonic()
        self._proof.begin()
        try:
            watch.start()
        except OSError as error:
            watch.close()
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                self._lose(error)
                return
            reason = error.strerror or str(error)
            self._degraded("no_watch", error=reason, hint=REMEDIES.get(error.errno or 0, ""))
            self._say(WatchMode.SCAN, reason)
            return
        self._watch, self._scan_reason, self._impatient = watch, "", False
        self.how, self.why, self.schedule.events = WatchMode.EVENTS, _WALKS, True
        # If a full scan was done before, scan regularly until the watches are set.
        self.schedule.deaf = self.schedule.begun > 0

    def _end_setting_watches(self, why: str) -> None:
        """Rely on events, since every directory has its watch, and scan for changes made meanwhile."""
        self._scan_reason, self._built_at, self.schedule.deaf = None, self._monotonic(), False
        if self.folder.detect == "auto":
            self._prove()
        else:
            self._say(WatchMode.EVENTS, "asked for")
        self.schedule.want_full(why)

    def _say(self, how: WatchMode, why: str) -> None:
        """Store how the folder is watched, and log it if it changed."""
        self.how, self.why, self.schedule.events, self.schedule.deaf = how, why, how is WatchMode.EVENTS, False
        self._tell()

    def _tell(self) -> None:
        news = (self.how, self.why, self.root.location.mount().filesystem)
        self._untold = news != self._told and not self._quotas.spend("watching", self.root.path)
        if news != self._told and not self._untold:
            self._told = news
            replace(self.state(), why=self.why).log()

    def _prove(self) -> None:
        """Begin a proof that events arrive here."""
        if why := self._proof.make(self.root.path, self.real_prefix):
            self._say(WatchMode.EVENTS, f"{self.root.location.mount().filesystem}, not proved: {why}")

    def _doubt(self) -> None:
        """Try an overdue proof again; if no event arrives, rely on scans instead."""
        if self._proof.heard:
            self._proof.begin()
            self._say(WatchMode.EVENTS, f"{self.root.location.mount().filesystem}, events arrive")
        elif not self._proof.failed:
            self._prove()
        else:
            self.drop_watch()
            self._degraded("no_events", hint='detect = "scan" spares this folder the proof')
            self._say(WatchMode.SCAN, f"{self.root.location.mount().filesystem}: no event arrived")

    def drop_watch(self) -> None:
        """End the watch, if there is one; another thread may do so if that of this monitor hangs."""
        self._proof.begin()
        self._rebuild_at, self._audit_at, self._scan_reason = None, None, None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
            self._dropped = [one for one in (*self._dropped, watch) if one.is_alive]

    # Distress.

    def check(self) -> None:
        """Check the root and its watch; to be called a few times per second."""
        now = self._monotonic()
        try:
            found = identity(self.root.path)
        except OSError as error:
            self._lose(error)
            return
        if not self.present:
            self.begin("returned")
        elif found != self._identity:  # also for a symbolic link whose target changed
            self._degraded("replaced")
            self.begin("replaced")
        else:
            if self._untold and self._scan_reason is None:
                self._tell()
            if self._take_turn():
                self._scan_after_watches("taken_over")
            if self._rebuild_at is not None:
                if now >= self._rebuild_at:
                    self.begin("watch_lost")
            elif self._watch is not None:
                self._check_watch(self._watch, now)

    def intact(self) -> bool:
        """Return whether the root is still the one that was scanned."""
        try:
            return self.present and identity(self.root.path) == self._identity
        except OSError:
            return False

    def remounted(self) -> bool:
        """Return whether a mount or unmount concerns this root; if so, scan everything and check the watches.

        Containers change the mount table every few seconds; ignore mounts elsewhere.
        """
        concerned = self._mounts.concerning(self.root.path, self.real_prefix)
        if not self.present or concerned == self._concerned:
            return False
        self._concerned = concerned
        self.root.location.set_real_path(self.real_prefix.rstrip(b"/") or b"/")
        self.schedule.want_changed()
        if self._watch is not None:
            self._audit_at = self._monotonic() + _CONFIRM
        return True

    def _check_watch(self, watch: Watch, now: float) -> None:
        trouble = watch.trouble()
        if trouble is WatchFault.DEAF:
            self._rebuild("watch_lost", now, error=watch.error)
            return
        if trouble is WatchFault.ASTRAY:
            self._rebuild("overflow", now, hint=_QUEUE_HINT)
            return
        if self._scan_reason is not None:
            if watch.complete:
                self._end_setting_watches(self._scan_reason)
            elif not self._impatient and watch.hangs(now):
                # The watch continues when the mount answers, and then everything is scanned again. If a scan hangs there, too, this
                # is reported.
                self._impatient = self.schedule.deaf = True
                self.schedule.want_full(self._scan_reason)
            return
        if trouble is WatchFault.OVERFLOW:
            self._degraded("overflow", hint=_QUEUE_HINT)
            self.schedule.want_full("overflow")
        if self._proof.overdue:
            self._doubt()
        if (
            self._audited != (schedule := (self.schedule.ended, self.schedule.scans_with_surprises))
            and not self.schedule.busy
        ):
            # After every full scan; and after a scan that found a change without an event: there may be no watch.
            self._audited = schedule
            self._audit_at = self._audit_at or now
        if self._audit_at is not None and now >= self._audit_at:
            self._audit_at = None
            self._look_at_watches(now, is_full=watch.is_full)

    def _rebuild(self, reason: str, now: float, **keys: object) -> None:
        """Build the watch again: at once, or after a while if the last one failed soon."""
        first, longest = _REBUILD
        held = now - self._built_at > _HELD
        self._rebuild_wait = 0.0 if held else min(longest, max(first, self._rebuild_wait * 2))
        self._degraded(reason, retry_seconds=self._rebuild_wait, **keys)
        self.drop_watch()
        if self._rebuild_wait:
            self._rebuild_at = now + self._rebuild_wait
            self.schedule.deaf = True
        else:
            self.begin(reason)

    def _lose(self, error: OSError) -> None:
        self.close()
        reason = error.strerror or str(error)
        if self.how is WatchMode.LOST and self.why == reason:
            return
        self.how, self.why, self._told = WatchMode.LOST, reason, ()
        self.root.candidates.put_away()
        _log.error(
            "folder.lost",
            folder=self.folder.name,
            path=os.fsdecode(self.root.path),
            reason=reason,
            hint=_WAITED_FOR,
        )

    def _degraded(self, reason: str, **keys: object) -> None:
        said = {key: value for key, value in keys.items() if value not in ("", 0.0)}
        path = os.fsdecode(self.root.path)
        # While many events come, the queue overflows again and again.
        loud = self._quotas.spend("degraded", self.root.path, reason, at_once=1 if reason == "overflow" else 3)
        say = _log.warning if loud else _log.debug
        say("folder.degraded", folder=self.folder.name, path=path, reason=reason, **said)

    def _look_at_watches(self, now: float, *, is_full: bool) -> None:
        found = self._audit.look(self.root, is_full=is_full)
        if found.verdict is AuditVerdict.UNSURE:
            self._audit_at = now + _CONFIRM
            return
        if found.verdict is AuditVerdict.REBUILD:
            self._rebuild("unwatched", now, directories=len(found.missing))
            return
        if found.news:
            self._degraded(
                "watch_limit" if found.refusal == errno.ENOSPC else "unwatched",
                directories=len(found.missing),
                example=os.fsdecode(next(iter(found.missing)).path),
                hint=REMEDIES.get(found.refusal, "they are looked at every few seconds instead"),
            )
        self.schedule.polled = found.missing | self.root.remote_directories()
