"""How fast requests may start, and how much audio may be bought in a day.

Not locked, the gate is; but for what waits for the ledger, which the gate does not do under its lock.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from watcher.errors import StateError


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
    """Seconds of audio bought today (local time), kept in the ledger; those in flight count as well."""

    def __init__(self, minutes: float, name: str, buy: Callable[[str, str, float], float]) -> None:
        """0 minutes: no limit, and nothing is written. `buy` is the ledger's."""
        self.minutes = minutes
        self._name = name
        self._buy = buy
        self.day = ""
        self._bought = 0.0
        #: Seconds of requests in flight.
        self.reserved = 0.0
        #: Bought, and not yet in the ledger.
        self._owed = 0.0
        self._writing = threading.Lock()

    def begin_day(self, now: float) -> None:
        """Ask the ledger for what was bought on this day; `now`: Unix time."""
        day = time.strftime("%Y-%m-%d", time.localtime(now)) if self.minutes else self.day
        if day == self.day:
            return
        with self._writing:
            self._bought = self._buy(self._name, day, 0.0)
            self.day = day

    def affords(self, seconds: float) -> bool:
        """Say whether this much more fits; what is longer than a whole day's minutes goes as the first of the day."""
        spent = self._bought + self.reserved
        return not self.minutes or spent == 0.0 or spent + seconds <= self.minutes * 60.0

    def reserve(self, seconds: float) -> None:
        """Count a request that goes out; negative: one that came back."""
        self.reserved += seconds

    def spend(self, seconds: float) -> None:
        """Note what was bought, durably; what a busy ledger does not take is noted with the next.

        Never raises: the answer that was bought is worth more than the note of its price.
        """
        if not self.minutes:
            return
        with self._writing, contextlib.suppress(StateError):
            self._bought += seconds
            self._owed += seconds
            self._bought = max(self._bought, self._buy(self._name, self.day, self._owed))
            self._owed = 0.0


def midnight_after(now: float) -> float:
    """Give the Unix time at which the local day ends; summer time is the system's business."""
    today = time.localtime(now)
    return time.mktime((today.tm_year, today.tm_mon, today.tm_mday + 1, 0, 0, 0, 0, 0, -1))
