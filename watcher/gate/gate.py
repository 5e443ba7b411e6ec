"""The gate of one endpoint: a request enters, runs and leaves, and its outcome counts for all others.

The parts share one lock; a request takes it twice, for a short time. Only changes of a hold, long
pauses, counts of garbled answers, and the seconds that were bought are written to the ledger.
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
from watcher.fleet import FailedFile, Fleet
from watcher.gate.admission import AdmissionQueue, GateRequest, Receipt
from watcher.gate.clock import SILENT, SLICE, GateClock
from watcher.gate.door import GateDoor
from watcher.gate.garbled import MOST, GarbledAnswers, GarbledCounts, given_up
from watcher.gate.history import RequestHistory, all_garbled, counted_as, is_maybe_paid
from watcher.gate.peers import peers_of
from watcher.gate.reports import HoldReports
from watcher.gate.request_queue import RequestQueue
from watcher.gate.state import GateOptions, GateState, ResumeOutcome
from watcher.gate.statistics import ANSWERED, RequestCounts, RequestStatistics
from watcher.gate.ticket import Ticket
from watcher.gate.tickets import Tickets
from watcher.memory import KeyedMemory

_log = structlog.get_logger()
_T = TypeVar("_T")

#: Seconds for which a share of the limits is granted; it is renewed after a third of them.
LEASE: Final = 15.0
#: Longest wait of a refused request, in seconds: the first is a fraction of a second, and each is twice as long as the last.
_LONGEST_REST: Final = 16.0
#: A request is given up after more than this many refusals (429, 503) and failed connections, if more than this many others passed.
_TURNED_AWAY: Final = 10
#: Seconds until a file that was not sent may be tried again.
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
        on_resumed: Callable[[Mapping[str, object]], None] = lambda _: None,
        advise: Callable[[JobError], str] = lambda error: error.hint,
    ) -> None:
        """Begin with the stored hold or pause: a hold is probed at once, unless the server asked for more time.

        `buy` and `bought` are methods of the ledger; without `bought`, a month begins today. `jitter` returns numbers in [0, 1).
        `fleet`: other hosts use the same endpoint; then limits, holds, pauses and minutes are shared with them, a thread has
        to call `attend` all the time, and `memory` keeps only the counts of garbled answers. A share of the limits is granted for
        `lease` seconds.
        `on_held` is called for each hold that begins here, not for those of other hosts, and `on_resumed` by the host that ends one; both must not wait. `advise` returns
        what to do about an error that holds the queue; it may be called twice.
        """
        self._stop = stop
        self._clock = GateClock(clock, monotonic, jitter)
        self._lock = threading.Lock()
        self._line = AdmissionQueue()
        self._garbled = GarbledCounts(memory, endpoint_name, clock=clock)
        self._statistics = RequestStatistics()
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
        self._history = RequestHistory(
            self._limits.window,
            self._garbled,
            self._clock,
            options=lambda: self._limits.options,
        )
        reports = HoldReports(
            self._peers.record,
            self._clock,
            endpoint_name=endpoint_name,
            on_held=on_held,
            on_resumed=on_resumed,
            is_one_of_several=options.section != "api",
        )
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
        """Return a ticket to claim a job; None if the gate stays closed for `timeout` seconds, or on stop.

        While the gate is held, one worker gets a ticket when a probe is due: its first request is the probe. If only a few files
        failed, they may be the cause: then a worker may get a ticket for another file before a probe is due.
        """
        return self._tickets.issue(timeout=timeout)

    def wants_probe(self, path: bytes = b"") -> bool:
        """Return whether a probe is due and nobody makes it; with `path`: with a file at which the server has not failed."""
        return self._tickets.is_due(path)

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
        leaves: Callable[[], bool] = lambda: False,
        reread: Callable[[GarbledError], _T] | None = None,
        receipt: Receipt | None = None,
    ) -> _T:
        """Make a request through the gate; `seconds` of audio, of the file `path` in the watched folder `root`.

        `announce` is called again and again while it waits, with the seconds until the next call at the latest. `leaves`, too, while
        it waits for a place: if it returns True, the request is given up with ElsewhereError.

        Refusals because of too many requests (429, 503) and failed connections cost nothing: it waits and tries again, until the gate
        holds or the daemon stops. After other passing failures there are `tries` tries in all, a quarter of a second and more
        apart, unless the failed one may cost something. Raises what `call` raises, HeldError, StoppedError and StateError.

        `sound` names the sound and the question. After two garbled answers about it, it is not sent any more: this is
        the file's failure (FileError) if others get readable answers, and else it holds the queue. `retried`: memory key of a
        person's request to try this file once more.

        `reread` is called, after the place was given back, for an answer with more text than the sound can have
        (`GarbledError.excess`). It returns the answer's corrected meaning, or raises the error of the request; until then the outcome
        does not count. `receipt` gets what was counted for the request: see `correct`.
        """
        known = self._known_of(sound, FailedFile(path, root), retried) if sound else None
        turned_away = failures = 0
        passed = self._history.passed
        try:
            while True:
                try:
                    with self.enter(
                        seconds=seconds, small=small, path=path, root=root, announce=announce, leaves=leaves
                    ) as request:
                        request.receipt = receipt
                        read = call if reread is None else partial(self._reread, request, call, reread)
                        return self._garbled.read(read, sound, known, retried=retried) if sound else read()
                except GarbledError as error:
                    if error.times >= MOST:
                        raise given_up(error.message, error.times) from error
                    raise
                except PassingError as error:
                    # A server that is busy may say so in an answer of success, which it may want to be paid for.
                    if (error.crowded and not is_maybe_paid(error)) or error.reason == "unreachable":
                        turned_away += 1
                        if turned_away > _TURNED_AWAY and self._history.passed - passed > _TURNED_AWAY:
                            raise
                        rest = self._rest(error, turned_away)
                    else:
                        failures += 1
                        patience = self._limits.options.patience
                        if failures >= tries or is_maybe_paid(error) or (error.retry_after or 0) > patience:
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
        leaves: Callable[[], bool] = lambda: False,
    ) -> Iterator[GateRequest]:
        """Take a place for one request; the exception of the block tells the gate how it ended. `announce` and `leaves`: see `run`.

        Waits for a place, the pace and short pauses. Raises HeldError while the gate holds (also instead of the error
        that began an outage), StoppedError on stop, and StateError if the ledger cannot be read and waiting does not help.
        """
        request = self._requests.enter(
            seconds=seconds, small=small, path=path, root=root, announce=announce, leaves=leaves
        )
        error: BaseException | None = None
        try:
            self._limits.book()
            request.began = self._clock.now()
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
        """Count one more request, made inside `enter`, that may be paid for, with its seconds of audio; the first is counted anyway."""
        with self._lock:
            day = self._limits.start(seconds, self._clock.now())
            self._limits.end(seconds, day, bought=True)
            self._paid += seconds
        self._limits.flush()

    def correct(self, receipt: Receipt, seconds: float) -> None:
        """Correct the seconds of audio that a request has bought to `seconds`; `receipt` has what was counted before."""
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
        """Return the files of requests in flight, and since when each has had any without a break (Unix time)."""
        with self._lock:
            return self._requests.files()

    def state_and_asking(self) -> tuple[GateState, dict[bytes, float]]:
        """Return `state` and `asking` of one moment."""
        with self._lock:
            return self._door.state(self._clock.now()), self._requests.files()

    @property
    def paid_seconds(self) -> float:
        """Seconds of audio counted as bought since this gate was made, as in the ledger's sums, whatever the outcome."""
        with self._lock:
            return self._paid

    def request_counts(self) -> RequestCounts:
        """Return what was counted of the requests that ended, since this gate was made."""
        with self._lock:
            return self._statistics.counts()

    def places(self) -> int:
        """Return how many requests for large files may be in flight now: all places but those reserved for small files."""
        with self._lock:
            return self._limits.large_places

    # Requests of a person.

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
        """Probe at once, because a person asked for it or the key changed; end a pause. `outcome` becomes the result."""
        self._garbled.resume()
        with self._lock:
            now = self._clock.now()
            self._door.resume(now)
            self._requests.dispatch(now)

    def reload(self, options: GateOptions) -> None:
        """Use new options; requests in flight go on."""
        with self._lock:
            if self._limits.resize(options):
                self._door.end_budget()
            self._requests.dispatch(self._clock.now())

    # Other hosts.

    @property
    def shared(self) -> bool:
        """Whether other hosts use the same endpoint, so that `attend` has to be called."""
        return self._peers.shared

    @property
    def trouble(self) -> StateError | None:
        """Why the database of the fleet cannot be reached; None: it can."""
        return self._peers.trouble

    def attend(self, timeout: float) -> None:
        """Exchange with the fleet for `timeout` seconds at most; a separate thread calls it again and again."""
        self._peers.attend(timeout)

    def use_fleet(self, fleet: Fleet | None) -> None:
        """Use the hold and pause of another key or model; the current ones are removed, as they belong to the former one."""
        if fleet is not None:
            self._peers.use_fleet(fleet)

    def leave(self) -> None:
        """Return this host's shares, if the database can be reached; no request may start any more."""
        self._peers.leave()

    # Requests.

    def _reread(self, request: GateRequest, call: Callable[[], _T], reread: Callable[[GarbledError], _T]) -> _T:
        """Make a request; if its answer has too much text, give the place back and return the result of `reread`."""
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
        """Count a request that ended; return an error to raise instead, or None."""
        error = counted_as(error)
        bought = error is None or is_maybe_paid(error)
        with self._lock:
            self._leave(request, bought=bought)
            now = self._clock.now()
            if request.began:
                outcome = ANSWERED if error is None else getattr(error, "reason", "") or "stopped"
                self._statistics.count(outcome, self._clock.now() - request.began)
            instead = self._door.conclude(request, error, now)
            self._requests.dispatch(now)
            self._door.changed.notify_all()
        if bought:
            self._limits.flush()
        return instead

    def _rest(self, error: PassingError, times: int) -> float:
        """Return the seconds that a refused request waits by itself, in addition to pauses for all."""
        first = 0.5 if error.crowded else 0.25
        # A request that did not arrive was no load for the server, and the connection may work again at any moment.
        most = _LONGEST_REST / 16 if error.reason == "unreachable" else _LONGEST_REST
        rest = min(first * 2.0 ** min(times - 1, 16), most) * (1 + 0.25 * self._clock.jitter())
        return rest if error.crowded else max(rest, error.retry_after or 0.0)

    def _known_of(self, sound: str, file: FailedFile, retried: str) -> GarbledAnswers | None:
        """Return the garbled answers about a sound. Raises FileError or HeldError if it may not be sent any more."""
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
                raise self._limits.held_error(hold, retry_after=_PASSED_OVER_SECONDS)
        raise given_up(known.message, known.times)
