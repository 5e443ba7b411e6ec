"""What was done in each of the last 24 hours and of the last 30 days, by the clock of this machine's time zone."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from watcher.ledger.ledger import Ledger
from watcher.ledger.values import Activity
from watcher.status.values import Period

HOURS: Final = 24
DAYS: Final = 30
_HOUR: Final = 3600.0


def periods(ledger: Ledger, now: float, prices: Mapping[str, float]) -> tuple[tuple[Period, ...], tuple[Period, ...]]:
    """Return the last hours and the last days, the oldest first; the last of each has not ended yet.

    `prices`: of a minute, by the name under which an endpoint's purchases are stored.
    """
    return _periods(ledger, list(_hours(now)), prices), _periods(ledger, list(_days(now)), prices)


def _periods(ledger: Ledger, bounds: list[float], prices: Mapping[str, float]) -> tuple[Period, ...]:
    done = ledger.history.activity(bounds)
    return tuple(_period(start, one, prices) for start, one in zip(bounds[:-1], done, strict=True))


def _period(start: float, done: Activity, prices: Mapping[str, float]) -> Period:
    # What was taken back was bought in an earlier period, as a rule.
    costs = [max(0.0, done.bought.get(name, 0.0)) / 60 * price for name, price in prices.items() if price]
    return Period(
        start=start,
        done=done.done,
        failed=done.failed,
        audio_seconds=done.audio_seconds,
        mean_wait=done.waited_seconds / done.done if done.done else None,
        cost=sum(costs) if costs else None,
    )


def _hours(now: float) -> Iterator[float]:
    """Yield the bounds of the last hours: each begins with a full hour of local time."""
    local = time.localtime(now)
    begun = int(now) - local.tm_min * 60 - local.tm_sec
    return (begun + number * _HOUR for number in range(1 - HOURS, 2))


def _days(now: float) -> Iterator[float]:
    """Yield the bounds of the last days: local midnights, which are 23 or 25 hours apart where clocks change."""
    local = time.localtime(now)
    dates = ((local.tm_year, local.tm_mon, local.tm_mday + number) for number in range(1 - DAYS, 2))
    return (time.mktime((*date, 0, 0, 0, 0, 0, -1)) for date in dates)
