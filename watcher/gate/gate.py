"""The gate itself: who may go in now, and what the outcome of a request means for all others.

One lock guards everything; a request costs two short holds of it. Nothing is written to the ledger but changes of a
hold, long pauses, answers that cannot be read, and the seconds that were bought.
"""

import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final, Self, TypeVar

import structlog

from watcher.errors import (
    AccountError,
    FileError,
    GarbledError,
    HeldError,
    JobError,
    NoChannelError,
    PassingError,
    RemedyError,
    StateBusyError,
    StateError,
    StoppedError,
)
from watcher.fleet import Credit, Door, Fleet
from watcher.gate.garbled import MOST, Garbled, Known
from watcher.gate.hold import ABOUT_FILES, Hold, Kind, Streak, hold_for
from watcher.gate.line import Line, Waiter
from watcher.gate.link import LEASE, Inside, Link, hold_of
from watcher.gate.pace import Budget, Pace, day_of, midnight_after, month_after
from watcher.gate.record import LONGEST_PAUSE, Memory, Pause, Record, pause_from
from watcher.gate.state import OWN_LIMIT, GateOptions, GateState, ProbeResult, Status
from watcher.gate.window import Window
from watcher.text import counted

_log = structlog.get_logger()
_T = TypeVar("_T")

#: A pause up to this long is waited for in place; before a longer one the jobs go back to the queue.
PATIENCE_SECONDS: Final = 120.0
#: The longest pause of ours, where a server refuses even one request at a time without saying for how long; seconds.
_LONGEST_OWN_PAUSE: Final = 30.0
#: How often waiting threads look at `stop`, in seconds.
_SLICE: Final = 0.25
#: Seconds within which a thread that waits gives its next sign of life; it does so after every slice.
_SILENT: Final = 60.0
#: How often a held gate looks whether another process lifted the hold; and how soon it asks a fleet for leave to probe again.
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
_MAYBE_PAID: Final = {"timeout", "truncated", "connection", "oversized_answer"}
#: A file whose probe failed is left alone this long, where there are others.
_ANOTHER_FILE_SECONDS: Final = 60.0
#: One that was not even asked for is left alone this long.
_PASSED_OVER_SECONDS: Final = 2.0
#: A failure is its file's own if others passed since an earlier one, and one of them within so many seconds: about as long as
#: ten attempts take.
_OWN_SECONDS: Final = 900.0
#: Files kept in mind because they failed.
_FAILED_KEPT: Final = 1000
#: Who had an answer so lately does not believe others that the server gives none.
_HEARD_SECONDS: Final = 60.0
#: A station without a channel for this long is a matter for the operator.
_ESCALATION_SECONDS: Final = 3 * 3600.0


