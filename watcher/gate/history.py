"""What the outcomes of requests mean together: a slow server, an outage, a refusal of every file, or the fault of one file."""

import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from watcher.errors import (
    AccountError,
    FileError,
    GarbledError,
    JobError,
    NoChannelError,
    PassingError,
    RemedyError,
    StoppedError,
    WatcherError,
)
from watcher.gate.clock import GateClock
from watcher.gate.garbled import MOST, GarbledCounts
from watcher.gate.hold import FailureStreak, Witness
from watcher.gate.window import ConcurrencyWindow

#: Outcomes that say something about the endpoint.
TELLING: Final = (PassingError, AccountError, NoChannelError, FileError, RemedyError)
#: Failures after which the server may have worked, and charged, all the same.
MAYBE_PAID: Final = {"timeout", "truncated", "connection", "oversized_answer", "internal"}
#: A second failure of a file is the file's own fault if others passed since the first, the last of them within so many seconds
#: (about as long as ten attempts take).
_OWN_SECONDS: Final = 900.0
#: Number of files that met a firewall's page since a request passed, from which on the firewall blocks in general, not one file.
_SEVERAL: Final = 2
#: Failed files that are remembered.
_FAILED_KEPT: Final = 1000
#: The longest pause that the gate makes of its own, where a server refuses even one request at a time without a Retry-After; seconds.
_LONGEST_OWN_PAUSE: Final = 30.0


@dataclass(frozen=True, slots=True)
class RequestVerdict:
    """What the outcome of one request means for all requests."""

    #: The error that concerns every file; None: the outcome concerns its own file alone.
    trouble: JobError | None = None
    #: Seconds for which no request may start.
    pause: float = 0.0
    #: The error to raise instead: the failure of one file, where the server's words are about the key or the account.
    instead: PassingError | None = None


class RequestHistory:
    """The outcomes of requests until now; the gate's lock guards it."""

    def __init__(self, window: ConcurrencyWindow, garbled: GarbledCounts, clock: GateClock) -> None:
        """`window` shrinks and grows with the outcomes."""
        #: Requests that passed.
        self.passed = 0
        self._window = window
        self._garbled = garbled
        self._clock = clock
        self._streak = FailureStreak()
        #: Files that the server failed on or refused since they passed, and how many requests had passed at the first time.
        self._failed_files: dict[bytes, int] = {}
        self._last_passed = -math.inf
        #: Files that met a firewall's page since a request passed.
        self._challenged: set[bytes] = set()
        #: Pauses of the gate's own in a row.
        self._pauses = 0

    @property
    def files(self) -> set[Witness]:
        """The files of the failures in a row."""
        return self._streak.files

    def passes(self, now: float) -> bool:
        """Return whether other requests passed lately, so that a refusal of the key or the account may be about one file."""
        return now - self._last_passed <= _OWN_SECONDS

    def has_failed(self, path: bytes) -> bool:
        """Return whether the server failed on a file, or refused it, since it last passed."""
        return path in self._failed_files

    def remember_failed(self, path: bytes) -> None:
        """Remember that the server failed on a file, or refused it."""
        self._failed_files.setdefault(path, self.passed)
        if len(self._failed_files) > _FAILED_KEPT:
            del self._failed_files[next(iter(self._failed_files))]

    def begin_streak(self) -> None:
        """Count failures in a row from 0."""
        self._streak = FailureStreak()

    def count(
        self,
        file: Witness,
        error: BaseException | None,
        *,
        epoch: int,
        in_flight: int,
        probes: bool,
        now: float,
        present: AbstractSet[bytes] = frozenset(),
    ) -> RequestVerdict:
        """Count the outcome of a request for a file; None: it passed. `present`: the roots that have other requests now.

        As long as others have requests, what only files of one root meet is no matter of the server: who may write into that root
        may have made them so.

        `epoch`: that of the window when the request started; `in_flight`: how many other requests there are; `probes`: it was
        the probe of a hold.
        """
        path = file.path
        match error:
            case AccountError() | NoChannelError():
                own = isinstance(error, AccountError) and not probes and self._is_own(path, now)
                self.remember_failed(path)
                if own:
                    # Others pass, as beside a filter that refuses what one recording says: nothing is wrong with key or account.
                    return RequestVerdict(instead=PassingError(error.message, hint=error.hint, reason=error.reason))
                return RequestVerdict(error)
            case GarbledError():
                self.remember_failed(path)
                alone = error.times >= MOST and not self._garbled.readable
                counts = self._streak.garbled(file) or alone
                return RequestVerdict(
                    all_garbled(error.message) if counts and not self._streak.is_of_one(present) else None
                )
            case PassingError():
                return self._failed(file, error, epoch=epoch, in_flight=in_flight, now=now, present=present)
            case FileError() | RemedyError():
                self.remember_failed(path)
                counts = not may_pass(error) and self._streak.refused(file, error.reason)
                return RequestVerdict(_refused(error) if counts and not self._streak.is_of_one(present) else None)
            case None:
                self._passed(path, now)
        return RequestVerdict()

    def _passed(self, path: bytes, now: float) -> None:
        self.passed += 1
        self._last_passed = now
        self._failed_files.pop(path, None)
        self._challenged.clear()
        self._garbled.readable = True
        self._pauses = 0
        self.begin_streak()
        self._window.passed()

    def _failed(
        self, file: Witness, error: PassingError, *, epoch: int, in_flight: int, now: float, present: AbstractSet[bytes]
    ) -> RequestVerdict:
        """Slow down after a passing failure; it is everybody's where it makes an outage."""
        path = file.path
        if error.reason == "challenge":
            self.remember_failed(path)
            if len(self._challenged) < _SEVERAL:
                self._challenged.add(path)
            if self.passes(now) and self._challenged == {path}:
                # A firewall that minds what one recording holds would have all others wait for five minutes, each time.
                return RequestVerdict(instead=PassingError(error.message, hint=error.hint, reason=error.reason))
        if error.crowded or error.reason == "timeout":
            self._window.crowded(epoch, staying=in_flight, all_wait=bool(error.retry_after))
        if not error.crowded:
            if may_be_files_fault(error):
                own = self._is_own(path, now)
                self.remember_failed(path)
                if own:
                    return RequestVerdict()
            counts = self._streak.failed(file, error.reason)
            own = may_be_files_fault(error) and self._streak.is_of_one(present)
            return RequestVerdict(error if counts and not own else None)
        pause = 0.0
        if error.retry_after:
            pause = error.retry_after * (1 + 0.05 * self._clock.jitter())
        elif self._window.limit == 1 and epoch == self._window.epoch - 1 and in_flight == 0:
            # Even one at a time is too many: the only thing left to slow down is everybody.
            pause = min(2.0 ** min(self._pauses, 16), _LONGEST_OWN_PAUSE)
            self._pauses += 1
        return RequestVerdict(error if self._streak.crowded(file, now) else None, pause)

    def _is_own(self, path: bytes, now: float) -> bool:
        """Return whether a further failure is due to the file, not to the server: others passed meanwhile, and still do."""
        before = self._failed_files.get(path, self.passed)
        return self.passed > before and self.passes(now)


