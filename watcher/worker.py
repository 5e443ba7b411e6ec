"""Claim, run and conclude jobs, and renew their leases.

A worker knows nothing about audio: it gets a callable that runs a job and returns an outcome or raises. The pure function
`verdict` decides what an error means for the job, so that a table of cases can test it.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from watcher.errors import (
    AccountError,
    ChangedError,
    ClosedError,
    FileError,
    GarbledError,
    GoneError,
    HeldError,
    JobError,
    LeaseLostError,
    NoChannelError,
    OutputError,
    PassingError,
    SourceError,
    StateError,
    StemsError,
    StoppedError,
)
from watcher.heartbeat import Heartbeat
from watcher.job import Job, Outcome, State
from watcher.ledger.claims import RootLimit
from watcher.ledger.ledger import Ledger
from watcher.output_failures import OutputFailures

_log = structlog.get_logger()

#: Seconds that a claim lasts without a renewal, and between two renewals.
LEASE: Final = 30.0
RENEW: Final = 10.0
#: Longest wait between two attempts, and longest one that the server may ask for; seconds.
_LONGEST_WAIT: Final = 300.0
_LONGEST_SETBACK: Final = 60.0
_LONGEST_ASKED: Final = 3600.0
#: Seconds after which a job for which no endpoint was open is tried again, at least; how many such jobs are tried a second, and how many
#: that could not place their outputs, at most, as each try costs some milliseconds; and the longest wait for that.
_CLOSED_SECONDS: Final = 10.0
_CLOSED_A_SECOND: Final = 2.0
_SETBACKS_A_SECOND: Final = 20.0
_LONGEST_OF_MANY: Final = 3600.0
#: Seconds by which a job that is not suitable for a probe is delayed; and how many jobs are claimed to find a suitable one.
_ASIDE: Final = 5.0
_CHOICE: Final = 100
#: Seconds between two probes of a worker that makes nothing else.
_PROBE_PAUSE: Final = 1.0
#: Seconds between two signs of life of a worker that has nothing to do, for the watchdog.
_IDLE: Final = 5.0
#: Most characters of an unexpected error's message: it may quote anything.
_LONGEST_MESSAGE: Final = 300


@dataclass(frozen=True, slots=True)
class Retry:
    """Put the job back, due in `seconds`; the attempt counts unless `uncounted`."""

    seconds: float
    uncounted: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Put the job back at once; the attempt does not count. `delay`: seconds by which it is delayed, only if other jobs are due."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """Conclude the job as failed for good."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete the source: it is gone, or must be found and inspected again."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Write nothing: another worker has the job."""


NextStep = Retry | Release | Fail | Drop | Abandon


def verdict(
    error: JobError,
    *,
    attempts: int,
    limit: int,
    jitter: Callable[[], float],
    output_failures: int = 0,
    delayed: int = 0,
) -> NextStep:
    """Return what to do with a job after an error; `attempts`: the number of attempts so far.

    `jitter` returns 0 to 1. Waits grow as 1, 2, 4 … 300 s and up to a quarter longer, and are never shorter than the server asked.
    `output_failures`: failures in a row that cost no attempt; they wait 60 s at most, unless thousands of jobs do. `delayed`: how many do.
    """
    match error:
        case LeaseLostError():
            return Abandon()
        case ChangedError() | GoneError():
            return Drop()
        case AccountError() | NoChannelError() | HeldError() | StoppedError():
            return Release(error.retry_after if isinstance(error, HeldError) else 0.0)
        case ClosedError() | StemsError() | OutputError() | SourceError(uncounted=True):
            wait, a_second = _wait(output_failures + 1, jitter, longest=_LONGEST_SETBACK), _SETBACKS_A_SECOND
            if isinstance(error, ClosedError):
                wait, a_second = _CLOSED_SECONDS, _CLOSED_A_SECOND
            # All jobs that wait have their turn once in that time.
            wait = max(wait, min(delayed / a_second, _LONGEST_OF_MANY))
            return Retry(error.retry_after if isinstance(error, StemsError) else wait, uncounted=True)
        case PassingError() | SourceError() if attempts < limit:
            asked = error.retry_after or 0.0 if isinstance(error, PassingError) else 0.0
            return Retry(max(_wait(attempts, jitter), min(asked, _LONGEST_ASKED)))
        case _:
            return Fail()


def _wait(attempts: int, jitter: Callable[[], float], *, longest: float = _LONGEST_WAIT) -> float:
    return min(longest, 2.0 ** min(attempts - 1, 16)) * (1 + jitter() / 4)


class FailedProbes:
    """Jobs whose probe of a held queue failed since the last success; shared by all workers.

    The queue is in the order of arrival, so without this the oldest job would make every probe, and one file that no server
    answers would block all others forever.
    """

    def __init__(self) -> None:
        self._failed: set[int] = set()

    def __contains__(self, job: Job) -> bool:
        """Return whether the job's probe failed."""
        return job.id in self._failed

    def add(self, job: Job) -> None:
        """Note a probe that failed."""
        self._failed.add(job.id)

    def clear(self) -> None:
        """Forget all: a request succeeded, or all jobs have had their turn."""
        self._failed.clear()


