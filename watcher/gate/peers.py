"""The exchange of one host with its fleet: it requests limits, stores its holds and pauses, and takes over those of other hosts."""

import contextlib
import math
import threading
from collections.abc import Callable
from typing import Final, Protocol

from watcher.errors import StateError
from watcher.fleet import Fleet
from watcher.gate.admission import AdmissionQueue
from watcher.gate.clock import GateClock
from watcher.gate.door import GateDoor
from watcher.gate.fleet_record import FleetHoldRecord, hold_of
from watcher.gate.limits import GateLimits, LocalLimits
from watcher.gate.pace import Budget
from watcher.gate.record import HoldRecord, LocalHoldRecord
from watcher.gate.shared import SharedLimits
from watcher.gate.state import GateOptions
from watcher.memory import KeyedMemory

#: Seconds between two tries while the database cannot be reached.
_AGAIN: Final = 1.0


class GatePeers(Protocol):
    """The other hosts that use one endpoint, if there are any: shared limits and hold. Methods take the lock."""

    #: Whether other hosts send requests to the same endpoint.
    shared: bool
    #: Why the other hosts cannot be reached; None: they can, or there are none.
    trouble: StateError | None

    @property
    def record(self) -> HoldRecord:
        """Where holds and pauses are stored."""

    @property
    def limits(self) -> GateLimits:
        """Limits of the requests to an endpoint."""

    def begin(self, door: GateDoor, dispatch: Callable[[float], float]) -> None:
        """Take over the hold or pause of the other hosts.

        `dispatch` starts the requests that may start, and returns the seconds until another one may start if nothing else changes.
        """

    def attend(self, timeout: float) -> None:
        """Exchange with the other hosts for `timeout` seconds at most; a separate thread calls it again and again."""

    def use_fleet(self, fleet: Fleet) -> None:
        """Use the door of another key or model from now on; the limits belong to the endpoint, and do not change."""

    def leave(self) -> None:
        """Return granted shares, if the database can be reached; no request may start any more."""


class NoPeers:
    """No other hosts: there is nothing to exchange."""

    shared = False
    trouble: StateError | None = None

    def __init__(self, record: LocalHoldRecord, limits: LocalLimits) -> None:
        self.record = record
        self.limits = limits

    def begin(self, door: GateDoor, dispatch: Callable[[float], float]) -> None:
        """Take over the hold or pause of the other hosts."""

    def attend(self, timeout: float) -> None:
        """Exchange with the other hosts for `timeout` seconds at most; a separate thread calls it again and again."""

    def use_fleet(self, fleet: Fleet) -> None:
        """See GatePeers.use_fleet."""

    def leave(self) -> None:
        """Return granted shares, if the database can be reached; no request may start any more."""


