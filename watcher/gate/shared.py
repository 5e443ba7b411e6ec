"""The limits of an endpoint that several hosts share: what this host was granted, and what it has to request.

A request costs no round trip while the host has places, starts and minutes left: a separate thread requests them
(`watcher.gate.peers`) for all waiting requests at once, and keeps them until this host needs them no more or other hosts
need them. If the database cannot be reached, a host uses what it was granted until the lease ends; then no request starts here.
"""

import math
import threading
from collections import deque
from typing import Final

from watcher.fleet import BudgetCredit, LimitDemand, LimitShare
from watcher.gate.admission import AdmissionQueue
from watcher.gate.clock import GateClock
from watcher.gate.limits import GateLimits
from watcher.gate.pace import Budget
from watcher.gate.state import GateOptions

#: Seconds until the next try to get places that other hosts still have.
_AGAIN: Final = 1.0
#: Seconds after which a granted start time expires.
_LATE: Final = 0.5
#: Seconds in advance for which starts are requested.
_AHEAD: Final = 5.0
#: Rounding.
_GRAIN: Final = 1e-6


class SharedLimits(GateLimits):
    """This host's granted share of the limits. The gate's lock guards it."""

    def __init__(
        self,
        options: GateOptions,
        budget: Budget,
        clock: GateClock,
        *,
        line: AdmissionQueue,
        wake: threading.Condition,
        lease: float,
    ) -> None:
        """`line`: the requests that wait here. `wake` is notified when to exchange with the fleet. Shares are granted for `lease` seconds."""
        super().__init__(options, budget, clock)
        self._line = line
        self._wake = wake
        self._lease = lease
        #: All hosts together want more places than there are.
        self._contended = False
        self._places = 0
        #: Places counted as this host's, including those that it has to give back.
        self._counted = 0
        #: Upper bound of the places during an exchange, which may grant fewer; infinity otherwise.
        self._frozen = math.inf
        #: When the lease of places and minutes ends (monotonic).
        self._until = -math.inf
        #: The most places that were needed since the last exchange.
        self._high = 0
        #: Moments at which a request may start (monotonic).
        self._starts: deque[float] = deque()
        #: Seconds of audio that may be bought; and the day on which the fleet allows no more.
        self._seconds = 0.0
        self._spent_day = ""
        #: Seconds of audio counted as this host's in the fleet; and those of requests that started since the last exchange.
        self._booked = 0.0
        self._entered = 0.0
        #: What was missing at the last exchange: the same demand is not sent again at once.
        self._asked: tuple[object, ...] = ()
        #: When the next exchange is due at the latest (monotonic).
        self._next = -math.inf

    def resize(self, options: GateOptions) -> bool:
        """Use new options; requests in flight go on. Return whether the limit of minutes per day or month has changed."""
        is_other = super().resize(options)
        self.again()
        return is_other

    # What was granted.

    def granted(self, now: float) -> float:
        """Return how many requests of this host the limits allow in flight, without regard to the window; infinity: no limit."""
        if not self.options.fleet_concurrency:
            return math.inf
        return min(self._places, self._frozen) if now < self._until else 0

    def delay(self, now: float) -> float:
        """See GateLimits.delay; infinity if no start was granted."""
        if not self.options.requests_per_minute:
            return 0.0
        while self._starts and self._starts[0] < now - _LATE:
            self._starts.popleft()
        return self._starts[0] - now if self._starts else math.inf

    def _credit(self, seconds: float, now: float) -> BudgetCredit:
        if not self.budget.seconds or (seconds <= self._seconds + _GRAIN and now < self._until):
            return BudgetCredit.ALL
        return BudgetCredit.SPENT if self._spent_day == self.budget.day else BudgetCredit.WAIT

    def is_reached(self, seconds: float, now: float) -> bool:  # noqa: ARG002 - see below
        """See GateLimits.is_reached: with the purchases of all hosts, only another limit or another day ends such a hold."""
        return True

    def may_fit(self, seconds: float, now: float) -> bool:  # noqa: ARG002 - the fleet has to be asked
        """See GateLimits.may_fit."""
        self.again()
        return True

    def start(self, seconds: float, now: float) -> str:
        """See GateLimits.start; uses part of the share."""
        day = super().start(seconds, now)
        if self._starts:
            self._starts.popleft()
        self._seconds = max(0.0, self._seconds - seconds)
        self._entered += seconds
        if self.options.requests_per_minute or self.budget.limited:
            self._asked = ()
        return day

    def book(self) -> None:
        """See GateLimits.book: it is written with the next exchange."""

    # Demand.

    def ask(self) -> None:
        """Request soon what waiting requests need, if it has to be granted by the fleet."""
        if len(self._line) or self._contended:
            self._wake.notify()

    def again(self) -> None:
        """Request the same again: other hosts may have given something back, or need what this one has."""
        self._contended = True
        self._asked, self._spent_day = (), ""
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Return the seconds until the next exchange, if nothing changes before."""
        return self._next - now if self._counted or self._asked or self._booked else math.inf

    def need(self, now: float) -> LimitDemand | None:
        """Return what to request from the fleet now, or None; afterwards call `taken` or `kept`."""
        options, line, limit = self.options, self._line, self.window.limit
        demand = min(limit, line.inside + len(line) + (options.reserve if line.large else 0))
        if options.fleet_concurrency:
            demand = min(demand, max(options.fleet_concurrency, line.inside))
        self._high = max(self._high, demand)
        first, waiting = line.seconds(1), line.seconds(max(limit - line.inside, 1))
        starts = self._starts_needed(now)
        missing = self._missing(demand, starts, first, now)
        is_new, self._asked = bool(missing) and missing != self._asked, missing
        if not is_new and (now < self._next or not (missing or self._counted or self._booked)):
            return None
        # Keep what was needed since the last exchange, unless other hosts need it.
        wanted = demand if self._contended else min(self._high, limit)
        self._high = demand
        self._frozen, self._entered = line.inside, 0.0
        return LimitDemand(
            limit=options.fleet_concurrency,
            wanted=wanted,
            used=line.inside,
            per_minute=options.requests_per_minute,
            starts=starts,
            budget=self.budget.seconds,
            day=self.budget.day,
            flying=self.budget.booked,
            first=first,
            waiting=waiting,
        )

    def _starts_needed(self, now: float) -> int:
        room = self.window.limit - self._line.inside
        if not self.options.requests_per_minute or room <= 0 or self.delay(now) < math.inf:
            return 0
        soon = max(1, math.ceil(self.options.requests_per_minute * _AHEAD / 60.0))
        return min(len(self._line), room, soon)

    def _missing(self, demand: int, starts: int, first: float, now: float) -> tuple[object, ...]:
        """Return what this host has too little or too much of; empty: nothing."""
        in_flight, waits = self._line.inside, len(self._line) > 0
        short = waits and in_flight >= self.granted(now) and demand > in_flight
        minutes = waits and self._credit(first, now) is BudgetCredit.WAIT
        over = self._counted > max(in_flight, min(demand, self._places) if self._contended else self._places)
        return (short, starts, minutes, over) if short or starts or minutes or over else ()

    def taken(self, need: LimitDemand, share: LimitShare, *, sent: float, now: float) -> None:
        """Use the granted share; it was requested at `sent` (monotonic)."""
        self._frozen, self._until = math.inf, sent + self._lease
        self._places, self._counted, self._contended = share.places, share.counted, share.contended
        self._starts.extend(now + delay for delay in share.starts)
        given = {BudgetCredit.ALL: need.waiting, BudgetCredit.FIRST: need.first}.get(share.credit, 0.0)
        self._seconds = max(0.0, given - self._entered)
        self._booked = need.flying + given
        self._spent_day = need.day if share.credit is BudgetCredit.SPENT else ""
        hungry = bool(need.limit) and need.wanted > share.places
        if not hungry and share.credit is not BudgetCredit.WAIT:
            self._asked = ()
        soon = hungry or share.credit is BudgetCredit.WAIT or self._booked > need.flying + _GRAIN
        self._next = now + (_AGAIN if soon else self._lease / 3)

    def kept(self) -> None:
        """Keep the former share: there was no exchange after all."""
        self._frozen = math.inf
