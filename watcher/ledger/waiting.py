"""Waiting for work without asking for it all the time, and without missing any.

Every change that may make work claimable gets a number. A thread whose claim found nothing remembers the number from
before that claim, so its wait returns at once when something happened in between. One of the waiting threads looks, once
a second, for what nobody in this process announces: a delayed job that falls due, and changes by other processes.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from watcher.ledger.part import Connection, Part, Store

#: Nothing waits longer than this, whatever the clock does; seconds. The longest wait anybody asks for is an hour (a
#: server's Retry-After); a `run_at` further away than this was written under a wrong clock, and is due.
LONGEST_DELAY: Final = 2 * 3600.0
#: Seconds between two looks.
_LOOK: Final = 1.0


class Waiting(Part):
    """Who waits, and for what."""

    def __init__(
        self,
        database: Store,
        *,
        exclusive: bool,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """See Part."""
        super().__init__(database, exclusive=exclusive, clock=clock, monotonic=monotonic)
        self._changes = threading.Condition()
        self._change = 0
        self._looking = False
        self._seen = threading.local()
        self._version = database.version()
        #: A claim found work that has to wait until other jobs have ended.
        self._held_back = False

    def wait(self, seconds: float) -> None:
        """See Ledger.wait."""
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
                    # Somebody else has to look from now on.
                    self._changes.notify_all()

    def wake(self) -> None:
        """See Ledger.wake."""
        self._announce()

    def next_due(self) -> float | None:
        """See Ledger.next_due."""
        due = self._database.query("SELECT min(run_at) FROM sources WHERE state = 'delayed'")[0][0]
        return None if due is None else float(due)

    def _announce(self) -> None:
        """Say that there may be work."""
        with self._changes:
            self._change += 1
            self._changes.notify_all()

    def _offer(self) -> None:
        """Say that there is new work, to whoever shares the ledger."""
        self._announce()

    def _concluded(self, hook: str = "") -> None:
        """Say that a job ended (or is no suspect any more), if anybody may wait for that."""
        if self._held_back or hook:
            self._held_back = False
            self._announce()

    def _about_to_claim(self) -> None:
        with self._changes:
            self._seen.change = self._change

    def _look(self) -> float:
        """Announce what nobody else does; give the seconds until the next look."""
        version = self._database.version()
        changed, self._version = version != self._version, version
        pause = self._due_in() if self._exclusive else math.inf
        if pause <= 0:
            with self._database.transaction(durable=False) as connection:
                self._promote(connection, now=self._clock(), monotonic=self._monotonic())
            changed = True
        if changed:
            self._announce()
        return max(0.0, min(_LOOK, pause))

    def _due_in(self) -> float:
        """Give the seconds until a delayed job falls due or a lease lapses; infinity when neither will."""
        now = self._clock()
        ((first, last, lapse),) = self._database.query(_DUE)
        if last is not None and last > now + LONGEST_DELAY:
            return 0.0
        due = math.inf if first is None else first - now
        return min(due, math.inf if lapse is None else lapse - self._monotonic())

    def _promote(self, connection: Connection, *, now: float, monotonic: float) -> None:
        """Make ready what is due, and what was running under a lease that has lapsed."""
        connection.execute(_PROMOTE, {"now": now, "horizon": now + LONGEST_DELAY})
        connection.execute(_LAPSE, {"monotonic": monotonic})


# min() and max() in one SELECT would walk through all rows; each alone takes one end of the index.
_DUE: Final = """
SELECT
    (SELECT min(run_at) FROM sources WHERE state = 'delayed'),
    (SELECT max(run_at) FROM sources WHERE state = 'delayed'),
    (SELECT min(lease_until) FROM sources WHERE state = 'running')
"""
_PROMOTE: Final = """
UPDATE sources SET state = 'ready' WHERE state = 'delayed' AND (run_at <= :now OR run_at > :horizon)
"""
_LAPSE: Final = "UPDATE sources SET state = 'ready' WHERE state = 'running' AND lease_until <= :monotonic"
