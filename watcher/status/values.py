"""What `watcher status` reports: a moment of the queue."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watcher.config.settings import ServerSettings, Settings
from watcher.fleet import Host
from watcher.job import State, is_offline
from watcher.ledger.values import SourceRecord, Tally
from watcher.text import counted, printable


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """Prices and budgets of the settings; 0: no price, no limit, as always with the offline engine."""

    price_per_minute: float = 0.0
    daily_minutes: float = 0.0
    monthly_minutes: float = 0.0
    is_free: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "PriceTerms":
        """Return the terms of the preferred endpoint."""
        return cls._of_server(next(iter(settings.servers.values())))

    @classmethod
    def by_endpoint(cls, settings: Settings) -> "dict[str, PriceTerms]":
        """Return the terms of each endpoint by its name."""
        return {name: cls._of_server(server) for name, server in settings.servers.items()}

    @classmethod
    def _of_server(cls, server: ServerSettings) -> "PriceTerms":
        if is_offline(server.model):
            return cls(is_free=True)
        return cls(server.price_per_minute, server.daily_minutes, server.monthly_minutes)

    @property
    def limits(self) -> str:
        """The limits in words."""
        periods = ((self.daily_minutes, "a day"), (self.monthly_minutes, "a month"))
        known = [f"{counted(minutes, 'minute')} {period}" for minutes, period in periods if minutes]
        return ", ".join(known) or "no limit"

    @property
    def word(self) -> str:
        """What happened to audio that went to the server: it was "paid" only where money is spoken of at all."""
        return "paid" if self.price_per_minute or self.daily_minutes or self.monthly_minutes else "sent"

    def cost(self, seconds: float) -> float | None:
        """Return what these seconds of audio cost; None where no price is known."""
        return seconds / 60 * self.price_per_minute if self.price_per_minute else None


@dataclass(frozen=True, slots=True)
class SpentSeconds:
    """Seconds of audio that went to the server that was asked last, or to all endpoints, today and in this month (local time)."""

    today: float = 0.0
    month: float = 0.0
    #: Today to other servers.
    elsewhere: float = 0.0


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint of the settings that the daemon uses, or that the last process used."""

    name: str
    server: str
    model: str
    #: The state of its gate, as in `StatusReport.gate`.
    gate: Mapping[str, Any]
    #: Seconds of audio that went to it today, and in this month.
    today: float
    month: float
    terms: PriceTerms
    #: The name under which its purchases are stored.
    stored_as: str = ""

    @property
    def cost_today(self) -> float | None:
        """What was bought today costs this much; None where no price is known."""
        return self.terms.cost(self.today)

    @property
    def cost_month(self) -> float | None:
        """Likewise in this month."""
        return self.terms.cost(self.month)


