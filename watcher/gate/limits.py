"""The limits of requests: how many may be in flight, when the next one may start, and how much audio may be bought.

This module is for a host that works alone; for hosts that share an endpoint see `watcher.gate.shared`.
"""

import math
from abc import ABC, abstractmethod

from watcher.errors import HeldError
from watcher.fleet import BudgetCredit
from watcher.gate.clock import GateClock
from watcher.gate.hold import Hold, HoldKind
from watcher.gate.pace import Budget, Pace, midnight_after, month_after
from watcher.gate.state import OWN_LIMIT, GateOptions
from watcher.gate.window import ConcurrencyWindow
from watcher.text import counted


class GateLimits(ABC):
    """The limits of one endpoint. The gate's lock guards them, except in `begin_day`, `book` and `flush`, which wait for the ledger."""

    def __init__(self, options: GateOptions, budget: Budget, clock: GateClock) -> None:
        self.options = options
        #: How many requests at a time the server takes, learned from its answers.
        self.window = ConcurrencyWindow(options.concurrency)
        self.budget = budget
        self._clock = clock

    def resize(self, options: GateOptions) -> bool:
        """Use new options; requests in flight go on. Return whether the limit of minutes per day or month has changed."""
        minutes = (options.daily_minutes, options.monthly_minutes)
        is_other = minutes != (self.options.daily_minutes, self.options.monthly_minutes)
        self.options = options
        self.window.resize(options.concurrency)
        if is_other:
            self.budget.resize(daily_minutes=options.daily_minutes, monthly_minutes=options.monthly_minutes)
        return is_other

    # Places.

    @abstractmethod
    def granted(self, now: float) -> float:
        """Return how many requests of this host the limits allow in flight, without regard to the window; infinity: no limit."""

    def places(self, now: float) -> int:
        """Return how many requests may be in flight; `now`: monotonic."""
        return int(min(self.window.limit, self.granted(now)))

    def probe_places(self, now: float) -> int:
        """Return how many requests may be in flight, a probe included."""
        return int(min(self.options.concurrency, self.granted(now)))

    @property
    def large_places(self) -> int:
        """Return how many requests for large files may be in flight: all places but those reserved for small files."""
        most = min(self.window.limit, self.options.fleet_concurrency or self.window.limit)
        return max(1, most - self.options.reserve)

    # Pace.

    @abstractmethod
    def delay(self, now: float) -> float:
        """Return the seconds until the pace allows the next start; 0 or less: now, infinity: it is not known yet."""

    # Minutes.

    def begin_day(self) -> None:
        """Read from the ledger what was bought on this day, unless it is known. Raises StateError."""
        self.budget.begin_day(self._clock.wall())

    def credit(self, seconds: float, now: float) -> BudgetCredit:
        """Return whether the limits of day and month allow `seconds` of audio."""
        if not self.budget.is_current(self._clock.wall()):
            return BudgetCredit.WAIT
        if not self.budget.fits(seconds):
            # The seconds exceed the rest of the month, whatever is bought today.
            return BudgetCredit.SPENT
        return self._credit(seconds, now)

    @abstractmethod
    def _credit(self, seconds: float, now: float) -> BudgetCredit:
        """Return whether `seconds` of audio still fit beside what was bought and what is in flight."""

    @abstractmethod
    def is_reached(self, seconds: float, now: float) -> bool:
        """Return whether `seconds` of audio, which did not fit when a hold began, still do not fit, as far as this host knows."""

    def may_fit(self, seconds: float, now: float) -> bool:
        """Return whether `seconds` of audio, which did not fit when a hold began, may fit after a correction."""
        return not self.is_reached(seconds, now)

    def exhausted(self, seconds: float, *, former: Hold | None = None) -> Hold:
        """Return the BUDGET hold of the reached limit (api.daily_minutes or api.monthly_minutes); it ends with the day or month.

        `seconds` of audio exceeded the limit; `former`: the hold that could not be probed because of it.
        """
        budget, now = self.budget, self._clock.wall()
        if budget.of_month:
            period, minutes, name = "month", budget.monthly_minutes, "monthly_minutes"
            until, day, end = month_after(now), budget.day[:7], "the first of the month"
        else:
            period, minutes, name = "day", budget.daily_minutes, "daily_minutes"
            until, day, end = midnight_after(now), budget.day, "midnight"
        key = f"{self.options.section}.{name}"
        # All recordings wait: otherwise short ones would always go before a long one, or a recording would be bought in part.
        what = "all recordings wait" if self.options.section == "api" else "it gets no recording"
        message = (
            f"{key} is reached: {counted(minutes, 'minute')} of audio a {period}; {what}, even one that would still fit"
        )
        hint = f"raise {key}, then watcher resume; or wait for {end}"
        return Hold(
            HoldKind.BUDGET,
            OWN_LIMIT,
            message,
            hint,
            now,
            math.inf,
            ends_at=until,
            day=day,
            seconds=seconds,
            former=former,
        )

    # Requests.

    def held_error(self, hold: Hold, *, retry_after: float = 0.0) -> HeldError:
        """See Hold.error."""
        return hold.error(self.options.subject, retry_after=retry_after)

    def start(self, seconds: float, now: float) -> str:  # noqa: ARG002 - `now` is for limits that count starts
        """Count a request that starts; return the day on which it counts, for `end`."""
        return self.budget.start(seconds, self._clock.wall())

    @abstractmethod
    def book(self) -> None:
        """Write to the ledger that a request is about to start, if that costs no round trip. Called without the lock."""

    def end(self, seconds: float, day: str, *, bought: bool) -> None:
        """Count a request that ended; call `flush` afterwards, without the lock, unless it is made again soon."""
        self.budget.end(seconds, day, bought=bought)

    def correct(self, seconds: float, day: str) -> None:
        """Add `seconds` of audio (may be negative) to what was bought on a day; call `flush` afterwards."""
        self.budget.correct(seconds, day)

    def flush(self) -> None:
        """Write what was bought to the ledger; if it takes no changes now, keep it for the next call."""
        self.budget.flush()

    @abstractmethod
    def ask(self) -> None:
        """Request soon what waiting requests need, if it has to be granted by the fleet."""


