"""The taxonomy of errors: who can do something about them, and whether trying again helps.

    WatcherError                  message, hint (the remedy), code (stable, for scripts)
    ├── UsageError                exit 2: the command line
    ├── ConfigError               exit 3: settings, folders, key
    ├── StateError                exit 4: ledger, queue, service
    │   ├── StateLockedError      another daemon works on this state
    │   ├── StateDamagedError     the ledger's file is damaged
    │   └── StateBusyError        the ledger takes no change now: nothing was changed, and the same call may pass later
    └── JobError                  errors of one job
        ├── FileError             this file fails for good
        ├── RemedyError           this file may pass in another form, once
        ├── PassingError          later: the same request may pass
        │   └── GarbledError      the answer is complete, paid for, and cannot be read: it is requested once more
        ├── AccountError          every file would fail: hold the queue
        ├── NoChannelError        the relay has no upstream for this model right now
        ├── SourceError           the source cannot be read now
        ├── OutputError           the folder or the disk does not take our outputs now
        ├── ChangedError          the source changed since it was judged: inspect it again
        ├── GoneError             the source is gone
        │   └── AbsentError       it was gone before its job began
        ├── HeldError             the gate is closed: give the job back, the attempt too
        │   └── ElsewhereError    nothing was sent yet, and a better endpoint takes it now
        ├── ClosedError           no endpoint that it may go to is open: later, the attempt does not count
        ├── StoppedError          the daemon stops: give the job back, the attempt too
        └── LeaseLostError        another worker has the job now: drop the result

This module imports no other module of the package, so every package may raise these.
"""

import errno
from enum import StrEnum
from typing import ClassVar, Final, Self


class WatcherError(Exception):
    """An error for people: what happened, and what to do about it."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep sentence and remedy separate, so that each output can format them."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(WatcherError):
    """The command line cannot be carried out as given."""

    code = "usage"
    exit_code = 2


class ConfigError(WatcherError):
    """The settings, the folders or the key cannot be used."""

    code = "config"
    exit_code = 3


class StateError(WatcherError):
    """The ledger, the queue or the service cannot work."""

    code = "state"


class StateLockedError(StateError):
    """Another daemon uses the same state."""

    code = "state_locked"


class StateDamagedError(StateError):
    """The ledger's file is damaged, at least in part."""

    code = "state_damaged"


class StateBusyError(StateError):
    """The ledger takes no change now: a full disk, or another process uses it. Nothing was changed; the same call may pass later."""

    code = "state_busy"


class JobError(WatcherError):
    """An error that concludes, delays or gives back one job; `reason` is a stable short word."""

    code = "job"

    def __init__(self, message: str, *, hint: str = "", reason: str = "") -> None:
        """`reason` goes into the ledger and the log, for example ``undecodable``."""
        super().__init__(message, hint=hint)
        self.reason = reason or self.code
        #: Whether the server may charge for the request, whatever its answer.
        self.maybe_paid = False


class FileError(JobError):
    """This file fails for good; the other files are not concerned."""

    code = "file"


class Remedy(StrEnum):
    """Changes that may make a refused request pass; each is tried once per file."""

    #: Send it smaller: re-encode, then cut.
    SHRINK = "shrink"
    #: Cut it: the server takes at most `RemedyError.seconds` of audio.
    SPLIT = "split"
    #: Send the same sound in another encoding: FLAC, then mp3, then WAV, all of 16 kHz mono.
    RECODE = "recode"


class RemedyError(JobError):
    """The server refused this form of the file; another form may pass."""

    code = "remedy"

    def __init__(
        self,
        message: str,
        *,
        remedy: Remedy,
        hint: str = "",
        reason: str = "",
        seconds: float = 0.0,
        passing: bool = False,
        alone: bool = False,
    ) -> None:
        """`seconds`: the longest audio that the server takes (SPLIT only; 0: it did not say).

        `passing`: the server did not refuse the file but failed at it, repeatedly, and at no other file. `alone`: it has answered
        others since its first failure, so this is the file's failure.
        """
        super().__init__(message, hint=hint, reason=reason)
        self.remedy = remedy
        self.seconds = seconds
        self.passing = passing
        self.alone = alone


