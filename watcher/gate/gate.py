"""The gate itself: who may go in now, and what the outcome of a request means for all others.

One lock guards everything; a request costs two short holds of it. Nothing is written to the ledger but changes of a
hold, long pauses, and bought minutes where a daily budget is set.
"""

import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self, TypeVar

import structlog

from watcher.errors import (
    AccountError,
    FileError,
    HeldError,
    JobError,
    NoChannelError,
    PassingError,
    RemedyError,
    StateError,
    StoppedError,
)
from watcher.gate.hold import Hold, Kind, Streak, hold_for
from watcher.gate.line import Line, Waiter
from watcher.gate.pace import Budget, Pace, midnight_after
from watcher.gate.record import Memory, Pause, Record
from watcher.gate.state import GateOptions, GateState, Status
from watcher.gate.window import Window

_log = structlog.get_logger()
_T = TypeVar("_T")

#: A pause up to this long is waited for in place; before a longer one the jobs go back to the queue.
PATIENCE_SECONDS: Final = 120.0
#: The longest pause a server is believed, in seconds.
_LONGEST_PAUSE: Final = 3600.0
#: How often waiting threads look at `stop`, in seconds.
_SLICE: Final = 0.25
#: How often a held gate looks whether another process lifted the hold, and a shared one whether another one holds.
_SYNC_SECONDS: Final = 2.0
#: Pauses shorter than this are not worth the ledger's memory.
_MEMORABLE_SECONDS: Final = 5.0
#: Waits of one refused request: a fraction of a second, doubled each time, up to this.
_LONGEST_REST: Final = 16.0
#: A request turned away this often while others pass has failed by itself.
_TURNED_AWAY: Final = 10
#: Outcomes that say something about the endpoint.
_TELLING: Final = (PassingError, AccountError, NoChannelError, FileError, RemedyError)
#: Failures after which the server may have worked, and charged, all the same.
_MAYBE_PAID: Final = {"timeout", "truncated", "garbled", "connection", "oversized_answer"}
#: A file whose probe failed is left alone this long, where there are others.
_ANOTHER_FILE_SECONDS: Final = 60.0
#: A station without a channel for this long is a matter for the operator.
_ESCALATION_SECONDS: Final = 3 * 3600.0


