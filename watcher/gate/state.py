"""The options of the gate, and its state as other modules see it."""

import math
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from watcher.errors import ConfigError
from watcher.gate.clock import PATIENCE_SECONDS
from watcher.text import counted, joined, wall_clock

#: The reason of a hold because api.daily_minutes or api.monthly_minutes is reached.
OWN_LIMIT: Final = "budget"


class GateStatus(StrEnum):
    """Whether requests may start."""

    OPEN = "open"
    #: No request starts before a known time: the server asked for it, or had too many requests.
    PAUSED = "paused"
    #: The queue is held: every file would fail.
    HELD = "held"
    #: Held, and a probe is in flight.
    PROBING = "probing"


class ResumeOutcome(StrEnum):
    """The outcome of a person's `resume`."""

    #: There was no request since, or its outcome is not known yet.
    UNKNOWN = "unknown"
    #: Requests may start again.
    OPEN = "open"
    #: It is held, or held again.
    HELD = "held"
    #: The server wants no request for a stated time; the hold is over.
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Limits of the requests to an endpoint."""

    #: Requests in flight, at most; fewer if the server takes fewer.
    concurrency: int = 4
    #: Starts within any 60 s; 0: no limit.
    requests_per_minute: int = 0
    #: Minutes of audio bought per day (local time); 0: no limit.
    daily_minutes: float = 0
    #: Minutes of audio bought per month (local time); 0: no limit.
    monthly_minutes: float = 0
    #: Requests in flight of all hosts of a fleet, at most; 0: no limit.
    fleet_concurrency: int = 0
    #: Places reserved for small files, if there are two or more places.
    reserve: int = 1
    #: Number of watched folders that send files.
    folders: int = 1
    #: A request waits for a pause that is no longer than this, in seconds; for a longer one its job goes back to the queue.
    patience: float = PATIENCE_SECONDS
    #: Seconds between two probes of a hold, at most, unless one may be charged for; infinity: they depend on the kind of hold.
    longest_interval: float = math.inf
    #: Seconds without any connection that are an outage, however few requests there were; infinity: only their number counts.
    outage_seconds: float = math.inf
    #: Seconds of nothing but refusals because of too many requests that are an outage, for however few files; infinity: only for many.
    crowded_seconds: float = math.inf
    #: The endpoint's section of the settings; "api": there is one endpoint.
    section: str = "api"

    @property
    def subject(self) -> str:
        """What a hold holds, for people: the queue, or one endpoint of several."""
        return "the queue" if self.section == "api" else self.section.removeprefix("endpoints.")

    def __post_init__(self) -> None:
        """Raise ConfigError for impossible values."""
        if self.concurrency < 1:
            raise ConfigError("api.concurrency must be at least 1", hint="set api.concurrency = 4")
        limits = (self.requests_per_minute, self.daily_minutes, self.monthly_minutes, self.fleet_concurrency)
        if min(*limits, self.reserve) < 0:
            raise ConfigError(
                "api.requests_per_minute, api.daily_minutes, api.monthly_minutes and api.fleet_concurrency must not be negative",
                hint="0 means no limit",
            )


@dataclass(frozen=True, slots=True)
class GateState:
    """The state of the gate, for `status` and systemd; times are Unix seconds."""

    status: GateStatus
    #: When this state began.
    since: float
    reason: str = ""
    message: str = ""
    hint: str = ""
    #: When the next probe is due, or the pause ends; None when open.
    next_probe: float | None = None
    in_flight: int = 0
    #: Requests that may be in flight now.
    limit: int = 0
    #: Held, and a probe may be made right now.
    due: bool = False

    @property
    def fact(self) -> str:
        """Return in one line what is held or paused, since when and why, without what to do and what comes next."""
        word = "paused" if self.status is GateStatus.PAUSED else "held"
        return f"{word} since {wall_clock(self.since)}: {self.message}"

    @property
    def sentence(self) -> str:
        """Return in one line what is held, since when and why, what to do, and what comes next."""
        if self.status is GateStatus.OPEN:
            return f"open, {self.in_flight} of {counted(self.limit, 'request')} in flight"
        until = wall_clock(self.next_probe) if self.next_probe is not None else ""
        if self.status is GateStatus.PAUSED:
            return f"paused since {wall_clock(self.since)} until {until}: {self.message}"
        return joined(self.fact, self.hint, self._next(until))

    def _next(self, until: str) -> str:
        if self.status is GateStatus.PROBING:
            return "trying now"
        if not until or self.reason == OWN_LIMIT:
            return until and f"goes on at {until}"
        # The time has come: it waits for a file for the probe.
        due = self.next_probe is not None and self.next_probe <= time.time()
        return "next try with the next file" if due else f"next try at {until}"


def facts(state: GateState) -> dict[str, Any]:
    """Return the state for `status`, as values for JSON."""
    return {
        "status": str(state.status),
        "since": state.since,
        "reason": state.reason,
        "message": state.message,
        "hint": state.hint,
        "next_probe": state.next_probe,
        "in_flight": state.in_flight,
        "limit": state.limit,
        "sentence": state.sentence,
    }
