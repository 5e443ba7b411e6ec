"""How fast requests may start, and how much audio may be bought in a day.

The pace is guarded by the gate's lock; the budget by its own, since it waits for the ledger, which the gate never does
under its lock.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from watcher.errors import StateError
from watcher.fleet import Credit


class Pace:
    """Never more than so many starts within any 60 s, and evenly spread: a leaky bucket would let bursts through."""

    def __init__(self, per_minute: int) -> None:
        """0: no limit."""
        self._most = per_minute
        self.starts: deque[float] = deque(maxlen=max(per_minute, 1))

    def resize(self, per_minute: int) -> None:
        """Take a new limit; the starts of the last minute still count."""
        self._most = per_minute
        self.starts = deque(self.starts, maxlen=max(per_minute, 1))

    def delay(self, now: float) -> float:
        """Give the seconds until the next start is allowed; 0 or less: now."""
        if not self._most or not self.starts:
            return 0.0
        delay = self.starts[-1] + 60.0 / self._most - now
        if len(self.starts) == self._most:
            delay = max(delay, self.starts[0] + 60.0 - now)
        return delay

    def started(self, now: float) -> None:
        """Count a start."""
        if self._most:
            self.starts.append(now)


class Budget:
    """Seconds of audio bought on a day (local time), kept in the ledger; those in flight count as well.

    A request counts on the day on which it started. From its start on its seconds are in exactly one of three sums, in
    flight, owed to the ledger, or written there: all three are guarded by one lock, so nobody ever finds them in two of them.
    """

    def __init__(self, minutes: float, name: str, buy: Callable[[str, str, float], float]) -> None:
        """0 minutes: no limit, and nothing is written. `buy` is the ledger's."""
        self.minutes = minutes
        self._name = name
        self._buy = buy
        self.day = ""
        self._sums = threading.Lock()
        #: By the ledger, on `day`.
        self._bought = 0.0
        #: By day: seconds in flight; and seconds bought that the ledger does not have yet.
        self._flying: dict[str, float] = {}
        self._owed: dict[str, float] = {}
        #: One change of the ledger after the other: the last sum it gave is the newest.
        self._writing = threading.Lock()

    @property
    def booked(self) -> float:
        """Seconds that the ledger does not have yet, of all days: in flight, or bought just now."""
        with self._sums:
            return sum(self._flying.values()) + sum(self._owed.values())

    def is_current(self, now: float) -> bool:
        """Return whether the sums are those of the day that it is; `now`: Unix time."""
        return not self.minutes or self.day == day_of(now)

    def begin_day(self, now: float) -> None:
        """Read what was bought on this day from the ledger, if that is not known yet; `now`: Unix time. Raises StateError."""
        if self.is_current(now):
            return
        with self._writing:
            day = day_of(now)
            bought = self._buy(self._name, day, 0.0)
            with self._sums:
                self.day, self._bought = day, bought

    def credit(self, seconds: float) -> Credit:
        """Return ALL if so many seconds more fit, WAIT while that depends on what is in flight, else SPENT.

        What is longer than a whole day's minutes goes as the first of the day.
        """
        if not self.minutes:
            return Credit.ALL
        with self._sums:
            bought = self._bought + self._owed.get(self.day, 0.0)
            flying = self._flying.get(self.day, 0.0)
        most = self.minutes * 60.0 + _GRAIN
        for spent, credit in ((bought + flying, Credit.ALL), (bought, Credit.WAIT)):
            if spent <= _GRAIN or spent + seconds <= most:
                return credit
        return Credit.SPENT

    def start(self, seconds: float) -> str:
        """Count a request that goes out; return the day it counts on, for `end`."""
        with self._sums:
            self._flying[self.day] = self._flying.get(self.day, 0.0) + seconds
            return self.day

    def end(self, seconds: float, day: str, *, bought: bool) -> None:
        """Count a request that came back; what it `bought` is written by the next `flush`."""
        with self._sums:
            left = self._flying.pop(day, 0.0) - seconds
            if left > _GRAIN:
                self._flying[day] = left
            if bought and day and self.minutes:
                self._owed[day] = self._owed.get(day, 0.0) + seconds

    def flush(self) -> None:
        """Write what was bought, durably; what a busy ledger does not take is written with the next.

        Never raises StateError: the answer that was bought is worth more than the note of its price.
        """
        with self._writing, contextlib.suppress(StateError):
            with self._sums:
                owed = dict(self._owed)
            for day, seconds in owed.items():
                total = self._buy(self._name, day, seconds)
                with self._sums:
                    left = self._owed.pop(day) - seconds
                    if left > 0.0:
                        self._owed[day] = left
                    if day == self.day:
                        self._bought = total


#: Rounding, in seconds.
_GRAIN: Final = 1e-6


def day_of(moment: float) -> str:
    """Return the local day of a Unix time, as YYYY-MM-DD."""
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def midnight_after(now: float) -> float:
    """Give the Unix time at which the local day ends; summer time is the system's business."""
    today = time.localtime(now)
    return time.mktime((today.tm_year, today.tm_mon, today.tm_mday + 1, 0, 0, 0, 0, 0, -1))