class Leases:
    """Renews the leases of all running jobs from one thread, so that no worker has to interrupt its work for it."""

    def __init__(self, ledger: Ledger, *, lease: float = LEASE) -> None:
        self._ledger = ledger
        self._lease = lease
        self._held: dict[int, Job] = {}
        self._lock = threading.Lock()

    def add(self, job: Job) -> None:
        """Renew this job's lease from now on."""
        with self._lock:
            self._held[job.id] = job

    def let_go(self, job: Job) -> None:
        """Stop renewing it."""
        with self._lock:
            self._held.pop(job.id, None)

    @property
    def held(self) -> list[Job]:
        """The running jobs."""
        with self._lock:
            return list(self._held.values())

    def step(self) -> None:
        """Renew everything once; a lost lease shows at the job's next write."""
        for job in self.held:
            try:
                self._ledger.queue.renew(job, lease=self._lease)
            except LeaseLostError:
                self.let_go(job)


class ClaimTicket(Protocol):
    """Permission to claim a job: the gate's ticket. It is closed once the job is over."""

    #: Only a suitable job may be claimed.
    before_due: bool
    #: Watched folders whose jobs may not be claimed.
    without: frozenset[bytes]

    def offer(self, path: bytes, *, attempts: int) -> bool:
        """Return whether the job of this file is suitable; `attempts` counts this one."""

    def close(self, *, no_job: bool = False) -> None:
        """Return the ticket to the gate; `no_job`: there was no job for it."""


class JobWork(Protocol):
    """Callable that runs a job."""

    def __call__(self, job: Job, ticket: ClaimTicket, beat: Heartbeat, /) -> Outcome:
        """Return the outcome of a job that was claimed with `ticket`. Raises JobError."""


class Admission(Protocol):
    """Callable that admits a worker to claim a job."""

    def __call__(self, *, timeout: float, only_probes: bool) -> ClaimTicket | None:
        """Return a ticket, or None if nothing may be claimed within `timeout` seconds; `only_probes`: no ticket without a probe."""


