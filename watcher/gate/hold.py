"""Holds of the queue: their reasons, and when a probe is due."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple

from watcher.errors import AccountError, HeldError, JobError, NoChannelError
from watcher.gate.clock import GateClock
from watcher.gate.ticket import Ticket
from watcher.text import joined

#: Longer waits that a server asks for are cut to this, in seconds.
LONGEST_PAUSE: Final = 3600.0


class HoldKind(StrEnum):
    """Kinds of holds."""

    #: Key, balance, permission or address.
    ACCOUNT = "account"
    #: The relay station has no upstream for the model.
    NO_CHANNEL = "no_channel"
    #: The server does not answer.
    OUTAGE = "outage"
    #: The minutes of the day, or of the month, are bought.
    BUDGET = "budget"


class Witness(NamedTuple):
    """A file that the server failed on or refused, and the watched folder that it lies in."""

    path: bytes
    root: bytes = b""


@dataclass(slots=True)
class Hold:
    """One hold; `since` and `until` are Unix seconds, `next_probe` is on the monotonic clock."""

    kind: HoldKind
    reason: str
    message: str
    hint: str
    since: float
    next_probe: float
    #: What the last probe met, where that says something else than `message`; `hint` is then about that.
    met: str = ""
    #: Probes that failed.
    step: int = 0
    #: Its number in the fleet; 0: it is not stored there.
    number: int = 0
    #: BUDGET: when it ends by itself, if no clock is set; and the day (YYYY-MM-DD) or month (YYYY-MM) that is spent.
    until: float = 0.0
    day: str = ""
    #: BUDGET: seconds of audio that exceeded the limit; and the hold that is replaced for this time and becomes active again.
    seconds: float = 0.0
    former: "Hold | None" = None
    #: The ticket of a worker that may probe and has not done so yet; `early`: only a file that has not failed may make that probe,
    #: and none of `Ticket.without`.
    ticket: Ticket | None = None
    early: bool = False
    #: Before that the fleet is not asked whether a probe may be made early (monotonic).
    early_from: float = -math.inf
    #: No job was found for the last ticket.
    no_job: bool = False
    #: A probe is in flight; and the number of `resume` calls: an older probe has a smaller number.
    probing: bool = False
    resumes: int = 0
    #: It was reported a second time.
    escalated: bool = False
    #: The server wants no request before this time (monotonic); and the same in Unix time, 0: it asked for nothing.
    not_before: float = -math.inf
    asked_until: float = 0.0
    #: Files whose failures caused the hold.
    files: set[Witness] = field(default_factory=set)

    @property
    def why(self) -> str:
        """Why it is held, and what the last probe met."""
        return why_held(self.message, self.met)

    @property
    def from_few_files(self) -> bool:
        """Whether it rests on a few files: then one that has not failed may show at once that the server works."""
        return 0 < len(self.files) < _FEW_FILES

    def barred(self, folders: int) -> frozenset[bytes] | None:
        """Return the roots whose files may not probe before a probe is due; None: no file may. `folders`: how many roots there are.

        Where it rests on many files, those of a root that has not failed may still: all the others may be somebody's who means harm.
        """
        roots = frozenset() if self.from_few_files else frozenset(failed_roots(self.files))
        return roots if self.from_few_files or 0 < len(roots) < folders else None

    def blame(self, file: Witness) -> None:
        """Note one more file that it follows from, unless it follows from none."""
        if self.files:
            _add(self.files, file)

    def is_over(self, today: str) -> bool:
        """Return whether the day or month that was spent is another one than that of `today` (YYYY-MM-DD)."""
        return not today.startswith(self.day)

    def interval(self, *, costly: bool = False) -> float:
        """Return the seconds until the next probe; `costly`: the server may have charged for the last one."""
        first, most = _INTERVALS[self.kind]
        return min(first * 2.0 ** min(self.step, 16), _COSTLY if costly else most)

    def schedule(self, now: float, clock: GateClock, *, asked: float = 0.0, costly: bool = False) -> None:
        """Set the time of the next probe; `asked`: seconds that the server wants to be left alone, `costly`: see `interval`."""
        self.next_probe = now + self.interval(costly=costly) * (1 + 0.1 * clock.jitter())
        self.put_off(max(self.not_before, now + min(asked, LONGEST_PAUSE) if asked else -math.inf), clock)

    def put_off(self, until: float, clock: GateClock) -> None:
        """Do not probe before `until` (monotonic), when the server wants to be asked again, also after a restart."""
        if until > self.not_before:
            self.not_before, self.asked_until = until, clock.unix(until)
        self.next_probe = max(self.next_probe, until)

    def begin_again(self, now: float) -> None:
        """Make a probe due at once: a person has acted, so the intervals begin anew."""
        self.next_probe = self.not_before = now
        self.asked_until, self.step = 0.0, 0

    def error(self, *, retry_after: float = 0.0) -> HeldError:
        """Return the error of a request that the hold keeps from being made."""
        message = f"the queue is held: {self.why}"
        return HeldError(message, reason=self.reason, hint=self.hint, retry_after=retry_after)

    def record(self, *, next_probe: float) -> dict[str, object]:
        """Return what the ledger's memory keeps; `next_probe`: Unix time."""
        return {
            "status": "held",
            "kind": self.kind.value,
            "reason": self.reason,
            "message": self.message,
            "met": self.met,
            "hint": self.hint,
            "since": self.since,
            "next_probe": next_probe,
            "asked_until": self.asked_until,
            "step": self.step,
            **({} if self.former is None else {"former": self.former.record(next_probe=next_probe)}),
        }