def counted_as(error: BaseException | None) -> BaseException | None:
    """Return what an outcome counts as: an error of Watcher itself, or of a library, counts as a failure that may be paid for."""
    if isinstance(error, WatcherError) or not isinstance(error, Exception):
        # Also what breaks off a request from outside, such as GeneratorExit.
        return error
    message = f"an unexpected error in Watcher itself: {type(error).__name__}"
    return PassingError(message, hint="please report it with the traceback in the log", reason="internal")


def is_maybe_paid(error: BaseException | None) -> bool:
    """Return whether the server may have worked, and charged, though no answer came: also where a stop gave a request up."""
    if isinstance(error, StoppedError):
        return error.in_flight
    if isinstance(error, JobError) and error.maybe_paid:
        return True
    return isinstance(error, PassingError) and error.reason in MAYBE_PAID


def may_pass(error: BaseException | None) -> bool:
    """Return whether it is a failure, not a refusal: the same request may pass later."""
    return isinstance(error, PassingError) or (isinstance(error, RemedyError) and error.passing)


def is_answer(error: BaseException | None) -> bool:
    """Return whether the server worked: a failure that may pass is no answer, unless it is one that cannot be read."""
    return isinstance(error, GarbledError) or not may_pass(error)


def may_be_files_fault(error: BaseException | None) -> bool:
    """Return whether a failure may be the file's fault: not where all are turned away, or no connection came about."""
    return isinstance(error, PassingError) and not error.crowded and error.reason != "unreachable"


def all_garbled(message: str) -> AccountError:
    """Return the error of a server of which no answer can be read."""
    return AccountError(
        f"every answer is like this one: {message}",
        reason="garbled",
        hint="check that api.url is a transcription server, and api.model; then watcher resume",
    )


def _refused(error: FileError | RemedyError) -> AccountError:
    return AccountError(
        f"every file is refused alike: {error.message}",
        reason="refused",
        hint=error.hint or "check api.url, api.model and the server's log, then watcher resume",
    )