@dataclass(frozen=True, slots=True)
class WaitingRecording:
    """A recording that waits: for what, and until when."""

    path: str
    #: `incoming`: it may not be whole yet; `ready` or `delayed`: it is queued.
    state: str
    #: Stable, for scripts.
    reason: str
    message: str
    hint: str = ""
    attempts: int = 0
    #: Unix time at which it came to this, and at which it goes on by itself; None: not known, or when something happens.
    at: float | None = None
    until: float | None = None
    #: Of one that is transcribed while it is being recorded: the seconds that are recorded, and transcribed.
    recorded_seconds: float | None = None
    transcribed_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """What was done in an hour or a day, by all hosts."""

    #: Unix time at which it began.
    start: float
    #: Recordings that were transcribed, and those that failed for good.
    done: int = 0
    failed: int = 0
    audio_seconds: float = 0.0
    #: Seconds from being queued until the work that succeeded began, on average; None: nothing was done.
    mean_wait: float | None = None
    #: What was bought costs this much; None where no price is known.
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A moment of the queue."""

    #: Process id of the daemon that works on this state; 0: none.
    pid: int
    state_directory: Path
    size: int
    #: Jobs of a dead process count as queued.
    counts: Mapping[State, int]
    tally: Tally
    running: tuple[SourceRecord, ...]
    waiting: tuple[WaitingRecording, ...]
    done: tuple[SourceRecord, ...]
    failed: tuple[SourceRecord, ...]
    #: The daemon's report; empty when none runs.
    service: Mapping[str, Any]
    #: The state of the gate, as a running daemon reports it, or as the last process left it; empty: it is open.
    gate: Mapping[str, Any]
    #: What a person has to fix before work goes on: path, message, hint.
    problems: tuple[Mapping[str, str], ...]
    #: Those that share the ledger; none where it is not shared.
    hosts: tuple[Host, ...]
    spent: SpentSeconds
    terms: PriceTerms
    #: Audio minutes transcribed in the last hour, by whichever process.
    minutes_per_hour: float
    now: float
    #: The preferred first; none where no daemon runs, and the last process had only one.
    endpoints: tuple[EndpointStatus, ...] = ()
    #: The last hours and the last days of local time, the oldest first; the last of each has not ended yet.
    hours: tuple[Period, ...] = ()
    days: tuple[Period, ...] = ()
    #: Unix time since when they are counted; 0: not yet.
    counted_since: float = 0.0
    #: Unix time at which the recording was queued that waits longest for its turn; None: none does.
    oldest_queued: float | None = None
    #: The command that starts the daemon here, or several.
    start: str = "watcher run"

    def host(self, record: SourceRecord) -> str | None:
        """Return the host that works on a source; None where there is but one, or none does."""
        return next((host.name for host in self.hosts if record.id in host.running), None)

    def asked_since(self, record: SourceRecord) -> float | None:
        """Return the Unix time since when the server has been asked about a running source; None: it is not asked now."""
        told = [self.service, *(host.facts for host in self.hosts if host.alive)]
        asked = [one for facts in told for one in listed(facts, "asking") if one.get("path") == named(record)]
        return min((float(one["since"]) for one in asked), default=None)

    @property
    def program(self) -> str:
        """What works on this state, for people: the daemon, or a command that does without one."""
        command = self.service.get("command")
        return f"watcher {command}" if command else "Watcher"

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has worked on this state yet: a daemon with other settings may work on another one."""
        return not self.pid and not self.size

    @property
    def stopping(self) -> float | None:
        """Until when requests in flight may finish (Unix time), where the daemon was asked to stop."""
        until = self.service.get("stopping")
        return float(until) if self.pid and isinstance(until, int | float) else None

    @property
    def cost_today(self) -> float | None:
        """What was bought today costs this much; None where no price is known."""
        if self.has_several_endpoints:
            return _sum_of(endpoint.cost_today for endpoint in self.endpoints)
        return self.terms.cost(self.spent.today)

    @property
    def cost_month(self) -> float | None:
        """Likewise in this month."""
        if self.has_several_endpoints:
            return _sum_of(endpoint.cost_month for endpoint in self.endpoints)
        return self.terms.cost(self.spent.month)

    @property
    def whole_terms(self) -> PriceTerms:
        """The terms of all endpoints together: the price if all have the same, and the limits' sums if all have one."""
        if not self.has_several_endpoints:
            return self.terms
        every = [endpoint.terms for endpoint in self.endpoints]
        days, months = [one.daily_minutes for one in every], [one.monthly_minutes for one in every]
        return PriceTerms(
            every[0].price_per_minute if len({one.price_per_minute for one in every}) == 1 else 0.0,
            sum(days) if all(days) else 0.0,
            sum(months) if all(months) else 0.0,
        )

    @property
    def has_several_endpoints(self) -> bool:
        """Whether recordings may go to one endpoint or another."""
        return len(self.endpoints) > 1


def _sum_of(costs: Iterable[float | None]) -> float | None:
    """Return the sum of the known costs; None where none is known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def named(record: SourceRecord) -> str:
    """Return a source's path."""
    return printable(record.path)


def listed(told: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return one of the lists that a daemon reports; empty where it reports none."""
    return list(told.get(key) or ())
