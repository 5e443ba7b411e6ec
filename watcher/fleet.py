"""What hosts that work on one queue have in common: the limits and the door of an endpoint, and the sight of each other.

Values and a promise, no engine: a ledger that hosts share keeps it, the gate asks for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Need:
    """What one host asks of the fleet's limits; a limit of 0 is none."""

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


class Credit(IntEnum):
    """What may be bought of what was asked for."""

    #: Today's seconds are bought.
    SPENT = -1
    #: What is in flight may use up the rest, or may not.
    WAIT = 0
    FIRST = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Share:
    """What the fleet gives to one host, for as long as the lease it asked for."""

    #: Requests that may be in flight here; those that are beyond count until they end.
    places: int = 0
    #: Places that count as this host's.
    counted: int = 0
    #: All hosts together want more than there is: what is not used is wanted elsewhere.
    contended: bool = False
    #: Times of starts, in seconds from now; each is good for that moment only.
    starts: tuple[float, ...] = ()
    credit: Credit = Credit.ALL


@dataclass(frozen=True, slots=True)
class Door:
    """Why nobody may go in, if so; seconds are from now. Where it is held, a pause does not matter."""

    #: A number that no other hold of this door has, and what the gate says of the hold; None: it is not held.
    number: int = 0
    hold: Mapping[str, object] | None = None
    #: Seconds until a probe is due.
    due: float = 0.0
    #: A living host is finding out.
    probing: bool = False
    #: What the gate says of the pause, and how long it lasts; None: there is none.
    pause: Mapping[str, object] | None = None
    pause_left: float = 0.0


class Fleet(Protocol):
    """The hosts in front of one endpoint; every method is one round trip at most, and raises StateError.

    What a host was given counts until its lease ends, however the host ends.
    """

    def share(self, need: Need, *, lease: float) -> Share:
        """Ask for places, starts and minutes; what the last call gave and this one does not ask for is given back."""

    def spend(self, day: str, seconds: float) -> float:
        """Turn seconds of audio in flight into bought ones; give the day's sum. 0 seconds only asks. As cheap as `Ledger.buy`."""

    def leave(self) -> None:
        """Give everything back."""

    def door(self) -> Door:
        """See how the door stands."""

    def shut(self, hold: Mapping[str, object], *, wait: float) -> int:
        """Hold the door for all, unless it is held for the same `reason`; give the hold's number. A probe is due in `wait`."""

    def put_off(self, number: int, hold: Mapping[str, object], *, wait: float) -> None:
        """Say that this hold lasts, and that the next probe is due in `wait` seconds; nothing, where it is over."""

    def open(self, number: int) -> None:
        """End this hold for all."""

    def probe(self, number: int, *, lease: float) -> bool:
        """Ask for leave to find out whether this hold still has to be, or to go on finding out; one host at a time has it."""

    def give_back(self, number: int) -> None:
        """Give unused leave to probe back."""

    def pause(self, pause: Mapping[str, object], *, seconds: float) -> None:
        """Let nobody start for so long."""

    def resume(self) -> None:
        """End a pause, and have a hold probed at once, whoever's it is."""

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard`, from another thread, whenever another host has changed something that may matter here."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host as the others see it."""

    name: str
    #: Seconds since it was last heard of, and whether it counts as alive.
    seen: float
    alive: bool
    #: It is the one that looks.
    myself: bool = False
    #: What its daemon tells of itself.
    facts: Mapping[str, object] = field(default_factory=dict)
    #: Ids of the jobs it works on.
    running: tuple[int, ...] = ()
