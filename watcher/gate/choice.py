"""Choose an endpoint: the first of a folder's order that is open. Pure, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.gate.state import GateState, GateStatus


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an endpoint takes files now, and how many places it has."""

    is_open: bool
    #: Requests that may be in flight; and recordings that are sent there already.
    places: int = 1
    busy: int = 0


def availability(state: GateState, *, failover_seconds: float, busy: int = 0) -> Availability:
    """Return what the state of a gate means for the choice: it is closed by a hold, or a pause of more than `failover_seconds`.

    The whole length of a pause counts, not what is left: otherwise files would come back to wait for its end.
    """
    is_open = state.status is GateStatus.OPEN
    if state.status is GateStatus.PAUSED and state.next_probe is not None:
        is_open = state.next_probe - state.since <= failover_seconds
    return Availability(is_open, state.limit, busy)


def choose(order: Sequence[str], states: Mapping[str, Availability], *, began: str = "", spread: bool = False) -> str:
    """Return the endpoint that a recording goes to; "" if none of its `order` is open.

    It stays where it `began` while that one is open. Else it goes to the first open one, even if all places there are taken; with
    `spread`, to the first that has a place free, and if none has, to the one with the fewest recordings for each place.
    """
    usable = [name for name in order if name in states and states[name].is_open]
    if began in usable:
        return began
    if not usable:
        return ""
    return min(usable, key=lambda name: _crowding(states[name])) if spread else usable[0]


def is_preferred(name: str, order: Sequence[str], states: Mapping[str, Availability], *, spread: bool = False) -> bool:
    """Return whether recordings would go to this endpoint if it were open; then it is worth a probe."""
    if name not in order:
        return False
    return spread or not any(states[one].is_open for one in order[: order.index(name)] if one in states)


def _crowding(state: Availability) -> float:
    """Return 0 while a place is free, and then how many recordings there are for each place."""
    return 0.0 if state.busy < state.places else state.busy / max(1, state.places)
