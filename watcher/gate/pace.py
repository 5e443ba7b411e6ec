"""Limit how fast requests start, and how much audio is bought in a day and a month.

The gate's lock guards the pace. The budget has a lock of its own, because it waits for the ledger, and the gate never waits for the
ledger while it holds its lock.
"""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from watcher.errors import StateError
from watcher.fleet import BudgetCredit


class Pace:
    """Limits the starts within any 60 s, and spreads them evenly; a token bucket would allow bursts."""

    def __init__(self, per_minute: int) -> None:
        """`per_minute` 0: no limit."""
        self._most = per_minute
        self.starts: deque[float] = deque(maxlen=max(per_minute, 1))

    def resize(self, per_minute: int) -> None:
        """Use a new limit; the starts of the last minute still count."""
        self._most = per_minute
        self.starts = deque(self.starts, maxlen=max(per_minute, 1))

    def delay(self, now: float) -> float:
        """Return the seconds until the next start is allowed; 0 or less: now."""
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
    """Seconds of audio bought on a day and in a month (local time), kept in the ledger; those in flight count as well.

    A request counts on the day on which it started. It also counts without a limit, because a limit may be set later. It
    counts as bought from its start, and is subtracted if it cost nothing: so a process that is killed has counted everything that
    the server may charge for. One lock guards the sums.
    """

    def __init__(
        self,
        name: str,
        *,
        buy: Callable[[str, str, float], float],
        bought: Callable[[str, str, str], float],
        daily_minutes: float = 0.0,
        monthly_minutes: float = 0.0,
        shared: bool = False,
    ) -> None:
        """0 minutes: no limit. `buy` and `bought` are methods of the ledger.

        `shared`: other hosts share the limits. For them the ledger must have only what is really bought, so requests in flight are
        written to it only if there is no limit.
        """
        self.daily_minutes = daily_minutes
        self.monthly_minutes = monthly_minutes
        self._name = name
        self._buy = buy
        self._sum = bought
        self.day = ""
        self._sums = threading.Lock()
        #: Bought seconds stored in the ledger: on `day`, and on the earlier days of its month.
        self._bought = 0.0
        self._earlier = 0.0
        self._shared = shared
        #: By day: seconds in flight; and the difference to write to the ledger (may be negative).
        self._flying: dict[str, float] = {}
        self._owed: dict[str, float] = {}
        #: Allows one change of the ledger at a time, so that the last sum it returned is the newest.
        self._writing = threading.Lock()

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.daily_minutes or self.monthly_minutes)

    @property
    def booked(self) -> float:
        """Seconds, over all days, that are not in the ledger yet: in flight, or bought just now."""
        with self._sums:
            return max(0.0, sum(self._owed.values()))

    @property
    def of_month(self) -> bool:
        """Whether the monthly limit is the stricter one today."""
        return self._left_of_month < (self.daily_minutes * 60.0 or math.inf)

    @property
    def seconds(self) -> float:
        """Seconds of audio that may be bought on this day, including those bought already; 0: no limit.

        If nothing is left of the month, `fits` is False.
        """
        least = min(self.daily_minutes * 60.0 or math.inf, self._left_of_month)
        return 0.0 if math.isinf(least) else max(least, _GRAIN)

    @property
    def _left_of_month(self) -> float:
        return self.monthly_minutes * 60.0 - self._earlier if self.monthly_minutes else math.inf

    def is_current(self, now: float) -> bool:
        """Return whether the sums are those of today; `now`: Unix time."""
        return not self.limited or self.day == day_of(now)

    def resize(self, *, daily_minutes: float, monthly_minutes: float) -> None:
        """Use new limits; read again what was bought, because without a limit it was not needed."""
        with self._sums:
            self.daily_minutes, self.monthly_minutes = daily_minutes, monthly_minutes
            self.day = ""

    def begin_day(self, now: float) -> None:
        """Read from the ledger what was bought on this day, unless it is known; `now`: Unix time. Raises StateError."""
        if self.is_current(now):
            return
        with self._writing:
            day = day_of(now)
            month, yesterday = day[:8], f"{day[:8]}{int(day[8:]) - 1:02}"
            bought = self._buy(self._name, day, 0.0)
            earlier = self._sum(self._name, f"{month}01", yesterday) if self.monthly_minutes else 0.0
            with self._sums:
                earlier += sum(seconds for of, seconds in self._owed.items() if of.startswith(month) and of < day)
                self.day, self._bought, self._earlier = day, bought, earlier

    def fits(self, seconds: float, spent: float = 0.0) -> bool:
        """Return whether `seconds` more fit if `spent` seconds were bought on this day.

        Audio longer than the limit of a whole day is allowed as the first of the day, and likewise for the month.
        """
        return not self.limited or (
            _fits(seconds, spent, self.daily_minutes) and _fits(seconds, self._earlier + spent, self.monthly_minutes)
        )

    def credit(self, seconds: float) -> BudgetCredit:
        """Return ALL if `seconds` more fit, WAIT while that depends on requests in flight, else SPENT."""
        if not self.limited:
            return BudgetCredit.ALL
        with self._sums:
            spent = self._bought + self._owed.get(self.day, 0.0)
            flying = self._flying.get(self.day, 0.0)
        if self.fits(seconds, spent):
            return BudgetCredit.ALL
        return BudgetCredit.WAIT if self.fits(seconds, spent - flying) else BudgetCredit.SPENT

    def start(self, seconds: float, now: float) -> str:
        """Count a request that starts; return the day on which it counts, for `end`. `now`: Unix time."""
        day = self.day if self.limited else day_of(now)
        with self._sums:
            _add(self._flying, day, seconds)
            _add(self._owed, day, seconds)
        return day

    def end(self, seconds: float, day: str, *, bought: bool) -> None:
        """Count a request that ended."""
        with self._sums:
            _add(self._flying, day, -seconds)
            if not bought:
                _add(self._owed, day, -seconds)

    def correct(self, seconds: float, day: str) -> None:
        """Add `seconds` (may be negative) to what was bought on a day."""
        with self._sums:
            _add(self._owed, day, seconds)

    def flush(self) -> None:
        """Write the differences to the ledger; if it is busy, they are written with the next call.

        Never raises StateError: the answer that was bought is worth more than the note of its price.
        """
        with self._writing, contextlib.suppress(StateError):
            with self._sums:
                owed = dict(self._owed)
                if self._shared and self.limited:
                    for day, seconds in self._flying.items():
                        _add(owed, day, -seconds)
            for day, seconds in owed.items():
                total = self._buy(self._name, day, seconds)
                with self._sums:
                    _add(self._owed, day, -seconds)
                    if day == self.day:
                        self._bought = total


#: Rounding, in seconds.
_GRAIN: Final = 1e-6


def day_of(moment: float) -> str:
    """Return the local day of a Unix time, as YYYY-MM-DD."""
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def _add(sums: dict[str, float], day: str, seconds: float) -> None:
    """Add to a day's sum; remove a day whose sum is 0."""
    sums[day] = sums.get(day, 0.0) + seconds
    if abs(sums[day]) <= _GRAIN:
        del sums[day]


def _fits(seconds: float, spent: float, minutes: float) -> bool:
    return not minutes or spent <= _GRAIN or spent + seconds <= minutes * 60.0 + _GRAIN


def midnight_after(now: float) -> float:
    """Return the Unix time at which the local day ends; summer time is considered."""
    today = time.localtime(now)
    return time.mktime((today.tm_year, today.tm_mon, today.tm_mday + 1, 0, 0, 0, 0, 0, -1))


def month_after(now: float) -> float:
    """Return the Unix time at which the local month ends."""
    today = time.localtime(now)
    return time.mktime((today.tm_year, today.tm_mon + 1, 1, 0, 0, 0, 0, 0, -1))