class Ticket:
    """Leave to claim a job; on a held gate, leave to probe with it. Close it once the job is over."""

    def __init__(
        self,
        give_back: "Callable[[Ticket], None] | None" = None,
        *,
        failed: Callable[[bytes], bool] = lambda _: False,
        early: bool = False,
    ) -> None:
        """`give_back` takes unused leave to probe; without it, the gate is open. `failed`: the server failed on this file."""
        self.probe = give_back is not None
        #: No probe is due: only a file that has not failed may make one.
        self.early = early
        #: No job was found for it; and the file of the job that was claimed with it.
        self.vain = False
        self.path = b""
        self._give_back = give_back
        self._failed = failed

    def suits(self, path: bytes, *, attempts: int = 1) -> bool:
        """Return whether this is a file for it: a probe is to be made with one that has not failed, nor has before (`attempts`)."""
        self.path = path
        return not (self.probe and (attempts > 1 or self._failed(path)))

    def close(self, *, vain: bool = False) -> None:
        """Take back an unused probe, so that the next worker gets it at once; `vain`: there is no job for it."""
        self.vain = vain
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
        bought: Callable[[str, str, str], float] = lambda *_: 0.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        fleet: Fleet | None = None,
        lease: float = LEASE,
        on_held: Callable[[Mapping[str, object]], None] = lambda _: None,
        advise: Callable[[JobError], str] = lambda error: error.hint,
    ) -> None:
        """Take up what memory holds: a hold is probed at once, with one request, unless the server asked for more time.

        `buy` is the ledger's, and so is `bought`: without it a month begins with today. `jitter` gives numbers in [0, 1). `fleet`: other hosts ask the same endpoint; then limits,
        holds, pauses and minutes are theirs, too, and somebody has to call `attend` all the time; `memory` keeps what is
        known of answers only. What the fleet gives counts for `lease` seconds. `on_held` is told of each hold that begins here, not of
        those of other hosts, and must not wait. `advise` returns what to do about an error that holds the queue; it may be asked twice.
        """
        self._options = options
        self._endpoint_name = endpoint_name
        self._on_held = on_held
        self._advise = advise
        self._link = None if fleet is None else Link(fleet, options, monotonic=monotonic, lease=lease)
        self._record = Record(memory, endpoint_name) if self._link is None else self._link
        self._stop = stop
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._lock = threading.Lock()
        #: There may be something to ask the fleet, or to tell it.
        self._touch = threading.Condition(self._lock)
        #: Somebody waits for leave (`admit`) or for a probe's outcome.
        self._changed = threading.Condition(self._lock)
        self._window = Window(options.concurrency)
        self._line = Line()
        #: Requests in flight, and since when (Unix time).
        self._asking: dict[Waiter, float] = {}
        self._pace = Pace(options.requests_per_minute if fleet is None else 0)
        self._budget = Budget(
            endpoint_name,
            buy=buy if fleet is None else _spend(fleet),
            bought=bought,
            daily_minutes=options.daily_minutes,
            monthly_minutes=options.monthly_minutes,
        )
        self._garbled = Garbled(memory, endpoint_name, clock=clock)
        self._streak = Streak()
        self._passed = 0
        #: Files that the server failed on or refused since they passed, and how many requests had passed at the first time.
        self._failed_files: dict[bytes, int] = {}
        self._last_passed = -math.inf
        self._paid = 0.0
        #: When the server last gave an answer.
        self._answered = -math.inf
        self._opened = clock()
        self._pause: Pause | None = None
        #: See `outcome`; and whether it is enough for it that a request may go in.
        self._outcome = ProbeResult.UNKNOWN
        self._entry_tells = False
        self._pauses = 0
        self._hold: Hold | None = None
        self._next_sync = monotonic() + _SYNC_SECONDS
        self._recall()

    def admit(self, *, timeout: float) -> Ticket | None:
        """Give leave to claim a job; None when the gate stays closed for `timeout` seconds, or on stop.

        On a held gate one worker gets leave when a probe is due: its first request is the probe. Where the hold may be the
        fault of a few files, it gets leave before that, for a file that has not failed.
        """
        deadline = self._monotonic() + timeout
        while not self._stop.is_set():
            self._sync()
            with self._lock:
                now = self._monotonic()
                self._lapse(now)
                hold, due, early = self._hold, math.inf, False
                if hold is None:
                    if self._pause is None or self._pause.until - now <= PATIENCE_SECONDS:
                        return Ticket()
                    due = self._pause.until
                elif not hold.probing and hold.ticket is None:
                    due = hold.next_probe
                    if early := due > now and self._link is None and hold.doubtful:
                        due = hold.not_before
                if hold is None or due > now:
                    if now >= deadline:
                        return None
                    self._changed.wait(max(min(deadline - now, due - now, _SLICE), 0.001))
                    continue
                hold.ticket = ticket = Ticket(
                    self._returned,
                    failed=self._has_failed,
                    early=early,
                )
                hold.early, hold.vain = early, False
            if self._link is None or self._link.may_probe(hold):
                return ticket
            with self._lock:  # another host is at it, or was, or nobody can be asked
                hold.ticket, hold.next_probe = None, self._monotonic() + _SYNC_SECONDS
                self._look_again()
        return None

    def attend(self, timeout: float) -> None:
        """Keep up with the fleet for `timeout` seconds at most: ask for what is needed here, tell, and hear.

        Whoever calls it, in a thread of its own, calls it again.
        """
        if (link := self._link) is None:
            return
        deadline = self._monotonic() + timeout
        with self._lock:
            while True:
                now = self._monotonic()
                day, budget = self._budget.day, self._budget.seconds
                inside = Inside(self._line.inside, self._budget.booked, self._window.limit, day, budget)
                need = link.need(now, inside, self._line)
                if need is not None or link.speaks(now):
                    break
                if now >= deadline:
                    return
                self._touch.wait(max(min(deadline - now, link.wait(now)), 0.001))
            looks, link.heard = link.heard or not link.silent, False
        asked = False
        try:
            link.speak()
            door = link.look() if looks else None
            asked = need is not None
            share = None if need is None else link.ask(need)
        except StateError as error:
            with self._lock:
                link.failed(error, now=self._monotonic(), asked=asked)
            return
        with self._lock:
            moment = self._monotonic()
            link.trouble = None
            if need is not None and share is not None:
                link.taken(need, share, sent=now, now=moment)
            if door is not None and link.silent:
                self._heed(door, moment)
            if 0 < self._dispatch(moment) < math.inf:
                # Those who wait did not know for how long.
                self._line.rouse()
            self._changed.notify_all()

    def leave(self) -> None:
        """Give back what this host has of the fleet, if it answers; nothing may go in any more."""
        if self._link is not None and self._link.trouble is None:
            with contextlib.suppress(StateError):
                self._link.speak()
                self._link.leave()

    @property
    def paid_seconds(self) -> float:
        """Seconds of audio that were sent since this gate was made, as in the ledger's sums: whatever came of it."""
        with self._lock:
            return self._paid

    @property
    def shared(self) -> bool:
        """Whether other hosts ask the same endpoint, so that `attend` has to be called."""
        return self._link is not None

    @property
    def trouble(self) -> StateError | None:
        """Why the fleet can't be asked, if it can't."""
        return None if self._link is None else self._link.trouble

    def run(
        self,
        call: Callable[[], _T],
        *,
        seconds: float,
        small: bool,
        path: bytes,
        sound: str = "",
        retried: str = "",
        tries: int = 3,
        announce: Callable[[float], None] = lambda _: None,
    ) -> _T:
        """Make a request through the gate; `seconds` of audio, of the file `path`.

        `announce` hears, again and again while it waits, within how many seconds it hears from this thread at the latest.

        Being turned away (429, 503) and not reaching the server cost nothing: it waits and asks again, until the gate
        holds or the daemon stops. Other passing failures are tried `tries` times in all, a quarter of a second and more apart,
        except those after which the server may want to be paid. Raises what `call` raises, HeldError and StoppedError.

        `sound` names what is asked for, and how. Once two answers about it could not be read it is not asked for any more: that
        is the file's failure (FileError) where others get readable answers, and else holds the queue. `retried` is the key under
        which the memory knows that a person wants this file to be tried once more.
        """
        known = self._known_of(sound, path, retried) if sound else None
        turned_away = failures = 0
        passed = self._passed
        while True:
            try:
                with self.enter(seconds=seconds, small=small, path=path, announce=announce):
                    return self._read(call, sound, known, retried)
            except GarbledError as error:
                if error.times >= MOST:
                    raise _given_up(error.message, error.times) from error
                raise
            except PassingError as error:
                if error.crowded or error.reason == "unreachable":
                    turned_away += 1
                    if turned_away > _TURNED_AWAY and self._passed - passed > _TURNED_AWAY:
                        raise
                    rest = self._rest(error, turned_away)
                else:
                    failures += 1
                    if failures >= tries or error.reason in _MAYBE_PAID or (error.retry_after or 0) > PATIENCE_SECONDS:
                        raise
                    rest = self._rest(error, failures)
            announce(rest + _SILENT)
            if self._stop.wait(rest):
                raise StoppedError("the daemon stops")

    @contextlib.contextmanager
    def enter(
        self, *, seconds: float, small: bool, path: bytes, announce: Callable[[float], None] = lambda _: None
    ) -> Iterator[None]:
        """Hold a place for one request; the error that passes through tells the gate how it ended. `announce`: see `run`.

        Blocks for a place, the pace and short pauses. Raises HeldError when the gate holds (also instead of the error
        that made it hold an outage), StoppedError on stop.
        """
        waiter = self._awaited(seconds=seconds, small=small, path=path, announce=announce)
        error: BaseException | None = None
        try:
            yield
        except BaseException as exc:
            error = exc
            raise
        finally:
            held = self._leave(waiter, error)
            if held is not None:
                raise held from error

    def state(self) -> GateState:
        """Say how the gate stands."""
        with self._lock:
            now = self._monotonic()
            self._lapse(now)
            in_flight, limit = self._line.inside, self._limit(now)
            if (hold := self._hold) is not None:
                status = Status.PROBING if hold.probing else Status.HELD
                until = hold.until or self._wall(max(hold.next_probe, now))
                due = not hold.vain and (hold.ticket is not None or hold.next_probe <= now or hold.doubtful)
                return GateState(
                    status, hold.since, hold.reason, hold.message, hold.hint, until, in_flight, limit=1, due=due
                )
            if (pause := self._pause) is not None:
                until = self._wall(pause.until)
                return GateState(
                    Status.PAUSED, pause.since, pause.reason, pause.message, pause.hint, until, in_flight, limit
                )
            return GateState(Status.OPEN, self._opened, in_flight=in_flight, limit=limit)

    def asking(self) -> dict[bytes, float]:
        """Return the files that the server is being asked about, and since when without a break (Unix time)."""
        since: dict[bytes, float] = {}
        with self._lock:
            for waiter, began in self._asking.items():
                since[waiter.path] = min(began, since.get(waiter.path, began))
        return since

    @property
    def outcome(self) -> ProbeResult:
        """Return what came of the last `resume`, or `expect_outcome`."""
        with self._lock:
            return self._outcome

    def expect_outcome(self) -> None:
        """Forget what came of the former try: another one follows."""
        with self._lock:
            self._expect()

    def _expect(self) -> None:
        # Nothing is asked as long as a limit of the operator's own is reached: that is what comes of it.
        self._outcome = ProbeResult.HELD if self._is_spent(self._monotonic()) else ProbeResult.UNKNOWN
        self._entry_tells = self._pause is not None or (self._hold is not None and self._hold.kind is Kind.BUDGET)

    def places(self) -> int:
        """Give how many large files' requests may be in flight now: all, less what is kept free for small ones."""
        with self._lock:
            most = min(self._window.limit, self._options.fleet_concurrency or self._window.limit)
            return max(1, most - self._options.reserve)

    def resume(self) -> None:
        """Probe at once, by an operator's wish or with a changed key; end a pause. `outcome` tells what came of it."""
        self._garbled.resume()
        with self._lock:
            now = self._monotonic()
            self._expect()
            if self._pause is not None:
                self._pause.until = now
            if (hold := self._hold) is not None and hold.kind is Kind.BUDGET:
                if not self._is_spent(now):
                    self._release(hold)
            elif hold is not None:
                if self._link is None:
                    # A probe in flight may take as long as its sound is long, so another one is made.
                    hold.probing, hold.resumes = False, hold.resumes + 1
                _begin_again(hold, now, since=self._clock())
                if self._link is None:
                    self._note(hold, self._wall(now))
            if self._link is not None:
                # One word for all of it: a second one would take back the leave that a host got after the first.
                self._link.resume()
                self._touch.notify()
            self._lapse(now)
            self._dispatch(now)
            self._changed.notify_all()

    def reload(self, options: GateOptions) -> None:
        """Take new options; requests in flight stay."""
        with self._lock:
            limits = (options.daily_minutes, options.monthly_minutes)
            is_other = limits != (self._options.daily_minutes, self._options.monthly_minutes)
            self._options = options
            self._window.resize(options.concurrency)
            if is_other:
                self._budget.resize(daily_minutes=options.daily_minutes, monthly_minutes=options.monthly_minutes)
            if self._link is None:
                self._pace.resize(options.requests_per_minute)
            else:
                self._link.options = options
                self._link.again()
            if is_other and self._hold is not None and self._hold.kind is Kind.BUDGET:
                self._release(self._hold)
            self._dispatch(self._monotonic())

    def introduce(self, fleet: Fleet | None) -> None:
        """Come with another key or model from now on, for what holds those who come with the former ones is not ours."""
        with self._lock:
            if self._link is None or fleet is None:
                return
            self._link.introduce(fleet)
            now = self._monotonic()
            if self._hold is not None and self._hold.kind is not Kind.BUDGET:
                self._release(self._hold, told=True)
            if self._pause is not None:
                self._pause.until = now
                self._lapse(now)
            self._look_again()

    # Answers that cannot be read.

    def _known_of(self, sound: str, path: bytes, retried: str) -> Known | None:
        """Return what is known of a sound. Raises FileError or HeldError when it is not to be asked for any more."""
        while True:
            try:
                known = self._garbled.about(sound, retried=retried)
                break
            except StateBusyError:
                if self._stop.wait(_SLICE):
                    raise StoppedError("the daemon stops") from None
        if known is None or not known.spent:
            return known
        with self._lock:
            now = self._monotonic()
            self._lapse(now)
            if self._hold is None and not self._garbled.readable:
                self._seize(self._scheduled(self._hold_for(_nonsense(known.message)), None, now), now)
            if (hold := self._hold) is not None:
                self._pass_over(hold, path, now)
                raise _held(hold, retry_after=_PASSED_OVER_SECONDS)
        raise _given_up(known.message, known.times)

    def _pass_over(self, hold: Hold, path: bytes, now: float) -> None:
        """Have another file make the probe; without another one, leave it for the next time."""
        if path in self._failed_files and isinstance(hold.ticket, Ticket) and hold.ticket.path == path:
            hold.ticket = None
            hold.step += 1
            self._note(self._scheduled(hold, None, now), self._wall(hold.next_probe))
        self._has_met(path)

    def _read(self, call: Callable[[], _T], sound: str, known: Known | None, retried: str) -> _T:
        """Make a call, and note of its answer whether it can be read, before anything follows from that."""
        if not sound:
            return call()
        try:
            answer = call()
        except GarbledError as error:
            before = 0 if known is None else known.times
            error.times = self._garbled.note(sound, error.message, before=before, retried=retried)
            raise
        self._garbled.read(sound, known)
        return answer

    # Going in.

    def _awaited(self, *, seconds: float, small: bool, path: bytes, announce: Callable[[float], None]) -> Waiter:
        waiter = Waiter(threading.Condition(self._lock), seconds, small=small, path=path)
        self._sync()
        with self._lock:
            self._line.join(waiter)
        try:
            while not waiter.granted:
                announce(_SILENT)
                with contextlib.suppress(StateBusyError):  # then nobody goes in, and it is tried again
                    self._budget.begin_day(self._clock())
                with self._lock:
                    if not waiter.granted:
                        self._await_turn(waiter)
        finally:
            with self._lock:
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
        if hold.ticket is None and (hold.next_probe > now or self._link is not None):
            raise _held(hold)
        if hold.ticket is not None and hold.early and self._has_failed(waiter.path):
            raise _held(hold)
        if (delay := self._probe_in(hold, waiter, now)) > 0:
            waiter.signal.wait(max(min(delay, _SLICE), 0.001))
            return
        hold.ticket, hold.probing = None, True
        waiter.probe, waiter.resumes = hold, hold.resumes
        self._let_in(waiter, now)
        _log.info("gate.probing", reason=hold.reason, since=_iso(hold.since), probes=hold.step + 1)

    def _probe_in(self, hold: Hold, waiter: Waiter, now: float) -> float:
        """Return the seconds until the limits allow this probe; raises when that is not for long."""
        if hold.not_before > now:
            hold.ticket = None
            hold.next_probe = max(hold.next_probe, hold.not_before, now + hold.interval())
            raise _held(hold, retry_after=_ANOTHER_FILE_SECONDS)
        credit = self._credit(waiter.seconds, now)
        if credit is Credit.SPENT:
            # The server cannot be asked, whatever it would say: a person has to hear of the limit, not of what it said long ago.
            hold.ticket = None
            if self._link is not None:
                self._link.give_back(hold)
            spent = self._spent(waiter.seconds, former=hold)
            self._seize(spent, now)
            raise _held(spent)
        most = self._options.concurrency
        most = most if self._link is None else int(min(most, self._link.places(now)))
        delay = self._start_in(now) if credit is Credit.ALL and self._line.inside < most else math.inf
        if delay > 0:
            self._touch.notify()
        return delay

    def _dispatch(self, now: float) -> float:
        """Give places to whoever is next; give the seconds until time alone allows another one."""
        delay = math.inf
        while self._hold is None:
            delay = max(self._pause.until - now if self._pause else 0.0, self._start_in(now))
            if delay > 0:
                break
            delay = math.inf
            waiter = self._line.head(self._limit(now), reserve=self._options.reserve)
            if waiter is None:
                break
            credit = self._credit(waiter.seconds, now)
            if credit is Credit.SPENT:
                self._seize(self._spent(waiter.seconds), now)
            elif credit is Credit.ALL:
                self._let_in(waiter, now)
            else:
                break
        if self._link is not None and (len(self._line) or self._link.contended):
            self._touch.notify()
        return delay

    def _spent(self, seconds: float, *, former: Hold | None = None) -> Hold:
        """Return the hold of an operator's own limit that is reached: it ends with the day, or with the month.

        `seconds` of audio did not fit any more; `former`: the hold that could not be probed for it.
        """
        budget, now = self._budget, self._clock()
        if budget.of_month:
            period, minutes, key = "month", budget.monthly_minutes, "api.monthly_minutes"
            until, day, end = month_after(now), budget.day[:7], "the first of the month"
        else:
            period, minutes, key = "day", budget.daily_minutes, "api.daily_minutes"
            until, day, end = midnight_after(now), budget.day, "midnight"
        message = f"your own limit is reached: {counted(minutes, 'minute')} of audio a {period} ({key})"
        hint = f"raise {key}, or wait for {end}"
        return Hold(
            Kind.BUDGET, OWN_LIMIT, message, hint, now, math.inf, until=until, day=day, seconds=seconds, former=former
        )

    def _is_spent(self, now: float) -> bool:
        """Return whether the hold is for a limit of the operator's own, and what did not fit still does not."""
        hold = self._hold
        if hold is None or hold.kind is not Kind.BUDGET:
            return False
        # What all hosts of a fleet have bought ends such a hold by another limit or another day alone.
        return self._link is not None or self._credit(hold.seconds, now) is Credit.SPENT

    def _limit(self, now: float) -> int:
        """Give how many may be inside."""
        limit = self._window.limit
        return limit if self._link is None else int(min(limit, self._link.places(now)))

    def _start_in(self, now: float) -> float:
        """Give the seconds until the pace allows a start."""
        return self._pace.delay(now) if self._link is None else self._link.delay(now)

    def _credit(self, seconds: float, now: float) -> Credit:
        """Return whether the limits of day and month allow so many seconds."""
        if not self._budget.is_current(self._clock()):
            return Credit.WAIT
        if not self._budget.fits(seconds):
            # Whatever the others in a fleet do today.
            return Credit.SPENT
        if self._link is not None:
            return self._link.credit(seconds, now=now, day=self._budget.day, budget=self._budget.seconds)
        return self._budget.credit(seconds)

    def _let_in(self, waiter: Waiter, now: float) -> None:
        waiter.epoch = self._window.epoch
        self._line.enter(waiter)
        self._asking[waiter] = self._clock()
        if self._entry_tells and self._hold is None:
            self._outcome = ProbeResult.OPEN
        self._pace.started(now)
        waiter.day = self._budget.start(waiter.seconds, self._clock())
        if self._link is not None:
            self._link.entered(waiter.seconds)

    # Coming out.

    def _leave(self, waiter: Waiter, error: BaseException | None) -> HeldError | None:
        """Draw the conclusions; an error to raise instead, when this request's failure was not its file's."""
        complete = error is None or isinstance(error, GarbledError)
        bought = complete or _is_maybe_paid(error)
        with self._lock:
            self._line.leave(waiter)
            self._asking.pop(waiter, None)
            self._budget.end(waiter.seconds, waiter.day, bought=bought)
            if bought:
                self._paid += waiter.seconds
            now = self._monotonic()
            held = self._conclude(waiter, error, now)
            self._dispatch(now)
            self._changed.notify_all()
        if bought:
            self._budget.flush()
        return held

    def _conclude(self, waiter: Waiter, error: BaseException | None, now: float) -> HeldError | None:
        if error is not None and not isinstance(error, _TELLING):  # stopped, or nothing to do with the endpoint
            if self._hold is not None and waiter.probe is self._hold and waiter.resumes == self._hold.resumes:
                self._hold.probing, self._hold.next_probe = False, now
            return None
        if _is_answer(error):
            self._answered = now
        trouble = self._trouble(waiter, error, now)
        if trouble is not None:
            # On the error itself, which the job is given back with.
            trouble.hint = self._advise(trouble)
        if self._hold is not None:
            self._judge(self._hold, waiter, trouble, error, now)
        elif trouble is not None:
            hold = self._hold_for(trouble)
            if trouble is not error or _is_about_files(error):
                hold.files = self._streak.files
            self._seize(self._scheduled(hold, error, now), now)
        elif _is_answer(error):
            self._outcome = ProbeResult.OPEN
        everybodys = _may_pass(error) or (trouble is not None and trouble is not error)
        if self._hold is None or not everybodys:
            return None
        # No attempt is burned by what holds everybody; but let another file make the next probe, lest one that always
        # fails keeps the gate shut. So a server that keeps the queue held may be asked about one file more often than the file
        # has attempts. Nothing is bought twice by that: a readable answer is kept, an unreadable one counts for its sound
        # (`garbled`), and what may be charged without an answer is asked for once in half an hour at last (`Hold.interval`).
        return _held(self._hold, retry_after=_ANOTHER_FILE_SECONDS if waiter.probe is self._hold else 0.0)

    def _rest(self, error: PassingError, times: int) -> float:
        """Give the seconds a refused request waits by itself, beside what everybody has to wait."""
        first = 0.5 if error.crowded else 0.25
        # Nobody was bothered by a request that never arrived, and a link may be back any moment.
        most = _LONGEST_REST / 16 if error.reason == "unreachable" else _LONGEST_REST
        rest = min(first * 2.0 ** min(times - 1, 16), most) * (1 + 0.25 * self._jitter())
        return rest if error.crowded else max(rest, error.retry_after or 0.0)

    def _trouble(self, waiter: Waiter, error: BaseException | None, now: float) -> JobError | None:
        """Count the outcome; give the error that is everybody's."""
        path = waiter.path
        match error:
            case AccountError() | NoChannelError():
                return error
            case GarbledError():
                self._has_met(path)
                alone = error.times >= MOST and not self._garbled.readable
                return _nonsense(error.message) if self._streak.garbled(path) or alone else None
            case PassingError():
                return self._failed(waiter, error, now)
            case FileError() | RemedyError():
                self._has_met(path)
                if not _may_pass(error) and self._streak.refused(path, error.reason):
                    return AccountError(
                        f"every file is refused alike: {error.message}",
                        reason="refused",
                        hint=error.hint or "check api.url, api.model and the server's log, then watcher resume",
                    )
            case None:
                self._passed += 1
                self._last_passed = now
                self._failed_files.pop(path, None)
                self._garbled.readable = True
                self._pauses = 0
                self._streak = Streak()
                self._window.passed()
        return None

    def _has_met(self, path: bytes) -> None:
        """Keep in mind that the server failed on a file, or refused it."""
        self._failed_files.setdefault(path, self._passed)
        if len(self._failed_files) > _FAILED_KEPT:
            del self._failed_files[next(iter(self._failed_files))]

    def _has_failed(self, path: bytes) -> bool:
        return path in self._failed_files

    def _is_own(self, path: bytes, now: float) -> bool:
        """Return whether a further failure follows the file, not the server: others passed meanwhile, and still do."""
        before = self._failed_files.get(path, self._passed)
        return self._passed > before and now - self._last_passed <= _OWN_SECONDS

    def _failed(self, waiter: Waiter, error: PassingError, now: float) -> JobError | None:
        """Slow down after a passing failure; give it back when it makes an outage."""
        if error.crowded or error.reason == "timeout":
            self._window.crowded(waiter.epoch, staying=self._line.inside, costly=bool(error.retry_after))
        if not error.crowded:
            if _is_about_files(error):
                own = self._is_own(waiter.path, now)
                self._has_met(waiter.path)
                if own:
                    return None
            return error if self._streak.failed(waiter.path, error.reason) else None
        if error.retry_after:
            self._stand_still(error.retry_after * (1 + 0.05 * self._jitter()), error, now)
        elif self._window.limit == 1 and waiter.epoch == self._window.epoch - 1 and self._line.inside == 0:
            # Even one at a time is too many: nothing is left to slow down but everybody.
            self._stand_still(min(2.0 ** min(self._pauses, 16), _LONGEST_OWN_PAUSE), error, now)
            self._pauses += 1
        return error if self._streak.crowded(waiter.path, now) else None

    # Pauses and holds.

    def _stand_still(self, seconds: float, error: PassingError, now: float) -> None:
        """Let nobody start for so long; a pause or a hold that there is already becomes longer, never shorter."""
        until = now + min(seconds, LONGEST_PAUSE)
        if self._hold is not None and until > self._hold.not_before:
            self._put_off(self._hold, until)
            self._note(self._hold, self._retry_at(self._hold, now))
        if self._pause is not None:
            longer = until > self._pause.until
            self._pause.until = max(self._pause.until, until)
            if longer:
                self._note_pause(now)
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
        self._note_pause(now)
        self._line.rouse()

    def _note_pause(self, now: float) -> None:
        """Note the pause where others read of it; a hold's own entry says more."""
        pause = self._pause
        if pause is None or self._hold is not None:
            return
        if pause.until - now >= _MEMORABLE_SECONDS or self._link is not None:
            self._record.note_pause(pause, until=self._wall(pause.until))
            self._touch.notify()
            self._next_sync = now + _SYNC_SECONDS

    def _seize(self, hold: Hold, now: float) -> None:
        """Hold the queue: everybody who waits goes back. What the server asked for counts for the first probe, too."""
        if self._pause is not None:
            self._put_off(hold, self._pause.until)
            self._pause.noted = 0.0
        self._hold = hold
        self._outcome = ProbeResult.HELD
        self._announce(hold, now)
        self._on_held({"endpoint": self._endpoint_name, **_facts(hold, self._retry_at(hold, now))})
        self._line.rouse()
        self._changed.notify_all()

    def _hold_for(self, error: JobError) -> Hold:
        error.hint = self._advise(error)
        return hold_for(error, since=self._clock())

    def _announce(self, hold: Hold, now: float) -> None:
        retry_at = self._retry_at(hold, now)
        self._tell(hold, retry_at)
        self._note(hold, retry_at)

    def _retry_at(self, hold: Hold, now: float) -> float:
        return hold.until or self._wall(max(hold.next_probe, now))

    def _tell(self, hold: Hold, retry_at: float) -> None:
        # A limit of the operator's own needs no person; everything else may.
        say = _log.warning if hold.kind is Kind.BUDGET else _log.error
        say("gate.held", **_facts(hold, retry_at))

    def _note(self, hold: Hold, retry_at: float) -> None:
        self._record.note_hold(hold, next_probe=retry_at)
        self._touch.notify()
        self._next_sync = self._monotonic() + _SYNC_SECONDS

    def _judge(
        self, hold: Hold, waiter: Waiter, trouble: JobError | None, error: BaseException | None, now: float
    ) -> None:
        """Draw a probe's conclusion, or that of a request which was in flight when the hold began."""
        answered = trouble is None and _is_answer(error)
        if waiter.probe is not hold:
            # What was in flight proves nothing about a key; but an answer ends an outage, and one that can be read more than that.
            if answered and (hold.kind is Kind.OUTAGE or (error is None and hold.reason in ABOUT_FILES)):
                self._release(hold)
            return
        if answered and (error is None or hold.reason not in ABOUT_FILES):
            self._release(hold)
            return
        if waiter.resumes != hold.resumes:
            # Somebody has resumed since, and the probe that was made for that tells more.
            return
        hold.probing = False
        if hold.files:
            hold.files.add(waiter.path)
        if isinstance(trouble, AccountError | NoChannelError) and hold.reason != trouble.reason:
            self._seize(self._scheduled(self._hold_for(trouble), error, now), now)
            return
        if isinstance(trouble, AccountError | NoChannelError):
            # What to do may differ by now: the key of this process may come from elsewhere.
            newest = self._hold_for(trouble)
            hold.message, hold.hint = newest.message, newest.hint
        hold.step += 1
        self._outcome = ProbeResult.HELD
        self._scheduled(hold, error, now)
        if hold.kind is Kind.NO_CHANNEL and not hold.escalated and self._clock() - hold.since > _ESCALATION_SECONDS:
            hold.escalated = True
            self._announce(hold, now)
        else:
            self._note(hold, self._wall(hold.next_probe))

    def _scheduled(self, hold: Hold, error: BaseException | None, now: float) -> Hold:
        asked = error.retry_after or 0.0 if isinstance(error, PassingError) else 0.0
        hold.next_probe = now + hold.interval(costly=_is_maybe_paid(error)) * (1 + 0.1 * self._jitter())
        self._put_off(hold, max(hold.not_before, now + min(asked, LONGEST_PAUSE) if asked else -math.inf))
        return hold

    def _put_off(self, hold: Hold, until: float) -> None:
        """Probe not before the server wants to be asked again, in this life or in the next one."""
        if until > hold.not_before:
            hold.not_before, hold.asked_until = until, self._wall(until)
        hold.next_probe = max(hold.next_probe, until)

    def _release(self, hold: Hold, *, told: bool = False) -> None:
        """Go on; `told`: by those who would have to hear of it. What could not be probed before is probed now."""
        if hold.former is not None:
            self._hold, now = hold.former, self._monotonic()
            self._hold.next_probe = max(now, self._hold.not_before)
            self._note(self._hold, self._wall(self._hold.next_probe))
            self._look_again()
            self._changed.notify_all()
            return
        self._hold = None
        if hold.kind is not Kind.BUDGET:
            self._outcome = ProbeResult.OPEN
        self._opened = self._clock()
        self._streak = Streak()
        if hold.kind is not Kind.BUDGET:
            self._window.restart()
        if not told:
            self._record.forget(hold)
            self._note_pause(self._monotonic())
            self._look_again()
        _log.info("gate.resumed", reason=hold.reason, held_seconds=round(self._opened - hold.since, 1))
        self._changed.notify_all()

    def _lapse(self, now: float) -> None:
        """End what ends by time: a pause, and with its day a spent budget, also when the clock was set."""
        if self._pause is not None and self._pause.until <= now:
            pause, self._pause = self._pause, None
            if self._hold is None:
                self._opened = self._clock()
                _log.info("gate.resumed", reason=pause.reason, paused_seconds=round(self._opened - pause.since, 1))
        if (hold := self._hold) is not None and hold.kind is Kind.BUDGET and hold.is_over(day_of(self._clock())):
            self._release(hold)

    def _returned(self, ticket: Ticket) -> None:
        """Take back leave to probe that was not used."""
        with self._lock:
            if self._hold is not None and self._hold.ticket is ticket:
                self._hold.ticket, self._hold.vain = None, ticket.vain
                if self._link is not None:
                    self._link.give_back(self._hold)
                    self._look_again()
                self._changed.notify_all()

    # The fleet.

    def _heard(self) -> None:
        """Look again, and ask again: another host has changed something. From a thread of the ledger's."""
        with self._lock:
            if self._link is not None:
                self._link.again()
            self._look_again()

    def _look_again(self) -> None:
        if self._link is not None:
            self._link.heard = True
            self._touch.notify()

    def _heed(self, door: Door, now: float) -> None:
        """Take the fleet's door for ours."""
        hold, found = self._hold, hold_of(door, now=now)
        if hold is not None and (hold.kind is Kind.BUDGET or hold.probing or hold.ticket is not None):
            # Ours alone; or found out about here at this moment, and what comes of it will be told.
            return
        if found is not None:
            if hold is not None and hold.number == found.number:
                if found.step > hold.step:
                    self._outcome = ProbeResult.HELD
                hold.next_probe, hold.step = found.next_probe, found.step
            elif found.kind is not Kind.OUTAGE or now - self._answered > _HEARD_SECONDS:
                self._hold, self._pause, self._outcome = found, None, ProbeResult.HELD
                self._tell(found, self._wall(max(found.next_probe, now)))
                self._line.rouse()
            return
        if hold is not None:
            self._release(hold, told=True)
        if door.pause is not None:
            if self._pause is None:
                self._pause = pause_from(door.pause, until=now, since=self._clock(), noted=math.inf)
                self._line.rouse()
            self._pause.until = now + door.pause_left
        elif self._pause is not None and self._pause.noted:
            self._pause.until = now
            self._lapse(now)

    # Memory.

    def _recall(self) -> None:
        """Take up what the former life left, or what holds the fleet; a hold is probed as soon as the server allows."""
        now = self._monotonic()
        if isinstance(self._record, Link):
            self._record.listen(self._heard)
            with contextlib.suppress(StateError):  # looked for again
                self._heed(self._record.look(), now)
            if self._hold is not None:
                self._hold.next_probe = now
                self._record.note_hold(self._hold, next_probe=0.0)
            return
        found = self._record.read(now=now, wall=self._clock())
        if isinstance(found, Hold):
            left = min(found.asked_until - self._clock(), LONGEST_PAUSE) if found.asked_until else 0.0
            found.next_probe = found.not_before = now + max(left, 0.0)
            self._hold = found
        else:
            self._pause = found

    def _sync(self) -> None:
        """See whether another process lifted what holds us; every few seconds at most."""
        if isinstance(self._record, Link):
            return
        with self._lock:
            now, hold, pause = self._monotonic(), self._hold, self._pause
            noted = hold is not None or (pause is not None and pause.noted)
            if now < self._next_sync or not (noted or self._record.dirty):
                return
            self._next_sync = now + _SYNC_SECONDS
            self._record.flush()
            if self._record.dirty:
                return
        try:
            gone = self._record.is_gone()
        except StateError:
            return  # whoever needs the ledger for more than a look will say so
        with self._lock:
            # None of our own threads changed it meanwhile.
            if gone and hold is self._hold and pause is self._pause:
                self._lifted(now)

    def _lifted(self, now: float) -> None:
        """Heed that our entry in the ledger is gone: an operator, or another daemon, thinks that it is over."""
        if self._hold is not None and self._hold.kind is not Kind.BUDGET:
            _begin_again(self._hold, now, since=self._clock())
        elif self._pause is not None and self._pause.noted > self._clock():  # else its entry came to its end
            self._pause.until = now
        self._changed.notify_all()

    def _wall(self, moment: float) -> float:
        return self._clock() + moment - self._monotonic()


