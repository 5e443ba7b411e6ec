"""Holds and pauses that several hosts share: this host's changes to them, and its permission to probe."""

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from watcher.errors import StateError
from watcher.fleet import FailedFile, Fleet, SharedHold
from watcher.gate.clock import GateClock
from watcher.gate.hold import Hold, HoldKind, hold_from
from watcher.gate.record import Pause

#: Seconds between two readings of the shared door, in case a notification was lost.
_LOOK: Final = 30.0
#: Seconds after which a host looks again at a hold that another one is probing.
_AGAIN: Final = 1.0


class FleetHoldRecord:
    """One host's changes of the shared door: they are queued under the gate's lock, and `send` stores them without it."""

    needs_permission = True
    shortest_pause = 0.0

    def __init__(self, fleet: Fleet, clock: GateClock, *, wake: threading.Condition, lease: float) -> None:
        """`wake` is notified when there is something to send. A permission to probe counts for `lease` seconds."""
        self._fleet = fleet
        self._clock = clock
        self._wake = wake
        self._lease = lease
        #: Changes that are not stored in the database yet.
        self._unsent: deque[Callable[[], None]] = deque()
        #: The door may have changed.
        self._stale = True
        self._looked = -math.inf
        #: The hold that this host may probe, and until when (monotonic).
        self._probe: Hold | None = None
        self._probe_until = -math.inf

    # Changes to send; see HoldRecord.

    def note_hold(self, hold: Hold, *, next_probe: float) -> None:  # noqa: ARG002 - each host has its own clock
        """See HoldRecord.note_hold. BUDGET holds are not sent: each host notices a reached limit itself."""
        if hold.kind is not HoldKind.BUDGET:
            files = tuple(hold.files)
            self._queue(lambda: _send_hold(self._fleet, hold, files, self._clock.now()))

    def note_pause(self, pause: Pause, *, until: float) -> None:
        """Store a pause for as long as it lasts; `until`: Unix time."""
        pause.noted = until
        self._queue(lambda: _send_pause(self._fleet, pause, self._clock.now()))

    def forget(self, hold: Hold) -> None:
        """Remove the stored entry: the hold is over."""
        if hold.kind is not HoldKind.BUDGET:
            self._queue(lambda: _open(self._fleet, hold))

    def resume(self, hold: Hold | None, *, next_probe: float) -> None:  # noqa: ARG002 - see below
        """See HoldRecord.resume. It is one change for pause and hold: a second one would cancel the permission granted after the first."""
        self._queue(self._fleet.resume)

    def give_back(self, hold: Hold) -> None:
        """Return a permission to probe that was not used."""
        self._queue(lambda: self._fleet.give_back(hold.number))
        self._probe = None

    def look_again(self) -> None:
        """Read soon what other hosts have stored."""
        self._stale = True
        self._wake.notify()

    def needs_check(self, now: float, *, noted: bool) -> bool:  # noqa: ARG002 - see below
        """See HoldRecord.needs_check: another thread reads the shared door."""
        return False

    def is_gone(self) -> bool:
        """Return whether the stored entry is gone. Called without the lock. Raises StateError."""
        return False

    def read(self, *, now: float, wall: float) -> Hold | Pause | None:  # noqa: ARG002 - see below
        """See HoldRecord.read: another thread reads the shared door."""
        return None

    def may_probe(self, hold: Hold, *, before_due: bool = False) -> bool:
        """See HoldRecord.may_probe; False also if the database cannot be reached."""
        now = self._clock.now()
        try:
            granted = bool(hold.number) and self._fleet.probe(hold.number, lease=self._lease, before_due=before_due)
        except StateError:
            return False
        if granted:
            self._probe, self._probe_until = hold, now + self._lease
        return granted

    # For the thread that exchanges with the database.

    def use_fleet(self, fleet: Fleet) -> None:
        """Use the door of another key or model; unsent changes concern the former one, and are discarded."""
        self._fleet = fleet
        self._unsent.clear()
        self._probe = None

    def is_due(self, now: float) -> bool:
        """Return whether to send or read something now; `now`: monotonic."""
        self._stale = self._stale or now >= self._looked + _LOOK
        return bool(self._unsent or self._stale) or now >= self._renewal

    def wait(self, now: float) -> float:
        """Return the seconds until something is due, if nothing changes before."""
        return min(-math.inf if self._unsent or self._stale else self._looked + _LOOK, self._renewal) - now

    @property
    def sent(self) -> bool:
        """Whether all changes are stored."""
        return not self._unsent

    def begin_look(self) -> bool:
        """Return whether to read the door once all changes are sent."""
        looks, self._stale = self._stale or bool(self._unsent), False
        return looks

    def send(self) -> None:
        """Send the queued changes in their order, and renew the permission to probe. Called without the lock.

        Raises StateError; unsent changes stay queued.
        """
        while self._unsent:
            change = self._unsent[0]
            change()
            if self._unsent and self._unsent[0] is change:
                self._unsent.popleft()
        if (hold := self._probe) is not None:
            now = self._clock.now()
            if not (hold.probing or hold.ticket):
                self._probe = None
            elif now >= self._renewal:
                self._fleet.probe(hold.number, lease=self._lease)
                self._probe_until = now + self._lease

    def look(self) -> SharedHold:
        """Return the shared door. Called without the lock. Raises StateError."""
        door = self._fleet.door()
        self._looked = self._clock.now()
        return door

    @property
    def _renewal(self) -> float:
        """Return when to renew the permission to probe (monotonic); infinity: there is none."""
        return math.inf if self._probe is None else self._probe_until - self._lease * 2 / 3

    def _queue(self, change: Callable[[], None]) -> None:
        self._unsent.append(change)
        self._wake.notify()


def hold_of(door: SharedHold, *, now: float) -> Hold | None:
    """Return a door's hold, with its times on the monotonic clock."""
    hold = hold_from(door.hold or {})
    if hold is not None:
        hold.number, hold.step, hold.files = door.number, _count(door.hold or {}), set(door.files)
        # The host that probes stores the result.
        hold.next_probe = now + max(door.due, _AGAIN if door.probing else 0.0)
        if hold.asked_until:
            # When exactly the server wants the next request was said by the clock of another host.
            hold.not_before = hold.next_probe
    return hold


def _count(record: Mapping[str, object]) -> int:
    step = record.get("step")
    return step if isinstance(step, int) else 0


def _send_hold(fleet: Fleet, hold: Hold, files: Collection[FailedFile], now: float) -> None:
    wait = max(0.0, hold.next_probe - now)
    if hold.number:
        fleet.put_off(hold.number, hold.record(next_probe=0.0), wait=wait, files=files)
    else:
        hold.number = fleet.shut(hold.record(next_probe=0.0), wait=wait, files=files)


def _open(fleet: Fleet, hold: Hold) -> None:
    if hold.number:
        fleet.open(hold.number)


def _send_pause(fleet: Fleet, pause: Pause, now: float) -> None:
    if (left := pause.until - now) > 0:
        fleet.pause(pause.record(), seconds=left)
