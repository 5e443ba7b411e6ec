"""What the outcomes of requests mean together: a slow server, an outage, a refusal of every file, or the fault of one file."""

import math
from collections.abc import Callable
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
from watcher.fleet import FailedFile
from watcher.gate.clock import GateClock
from watcher.gate.garbled import MOST, GarbledCounts
from watcher.gate.hold import FailureStreak
from watcher.gate.state import GateOptions
from watcher.gate.window import ConcurrencyWindow

#: Outcomes that say something about the endpoint.
TELLING: Final = (PassingError, AccountError, NoChannelError, FileError, RemedyError)
#: Failures after which the server may nevertheless have done the work, and charged for it.
MAYBE_PAID: Final = {"timeout", "truncated", "connection", "oversized_answer", "internal"}
#: A second failure of a file is the file's fault if others passed since the first, and the last of them within this many seconds
#: (about as long as ten attempts take).
_OWN_SECONDS: Final = 900.0
#: If this many files got a firewall's page since a request passed, the firewall blocks all requests, not one file.
_SEVERAL: Final = 2
#: Number of failed files that are remembered.
_FAILED_KEPT: Final = 1000
#: Longest pause, in seconds, if a server refuses even one request at a time and sends no Retry-After.
_LONGEST_OWN_PAUSE: Final = 30.0


@dataclass(frozen=True, slots=True)
class RequestVerdict:
    """What the outcome of one request means for the other requests."""

    #: An error that concerns all files; None: the outcome concerns only its own file.
    trouble: JobError | None = None
    #: Seconds for which no request may start.
    pause: float = 0.0
    #: The error to raise instead: the failure of one file, although the server's message is about the key or the account.
    instead: PassingError | None = None