class PassingError(JobError):
    """The same request may pass later."""

    code = "passing"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        reason: str = "",
        retry_after: float | None = None,
        crowded: bool = False,
        asked: bool = True,
    ) -> None:
        """`retry_after`: seconds without requests. `asked`: the server named this time. `crowded`: it has too many requests now (429, 503)."""
        super().__init__(message, hint=hint, reason=reason)
        self.retry_after = retry_after
        self.asked = asked and retry_after is not None
        self.crowded = crowded


class GarbledError(PassingError):
    """The server's answer is complete, and cannot be read; it is paid for nevertheless."""

    code = "garbled"

    def __init__(self, message: str, *, body: bytes, hint: str = "", times: int = 1, excess: bool = False) -> None:
        """`message` ends with the beginning of the answer; `body` is the whole answer. `times`: number of garbled answers about this sound.

        `excess`: it may be readable if the sound is longer than its header says.
        """
        super().__init__(message, hint=hint, reason=self.code)
        self.body = body
        self.times = times
        self.excess = excess


class AccountError(JobError):
    """Key, balance, permission or address: every file would fail. Holds the queue."""

    code = "account"


class NoChannelError(JobError):
    """A relay station has no working upstream for this model now."""

    code = "no_channel"


#: errno of a share or a disk that is away, and of a system without resources: they are not about one file.
_AWAY: Final = frozenset(
    {
        *(errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.ESHUTDOWN, errno.EREMOTEIO, errno.ENOLINK, errno.ECOMM),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.ENONET),
        *(errno.ETIMEDOUT, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ETIME),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR),
    }
)
_FEW_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
_PERMISSION: Final = frozenset({errno.EACCES, errno.EPERM})


class SourceError(JobError):
    """The source cannot be read now. This is not about the server, and its answers stay stored.

    Reason "unreadable": it may be only this file, so the attempt counts. Reason "away": its share, its disk or the whole
    system has a problem, so the attempt does not count.
    """

    code = "source"

    @classmethod
    def of(cls, error: OSError) -> Self:
        """Return the error for an OSError about opening or reading the source."""
        hint = "check the disk or the network share it lies on"
        if error.errno in _FEW_DESCRIPTORS:
            hint = "too many files are open: raise LimitNOFILE= of the service, or lower state.workers"
        elif error.errno in _PERMISSION:
            hint = (
                "let the user that runs the service read it (chmod g+r where it is in the file's group, else chmod o+r)"
            )
        reason = "away" if error.errno in _AWAY else "unreadable"
        return cls(f"the file cannot be read: {error.strerror or error}", hint=hint, reason=reason)

    @property
    def uncounted(self) -> bool:
        """Whether it is not about this file, so that the attempt does not count."""
        return self.reason == "away"


class OutputError(JobError):
    """The outputs cannot be placed now: a full disk, a read-only folder."""

    code = "output"


class ChangedError(JobError):
    """The source changed since it was judged; the result is useless."""

    code = "changed"


class GoneError(JobError):
    """The source is gone."""

    code = "gone"


class AbsentError(GoneError):
    """The source was gone before its job began."""


class HeldError(JobError):
    """The gate is closed; the job goes back, and the attempt does not count."""

    code = "held"

    def __init__(self, message: str, *, hint: str = "", reason: str = "", retry_after: float = 0.0) -> None:
        """`retry_after`: seconds in which this job is not claimed, so that the next probe is made with another one."""
        super().__init__(message, hint=hint, reason=reason)
        self.retry_after = retry_after


class ElsewhereError(HeldError):
    """The recording waits for a place, nothing of it was sent yet, and another endpoint is better now."""

    code = "elsewhere"


class ClosedError(JobError):
    """No endpoint that this recording may go to is open, though others of its folder may be; the attempt does not count."""

    code = "closed"


class StemsError(JobError):
    """Stems of this session are still queued or being transcribed, or out of reach; the attempt does not count."""

    code = "stems"

    def __init__(self, message: str, *, retry_after: float = 60.0) -> None:
        """`retry_after`: seconds until it is tried again, unless the conclusion of a stem makes it due."""
        super().__init__(message)
        self.retry_after = retry_after


class StoppedError(JobError):
    """The daemon stops; the job goes back, and the attempt does not count."""

    code = "stopped"

    def __init__(self, message: str, *, in_flight: bool = False) -> None:
        """`in_flight`: a request was in flight, so the server may charge for it."""
        super().__init__(message)
        self.in_flight = in_flight


class LeaseLostError(JobError):
    """The job's lease is gone: its results must not be written."""

    code = "lease_lost"