def _begin_again(hold: Hold, now: float, *, since: float) -> None:
    """Probe a hold at once: somebody has acted, so what is refused from now on is a new hold."""
    hold.next_probe, hold.not_before, hold.asked_until, hold.step, hold.since = now, now, 0.0, 0, since


def _is_maybe_paid(error: BaseException | None) -> bool:
    """Return whether the server may have worked, and charged, though no answer came: also where a stop gave a request up."""
    if isinstance(error, StoppedError):
        return error.in_flight
    return isinstance(error, PassingError) and error.reason in _MAYBE_PAID


def _may_pass(error: BaseException | None) -> bool:
    """Return whether it is a failure, not a refusal: the same request may pass later."""
    return isinstance(error, PassingError) or (isinstance(error, RemedyError) and error.passing)


def _is_answer(error: BaseException | None) -> bool:
    """Return whether the server worked: a failure that may pass is none, unless it is an answer that cannot be read."""
    return isinstance(error, GarbledError) or not _may_pass(error)


def _is_about_files(error: BaseException | None) -> bool:
    """Return whether a failure may be the file's fault: not where all are turned away, or no connection came about."""
    return isinstance(error, PassingError) and not error.crowded and error.reason != "unreachable"


def _given_up(message: str, times: int) -> FileError:
    """Return the failure of the file whose sound was asked for in vain, though others get answers that can be read."""
    hint = "others get answers that can be read; once the server's log has told why, `watcher retry` asks once more"
    return FileError(f"{message}; it was asked for {times} times", reason="garbled", hint=hint)


def _nonsense(message: str) -> AccountError:
    return AccountError(
        f"no answer can be read: {message}",
        reason="garbled",
        hint="check that api.url is a transcription server, and api.model; then watcher resume",
    )


def _spend(fleet: Fleet) -> Callable[[str, str, float], float]:
    """Give what buys on a day, as the ledger does it for a host alone."""
    return lambda _, day, seconds: fleet.spend(day, seconds)


def _held(hold: Hold, *, retry_after: float = 0.0) -> HeldError:
    return HeldError(f"the queue is held: {hold.message}", reason=hold.reason, hint=hold.hint, retry_after=retry_after)


def _facts(hold: Hold, retry_at: float) -> dict[str, str]:
    """Return what is said of a hold, in the log and to a hook."""
    return {
        "reason": hold.reason,
        "since": _iso(hold.since),
        "retry_at": _iso(retry_at),
        "message": hold.message,
        "hint": hold.hint,
    }


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
