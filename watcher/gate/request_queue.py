"""Requests on their way through the gate: those that wait for a place, and those in flight."""

import contextlib
import math
import threading
from collections.abc import Callable

from watcher.errors import ElsewhereError, HeldError, StateBusyError, StoppedError
from watcher.fleet import BudgetCredit
from watcher.gate.admission import AdmissionQueue, GateRequest
from watcher.gate.clock import SILENT, SLICE, GateClock
from watcher.gate.door import ANOTHER_FILE_SECONDS, GateDoor
from watcher.gate.hold import Hold
from watcher.gate.limits import GateLimits


class RequestQueue:
    """The requests of one gate. The gate's lock guards them; only `enter` takes it itself."""

    def __init__(
        self,
        lock: threading.Lock,
        *,
        line: AdmissionQueue,
        limits: GateLimits,
        door: GateDoor,
        stop: threading.Event,
        clock: GateClock,
    ) -> None:
        self._lock = lock
        self._line = line
        self._limits = limits
        self._door = door
        self._stop = stop
        self._clock = clock
        #: Requests in flight, and since when (Unix time).
        self._in_flight: dict[GateRequest, float] = {}

    def enter(
        self,
        *,
        seconds: float,
        small: bool,
        path: bytes,
        root: bytes,
        announce: Callable[[float], None],
        leaves: Callable[[], bool] = lambda: False,
    ) -> GateRequest:
        """Wait until a request may start; see `Gate.enter`. Called without the lock."""
        request = GateRequest(threading.Condition(self._lock), seconds, small=small, path=path, root=root)
        self._door.sync()
        with self._lock:
            self._line.join(request)
        has_waited = False
        try:
            while not request.granted:
                announce(SILENT)
                is_leaving = has_waited and leaves()
                with contextlib.suppress(StateBusyError):  # then no request starts, and it is tried again
                    self._limits.begin_day()
                with self._lock:
                    if not request.granted:
                        if is_leaving:
                            raise ElsewhereError("it waited for a place, and another endpoint is better now")
                        self._await_turn(request)
                has_waited = True
        finally:
            with self._lock:
                self._line.quit(request)
        return request

    def dispatch(self, now: float) -> float:
        """Start the requests that may start; return the seconds until another one may start if nothing else changes."""
        delay = math.inf
        while self._door.hold is None:
            pause = self._door.pause
            delay = max(pause.until - now if pause else 0.0, self._limits.delay(now))
            if delay > 0:
                break
            delay = math.inf
            request = self._line.head(self._limits.places(now), reserve=self._limits.options.reserve)
            if request is None:
                break
            credit = self._limits.credit(request.seconds, now)
            if credit is BudgetCredit.SPENT:
                self._door.begin_hold(self._limits.exhausted(request.seconds), now)
            elif credit is BudgetCredit.ALL:
                self._start(request, now)
            else:
                break
        self._limits.ask()
        return delay

    def leave(self, request: GateRequest, *, bought: bool) -> None:
        """Count a request that ended; `bought`: it is or may be paid for."""
        self._line.leave(request)
        self._in_flight.pop(request, None)
        self._limits.end(request.seconds, request.day, bought=bought)

    def files(self) -> dict[bytes, float]:
        """Return the files of requests in flight, and since when each has had any without a break (Unix time)."""
        since: dict[bytes, float] = {}
        for request, began in self._in_flight.items():
            since[request.path] = min(began, since.get(request.path, began))
        return since

    def _await_turn(self, request: GateRequest) -> None:
        """Start a request, or wait until one may start; raises HeldError for long waits, StoppedError on stop."""
        if self._stop.is_set():
            raise StoppedError("the daemon stops")
        now = self._clock.now()
        self._door.lapse(now)
        if (hold := self._door.hold) is None:
            pause = self._door.pause
            if pause is not None and pause.until - now > self._limits.options.patience:
                raise HeldError(pause.message, reason="paused", hint=pause.hint)
            delay = self.dispatch(now)
            if not request.granted and self._door.hold is None:
                request.signal.wait(max(min(delay, SLICE), 0.001))
        elif hold.probing:  # the probe's result decides for this request
            self._door.changed.wait(SLICE)
        else:
            self._await_probe(hold, request, now)

    def _await_probe(self, hold: Hold, request: GateRequest, now: float) -> None:
        """Start a request as a probe, or wait until the limits allow it; raises HeldError if it may not probe."""
        if hold.ticket is None and (hold.next_probe > now or self._door.record.needs_permission):
            raise self._limits.held_error(hold)
        if (
            (ticket := hold.ticket) is not None
            and hold.before_due
            and (request.root in ticket.without or self._door.history.has_failed(request.path))
        ):
            raise self._limits.held_error(hold)
        if (delay := self._probe_delay(hold, request, now)) > 0:
            self._limits.ask()
            request.signal.wait(max(min(delay, SLICE), 0.001))
            return
        hold.ticket, hold.probing = None, True
        request.probe, request.resumes = hold, hold.resumes
        self._start(request, now)
        self._door.reports.probing(hold)

    def _probe_delay(self, hold: Hold, request: GateRequest, now: float) -> float:
        """Return the seconds until the limits allow this probe; raises HeldError if that takes long."""
        if hold.not_before > now:
            hold.ticket = None
            hold.next_probe = max(hold.next_probe, hold.not_before, now + hold.interval())
            raise self._limits.held_error(hold, retry_after=ANOTHER_FILE_SECONDS)
        credit = self._limits.credit(request.seconds, now)
        if credit is BudgetCredit.SPENT:
            # Report the reached limit, not the old refusal: no probe is possible.
            hold.ticket = None
            self._door.record.give_back(hold)
            spent = self._limits.exhausted(request.seconds, former=hold)
            self._door.begin_hold(spent, now)
            raise self._limits.held_error(spent)
        is_free = credit is BudgetCredit.ALL and self._line.inside < self._limits.probe_places(now)
        return self._limits.delay(now) if is_free else math.inf

    def _start(self, request: GateRequest, now: float) -> None:
        request.epoch = self._limits.window.epoch
        self._line.enter(request)
        self._in_flight[request] = self._clock.wall()
        self._door.entered()
        request.day = self._limits.start(request.seconds, now)
