"""What hosts that work on one queue share: the limits and the door of an endpoint, and what they know of each other.

Values and a protocol: a ledger that hosts share implements it, the gate uses it.
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
    """How much of what was asked for may be bought."""

    #: Today's seconds are bought.
    SPENT = -1
    #: What is in flight may use up the rest, or may not.
    WAIT = 0
    FIRST = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class LimitShare:
    """The share that the fleet grants to one host, for as long as the lease it asked for."""

    #: Requests that may be in flight here; those that are beyond count until they end.
    places: int = 0
    #: Places that count as this host's.
    counted: int = 0
    #: All hosts together want more than there is: another host needs what is not used.
    contended: bool = False
    #: Times of starts, in seconds from now; each is good for that moment only.
    starts: tuple[float, ...] = ()
    credit: BudgetCredit = BudgetCredit.ALL


class FailedFile(NamedTuple):
    """A file that the server failed on or refused, and the watched folder that it lies in."""

    path: bytes
    root: bytes = b""
    #: This host does not have the folder; the other two are as stored then, and no paths of this host.
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class SharedHold:
    """The hold or pause of an endpoint for hosts with one key and model; seconds are from now. During a hold a pause does not matter."""

    #: A number that no other hold of this door has, and the record of the hold; None: it is not held.
    number: int = 0
    hold: Mapping[str, object] | None = None
    #: Files whose failures caused the hold.
    files: Collection[FailedFile] = ()
    #: Seconds until a probe is due.
    due: float = 0.0
    #: A living host is probing.
    probing: bool = False
    #: The record of the pause, and how long it lasts; None: there is none.
    pause: Mapping[str, object] | None = None
    pause_left: float = 0.0


class Fleet(Protocol):
    """The hosts in front of one endpoint; every method is one round trip at most, and raises StateError.

    What a host was granted counts until its lease ends, also if the host dies.
    """

    def share(self, need: LimitDemand, *, lease: float) -> LimitShare:
        """Request places, starts and minutes; what the last call granted and this one does not ask for is returned."""

    def spend(self, day: str, seconds: float) -> float:
        """Turn seconds of audio in flight into bought ones; return the day's sum. 0 seconds only asks. As cheap as `Purchases.buy`."""

    def leave(self) -> None:
        """Return all shares to the fleet."""

    def door(self) -> SharedHold:
        """Return the hold or pause."""

    def shut(self, hold: Mapping[str, object], *, wait: float, files: Collection[FailedFile] = ()) -> int:
        """Hold the door for all, unless it is held for the same `reason`; return the hold's number. A probe is due in `wait` seconds.

        `files`: those whose failures caused it.
        """

    def put_off(
        self, number: int, hold: Mapping[str, object], *, wait: float, files: Collection[FailedFile] = ()
    ) -> None:
        """Store that this hold lasts, and that the next probe is due in `wait` seconds; nothing, where it is over. `files`: see `shut`."""

    def open(self, number: int) -> None:
        """End this hold for all."""

    def probe(self, number: int, *, lease: float, before_due: bool = False) -> bool:
        """Request the permission to probe this hold, or renew it; one host at a time has it. `before_due`: also if no probe is due."""

    def give_back(self, number: int) -> None:
        """Return an unused permission to probe."""

    def pause(self, pause: Mapping[str, object], *, seconds: float) -> None:
        """Pause all hosts for so long."""

    def resume(self) -> None:
        """End a pause, and make a probe of the hold due at once, for all keys and models."""

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard`, from another thread, whenever another host has changed something of this endpoint."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host as the others see it."""

    name: str
    #: Seconds since its last sign of life, and whether it counts as alive.
    seen: float
    alive: bool
    #: It is this host.
    myself: bool = False
    #: What its daemon reports.
    facts: Mapping[str, object] = field(default_factory=dict)
    #: Ids of the jobs it works on.
    running: tuple[int, ...] = ()
