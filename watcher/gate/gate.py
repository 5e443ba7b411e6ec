"""The gate of one endpoint: a request enters, runs and leaves, and its outcome counts for all others.

The parts share one lock; a request costs two short holds of it. Nothing is written to the ledger but changes of a hold, long
pauses, answers that cannot be read, and the seconds that were bought.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, TypeVar

import structlog

from watcher.errors import GarbledError, JobError, PassingError, StateBusyError, StateError, StoppedError
from watcher.fleet import Fleet
from watcher.gate.admission import AdmissionQueue, GateRequest, Receipt
from watcher.gate.clock import PATIENCE_SECONDS, SILENT, SLICE, GateClock
from watcher.gate.door import GateDoor
from watcher.gate.garbled import MOST, GarbledAnswers, GarbledCounts, given_up
from watcher.gate.history import RequestHistory, all_garbled, counted_as, is_maybe_paid
from watcher.gate.hold import Witness
from watcher.gate.peers import peers_of
from watcher.gate.reports import HoldReports
from watcher.gate.request_queue import RequestQueue
from watcher.gate.state import GateOptions, GateState, ResumeOutcome
from watcher.gate.ticket import Ticket
from watcher.gate.tickets import Tickets
from watcher.memory import KeyedMemory

_log = structlog.get_logger()
_T = TypeVar("_T")

#: Seconds for which a grant of the fleet is valid; it is renewed after a third of them.
LEASE: Final = 15.0
#: Waits of one refused request: a fraction of a second, doubled each time, up to this.
_LONGEST_REST: Final = 16.0
#: A request is given up after more than so many refusals (429, 503) and failed connections, if more than so many others passed.
_TURNED_AWAY: Final = 10
#: Seconds for which a file that was not sent is left alone.
_PASSED_OVER_SECONDS: Final = 2.0


class Gate:
    """The gate of one endpoint; every method may be called from any thread."""

    def __init__(
        self,
        options: GateOptions,
        *,
        endpoint_name: str,
        memory: KeyedMemory,
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
        """Begin with the hold or pause that is stored: a hold is probed at once, unless the server asked for more time.

        `buy` is the ledger's, and so is `bought`: without it a month begins with today. `jitter` gives numbers in [0, 1).
        `fleet`: other hosts use the same endpoint; then limits, holds, pauses and minutes are shared with them, and a thread has
        to call `attend` all the time; `memory` keeps only what is known of answers. A grant of the fleet is valid for `lease`
        seconds.
        `on_held` is called for each hold that begins here, not for those of other hosts, and must not wait. `advise` returns
        what to do about an error that holds the queue; it may be called twice.
        """
        self._stop = stop
        self._clock = GateClock(clock, monotonic, jitter)
        self._lock = threading.Lock()
        self._line = AdmissionQueue()
        self._garbled = GarbledCounts(memory, endpoint_name, clock=clock)
        self._paid = 0.0
        self._peers = peers_of(
            options,
            endpoint_name,
            memory=memory,
            buy=buy,
            bought=bought,
            clock=self._clock,
            line=self._line,
            lock=self._lock,
            fleet=fleet,
            lease=lease,
        )
        self._limits = self._peers.limits
        self._history = RequestHistory(self._limits.window, self._garbled, self._clock)
        reports = HoldReports(self._peers.record, self._clock, endpoint_name=endpoint_name, on_held=on_held)
        self._door = GateDoor(
            self._lock,
            record=self._peers.record,
            reports=reports,
            limits=self._limits,
            history=self._history,
            line=self._line,
            clock=self._clock,
            advise=advise,
        )
        self._requests = RequestQueue(
            self._lock,
            line=self._line,
            limits=self._limits,
            door=self._door,
            stop=stop,
            clock=self._clock,
        )
        self._tickets = Tickets(self._lock, door=self._door, stop=stop, clock=self._clock)
        self._peers.begin(self._door, self._requests.dispatch)

    def admit(self, *, timeout: float) -> Ticket | None:
        """Return a ticket to claim a job; None when the gate stays closed for `timeout` seconds, or on stop.

        On a held gate one worker gets a ticket when a probe is due: its first request is the probe. If only a few files
        failed, they may be at fault: then another file gets a ticket before a probe is due.
        """
        return self._tickets.issue(timeout=timeout)

    def run(
        self,
        call: Callable[[], _T],
        *,
        seconds: float,
        small: bool,
        path: bytes,
        root: bytes = b"",
        sound: str = "",
        retried: str = "",
        tries: int = 3,
        announce: Callable[[float], None] = lambda _: None,
        reread: Callable[[GarbledError], _T] | None = None,
        receipt: Receipt | None = None,
    ) -> _T:
        """Make a request through the gate; `seconds` of audio, of the file `path` in the watched folder `root`.

        `announce` is called again and again while it waits, with the seconds until the next call at the latest.

        Being turned away (429, 503) and not reaching the server cost nothing: it waits and asks again, until the gate
        holds or the daemon stops. Other passing failures are tried `tries` times in all, a quarter of a second and more apart,
        except those after which the server may want to be paid. Raises what `call` raises, HeldError, StoppedError and StateError.

        `sound` names what is asked for, and how. Once two answers about it could not be read it is not asked for any more: that
        is the file's failure (FileError) where others get readable answers, and else holds the queue. `retried` is the key under
        which the memory knows that a person wants this file to be tried once more.

        `reread` is called, outside of the request's place, about an answer that holds more than the sound can (`GarbledError.excess`).
        It returns what the answer means after all, or raises what the request met; until then nothing counts for or against the
        server. `receipt` gets what was booked for the request: see `correct`.
        """
        known = self._known_of(sound, Witness(path, root), retried) if sound else None
        turned_away = failures = 0
        passed = self._history.passed
        try:
            while True:
                try:
                    with self.enter(seconds=seconds, small=small, path=path, root=root, announce=announce) as request:
                        request.receipt = receipt
                        read = call if reread is None else partial(self._reread, request, call, reread)
                        return self._garbled.read(read, sound, known, retried=retried) if sound else read()
                except GarbledError as error:
                    if error.times >= MOST:
                        raise given_up(error.message, error.times) from error
                    raise
                except PassingError as error:
                    if error.crowded or error.reason == "unreachable":
                        turned_away += 1
                        if turned_away > _TURNED_AWAY and self._history.passed - passed > _TURNED_AWAY:
                            raise
                        rest = self._rest(error, turned_away)
                    else:
                        failures += 1
                        if failures >= tries or is_maybe_paid(error) or (error.retry_after or 0) > PATIENCE_SECONDS:
                            raise
                        rest = self._rest(error, failures)
                # Nothing is in flight during this wait, so the sums must not count it as paid.
                self._limits.flush()
                announce(rest + SILENT)
                if self._stop.wait(rest):
                    raise StoppedError("the daemon stops")
        finally:
            self._limits.flush()

    @contextlib.contextmanager
    def enter(
        self,
        *,
        seconds: float,
        small: bool,
        path: bytes,
        root: bytes = b"",
        announce: Callable[[float], None] = lambda _: None,
    ) -> Iterator[GateRequest]:
        """Occupy a place for one request; its exception tells the gate how it ended. `announce`: see `run`.

        Blocks for a place, the pace and short pauses. Raises HeldError when the gate holds (also instead of the error
        that made it hold an outage), StoppedError on stop, and StateError where the ledger cannot be read and that does not pass.
        """
        request = self._requests.enter(seconds=seconds, small=small, path=path, root=root, announce=announce)
        error: BaseException | None = None
        try:
            self._limits.book()
            yield request
        except BaseException as exc:
            error = exc
            raise
        finally:
            instead = self._conclude(request, error)
            if instead is not None:
                if (counted := counted_as(error)) is not error:
                    # The job goes back, so nothing else logs this error.
                    _log.error("job.crashed", reason="internal", message=str(counted), exc_info=error)
                raise instead from error

    def charge(self, seconds: float) -> None:
        """Count a request more inside `enter`, with so many seconds of audio, that may be paid for; beside the one that is counted anyway."""
        with self._lock:
            day = self._limits.start(seconds, self._clock.now())
            self._limits.end(seconds, day, bought=True)
            self._paid += seconds
        self._limits.flush()

    def correct(self, receipt: Receipt, seconds: float) -> None:
        """Count that a request bought so many seconds of audio, as is known by now, and not those that it was booked with."""
        more = seconds - receipt.seconds
        if not receipt.day or not more:
            return
        with self._lock:
            self._paid += more
            self._limits.correct(more, receipt.day)
            receipt.seconds = seconds
            if more < 0:
                now = self._clock.now()
                self._door.reconsider_budget(now)
                self._requests.dispatch(now)
        self._limits.flush()

    def state(self) -> GateState:
        """Return whether the gate is open, paused or held."""
        with self._lock:
            return self._door.state(self._clock.now())

    def asking(self) -> dict[bytes, float]:
        """Return the files that the server is being asked about, and since when without a break (Unix time)."""
        with self._lock:
            return self._requests.files()

    def state_and_asking(self) -> tuple[GateState, dict[bytes, float]]:
        """Return `state` and `asking` of one moment."""
        with self._lock:
            return self._door.state(self._clock.now()), self._requests.files()

    @property
    def paid_seconds(self) -> float:
        """Seconds of audio that were sent since this gate was made, as in the ledger's sums: whatever came of it."""
        with self._lock:
            return self._paid

    def places(self) -> int:
        """Return how many large files' requests may be in flight now: all, less what is kept free for small ones."""
        with self._lock:
            return self._limits.large_places

    # What people wish.

    @property
    def outcome(self) -> ResumeOutcome:
        """Result of the last `resume` or `expect_outcome`."""
        with self._lock:
            return self._door.outcome

    def expect_outcome(self) -> None:
        """Forget the outcome of the last `resume`: a new one follows."""
        with self._lock:
            self._door.expect_outcome(self._clock.now())

    def resume(self) -> None:
        """Probe at once, because an operator asked for it or the key changed; end a pause. `outcome` becomes the result."""
        self._garbled.resume()
        with self._lock:
            now = self._clock.now()
            self._door.resume(now)
            self._requests.dispatch(now)

    def reload(self, options: GateOptions) -> None:
        """Take new options; requests in flight stay."""
        with self._lock:
            if self._limits.resize(options):
                self._door.end_budget()
            self._requests.dispatch(self._clock.now())

    # Other hosts.

    @property
    def shared(self) -> bool:
        """Whether other hosts ask the same endpoint, so that `attend` has to be called."""
        return self._peers.shared

    @property
    def trouble(self) -> StateError | None:
        """Why the fleet cannot be asked, if so."""
        return self._peers.trouble

    def attend(self, timeout: float) -> None:
        """Exchange with the fleet for `timeout` seconds at most; a thread of its own calls it again and again."""
        self._peers.attend(timeout)

    def use_fleet(self, fleet: Fleet | None) -> None:
        """Use the hold and pause of another key or model; the current ones are dropped, for they belong to the former credentials."""
        if fleet is not None:
            self._peers.use_fleet(fleet)

    def leave(self) -> None:
        """Return this host's shares to the fleet, if it answers; no request may go in any more."""
        self._peers.leave()

    # Requests.

    def _reread(self, request: GateRequest, call: Callable[[], _T], reread: Callable[[GarbledError], _T]) -> _T:
        """Make a request; of an answer that holds too much, return what `reread` makes of it, outside of the request's place."""
        try:
            return call()
        except GarbledError as error:
            if not error.excess:
                raise
            with self._lock:
                self._leave(request, bought=True)
                now = self._clock.now()
                self._door.postpone(request, now)
                self._requests.dispatch(now)
                self._door.changed.notify_all()
            self._limits.flush()
            return reread(error)

    def _leave(self, request: GateRequest, *, bought: bool) -> None:
        """Count a request that ended, once."""
        if request.left:
            return
        request.left = True
        self._requests.leave(request, bought=bought)
        if bought:
            self._paid += request.seconds
            if (receipt := request.receipt) is not None:
                receipt.seconds, receipt.day = request.seconds, request.day

    def _conclude(self, request: GateRequest, error: BaseException | None) -> JobError | None:
        """Count a request that ended; returns an error to raise instead."""
        error = counted_as(error)
        bought = error is None or isinstance(error, GarbledError) or is_maybe_paid(error)
        with self._lock:
            self._leave(request, bought=bought)
            now = self._clock.now()
            instead = self._door.conclude(request, error, now)
            self._requests.dispatch(now)
            self._door.changed.notify_all()
        if bought:
            self._limits.flush()
        return instead

    def _rest(self, error: PassingError, times: int) -> float:
        """Return the seconds that a refused request waits by itself, beside what all have to wait."""
        first = 0.5 if error.crowded else 0.25
        # A request that never arrived was no burden to anybody, and a link may be back any moment.
        most = _LONGEST_REST / 16 if error.reason == "unreachable" else _LONGEST_REST
        rest = min(first * 2.0 ** min(times - 1, 16), most) * (1 + 0.25 * self._clock.jitter())
        return rest if error.crowded else max(rest, error.retry_after or 0.0)

    def _known_of(self, sound: str, file: Witness, retried: str) -> GarbledAnswers | None:
        """Return what is known of a sound. Raises FileError or HeldError when it is not to be asked for any more."""
        while True:
            try:
                known = self._garbled.about(sound, retried=retried)
                break
            except StateBusyError:
                if self._stop.wait(SLICE):
                    raise StoppedError("the daemon stops") from None
        if known is None or not known.spent:
            return known
        with self._lock:
            now = self._clock.now()
            self._door.lapse(now)
            if self._door.hold is None and not self._garbled.readable:
                self._door.hold_for(all_garbled(known.message), now, files={file})
            if (hold := self._door.hold) is not None:
                self._door.use_another_file(hold, file.path, now)
                raise hold.error(retry_after=_PASSED_OVER_SECONDS)
        raise given_up(known.message, known.times)