class RequestHistory:
    """The outcomes of requests so far. The gate's lock guards it."""

    def __init__(
        self,
        window: ConcurrencyWindow,
        garbled: GarbledCounts,
        clock: GateClock,
        *,
        options: Callable[[], GateOptions] = GateOptions,
    ) -> None:
        """`window` shrinks and grows with the outcomes. `options` returns those that hold now."""
        #: Number of requests that passed.
        self.passed = 0
        self._window = window
        self._options = options
        self._garbled = garbled
        self._clock = clock
        self._streak = FailureStreak()
        #: Files that failed or were refused since they last passed, and how many requests had passed at the first failure.
        self._failed_files: dict[bytes, int] = {}
        self._last_passed = -math.inf
        #: Files that got a firewall's page since a request passed.
        self._challenged: set[bytes] = set()
        #: Number of pauses in a row without a Retry-After.
        self._pauses = 0

    @property
    def files(self) -> set[FailedFile]:
        """The files of the current row of failures."""
        return self._streak.files

    def passes(self, now: float) -> bool:
        """Return whether requests passed lately, so that a refusal of the key or the account may be due to one file."""
        return now - self._last_passed <= _OWN_SECONDS

    def has_failed(self, path: bytes) -> bool:
        """Return whether the server failed on a file, or refused it, since it last passed."""
        return path in self._failed_files

    def remember_failed(self, *paths: bytes) -> None:
        """Remember that the server failed on files, or refused them."""
        for path in paths:
            self._failed_files.setdefault(path, self.passed)
            if len(self._failed_files) > _FAILED_KEPT:
                del self._failed_files[next(iter(self._failed_files))]

    def begin_streak(self) -> None:
        """Begin a new row of failures."""
        self._streak = FailureStreak()

    def count(
        self,
        file: FailedFile,
        error: BaseException | None,
        *,
        epoch: int,
        in_flight: int,
        probes: bool,
        now: float,
        present: AbstractSet[bytes] = frozenset(),
    ) -> RequestVerdict:
        """Count the outcome of a request for a file; None: it passed. `present`: the roots that have other requests now.

        If only files of one root fail while other roots have requests, the server is not the cause: somebody who can write into
        that root may have made such files.

        `epoch`: the window's epoch at the start of the request; `in_flight`: how many other requests there are; `probes`: it was
        the probe of a hold.
        """
        path = file.path
        match error:
            case AccountError() | NoChannelError():
                own = isinstance(error, AccountError) and not probes and self._is_own(path, now)
                self.remember_failed(path)
                if own:
                    # Others pass, so nothing is wrong with key or account: perhaps a filter refuses the content of this recording.
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
        self,
        file: FailedFile,
        error: PassingError,
        *,
        epoch: int,
        in_flight: int,
        now: float,
        present: AbstractSet[bytes],
    ) -> RequestVerdict:
        """Slow down after a passing failure; if it makes an outage, return it as the trouble of all."""
        path = file.path
        if error.reason == "challenge":
            self.remember_failed(path)
            if len(self._challenged) < _SEVERAL:
                self._challenged.add(path)
            if self.passes(now) and self._challenged == {path}:
                # If a firewall blocks the content of one recording, all others would have to wait for five minutes each time.
                return RequestVerdict(instead=PassingError(error.message, hint=error.hint, reason=error.reason))
        if error.crowded or error.reason == "timeout":
            self._window.crowded(epoch, staying=in_flight, all_wait=bool(error.retry_after))
        if not error.crowded:
            if may_be_files_fault(error):
                own = self._is_own(path, now)
                self.remember_failed(path)
                if own:
                    return RequestVerdict()
            counts = self._streak.failed(file, error.reason, now=now, longest=self._options().outage_seconds)
            own = may_be_files_fault(error) and self._streak.is_of_one(present)
            return RequestVerdict(error if counts and not own else None)
        pause = 0.0
        if error.retry_after:
            pause = error.retry_after * (1 + 0.05 * self._clock.jitter())
        elif self._window.limit == 1 and epoch == self._window.epoch - 1 and in_flight == 0:
            # Even one request at a time is too many: all have to wait.
            pause = min(2.0 ** min(self._pauses, 16), _LONGEST_OWN_PAUSE)
            self._pauses += 1
        is_outage = self._streak.crowded(file, now, longest=self._options().crowded_seconds)
        return RequestVerdict(error if is_outage else None, pause)

    def _is_own(self, path: bytes, now: float) -> bool:
        """Return whether a further failure is the file's fault, not the server's: others passed meanwhile, and still do."""
        before = self._failed_files.get(path, self.passed)
        return self.passed > before and self.passes(now)


def counted_as(error: BaseException | None) -> BaseException | None:
    """Return the error that an outcome counts as: an error in Watcher or a library counts as a failure that may be paid for."""
    if isinstance(error, WatcherError) or not isinstance(error, Exception):
        # Also exceptions that end a request from outside, such as GeneratorExit.
        return error
    message = f"an unexpected error in Watcher itself: {type(error).__name__}"
    return PassingError(message, hint="please report it with the traceback in the log", reason="internal")


def is_maybe_paid(error: BaseException | None) -> bool:
    """Return whether the server may have done the work, and charged for it, without an answer that can be used.

    Also if a stop ended the request.
    """
    if isinstance(error, StoppedError):
        return error.in_flight
    if isinstance(error, GarbledError) or (isinstance(error, JobError) and error.maybe_paid):
        return True
    return isinstance(error, PassingError) and error.reason in MAYBE_PAID


def may_pass(error: BaseException | None) -> bool:
    """Return whether it is a failure, not a refusal: the same request may pass later."""
    return isinstance(error, PassingError) or (isinstance(error, RemedyError) and error.passing)


def is_answer(error: BaseException | None) -> bool:
    """Return whether the server answered: a passing failure is no answer, unless it is a garbled answer."""
    return isinstance(error, GarbledError) or not may_pass(error)


def may_be_files_fault(error: BaseException | None) -> bool:
    """Return whether a failure may be the file's fault: not if there were too many requests, or no connection."""
    return isinstance(error, PassingError) and not error.crowded and error.reason != "unreachable"


def all_garbled(message: str) -> AccountError:
    """Return the error of a server whose answers are all garbled."""
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
