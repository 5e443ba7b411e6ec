"""What the gate leaves in the ledger's memory: for its next life, for other daemons, and for the command line."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from watcher.errors import StateError
from watcher.fleet import Fleet
from watcher.gate.hold import Hold, hold_from
from watcher.gate.state import GateState, Status

#: The longest pause a server is believed, in seconds.
LONGEST_PAUSE: Final = 3600.0


#: Under this key the ledger counts what `request_resume` asks for.
_REQUESTS: Final = "resume-requests"


class Memory(Protocol):
    """The part of the ledger that keeps small values under a key; see `ledger.protocol`."""

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Store a value until `expires` (Unix time)."""

    def remembered(self, key: str) -> dict[str, object] | None:
        """Give a value that has not expired."""

    def forget_memory(self, key: str) -> None:
        """Drop a value."""


@dataclass(slots=True)
class Pause:
    """Nobody starts until then (monotonic); `since` is Unix time."""

    until: float
    since: float
    reason: str
    message: str
    hint: str
    #: Until when it stands in the ledger, too (Unix time); 0: it does not.
    noted: float = 0.0

    def record(self) -> dict[str, object]:
        """Give what the ledger keeps of it, beside its end."""
        return {
            "status": "paused",
            "reason": self.reason,
            "message": self.message,
            "hint": self.hint,
            "since": self.since,
        }


class Record:
    """One endpoint's entry. A ledger that takes no change now is tried again later: no paid answer is lost for a note."""

    def __init__(self, memory: Memory, endpoint_name: str) -> None:
        self._memory = memory
        self._key = _key(endpoint_name)
        self._entry: tuple[Mapping[str, object], float | None] | None = None
        #: The ledger does not have it yet as it should be; see `flush`.
        self.dirty = False

    def note_hold(self, hold: Hold, *, next_probe: float) -> None:
        """Keep a hold; `next_probe`: Unix time."""
        self._put(hold.record(next_probe=next_probe), hold.until or None)

    def note_pause(self, pause: Pause, *, until: float) -> None:
        """Keep a pause as long as it lasts; `until`: Unix time."""
        self._put({**pause.record(), "next_probe": until}, until)
        pause.noted = until

    def forget(self, hold: Hold) -> None:  # noqa: ARG002 - a fleet has to know which; see Link
        """Drop the entry: the hold is over."""
        self._entry, self.dirty = None, True
        self.flush()

    def flush(self) -> None:
        """Try again what the ledger did not take."""
        if not self.dirty:
            return
        with contextlib.suppress(StateError):
            if self._entry is None:
                self._memory.forget_memory(self._key)
            else:
                self._memory.remember(self._key, self._entry[0], expires=self._entry[1])
            self.dirty = False

    def read(self, *, now: float, wall: float) -> Hold | Pause | None:
        """Return what is kept, its times brought to the monotonic clock, which stands at `now` while Unix time is `wall`.

        A wall clock that was set back since then makes no pause longer than the longest one.
        """
        record = self._memory.remembered(self._key) or {}
        due = now + _number(record.get("next_probe"), wall) - wall
        if (hold := hold_from(record)) is not None:
            hold.next_probe = due
            return hold
        if record.get("status") != "paused" or due <= now:
            return None
        return pause_from(record, until=min(due, now + LONGEST_PAUSE), since=wall, noted=wall + due - now)

    def is_gone(self) -> bool:
        """Return whether the entry was dropped, by somebody else or because its time is over. Raises StateError."""
        return self._memory.remembered(self._key) is None

    def state(self) -> GateState | None:
        """Give what is kept as `status` shows it."""
        record = self._memory.remembered(self._key)
        return None if record is None else _state(record)

    def _put(self, record: Mapping[str, object], expires: float | None) -> None:
        self._entry, self.dirty = (record, expires), True
        self.flush()


def pause_from(record: Mapping[str, object], *, until: float, since: float, noted: float) -> Pause:
    """Return the pause that somebody has `noted`; `since` is for one that does not say."""
    reason, message, hint = (str(record.get(name) or "") for name in ("reason", "message", "hint"))
    return Pause(until, _number(record.get("since"), since), reason, message, hint, noted)


def stored_state(memory: Memory, endpoint_name: str, fleet: Fleet | None = None) -> GateState | None:
    """Give the hold or pause a running daemon has noted in the ledger, for all its hosts if it has some; None: none did."""
    if fleet is None:
        return Record(memory, endpoint_name).state()
    door = fleet.door()
    record = door.hold or door.pause
    left = door.due if door.hold is not None else door.pause_left
    return None if record is None else _state({**record, "next_probe": time.time() + left})


def ask_resume(memory: Memory, endpoint_name: str, fleet: Fleet | None = None) -> None:
    """Make the daemons on this ledger end a pause, or probe at once; they notice within a few seconds."""
    allow_again(memory, endpoint_name)
    if fleet is None:
        memory.forget_memory(_key(endpoint_name))
    else:
        fleet.resume()


def request_resume(memory: Memory) -> int:
    """Ask the daemons on this ledger to read their settings anew and to try again; return the request's number."""
    number = resume_requests(memory) + 1
    memory.remember(_REQUESTS, {"times": number})
    return number


def resume_requests(memory: Memory) -> int:
    """Return the number of the last `request_resume`. Raises StateError."""
    return int(_number((memory.remembered(_REQUESTS) or {}).get("times"), 0.0))


def allow_again(memory: Memory, endpoint_name: str) -> None:
    """Let what was asked for in vain until now be asked for once more. Raises StateError."""
    memory.remember(_resumes_key(endpoint_name), {"times": resumes(memory, endpoint_name) + 1})


def resumes(memory: Memory, endpoint_name: str) -> int:
    """Return how often a person had the server asked again. Raises StateError."""
    return int(_number((memory.remembered(_resumes_key(endpoint_name)) or {}).get("times"), 0.0))


def _state(record: Mapping[str, object]) -> GateState:
    return GateState(
        Status.HELD if record.get("status") == "held" else Status.PAUSED,
        _number(record.get("since"), 0.0),
        reason=str(record.get("reason") or ""),
        message=str(record.get("message") or ""),
        hint=str(record.get("hint") or ""),
        next_probe=_number(record.get("next_probe"), 0.0),
    )


def _key(endpoint_name: str) -> str:
    return f"gate:{endpoint_name}"


def _resumes_key(endpoint_name: str) -> str:
    return f"resumes:{endpoint_name}"


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