class Worker:
    """Runs jobs in one thread; `run` repeats `step` until the stop event is set."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        work: JobWork,
        *,
        leases: Leases,
        admit: Admission,
        conclude: "Conclusion",
        stop: threading.Event,
        attempts: Callable[[], int],
        jitter: Callable[[], float],
        output_failures: OutputFailures | None = None,
        avoided: Callable[[], frozenset[bytes]] = frozenset,
        failed_probes: FailedProbes | None = None,
        small: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`small`: take only files of a single request, so that they never wait for long ones. `avoided`: roots of which it takes none."""
        self.name = name
        self.beat = Heartbeat(monotonic)
        #: Changed by WorkerPool between jobs. `limit`: how many workers may run jobs of the same folder; `only_probes`: it only finds
        #: out whether a closed endpoint works again.
        self.small = small
        self.only_probes = False
        self.limit: RootLimit | None = None
        #: Whether it was dismissed and has ended.
        self.ended = False
        self._ledger = ledger
        self._work = work
        self._leases = leases
        self._admit = admit
        self._conclude = conclude
        self._stop = stop
        self._attempts = attempts
        self._jitter = jitter
        self._output_failures = OutputFailures() if output_failures is None else output_failures
        self._avoided = avoided
        self._failed_probes = FailedProbes() if failed_probes is None else failed_probes
        self._dismissed = False
        self._clock = clock
        self._monotonic = monotonic

    def run(self) -> None:
        """Work until asked to stop.

        An error of a job concludes that job. Only an unexpected error of the loop itself is raised, and StateError, since
        without a ledger nothing can be done: a process that runs and does nothing would be the worst outcome.
        """
        while not self._stop.is_set() and not self._dismissed:
            self.step()
        self.ended = True

    def retire(self) -> None:
        """End after the current job; any thread may call it."""
        self._dismissed = True

    def step(self) -> bool:
        """Run one job, or wait a short time for one; return True if a job was concluded."""
        self.beat()
        ticket = self._admit(timeout=_IDLE, only_probes=self.only_probes)
        if ticket is None or self._stop.is_set():
            return False
        with closing(ticket):
            job = self._claim(ticket)
            if job is not None:
                self._leases.add(job)
                try:
                    with structlog.contextvars.bound_contextvars(job=job.id, path=job.path):
                        self._run(job, ticket)
                finally:
                    self._leases.let_go(job)
                    self._ledger.queue.idle(self.name)
                if self.only_probes:
                    # Its job may be due again at once.
                    self._stop.wait(_PROBE_PAUSE)
                return True
        self._ledger.queue.wait(_IDLE)
        return False

    def _claim(self, ticket: ClaimTicket) -> Job | None:
        """Claim the next job; for a probe, prefer a job that has not failed before."""
        others: list[Job] = []
        try:
            while (job := self._next(ticket)) is not None:
                self.beat()
                if ticket.offer(job.path, attempts=job.attempts) and job not in self._failed_probes:
                    return job
                others.append(job)
                if len(others) == _CHOICE:
                    break
            if others and not ticket.before_due:
                return self._best_for_probe(ticket, others)
        finally:
            # Such a ticket is for suitable jobs only: without a delay this loop would claim the same others again.
            self._give_back(others, run_at=self._clock() + _ASIDE if ticket.before_due else 0.0)
        # It has given back those that it had.
        self._ledger.queue.idle(self.name)
        ticket.close(no_job=not (self.small or self._ledger.queue.held_back()))
        return None

    def _next(self, ticket: ClaimTicket) -> Job | None:
        without = ticket.without | self._avoided()
        return self._ledger.queue.claim(self.name, lease=LEASE, small=self.small, limit=self.limit, without=without)

    def _best_for_probe(self, ticket: ClaimTicket, jobs: list[Job]) -> Job:
        """Choose the best job for a probe if none is suitable: all take turns, those that failed less often first."""
        if all(job in self._failed_probes for job in jobs):
            self._failed_probes.clear()
        job = min(jobs, key=lambda job: (job in self._failed_probes, job.attempts))
        jobs.remove(job)
        ticket.offer(job.path, attempts=job.attempts)
        return job

    def _give_back(self, jobs: list[Job], *, run_at: float) -> None:
        for job in jobs:
            with suppress(LeaseLostError):
                self._ledger.queue.release(job, run_at=run_at)

    def _delay(self, job: Job, seconds: float) -> bool:
        """Put a job back; delay it by `seconds` only if other jobs are ready. Return whether any were."""
        others = seconds > 0 and self._ledger.history.counts()[State.READY] > 0
        self._ledger.queue.release(job, run_at=self._clock() + seconds if others else 0.0)
        return others

    def _run(self, job: Job, ticket: ClaimTicket) -> None:
        started = self._monotonic()
        waited = max(0.0, self._clock() - job.queued_at)
        _log.info("job.started", attempt=job.attempts, waited=waited)
        try:
            outcome = self._work(job, ticket, self.beat)
            self._output_failures.note(job, None)
            self._failed_probes.clear()
            with self._ledger.queue.reporting([job.path]):
                self._conclude.done(job, outcome, waited=waited, elapsed=self._monotonic() - started)
        except JobError as error:
            self._conclude_error(job, error)
        except StateError:
            raise
        except Exception as exc:  # noqa: BLE001 - the job's boundary: a bug in Watcher that one file causes fails only that file
            self._conclude_error(job, _unexpected(exc))

    def _conclude_error(self, job: Job, error: JobError) -> None:
        decision = verdict(
            error,
            attempts=job.attempts,
            limit=self._attempts(),
            jitter=self._jitter,
            output_failures=self._output_failures[job],
            delayed=self._ledger.history.counts()[State.DELAYED],
        )
        self._output_failures.note(job, error)
        try:
            with self._ledger.queue.reporting([job.path]):
                self._carry_out(decision, job, error)
        except LeaseLostError as lost:
            _log.warning("job.released", **_why(lost))
        except StateError:
            raise
        except Exception as exc:  # noqa: BLE001 - an error of the note or another consequence of the failure must not prevent the conclusion
            _unexpected(exc)
            with suppress(LeaseLostError):
                self._ledger.queue.fail(job, error)

    def _carry_out(self, decision: NextStep, job: Job, error: JobError) -> None:
        match decision:
            case Retry(seconds, uncounted):
                run_at = self._clock() + seconds
                if uncounted:
                    self._ledger.queue.release(job, run_at=run_at, error=error)
                else:
                    self._ledger.queue.retry(job, error, run_at=run_at)
                # A hold was reported when it began. A folder that takes no outputs gets one warning, however many recordings it has.
                is_reported = uncounted and not self._output_failures.is_news(error.message)
                tell = _log.info if is_reported or isinstance(error, ClosedError | StemsError) else _log.warning
                tell("job.retry", attempt=job.attempts, retry_in=seconds, **_why(error))
            case Release(delay):
                if delay > 0:
                    self._failed_probes.add(job)
                self._delay(job, delay)
                _log.info("job.released", **_why(error))
            case Drop():
                self._ledger.queue.drop(job)
                self._conclude.dropped(job, error)
            case Fail():
                self._conclude.failed(job, _given_up(error))
            case Abandon():
                _log.warning("job.released", **_why(error))