class FleetPeers:
    """The other hosts of a fleet; `begin` comes before everything else."""

    shared = True

    def __init__(
        self,
        fleet: Fleet,
        options: GateOptions,
        budget: Budget,
        clock: GateClock,
        *,
        line: AdmissionQueue,
        lock: threading.Lock,
        lease: float,
    ) -> None:
        """`lease`: seconds for which a share is granted; `line`: the requests that wait here; `lock`: the gate's lock."""
        #: Notified when there is something to exchange.
        self._wake = threading.Condition(lock)
        self.record = FleetHoldRecord(fleet, clock, wake=self._wake, lease=lease)
        self.limits = SharedLimits(options, budget, clock, line=line, wake=self._wake, lease=lease)
        self.trouble: StateError | None = None
        self._fleet = fleet
        self._clock = clock
        self._line = line
        self._lease = lease
        self._door: GateDoor
        self._dispatch: Callable[[float], float]
        #: No exchange before this time (monotonic), after an error of the database.
        self._retry = -math.inf

    def begin(self, door: GateDoor, dispatch: Callable[[float], float]) -> None:
        """See GatePeers.begin; a hold is probed as soon as the fleet permits."""
        self._door, self._dispatch = door, dispatch
        now = self._clock.now()
        self._fleet.listen(self._changed)
        with contextlib.suppress(StateError):  # `attend` looks again
            found = self.record.look()
            with self._wake:
                door.take_over(found, hold_of(found, now=now), now)
        with self._wake:
            if door.hold is not None:
                door.hold.next_probe = now
                self.record.note_hold(door.hold, next_probe=0.0)

    def attend(self, timeout: float) -> None:
        """Exchange with the other hosts for `timeout` seconds at most; a separate thread calls it again and again."""
        deadline = self._clock.now() + timeout
        with self._wake:
            while True:
                now = self._clock.now()
                need = self.limits.need(now) if self.trouble is None else None
                if need is not None or (now >= self._retry and self.record.is_due(now)):
                    break
                if now >= deadline:
                    return
                wait = max(0.0, min(self.limits.wait(now), self.record.wait(now)), self._retry - now)
                self._wake.wait(max(min(deadline - now, wait), 0.001))
            looks = self.record.begin_look()
        asked = False
        try:
            self.record.send()
            door = self.record.look() if looks else None
            asked = need is not None
            share = None if need is None else self._fleet.share(need, lease=self._lease)
        except StateError as error:
            with self._wake:
                self._failed(error, asked=asked)
            return
        with self._wake:
            moment = self._clock.now()
            self.trouble = None
            if need is not None and share is not None:
                self.limits.taken(need, share, sent=now, now=moment)
            if door is not None and self.record.sent:
                self._door.take_over(door, hold_of(door, now=moment), moment)
            if 0 < self._dispatch(moment) < math.inf:
                # Wake the waiting requests: their wait has changed.
                self._line.rouse()
            self._door.changed.notify_all()

    def use_fleet(self, fleet: Fleet) -> None:
        """See GatePeers.use_fleet."""
        with self._wake:
            self._fleet = fleet
            self.record.use_fleet(fleet)
            self._door.clear(self._clock.now())
            self.record.look_again()

    def leave(self) -> None:
        """Return granted shares, if the database can be reached; no request may start any more."""
        if self.trouble is None:
            with contextlib.suppress(StateError):
                self.record.send()
                self._fleet.leave()

    def _failed(self, error: StateError, *, asked: bool) -> None:
        """Use the granted share until its lease ends: the database did not answer.

        `asked`: it was asked for limits, and may have lowered them although its reply was lost; no request starts before it replies.
        """
        self.trouble = error
        if not asked:
            self.limits.kept()
        self.record.look_again()
        self._retry = self._clock.now() + _AGAIN

    def _changed(self) -> None:
        """Read the door and request limits again: another host has changed something. A thread of the ledger calls it."""
        with self._wake:
            self.limits.again()
            self.record.look_again()


def peers_of(
    options: GateOptions,
    endpoint_name: str,
    *,
    memory: KeyedMemory,
    buy: Callable[[str, str, float], float],
    bought: Callable[[str, str, str], float],
    clock: GateClock,
    line: AdmissionQueue,
    lock: threading.Lock,
    fleet: Fleet | None,
    lease: float,
) -> GatePeers:
    """Return FleetPeers for a `fleet`, else NoPeers; see `Gate` for the arguments."""
    daily, monthly = options.daily_minutes, options.monthly_minutes
    if fleet is None:
        budget = Budget(endpoint_name, buy=buy, bought=bought, daily_minutes=daily, monthly_minutes=monthly)
        record = LocalHoldRecord(memory, endpoint_name, monotonic=clock.now)
        return NoPeers(record, LocalLimits(options, budget, clock))

    def spend(_: str, day: str, seconds: float) -> float:
        return fleet.spend(day, seconds)

    budget = Budget(endpoint_name, buy=spend, bought=bought, daily_minutes=daily, monthly_minutes=monthly, shared=True)
    return FleetPeers(fleet, options, budget, clock, line=line, lock=lock, lease=lease)