class Ticket:
    """Leave to claim a job; on a held gate, leave to probe with it. Close it once the job is over."""

    def __init__(self, give_back: "Callable[[Ticket], None] | None" = None) -> None:
        """`give_back` takes unused leave to probe; without it, the gate is open."""
        self.probe = give_back is not None
        self._give_back = give_back

    def close(self) -> None:
        """Give unused leave to probe back, so that the next worker gets it at once."""
        if self._give_back is not None:
            self._give_back(self)
            self._give_back = None

    def __enter__(self) -> Self:
        """Leave is there already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class Gate:
    """The door to one endpoint; every method may be called from any thread."""

    def __init__(
        self,
        options: GateOptions,
        *,
        endpoint_name: str,
        memory: Memory,
        buy: Callable[[str, str, float], float],
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        shared: bool = False,
    ) -> None:
        """Take up what memory holds: a hold is probed at once, with one request.

        `buy` is the ledger's. `jitter` gives numbers in [0, 1). `shared`: other daemons use the same memory, so their
        holds are looked for while this gate is open too.
        """
        self._options = options
        self._record = Record(memory, endpoint_name)
        self._stop = stop
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._shared = shared
        self._lock = threading.Lock()
        #: Somebody waits for leave (`admit`) or for a probe's outcome.
        self._changed = threading.Condition(self._lock)
        self._window = Window(options.concurrency)
        self._line = Line()
        self._pace = Pace(options.requests_per_minute)
        self._budget = Budget(options.daily_minutes, endpoint_name, buy)
        self._streak = Streak()
        self._passed = 0
        self._opened = clock()
        self._pause: Pause | None = None
        self._pauses = 0
        self._hold: Hold | None = None
        self._next_sync = monotonic() + _SYNC_SECONDS
        self._recall()

    def admit(self, *, timeout: float) -> Ticket | None:
        """Give leave to claim a job; None when the gate stays closed for `timeout` seconds, or on stop.

        On a held gate one worker gets leave when a probe is due: its first request is the probe.
        """
        deadline = self._monotonic() + timeout
        while not self._stop.is_set():
            self._sync()
            with self._lock:
                now = self._monotonic()
                self._lapse(now)
                hold, due = self._hold, math.inf
                if hold is None:
                    if self._pause is None or self._pause.until - now <= PATIENCE_SECONDS:
                        return Ticket()
                    due = self._pause.until
                elif not hold.probing and hold.ticket is None:
                    due = hold.next_probe
                    if due <= now:
                        hold.ticket = ticket = Ticket(self._returned)
                        return ticket
                if now >= deadline:
                    return None
                self._changed.wait(max(min(deadline - now, due - now, _SLICE), 0.001))
        return None

    def run(self, call: Callable[[], _T], *, seconds: float, small: bool, path: bytes, tries: int = 3) -> _T:
        """Make a request through the gate; `seconds` of audio, of the file `path`.

        Being turned away (429, 503) and not reaching the server cost nothing: it waits and asks again, until the gate
        holds or the daemon stops. Other passing failures are tried `tries` times in all, a quarter of a second and more apart,
        except timeouts, which may have been paid for. Raises what `call` raises, HeldError and StoppedError.
        """
        turned_away = failures = 0
        passed = self._passed
        while True:
            try:
                with self.enter(seconds=seconds, small=small, path=path):
                    return call()
            except PassingError as error:
                if error.crowded or error.reason == "unreachable":
                    turned_away += 1
                    if turned_away > _TURNED_AWAY and self._passed - passed > _TURNED_AWAY:
                        raise
                    rest = self._rest(error, turned_away)
                else:
                    failures += 1
                    if failures >= tries or error.reason == "timeout" or (error.retry_after or 0) > PATIENCE_SECONDS:
                        raise
                    rest = self._rest(error, failures)
            if self._stop.wait(rest):
                raise StoppedError("the daemon stops")

    @contextlib.contextmanager
    def enter(self, *, seconds: float, small: bool, path: bytes) -> Iterator[None]:
        """Hold a place for one request; the error that passes through tells the gate how it ended.

        Blocks for a place, the pace and short pauses. Raises HeldError when the gate holds (also instead of the error
        that made it hold an outage), StoppedError on stop.
        """
        self._budget.begin_day(self._clock())
        waiter = self._awaited(seconds=seconds, small=small)
        error: BaseException | None = None
        try:
            yield
        except BaseException as exc:
            error = exc
            raise
        finally:
            held = self._leave(waiter, path, error)
            if held is not None:
                raise held from error

    def state(self) -> GateState:
        """Say how the gate stands."""
        with self._lock:
            now = self._monotonic()
            self._lapse(now)
            in_flight, limit = self._line.inside, self._window.limit
            if (hold := self._hold) is not None:
                status = Status.PROBING if hold.probing else Status.HELD
                until = hold.until or self._wall(max(hold.next_probe, now))
                return GateState(
                    status, hold.since, hold.reason, hold.message, hold.hint, until, in_flight=in_flight, limit=1
                )
            if (pause := self._pause) is not None:
                until = self._wall(pause.until)
                return GateState(
                    Status.PAUSED, pause.since, pause.reason, pause.message, pause.hint, until, in_flight, limit
                )
            return GateState(Status.OPEN, self._opened, in_flight=in_flight, limit=limit)

    def places(self) -> int:
        """Give how many large files' requests may be in flight now: all, less what is kept free for small ones."""
        with self._lock:
            return max(1, self._window.limit - self._options.reserve)

    def resume(self) -> None:
        """Probe at once, by an operator's wish or with a changed key; end a pause."""
        with self._lock:
            now = self._monotonic()
            if self._pause is not None:
                self._pause.until = now
            if (hold := self._hold) is not None and hold.kind is Kind.BUDGET:
                self._release(hold)
            elif hold is not None:
                hold.next_probe, hold.step = now, 0
                self._note(hold, self._wall(now))
            self._lapse(now)
            self._dispatch(now)
            self._changed.notify_all()

    def reload(self, options: GateOptions) -> None:
        """Take new options; requests in flight stay."""
        with self._lock:
            self._options = options
            self._window.resize(options.concurrency)
            self._pace.resize(options.requests_per_minute)
            self._budget.minutes = options.daily_minutes
            if self._hold is not None and self._hold.kind is Kind.BUDGET:
                self._release(self._hold)
            self._dispatch(self._monotonic())

    # Going in.

    def _awaited(self, *, seconds: float, small: bool) -> Waiter:
        waiter = Waiter(threading.Condition(self._lock), seconds, small=small)
        self._sync()
        with self._lock:
            self._line.join(waiter)
            try:
                while not waiter.granted:
                    self._await_turn(waiter)
            finally:
                self._line.quit(waiter)
        return waiter

    def _await_turn(self, waiter: Waiter) -> None:
        """Go in, or wait for a sign that it may be possible; raises when it isn't for long."""
        if self._stop.is_set():
            raise StoppedError("the daemon stops")
        now = self._monotonic()
        self._lapse(now)
        hold = self._hold
        if hold is None:
            if self._pause is not None and self._pause.until - now > PATIENCE_SECONDS:
                raise HeldError(self._pause.message, reason="paused", hint=self._pause.hint)
            delay = self._dispatch(now)
            if not waiter.granted and self._hold is None:
                waiter.signal.wait(max(min(delay, _SLICE), 0.001))
            return
        if hold.probing:  # its outcome is this one's, too
            self._changed.wait(_SLICE)
            return
        if hold.ticket is None and hold.next_probe > now:
            raise _held(hold)
        hold.ticket, hold.probing = None, True
        waiter.probe = hold
        self._let_in(waiter, now)
        if self._shared:  # the others wait for how this one ends
            self._note(hold, self._wall(now + hold.interval()))
        _log.info("gate.probing", reason=hold.reason, since=_iso(hold.since), probes=hold.step + 1)

    def _dispatch(self, now: float) -> float:
        """Give places to whoever is next; give the seconds until time alone allows another one."""
        while self._hold is None:
            delay = max(self._pause.until - now if self._pause else 0.0, self._pace.delay(now))
            if delay > 0:
                return delay
            waiter = self._line.head(self._window.limit, reserve=self._options.reserve)
            if waiter is None:
                return math.inf
            if not self._budget.affords(waiter.seconds):
                message = f"today's {self._budget.minutes:g} minutes of audio are bought"
                hint = "raise api.daily_minutes, or wait for midnight"
                until = midnight_after(self._clock())
                self._seize(Hold(Kind.BUDGET, "budget", message, hint, self._clock(), math.inf, until=until), now)
                break
            self._let_in(waiter, now)
        return math.inf

    def _let_in(self, waiter: Waiter, now: float) -> None:
        waiter.epoch = self._window.epoch
        self._line.enter(waiter)
        self._pace.started(now)
        self._budget.reserve(waiter.seconds)

    # Coming out.

    def _leave(self, waiter: Waiter, path: bytes, error: BaseException | None) -> HeldError | None:
        """Draw the conclusions; an error to raise instead, when this request's failure was not its file's."""
        if error is None or (isinstance(error, PassingError) and error.reason in _MAYBE_PAID):
            self._budget.spend(waiter.seconds)
        with self._lock:
            self._line.leave(waiter)
            self._budget.reserve(-waiter.seconds)
            now = self._monotonic()
            held = self._conclude(waiter, path, error, now)
            self._dispatch(now)
            self._changed.notify_all()
        return held

    def _conclude(self, waiter: Waiter, path: bytes, error: BaseException | None, now: float) -> HeldError | None:
        if error is not None and not isinstance(error, _TELLING):  # stopped, or nothing to do with the endpoint
            if waiter.probe is not None and waiter.probe is self._hold:
                self._hold.probing, self._hold.next_probe = False, now
            return None
        trouble = self._trouble(waiter, path, error, now)
        if self._hold is not None:
            self._judge(self._hold, waiter, trouble, error, now)
        elif trouble is not None:
            self._seize(self._scheduled(hold_for(trouble, since=self._clock()), error, now), now)
        everybodys = isinstance(error, PassingError) or (trouble is not None and trouble is not error)
        if self._hold is None or not everybodys:
            return None
        # No attempt is burned by what holds everybody; but let another file make the next probe, lest one that always
        # fails keeps the gate shut.
        return _held(self._hold, retry_after=_ANOTHER_FILE_SECONDS if waiter.probe is self._hold else 0.0)

    def _rest(self, error: PassingError, times: int) -> float:
        """Give the seconds a refused request waits by itself, beside what everybody has to wait."""
        first = 0.5 if error.crowded else 0.25
        # Nobody was bothered by a request that never arrived, and a link may be back any moment.
        most = _LONGEST_REST / 16 if error.reason == "unreachable" else _LONGEST_REST
        rest = min(first * 2.0 ** min(times - 1, 16), most) * (1 + 0.25 * self._jitter())
        return rest if error.crowded else max(rest, error.retry_after or 0.0)

    def _trouble(self, waiter: Waiter, path: bytes, error: BaseException | None, now: float) -> JobError | None:
        """Count the outcome; give the error that is everybody's."""
        match error:
            case AccountError() | NoChannelError():
                return error
            case PassingError():
                return self._failed(waiter, path, error, now)
            case FileError() | RemedyError() if self._streak.refused(path, error.reason):
                return AccountError(
                    f"every file is refused alike: {error.message}",
                    reason="refused",
                    hint=error.hint or "check api.url, api.model and the server's log, then watcher resume",
                )
            case None:
                self._passed += 1
                self._pauses = 0
                self._streak = Streak()
                self._window.passed()
        return None

    def _failed(self, waiter: Waiter, path: bytes, error: PassingError, now: float) -> JobError | None:
        """Slow down after a passing failure; give it back when it makes an outage."""
        if error.crowded or error.reason == "timeout":
            self._window.crowded(waiter.epoch, staying=self._line.inside, costly=bool(error.retry_after))
        if not error.crowded:
            return error if self._streak.failed(path, error.reason) else None
        if error.retry_after:
            self._stand_still(error.retry_after * (1 + 0.05 * self._jitter()), error, now)
        elif self._window.limit == 1 and waiter.epoch == self._window.epoch - 1 and self._line.inside == 0:
            # Even one at a time is too many: nothing is left to slow down but everybody.
            self._pauses += 1
            self._stand_still(min(2.0 ** (self._pauses - 1), 30.0), error, now)
        return error if self._streak.crowded(path, now) else None

    # Pauses and holds.

    def _stand_still(self, seconds: float, error: PassingError, now: float) -> None:
        until = now + min(seconds, _LONGEST_PAUSE)
        if self._pause is not None:
            self._pause.until = max(self._pause.until, until)
            return
        self._pause = Pause(until, self._clock(), error.reason, error.message, error.hint)
        _log.info(
            "gate.paused",
            reason=error.reason,
            until=_iso(self._wall(until)),
            seconds=round(until - now, 3),
            message=error.message,
            hint=error.hint,
        )
        if until - now >= _MEMORABLE_SECONDS and self._hold is None:
            self._record.note_pause(self._pause, until=self._wall(until))
            self._next_sync = now + _SYNC_SECONDS
        self._line.rouse()

    def _seize(self, hold: Hold, now: float) -> None:
        """Hold the queue: everybody who waits goes back."""
        self._hold = hold
        self._pause = None
        self._announce(hold, now)
        self._line.rouse()
        self._changed.notify_all()

    def _announce(self, hold: Hold, now: float) -> None:
        retry_at = hold.until or self._wall(max(hold.next_probe, now))
        loud = hold.kind is Kind.ACCOUNT or hold.escalated
        (_log.error if loud else _log.warning)(
            "gate.held",
            reason=hold.reason,
            since=_iso(hold.since),
            retry_at=_iso(retry_at),
            message=hold.message,
            hint=hold.hint,
        )
        self._note(hold, retry_at)

    def _note(self, hold: Hold, retry_at: float) -> None:
        self._record.note_hold(hold, next_probe=retry_at)
        self._next_sync = self._monotonic() + _SYNC_SECONDS

    def _judge(
        self, hold: Hold, waiter: Waiter, trouble: JobError | None, error: BaseException | None, now: float
    ) -> None:
        """Draw a probe's conclusion, or that of a request which was in flight when the hold began."""
        answered = trouble is None and not isinstance(error, PassingError)
        if waiter.probe is not hold:
            # What was in flight proves nothing about a key; but an answer ends an outage.
            if hold.kind is Kind.OUTAGE and answered:
                self._release(hold)
            return
        hold.probing = False
        if answered and (error is None or hold.reason != "refused"):
            self._release(hold)
            return
        if isinstance(trouble, AccountError | NoChannelError) and hold.reason != trouble.reason:
            self._seize(self._scheduled(hold_for(trouble, since=self._clock()), error, now), now)
            return
        hold.step += 1
        self._scheduled(hold, error, now)
        if hold.kind is Kind.NO_CHANNEL and not hold.escalated and self._clock() - hold.since > _ESCALATION_SECONDS:
            hold.escalated = True
            self._announce(hold, now)
        else:
            self._note(hold, self._wall(hold.next_probe))

    def _scheduled(self, hold: Hold, error: BaseException | None, now: float) -> Hold:
        asked = error.retry_after or 0.0 if isinstance(error, PassingError) else 0.0
        hold.next_probe = now + max(hold.interval() * (1 + 0.1 * self._jitter()), min(asked, _LONGEST_PAUSE))
        return hold

    def _release(self, hold: Hold) -> None:
        self._hold = None
        self._opened = self._clock()
        self._streak = Streak()
        if hold.kind is not Kind.BUDGET:
            self._window.restart()
        self._record.forget()
        _log.info("gate.resumed", reason=hold.reason, held_seconds=round(self._opened - hold.since, 1))
        self._changed.notify_all()

    def _lapse(self, now: float) -> None:
        """End what ends by time: a pause, and at midnight a spent budget."""
        if self._pause is not None and self._pause.until <= now:
            pause, self._pause = self._pause, None
            self._opened = self._clock()
            _log.info("gate.resumed", reason=pause.reason, paused_seconds=round(self._opened - pause.since, 1))
        if self._hold is not None and self._hold.until and self._hold.until <= self._clock():
            self._release(self._hold)

    def _returned(self, ticket: Ticket) -> None:
        """Take back leave to probe that was not used."""
        with self._lock:
            if self._hold is not None and self._hold.ticket is ticket:
                self._hold.ticket = None
                self._changed.notify_all()

    # Memory.

    def _recall(self) -> None:
        """Take up what the former life left; a hold is probed at once."""
        found = self._record.read(now=self._monotonic(), wall=self._clock())
        if isinstance(found, Hold):
            found.next_probe = self._monotonic()
            self._hold = found
        else:
            self._pause = found

    def _sync(self) -> None:
        """See whether another process lifted what holds us, or (shared) holds or pauses; every few seconds at most."""
        with self._lock:
            now, hold, pause = self._monotonic(), self._hold, self._pause
            noted = hold is not None or (pause is not None and pause.noted)
            if now < self._next_sync or not (noted or self._shared or self._record.dirty):
                return
            self._next_sync = now + _SYNC_SECONDS
            self._record.flush()
            if self._record.dirty:
                return
        try:
            found = self._record.read(now=now, wall=self._clock())
        except StateError:
            return  # whoever needs the ledger for more than a look will say so
        with self._lock:
            if hold is not self._hold or pause is not self._pause:
                return  # changed meanwhile, by one of our own threads
            if found is None:
                self._lifted(now)
            elif self._shared and hold is None:
                self._hold, self._pause = (found, None) if isinstance(found, Hold) else (None, found)
            elif self._shared and hold is not None and isinstance(found, Hold) and not hold.probing:
                hold.next_probe = found.next_probe

    def _lifted(self, now: float) -> None:
        """Heed that our entry in the ledger is gone: an operator, or another daemon, thinks that it is over."""
        if self._hold is not None and self._hold.kind is not Kind.BUDGET:
            self._hold.next_probe, self._hold.step = now, 0
        elif self._pause is not None and self._pause.noted:
            self._pause.until = now
        self._changed.notify_all()

    def _wall(self, moment: float) -> float:
        return self._clock() + moment - self._monotonic()


def _held(hold: Hold, *, retry_after: float = 0.0) -> HeldError:
    return HeldError(f"the queue is held: {hold.message}", reason=hold.reason, hint=hold.hint, retry_after=retry_after)


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
