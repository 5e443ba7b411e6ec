"""Schedule the scans of a root: of everything, of changed directories, of one subtree, or of directories without a watch.

Subtrees come first, as an event announced them; a full scan that is running continues after them. All scans run in
short slices, so that no event has to wait for long.
"""

import os
import time
from collections.abc import Callable
from typing import Final

import structlog

from watcher.folders.directories import ListedDirectory
from watcher.folders.first_scan import full_scan
from watcher.folders.inbox import WaitingPaths
from watcher.folders.root import Root
from watcher.folders.scanner import Scan, ScanStats
from watcher.settle import Quotas

_log = structlog.get_logger()

#: Seconds between full scans, and, where events come, between scans of changed directories.
FULL: Final = 600.0
CHANGED: Final = 60.0
#: Seconds between scans without events: at least, at most, and as a multiple of the last scan's duration.
_LEAST: Final = 5.0
_MOST: Final = 60.0
_SHARE: Final = 50.0
#: Most directories that wait for a scan; with more, everything is scanned instead.
_MOST_SUBTREES: Final = 10_000
#: Seconds between scans while a watch is being built again.
_DEAF: Final = 1.0
#: Seconds between scans of single directories without a watch, and of those that could not be listed: a change of
#: permissions is no event.
_POLL: Final = 5.0


class ScanSchedule:
    """The scans of one root. Not thread-safe: the finder's thread owns it."""

    def __init__(
        self, root: Root, *, monotonic: Callable[[], float] = time.monotonic, quotas: Quotas | None = None
    ) -> None:
        """`quotas`: limits the log lines about regular scans."""
        #: Whether events come; otherwise everything depends on scans.
        self.events = False
        #: Whether this host is to scan, and not another; subtrees announced by an event are scanned in any case.
        self.ours = True
        #: Whether a watch is being built again.
        self.deaf = False
        #: Directories that are scanned every few seconds.
        self.polled: frozenset[ListedDirectory] = frozenset()
        #: Number of full scans begun, and ended.
        self.begun = 0
        self.ended = 0
        #: Number of scans that found changes without an event; each leads to an audit of the watch.
        self.scans_with_surprises = 0
        self._root = root
        self._monotonic = monotonic
        self._quotas = Quotas(monotonic=monotonic) if quotas is None else quotas
        self._wanted = ""
        self._subtrees = WaitingPaths()
        self._quick: Scan | None = None
        self._slow: Scan | None = None
        self._slow_why = ""
        self._slow_began = 0.0
        self._met = ScanStats()
        self._took = 0.0
        self._last_changed = monotonic()
        self._last_full = monotonic()
        self._last_poll = monotonic()

    def want_full(self, why: str) -> None:
        """Request a full scan, after the one that is running."""
        if not self.ours:
            return
        if self._wanted in ("", "periodic"):
            self._wanted = why
        self._subtrees.clear()

    def want_subtree(self, path: bytes) -> None:
        """Request a scan of a directory and everything below it."""
        if self._wanted or self.covers(path):
            return
        if len(self._subtrees) >= _MOST_SUBTREES or not self._subtrees.add(path):
            self.want_full("many_directories")

    def covers(self, path: bytes) -> bool:
        """Return whether a requested scan that has not begun will find the path."""
        if not self._subtrees:
            return False
        while len(path) >= len(self._root.path):
            if path in self._subtrees:
                return True
            path = path[: path.rfind(b"/")]
        return False

    def want_changed(self) -> None:
        """Request a scan of changed directories."""
        self._last_changed = float("-inf")

    def stop(self) -> None:
        """Stop running scans, and forget requested ones."""
        for scan in (self._quick, self._slow):
            if scan is not None:
                scan.close()
        self._quick = self._slow = None
        self._wanted = ""
        self._subtrees.clear()

    @property
    def busy(self) -> bool:
        """Whether there is something to scan right now."""
        return bool(self._quick or self._slow or self._wanted or self._subtrees)

    def run(self, enough: Callable[[], bool]) -> None:
        """Scan until `enough`, or until no scan is due."""
        while True:
            if self._quick is None and self._subtrees:
                [path] = self._subtrees.take(1)
                self._quick = self._root.subtree(path)
            if self._quick is not None:
                for _ in self._quick:
                    if enough():
                        return
                self._quick = None
                continue
            if self._slow is None:
                self._slow = self._next()
            if self._slow is None:
                return
            for stats in self._slow:
                self._met = stats
                if enough():
                    return
            self._slow = None
            self._finish()

    def _next(self) -> Scan | None:
        if not self.ours:
            # A full scan would begin with this anyway.
            self._slow_why = "learned"
            return self._root.learn() if self._root.overgrown else None
        now = self._slow_began = self._monotonic()
        self._met = ScanStats()
        if not self._wanted and now - self._last_full >= FULL:
            self._wanted = "periodic"
        if self._wanted:
            self._slow_why, self._wanted = self._wanted, ""
            self._last_full = self._last_changed = now
            self.begun += 1
            return full_scan(self._root)
        if now - self._last_changed >= self._interval():
            self._slow_why, self._last_changed = "changed", now
            return self._root.changed(glance=not self.events)
        if (self.polled or self._root.remarks.closed) and now - self._last_poll >= _POLL:
            self._slow_why, self._last_poll = "polled", now
            return self._root.changed(self.polled, glance=True)
        return None

    def _interval(self) -> float:
        if self.deaf:
            return _DEAF
        return CHANGED if self.events else min(_MOST, max(_LEAST, self._took * _SHARE))

    def _finish(self) -> None:
        now = self._monotonic()
        took = now - self._slow_began
        self._root.flush()
        if self._slow_why == "learned":
            return
        if self._slow_why == "polled":
            self._last_poll = now
            return
        self._last_changed, self._took = now, took
        if self._slow_why in ("changed", "periodic") and (self._met.news or self._met.new_directories):
            self.scans_with_surprises += 1
        if self._slow_why == "changed":
            return
        self.ended += 1
        # Do not log a scan that found nothing new.
        is_news = self._slow_why != "periodic" or self._met.news > 0
        asked_for = self._slow_why == "asked_for"
        loud = is_news and (asked_for or self._quotas.spend("rescanned", self._root.path, self._slow_why))
        say = _log.info if loud else _log.debug
        say(
            "folder.rescanned",
            folder=self._root.location.folder.name,
            path=os.fsdecode(self._root.path),
            reason=self._slow_why,
            directories=self._met.directories,
            files=self._met.files,
            news=self._met.news,
            seconds=round(took, 3),
        )
