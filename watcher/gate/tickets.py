"""Permissions to claim a job: for all workers while the gate is open, for one worker at a time to probe a hold."""

import math
import threading

from watcher.gate.clock import SLICE, SYNC_SECONDS, GateClock
from watcher.gate.door import GateDoor
from watcher.gate.ticket import Ticket


class Tickets:
    """The tickets of one gate; its methods take the lock."""

    def __init__(
        self,
        lock: threading.Lock,
        *,
        door: GateDoor,
        stop: threading.Event,
        clock: GateClock,
    ) -> None:
        self._lock = lock
        self._door = door
        self._stop = stop
        self._clock = clock

    def issue(self, *, timeout: float) -> Ticket | None:
        """Return a ticket, or None if the gate stays closed for `timeout` seconds, or on stop."""
        deadline = self._clock.now() + timeout
        while not self._stop.is_set():
            self._door.sync()
            with self._lock:
                now = self._clock.now()
                self._door.lapse(now)
                due, without = self._due(now)
                if due > now:
                    if now >= deadline:
                        return None
                    self._door.changed.wait(max(min(deadline - now, due - now, SLICE), 0.001))
                    continue
                if (hold := self._door.hold) is None:
                    return Ticket()
                hold.ticket = ticket = Ticket(
                    self._take_back,
                    failed=self._door.history.has_failed,
                    before_due=without is not None,
                    without=without,
                )
                hold.before_due, hold.no_job = ticket.before_due, False
            if self._door.record.may_probe(hold, before_due=ticket.before_due):
                return ticket
            with self._lock:  # another host probes it, or has just done so, or the fleet cannot be asked
                hold.ticket = None
                if ticket.before_due:
                    hold.ask_fleet_from = self._clock.now() + SYNC_SECONDS
                else:
                    hold.next_probe = self._clock.now() + SYNC_SECONDS
                self._door.record.look_again()
        return None

    def is_due(self, path: bytes) -> bool:
        """See Gate.wants_probe."""
        with self._lock:
            now = self._clock.now()
            self._door.lapse(now)
            if self._door.hold is None or self._door.history.has_failed(path):
                return False
            due, without = self._due(now)
            return due <= now and without is None

    def _due(self, now: float) -> tuple[float, frozenset[bytes] | None]:
        """Return when there may be a ticket (monotonic); and, for a probe before it is due, the folders whose files may not make it."""
        hold, pause = self._door.hold, self._door.pause
        if hold is None:
            is_long = pause is not None and pause.until - now > self._door.patience
            return (pause.until if pause is not None and is_long else -math.inf), None
        if hold.probing or hold.ticket is not None:
            return math.inf, None
        if hold.next_probe > now and (without := self._door.barred(hold)) is not None:
            return max(hold.not_before, hold.ask_fleet_from), without
        return hold.next_probe, None

    def _take_back(self, ticket: Ticket) -> None:
        """Take back a permission to probe that was not used."""
        with self._lock:
            hold = self._door.hold
            if hold is not None and hold.ticket is ticket:
                hold.ticket, hold.no_job = None, ticket.no_job
                self._door.record.give_back(hold)
                self._door.record.look_again()
                self._door.changed.notify_all()
