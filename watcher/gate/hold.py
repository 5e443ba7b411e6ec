"""Holds of the queue: their reasons, and when a probe is due."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from watcher.errors import AccountError, HeldError, JobError, NoChannelError
from watcher.fleet import FailedFile
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


@dataclass(slots=True)
class Hold:
    """One hold; `since` and `ends_at` are Unix seconds, `next_probe` is on the monotonic clock."""

    kind: HoldKind
    reason: str
    message: str
    hint: str
    since: float
    next_probe: float
    #: The error of the last probe, if it differs from `message`; `hint` is then about this error.
    met: str = ""
    #: Probes that failed.
    step: int = 0
    #: Its number in the fleet; 0: it is not stored there.
    number: int = 0
    #: BUDGET: when it ends by itself, unless the clock is set; and the day (YYYY-MM-DD) or month (YYYY-MM) whose limit is reached.
    ends_at: float = 0.0
    day: str = ""
    #: BUDGET: seconds of audio that exceeded the limit; and the hold that it replaces, which becomes active again afterwards.
    seconds: float = 0.0
    former: "Hold | None" = None
    #: The ticket of a worker that may probe and has not done so yet; `before_due`: no probe is due yet, so only a file that has not
    #: failed may make it, and none of the folders in `Ticket.without`.
    ticket: Ticket | None = None
    before_due: bool = False
    #: The fleet is not asked for a probe before the next one is due, until this time (monotonic).
    ask_fleet_from: float = -math.inf
    #: No job was found for the last ticket.
    no_job: bool = False
    #: A probe is in flight; and the number of `resume` calls, which is smaller for an older probe.
    probing: bool = False
    resumes: int = 0
    #: It was reported a second time.
    escalated: bool = False
    #: The server wants no request before this time (monotonic); and the same as Unix time, 0: it named no time.
    not_before: float = -math.inf
    asked_until: float = 0.0
    #: Files whose failures caused the hold.
    files: set[FailedFile] = field(default_factory=set)

    @property
    def why(self) -> str:
        """Why it is held, and the error of the last probe."""
        return why_held(self.message, self.met)

    @property
    def from_few_files(self) -> bool:
        """Whether only a few files caused it: then another file, which has not failed, may show at once that the server works."""
        return 0 < len(self.files) < _FEW_FILES

    def barred(self, folders: int) -> frozenset[bytes] | None:
        """Return the roots whose files may not probe before a probe is due; None: no file may. `folders`: how many roots there are.

        If many files caused the hold, files of a root that has not failed may still probe: somebody may have put bad files into the
        others on purpose.
        """
        if self.from_few_files:
            return frozenset()
        roots = failed_roots(self.files)
        here = failed_roots(file for file in self.files if not file.elsewhere)
        return frozenset(roots) if roots and len(here) < folders else None

    def blame(self, file: FailedFile) -> None:
        """Note one more file that caused it; nothing, if no file caused it."""
        if self.files:
            _add(self.files, file)

    def follow(self, found: "Hold") -> None:
        """Take over what another host has stored of this hold since."""
        self.next_probe, self.step = found.next_probe, found.step
        self.not_before, self.asked_until = found.not_before, found.asked_until
        self.message, self.met, self.hint = found.message, found.met, found.hint
        if not found.files:
            self.files.clear()
        for file in found.files:
            _add(self.files, file)

    def is_over(self, today: str) -> bool:
        """Return whether the day or month whose minutes are used up is over; `today`: YYYY-MM-DD."""
        return not today.startswith(self.day)

    def interval(self, *, paid: int = 0) -> float:
        """Return the seconds until the next probe.

        `paid`: how many requests that began or probed a hold the server may have charged for, since one passed; 0: not for the last one.
        """
        first, most = _INTERVALS[self.kind]
        step, most = (max(self.step, paid - 1), _LONGEST_IF_PAID) if paid else (self.step, most)
        return min(first * 2.0 ** min(step, 16), most)

    def schedule(
        self, now: float, clock: GateClock, *, asked: float = 0.0, paid: int = 0, most: float = math.inf
    ) -> None:
        """Set the time of the next probe; `asked`: seconds without requests that the server asked for; `paid`: see `interval`.

        `most`: longest interval, unless the last probe may be charged for.
        """
        interval = self.interval(paid=paid) * (1 + 0.1 * clock.jitter())
        self.next_probe = now + (interval if paid else min(interval, most))
        self.put_off(max(self.not_before, now + min(asked, LONGEST_PAUSE) if asked else -math.inf), clock)

    def put_off(self, until: float, clock: GateClock) -> None:
        """Do not probe before `until` (monotonic), when the server wants the next request; this also holds after a restart."""
        if until > self.not_before:
            self.not_before, self.asked_until = until, clock.unix(until)
        self.next_probe = max(self.next_probe, until)

    def begin_again(self, now: float) -> None:
        """Make a probe due at once: a person has acted, so the intervals begin with the shortest."""
        self.next_probe = self.not_before = now
        self.asked_until, self.step = 0.0, 0

    def error(self, subject: str, *, retry_after: float = 0.0) -> HeldError:
        """Return the error for a request that is not made because of the hold; `subject`: see GateOptions.subject."""
        message = f"{subject} is held: {self.why}"
        return HeldError(message, reason=self.reason, hint=self.hint, retry_after=retry_after)

    def record(self, *, next_probe: float) -> dict[str, object]:
        """Return the value for the ledger's memory; `next_probe`: Unix time."""
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
    """Return why the queue is held, and the error of the last probe if it differs."""
    return joined(message, met and f"the last try met: {met}")


