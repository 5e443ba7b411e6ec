"""Wait for work without polling, and without missing any change.

Every change that may make work claimable gets a number. A thread whose claim found nothing remembers the number from
before that claim, so its wait returns at once if something changed in between. One of the waiting threads looks, once
a second, for changes that no thread of this process announces: a delayed job that falls due, and changes by other processes.
"""

import math
import threading
import time
from typing import Final

from watcher.ledger.part import Connection, LedgerContext, LedgerPart

#: Longest wait of a job, in seconds. The longest wait that is requested is an hour (a
#: server's Retry-After); a `run_at` further in the future was stored while the clock was wrong, and is due.
LONGEST_DELAY: Final = 2 * 3600.0
#: Seconds between two looks.
_LOOK: Final = 1.0


class WorkSignal(LedgerPart):
    """Wakes threads that wait for work."""

    def __init__(self, context: LedgerContext) -> None:
        super().__init__(context)
        self._changes = threading.Condition()
        self._change = 0
        self._looking = False
        self._seen = threading.local()
        self._version = context.database.version()
        #: A claim found work that has to wait until other jobs have ended.
        self._held_back = False
        self._conclusions = 0

    def wait(self, seconds: float) -> None:
        """Return as soon as work may be due or `wake` is called, or after `seconds`.

        Nothing is missed between a claim that found nothing and the wait of the same thread. Changes by another process
        are noticed within a second or so.
        """
        deadline = time.monotonic() + seconds
        seen: int | None = getattr(self._seen, "change", None)
        leads = False
        try:
            while True:
                pause = self._look() if leads else math.inf
                with self._changes:
                    seen = self._change if seen is None else seen
                    left = deadline - time.monotonic()
                    if self._change != seen or left <= 0:
                        self._seen.change = self._change
                        return
                    if not self._looking:
                        self._looking = leads = True
                        continue
                    self._changes.wait(min(left, pause))
        finally:
            if leads:
                with self._changes:
                    self._looking = False
                    # Another thread has to look from now on.
                    self._changes.notify_all()

    def wake(self) -> None:
        """Make every `wait` return now."""
        self._announce()

    def held_back(self) -> bool:
        """Return whether this thread's last claim found work that has to wait until other jobs have ended; their end ends its `wait`."""
        return getattr(self._seen, "held_back", False)

    def next_due(self) -> float | None:
        """Return the Unix time at which the earliest delayed job falls due; None if none is delayed."""
        due = self._database.query("SELECT min(run_at) FROM sources WHERE state = 'delayed'")[0][0]
        return None if due is None else float(due)

    def _announce(self) -> None:
        """Announce that there may be work."""
        with self._changes:
            self._change += 1
            self._changes.notify_all()

    def _offer(self) -> None:
        """Announce new work to the hosts that share the ledger."""
        self._announce()

    def _concluded(self, *, announced: bool = False) -> None:
        """Announce that a job ended (or is no longer a suspect), if a thread may wait for that, or if it is `announced` to hooks."""
        with self._changes:
            self._conclusions += 1
            awaited = self._held_back or announced
            self._held_back = False
        if awaited:
            self._announce()

    def _about_to_claim(self) -> None:
        with self._changes:
            self._seen.change, self._seen.conclusions = self._change, self._conclusions
        self._seen.held_back = False

    def _hold_back(self) -> None:
        """Note that this thread's claim has to wait until other jobs end; one may have ended since it looked."""
        self._seen.held_back = True
        with self._changes:
            self._held_back = True
            missed = self._conclusions != self._seen.conclusions
        if missed:
            self._announce()

    def _look(self) -> float:
        """Announce changes that no other thread announces; return the seconds until the next look."""
        version = self._database.version()
        changed, self._version = version != self._version, version
        pause = self._due_in() if self._context.exclusive else math.inf
        if pause <= 0:
            self._database.change(lambda connection: self._promote(connection, now=self._clock()), durable=False)
            changed = True
        if changed:
            self._announce()
        return max(0.0, min(_LOOK, pause))

    def _due_in(self) -> float:
        """Return the seconds until a delayed job falls due; infinity if none is delayed."""
        now = self._clock()
        ((first, last),) = self._database.query(_DUE)
        if last is not None and last > now + LONGEST_DELAY:
            return 0.0
        return math.inf if first is None else float(first) - now

    def _promote(self, connection: Connection, *, now: float) -> None:
        """Make due jobs ready."""
        connection.execute(_PROMOTE, {"now": now, "horizon": now + LONGEST_DELAY})


# min() and max() in one SELECT would read through all rows; each alone reads one end of the index.
_DUE: Final = """
SELECT
    (SELECT min(run_at) FROM sources WHERE state = 'delayed'),
    (SELECT max(run_at) FROM sources WHERE state = 'delayed')
"""
_PROMOTE: Final = """
UPDATE sources SET state = 'ready' WHERE state = 'delayed' AND (run_at <= :now OR run_at > :horizon)
"""