def why_held(message: str, met: str) -> str:
    """Return why the queue is held, and what the last probe met, if that is something else."""
    return joined(message, met and f"the last try met: {met}")


def hold_for(error: JobError, *, since: float) -> Hold:
    """Return the hold that an error of the account, the relay station or the server begins."""
    kind = HoldKind.ACCOUNT if isinstance(error, AccountError) else HoldKind.OUTAGE
    if isinstance(error, NoChannelError):
        kind = HoldKind.NO_CHANNEL
    return Hold(kind, error.reason, error.message, error.hint, since, next_probe=math.inf)


def hold_from(record: Mapping[str, object]) -> Hold | None:
    """Return the hold that another process, or this one before a restart, stored; None: there is none."""
    kind = record.get("kind")
    if record.get("status") != "held" or kind not in set(HoldKind) - {HoldKind.BUDGET}:
        return None
    since, asked_until = record.get("since"), record.get("asked_until")
    return Hold(
        HoldKind(str(kind)),
        str(record.get("reason") or kind),
        str(record.get("message") or ""),
        str(record.get("hint") or ""),
        float(since) if isinstance(since, int | float) else 0.0,
        next_probe=-math.inf,
        met=str(record.get("met") or ""),
        asked_until=float(asked_until) if isinstance(asked_until, int | float) else 0.0,
    )


def failed_roots(files: Iterable[Witness]) -> set[bytes]:
    """Return the roots of which several files have failed: any root may have one that is damaged."""
    return {root for root, count in Counter(file.root for file in files).items() if count >= _SEVERAL}


#: So many files of one root that failed are no accident.
_SEVERAL: Final = 2
#: Reasons of holds of the account that no single answer gives: only what many files met.
ABOUT_FILES: Final = frozenset({"refused", "garbled"})
#: So many files do not all fail by chance.
_FEW_FILES: Final = 8
#: Longest time between probes that may be charged for, and first and longest time between others; seconds.
_COSTLY: Final = 1800.0
_INTERVALS: Final = {
    HoldKind.ACCOUNT: (60.0, 1800.0),
    HoldKind.NO_CHANNEL: (60.0, 1800.0),
    HoldKind.OUTAGE: (1.0, 60.0),
    HoldKind.BUDGET: (60.0, 1800.0),
}


@dataclass(slots=True)
class FailureStreak:
    """Failures in a row, over all files: one file that always fails is not an outage, and neither is one bad burst.

    It ends with a success; then a new one is made.
    """

    #: An outage: this many failures in a row, over at least this many files.
    FAILURES: ClassVar[int] = 8
    FILES: ClassVar[int] = 3
    #: So many different files with the same refusal in a row: the server is at fault, not the files.
    ALIKE: ClassVar[int] = 5
    #: Being turned away as one too many counts as a failure only after this long without a success, in seconds.
    CROWDED_SECONDS: ClassVar[float] = 60.0

    _failures: int = 0
    _unreachable: int = 0
    _files: set[Witness] = field(default_factory=set)
    _crowded: int = 0
    _crowded_files: set[Witness] = field(default_factory=set)
    _crowded_since: float = math.inf
    _refused: dict[str, set[Witness]] = field(default_factory=dict)
    _garbled: set[Witness] = field(default_factory=set)

    @property
    def files(self) -> set[Witness]:
        """The files that failed in this row."""
        return self._files.union(self._crowded_files, self._garbled, *self._refused.values())

    def is_of_one(self, present: AbstractSet[bytes]) -> bool:
        """Return whether files of one root alone failed in this row, while others have requests (`present`: roots that have any)."""
        roots = failed_roots(self.files)
        return len(roots) == 1 and not present <= roots

    def failed(self, file: Witness, reason: str) -> bool:
        """Count a failure; True: this is an outage."""
        self._failures += 1
        _add(self._files, file)
        self._unreachable = self._unreachable + 1 if reason == "unreachable" else 0
        # Where no connection came about, no file can be at fault.
        return self._unreachable >= self.FAILURES or (
            self._failures >= self.FAILURES and len(self._files) >= self.FILES
        )

    def crowded(self, file: Witness, now: float) -> bool:
        """Count being turned away; True: it has gone on for so long, for so many, that it is an outage."""
        self._crowded_since = min(self._crowded_since, now)
        self._crowded += 1
        _add(self._crowded_files, file)
        return (
            self._crowded >= self.FAILURES
            and len(self._crowded_files) >= self.FILES
            and now - self._crowded_since >= self.CROWDED_SECONDS
        )

    def garbled(self, file: Witness) -> bool:
        """Count an answer that cannot be read; True: it is like that for every file."""
        _add(self._garbled, file)
        return len(self._garbled) >= self.FILES

    def refused(self, file: Witness, reason: str) -> bool:
        """Count a refusal of a file by a server that works; True: every file is refused like this.

        Only refusals that name nothing of the file count, and any other answer in between ends their row.
        """
        alike = self._refused.get(reason, set())
        if reason in _NAMELESS:
            _add(alike, file)
        self._failures = self._unreachable = self._crowded = 0
        self._files, self._crowded_files, self._crowded_since = set(), set(), math.inf
        self._refused = {reason: alike}
        return len(alike) >= self.ALIKE


def _add(files: set[Witness], file: Witness) -> None:
    """Note a file, up to as many as matter, in all and of its root: an outage of weeks meets any number of them."""
    if len(files) < _FEW_FILES or sum(known.root == file.root for known in files) < _SEVERAL:
        files.add(file)


#: What the client calls refusals that speak of the request as a whole.
_NAMELESS: Final = {"refused", "form"}