def hold_for(error: JobError, *, since: float) -> Hold:
    """Return the hold that an error of the account, the relay station or the server begins."""
    kind = HoldKind.ACCOUNT if isinstance(error, AccountError) else HoldKind.OUTAGE
    if isinstance(error, NoChannelError):
        kind = HoldKind.NO_CHANNEL
    return Hold(kind, error.reason, error.message, error.hint, since, next_probe=math.inf)


def hold_from(record: Mapping[str, object]) -> Hold | None:
    """Return the hold of a stored record, from another process or from before a restart; None: it has none."""
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


def failed_roots(files: Iterable[FailedFile]) -> set[bytes]:
    """Return the roots of which several files have failed: a single damaged file may be in any root."""
    return {root for root, count in Counter(file.root for file in files).items() if count >= _SEVERAL}


#: If so many files of one root failed, it is not by chance.
_SEVERAL: Final = 2
#: Reasons of account holds that follow from the failures of many files, never from a single answer.
MANY_FILES_REASONS: Final = frozenset({"refused", "garbled"})
#: If this many files failed, it is not by chance.
_FEW_FILES: Final = 8
#: Longest time between probes that may be charged for, and first and longest time between others; seconds.
_LONGEST_IF_PAID: Final = 1800.0
_INTERVALS: Final = {
    HoldKind.ACCOUNT: (60.0, 1800.0),
    HoldKind.NO_CHANNEL: (60.0, 1800.0),
    HoldKind.OUTAGE: (1.0, 60.0),
    HoldKind.BUDGET: (60.0, 1800.0),
}


@dataclass(slots=True)
class FailureStreak:
    """A row of failures, over all files: one file that always fails is not an outage, and neither is one bad burst.

    The row ends with a success; then a new object is made.
    """

    #: An outage: this many failures in a row, over at least this many files.
    FAILURES: ClassVar[int] = 8
    FILES: ClassVar[int] = 3
    #: If this many different files in a row are refused in the same way, the server is at fault, not the files.
    ALIKE: ClassVar[int] = 5
    #: A refusal because of too many requests counts as a failure only after this long without a success, in seconds.
    CROWDED_SECONDS: ClassVar[float] = 60.0

    _failures: int = 0
    _unreachable: int = 0
    _unreachable_since: float = math.inf
    _files: set[FailedFile] = field(default_factory=set)
    _crowded: int = 0
    _crowded_files: set[FailedFile] = field(default_factory=set)
    _crowded_since: float = math.inf
    _refused: dict[str, set[FailedFile]] = field(default_factory=dict)
    _garbled: set[FailedFile] = field(default_factory=set)

    @property
    def files(self) -> set[FailedFile]:
        """The files that failed in this row."""
        return self._files.union(self._crowded_files, self._garbled, *self._refused.values())

    def is_of_one(self, present: AbstractSet[bytes]) -> bool:
        """Return whether files of only one root failed in this row, while other roots have requests (`present`: roots with requests)."""
        roots = failed_roots(self.files)
        return len(roots) == 1 and not present <= roots

    def failed(self, file: FailedFile, reason: str, *, now: float = 0.0, longest: float = math.inf) -> bool:
        """Count a failure at `now` (monotonic); True: this is an outage. `longest`: seconds without a connection that are one."""
        self._failures += 1
        _add(self._files, file)
        is_unreachable = reason == "unreachable"
        self._unreachable = self._unreachable + 1 if is_unreachable else 0
        self._unreachable_since = min(self._unreachable_since, now) if is_unreachable else math.inf
        # If there was no connection, no file can be at fault.
        return (
            self._unreachable >= self.FAILURES
            or now - self._unreachable_since >= longest
            or (self._failures >= self.FAILURES and len(self._files) >= self.FILES)
        )

    def crowded(self, file: FailedFile, now: float, *, longest: float = math.inf) -> bool:
        """Count a refusal because of too many requests; True: it lasts so long, for so many files, that it is an outage.

        `longest`: seconds after which the number of files does not matter.
        """
        self._crowded_since = min(self._crowded_since, now)
        self._crowded += 1
        _add(self._crowded_files, file)
        lasted = now - self._crowded_since
        are_many = self._crowded >= self.FAILURES and len(self._crowded_files) >= self.FILES
        return lasted >= longest or (are_many and lasted >= self.CROWDED_SECONDS)

    def garbled(self, file: FailedFile) -> bool:
        """Count a garbled answer; True: the answers of all files are garbled."""
        _add(self._garbled, file)
        return len(self._garbled) >= self.FILES

    def refused(self, file: FailedFile, reason: str) -> bool:
        """Count a refusal of a file by a server that works; True: all files are refused like this.

        Only refusals that name nothing about the file count, and any other answer in between ends the row.
        """
        alike = self._refused.get(reason, set())
        if reason in _NAMELESS:
            _add(alike, file)
        self._failures = self._unreachable = self._crowded = 0
        self._unreachable_since = math.inf
        self._files, self._crowded_files, self._crowded_since = set(), set(), math.inf
        self._refused = {reason: alike}
        return len(alike) >= self.ALIKE


def _add(files: set[FailedFile], file: FailedFile) -> None:
    """Note a file, unless enough are known, in all and of its root: an outage of weeks may concern any number of files."""
    if len(files) < _FEW_FILES or sum(known.root == file.root for known in files) < _SEVERAL:
        files.add(file)


#: The client's reasons for refusals that are about the request as a whole.
_NAMELESS: Final = {"refused", "form"}