class Conclusion(Protocol):
    """Concludes a job: ledger, log, notes, hooks."""

    def done(self, job: Job, outcome: Outcome, *, waited: float, elapsed: float) -> None:
        """Conclude a finished job. Raises LeaseLostError."""

    def failed(self, job: Job, error: JobError) -> None:
        """Conclude a job that failed for good. Raises LeaseLostError."""

    def dropped(self, job: Job, error: JobError) -> None:
        """Drop the job, and inspect its source again if it exists."""


def _given_up(error: JobError) -> JobError:
    """Return the error of a job without further attempts; a passing error without a hint becomes a FileError with one."""
    if not isinstance(error, PassingError) or error.hint:
        return error
    hint = "if other files get through, `watcher check` and the server's own log may tell why; then `watcher retry`"
    if isinstance(error, GarbledError):
        hint = "once the server's log has shown why, `watcher retry` asks once more"
    return FileError(error.message, hint=hint, reason=error.reason)


def _unexpected(error: Exception) -> JobError:
    """Log an unexpected error, with its traceback; return the error for the job."""
    message = f"an unexpected error in Watcher itself: {type(error).__name__}: {error}"[:_LONGEST_MESSAGE]
    hint = "please report it with the traceback in the log; the other files go on"
    _log.error("job.crashed", reason="internal", message=message, hint=hint, exc_info=error)
    return PassingError(message, hint=hint, reason="internal")


def _why(error: JobError) -> dict[str, str]:
    return {"reason": error.reason, "message": error.message, **({"hint": error.hint} if error.hint else {})}
