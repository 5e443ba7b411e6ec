"""Values that hosts on one queue share: limits and door of an endpoint, and the list of hosts.

The protocol `Fleet` is implemented by a shared ledger, and used by the gate.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class LimitDemand:
    """One host's demand for the fleet's limits; a limit of 0 is none."""

    #: Requests in flight in the whole fleet; how many this host could have in flight now, and how many it has.
    limit: int = 0
    wanted: int = 0
    used: int = 0
    #: Starts of the whole fleet within any 60 s, and how many this host could make soon.
    per_minute: int = 0
    starts: int = 0
    #: Seconds of audio that the whole fleet may buy on `day` (YYYY-MM-DD).
    budget: float = 0.0
    day: str = ""
    #: Seconds of audio: of requests in flight here, of the one that is next, and of all that wait.
    flying: float = 0.0
    first: float = 0.0
    waiting: float = 0.0


class BudgetCredit(IntEnum):
    """How much of the requested audio may be bought."""

    #: Today's seconds are bought.
    SPENT = -1
    #: This depends on requests in flight, which may use up the rest.
    WAIT = 0
    FIRST = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class LimitShare:
    """The share that the fleet grants to one host, for the length of the lease."""

    #: Requests that may be in flight here; further ones still count until they end.
    places: int = 0
    #: Places that count as this host's.
    counted: int = 0
    #: Whether all hosts together want more than there is, so that unused places should be given back.
    contended: bool = False
    #: Times of permitted starts, in seconds from now; each is valid only for that moment.
    starts: tuple[float, ...] = ()
    credit: BudgetCredit = BudgetCredit.ALL


class FailedFile(NamedTuple):
    """A file that the server failed on or refused, and the watched folder that it lies in."""

    path: bytes
    root: bytes = b""
    #: Whether this host does not have the folder; then the other two are in stored form, not paths of this host.
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class SharedHold:
    """The hold or pause of an endpoint for hosts with one server, key and model; seconds are from now. During a hold a pause does not matter."""

    #: A unique number of the hold, and its record; None: there is no hold.
    number: int = 0
    hold: Mapping[str, object] | None = None
    #: Files whose failures caused the hold.
    files: Collection[FailedFile] = ()
    #: Seconds until a probe is due.
    due: float = 0.0
    #: Whether a host is probing and is alive.
    probing: bool = False
    #: The record of the pause, and how long it lasts; None: there is none.
    pause: Mapping[str, object] | None = None
    pause_left: float = 0.0


class Fleet(Protocol):
    """The state that hosts share about one endpoint; every method is one round trip at most, and raises StateError.

    A host's share counts until its lease ends, also if the host dies.
    """

    def share(self, need: LimitDemand, *, lease: float) -> LimitShare:
        """Request places, starts and minutes; what the last call was granted and this one does not request goes back."""

    def spend(self, day: str, seconds: float) -> float:
        """Count seconds of audio in flight as bought; return the day's sum. 0 seconds: only return the sum. Cheap, as `Purchases.buy`."""

    def leave(self) -> None:
        """Release all shares."""

    def door(self) -> SharedHold:
        """Return the shared hold or pause."""

    def shut(self, hold: Mapping[str, object], *, wait: float, files: Collection[FailedFile] = ()) -> int:
        """Begin a hold for all, unless there is one for the same `reason`; return its number. A probe is due in `wait` seconds.

        `files`: the files whose failures caused it.
        """

    def put_off(
        self, number: int, hold: Mapping[str, object], *, wait: float, files: Collection[FailedFile] = ()
    ) -> None:
        """Store that this hold goes on, and that the next probe is due in `wait` seconds, unless it is over. `files`: see `shut`."""

    def open(self, number: int) -> None:
        """End this hold for all."""

    def probe(self, number: int, *, lease: float, before_due: bool = False) -> bool:
        """Request the permission to probe this hold, or renew it; one host at a time has it. `before_due`: also if no probe is due."""

    def give_back(self, number: int) -> None:
        """Return an unused permission to probe."""

    def pause(self, pause: Mapping[str, object], *, seconds: float) -> None:
        """Pause all hosts for `seconds`."""

    def resume(self) -> None:
        """End a pause, and make a probe of the hold due at once, for all keys and models."""

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard`, from another thread, whenever another host has changed something about this endpoint."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host as the others see it."""

    name: str
    #: Seconds since its last sign of life, and whether it counts as alive.
    seen: float
    alive: bool
    #: Whether it is this host.
    myself: bool = False
    #: The facts of its daemon.
    facts: Mapping[str, object] = field(default_factory=dict)
    #: Ids of the jobs that it runs.
    running: tuple[int, ...] = ()
