"""The holds and pauses that the gate stores in the ledger's memory: for a restart, for other daemons, and for the command line."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from watcher.errors import StateError
from watcher.fleet import Fleet
from watcher.gate.clock import SYNC_SECONDS
from watcher.gate.hold import LONGEST_PAUSE, Hold, HoldKind, hold_from, why_held
from watcher.gate.state import GateState, GateStatus
from watcher.memory import KeyedMemory

#: Pauses shorter than this are not stored, in seconds.
_MEMORABLE_SECONDS: Final = 5.0
#: Memory key of the number of `request_resume` calls.
_REQUESTS: Final = "resume-requests"


@dataclass(slots=True)
class Pause:
    """A pause: no request starts before `until` (monotonic); `since` is Unix time."""

    until: float
    since: float
    reason: str
    message: str
    hint: str
    #: The end that is stored in the ledger (Unix time); 0: it is not stored.
    noted: float = 0.0

    def record(self) -> dict[str, object]:
        """Return the values that the ledger stores, without its end."""
        return {
            "status": "paused",
            "reason": self.reason,
            "message": self.message,
            "hint": self.hint,
            "since": self.since,
        }


class HoldRecord(Protocol):
    """Stores the gate's hold or pause, for other processes. The gate's lock guards it, unless a method says otherwise."""

    #: Whether a probe needs permission (`may_probe`), because several hosts share the hold.
    needs_permission: bool
    #: Pauses shorter than this are not stored, in seconds.
    shortest_pause: float

    def note_hold(self, hold: Hold, *, next_probe: float) -> None:
        """Store a hold; `next_probe`: Unix time."""

    def note_pause(self, pause: Pause, *, until: float) -> None:
        """Store a pause for as long as it lasts; `until`: Unix time."""

    def forget(self, hold: Hold) -> None:
        """Remove the stored entry: the hold is over."""

    def resume(self, hold: Hold | None, *, next_probe: float) -> None:
        """Store that a person wants the server to be tried now; `hold`: the hold to probe, if there is one."""

    def may_probe(self, hold: Hold, *, before_due: bool = False) -> bool:
        """Return whether this process may probe now; `before_due`: though no probe is due. Called without the lock."""

    def give_back(self, hold: Hold) -> None:
        """Return a permission to probe that was not used."""

    def look_again(self) -> None:
        """Read soon what other hosts have stored."""

    def needs_check(self, now: float, *, noted: bool) -> bool:
        """Return whether it is time to call `is_gone`; `noted`: an entry should be stored. `now`: monotonic."""

    def is_gone(self) -> bool:
        """Return whether the stored entry is gone. Called without the lock. Raises StateError."""

    def read(self, *, now: float, wall: float) -> Hold | Pause | None:
        """Return the hold or pause that was stored before a restart."""


class LocalHoldRecord:
    """The entry of one endpoint. If the ledger takes no changes now, they are repeated later, so that no paid answer is lost."""

    needs_permission = False
    shortest_pause = _MEMORABLE_SECONDS

    def __init__(
        self, memory: KeyedMemory, endpoint_name: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory = memory
        self._key = _key(endpoint_name)
        self._monotonic = monotonic
        self._entry: tuple[Mapping[str, object], float | None] | None = None
        #: A write was refused; see `flush`.
        self.dirty = False
        self._next_check = monotonic() + SYNC_SECONDS

    def note_hold(self, hold: Hold, *, next_probe: float) -> None:
        """Store a hold; `next_probe`: Unix time."""
        self._put(hold.record(next_probe=next_probe), hold.ends_at or None)

    def note_pause(self, pause: Pause, *, until: float) -> None:
        """Store a pause for as long as it lasts; `until`: Unix time."""
        self._put({**pause.record(), "next_probe": until}, until)
        pause.noted = until

    def forget(self, hold: Hold) -> None:  # noqa: ARG002 - there is one entry; a fleet has to know which hold
        """Remove the stored entry: the hold is over."""
        self._entry, self.dirty = None, True
        self.flush()

    def resume(self, hold: Hold | None, *, next_probe: float) -> None:
        """Store that a person wants the server to be tried now; `hold`: the hold to probe, if there is one."""
        if hold is not None:
            self.note_hold(hold, next_probe=next_probe)

    def may_probe(self, hold: Hold, *, before_due: bool = False) -> bool:  # noqa: ARG002 - no other host is to be asked
        """Return whether this process may probe now. Called without the lock."""
        return True

    def give_back(self, hold: Hold) -> None:
        """See HoldRecord.give_back: nothing was asked for."""

    def look_again(self) -> None:
        """See HoldRecord.look_again: there are no other hosts."""

    def needs_check(self, now: float, *, noted: bool) -> bool:
        """See HoldRecord.needs_check. Repeats a write that was refused; every few seconds at most."""
        if now < self._next_check or not (noted or self.dirty):
            return False
        self._next_check = now + SYNC_SECONDS
        self.flush()
        return not self.dirty

    def flush(self) -> None:
        """Repeat a write that the ledger refused."""
        if not self.dirty:
            return
        with contextlib.suppress(StateError):
            if self._entry is None:
                self._memory.forget(self._key)
            else:
                self._memory.remember(self._key, self._entry[0], expires=self._entry[1])
            self.dirty = False

    def read(self, *, now: float, wall: float) -> Hold | Pause | None:
        """See HoldRecord.read. Its times are on the monotonic clock, which shows `now` while Unix time is `wall`.

        If the wall clock was set back since then, a pause is still no longer than the longest one.
        """
        record: Mapping[str, object] = self._memory.remembered(self._key) or {}
        if record.get("kind") == HoldKind.BUDGET:
            record = self._without_budget(record, wall)
        due = now + _number(record.get("next_probe"), wall) - wall
        if (hold := hold_from(record)) is not None:
            hold.next_probe = due
            return hold
        if record.get("status") != "paused" or due <= now:
            return None
        return pause_from(record, until=min(due, now + LONGEST_PAUSE), since=wall, noted=wall + due - now)

    def is_gone(self) -> bool:
        """Return whether the entry was removed, by another process or because its time is over. Raises StateError."""
        return self._memory.remembered(self._key) is None

    def state(self) -> GateState | None:
        """Return the stored entry as `status` shows it."""
        record = self._memory.remembered(self._key)
        return None if record is None else _state(record)

    def _without_budget(self, record: Mapping[str, object], wall: float) -> Mapping[str, object]:
        """End a BUDGET hold, and return the hold that could not be probed because of it.

        The limit may have changed since, or be gone: the next request finds out.
        """
        former = record.get("former")
        if not isinstance(former, Mapping):
            self._entry, self.dirty = None, True
            self.flush()
            return {}
        former = {**former, "next_probe": wall}
        self._put(former, None)
        return former

    def _put(self, record: Mapping[str, object], expires: float | None) -> None:
        self._entry, self.dirty = (record, expires), True
        self.flush()
        self._next_check = self._monotonic() + SYNC_SECONDS


def pause_from(record: Mapping[str, object], *, until: float, since: float, noted: float) -> Pause:
    """Return the pause of a stored record; `noted`: until when it is stored, `since`: for a record that has none."""
    reason, message, hint = (str(record.get(name) or "") for name in ("reason", "message", "hint"))
    return Pause(until, _number(record.get("since"), since), reason, message, hint, noted)


def stored_state(memory: KeyedMemory, endpoint_name: str, fleet: Fleet | None = None) -> GateState | None:
    """Return the hold or pause that a running daemon has stored in the ledger, or the fleet has stored; None: there is none."""
    if fleet is None:
        return LocalHoldRecord(memory, endpoint_name).state()
    door = fleet.door()
    record = door.hold or door.pause
    left = door.due if door.hold is not None else door.pause_left
    return None if record is None else _state({**record, "next_probe": time.time() + left})


def ask_resume(memory: KeyedMemory, endpoint_name: str, fleet: Fleet | None = None) -> None:
    """Request that the daemons on this ledger end a pause or probe at once; they notice within a few seconds."""
    allow_again(memory, endpoint_name)
    if fleet is None:
        memory.forget(_key(endpoint_name))
    else:
        fleet.resume()


def request_resume(memory: KeyedMemory, endpoints: Collection[str] = ()) -> int:
    """Request that the daemons on this ledger read their settings again and try again; return the request's number.

    `endpoints`: the titles of those to try; none: all.
    """
    number = resume_requests(memory) + 1
    memory.remember(_REQUESTS, {"times": number, "endpoints": [*endpoints]})
    return number


def requested_endpoints(memory: KeyedMemory) -> tuple[str, ...]:
    """Return the titles of the endpoints of the last `request_resume`; none: all. Raises StateError."""
    titles = (memory.remembered(_REQUESTS) or {}).get("endpoints")
    return tuple(map(str, titles)) if isinstance(titles, list) else ()


def resume_requests(memory: KeyedMemory) -> int:
    """Return the number of the last `request_resume`. Raises StateError."""
    return int(_number((memory.remembered(_REQUESTS) or {}).get("times"), 0.0))


def allow_again(memory: KeyedMemory, endpoint_name: str) -> None:
    """Allow one more request for each sound with garbled answers. Raises StateError."""
    memory.remember(_resumes_key(endpoint_name), {"times": resumes(memory, endpoint_name) + 1})


def resumes(memory: KeyedMemory, endpoint_name: str) -> int:
    """Return how often `allow_again` was called. Raises StateError."""
    return int(_number((memory.remembered(_resumes_key(endpoint_name)) or {}).get("times"), 0.0))


def _state(record: Mapping[str, object]) -> GateState:
    return GateState(
        GateStatus.HELD if record.get("status") == "held" else GateStatus.PAUSED,
        _number(record.get("since"), 0.0),
        reason=str(record.get("reason") or ""),
        message=why_held(str(record.get("message") or ""), str(record.get("met") or "")),
        hint=str(record.get("hint") or ""),
        next_probe=_number(record.get("next_probe"), 0.0),
    )


def _key(endpoint_name: str) -> str:
    return f"gate:{endpoint_name}"


def _resumes_key(endpoint_name: str) -> str:
    return f"resumes:{endpoint_name}"


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