class LocalLimits(GateLimits):
    """The limits of an endpoint that no other host uses."""

    def __init__(self, options: GateOptions, budget: Budget, clock: GateClock) -> None:
        super().__init__(options, budget, clock)
        self.pace = Pace(options.requests_per_minute)

    def resize(self, options: GateOptions) -> bool:
        """Use new options; requests in flight go on. Return whether the limit of minutes per day or month has changed."""
        self.pace.resize(options.requests_per_minute)
        return super().resize(options)

    def granted(self, now: float) -> float:  # noqa: ARG002 - see GateLimits
        """Return how many requests of this host the limits allow in flight, without regard to the window; infinity: no limit."""
        return math.inf

    def delay(self, now: float) -> float:
        """Return the seconds until the pace allows the next start; 0 or less: now, infinity: it is not known yet."""
        return self.pace.delay(now)

    def _credit(self, seconds: float, now: float) -> BudgetCredit:  # noqa: ARG002 - see GateLimits
        return self.budget.credit(seconds)

    def is_reached(self, seconds: float, now: float) -> bool:
        """Return whether `seconds` of audio, which did not fit when a hold began, still do not fit, as far as this host knows."""
        return self.credit(seconds, now) is BudgetCredit.SPENT

    def start(self, seconds: float, now: float) -> str:
        """Count a request that starts; return the day on which it counts, for `end`."""
        self.pace.started(now)
        return super().start(seconds, now)

    def book(self) -> None:
        """See GateLimits.book."""
        self.flush()

    def ask(self) -> None:
        """See GateLimits.ask: everything is granted here."""
