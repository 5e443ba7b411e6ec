"""The endpoints of one set of settings: which of them takes a recording now, and how they are all together."""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from watcher.client import Client
from watcher.errors import ClosedError, HeldError, JobError, StateError
from watcher.gate import (
    SLICE,
    Availability,
    Gate,
    GateState,
    GateStatus,
    ResumeOutcome,
    Ticket,
    availability,
    choose,
    facts,
    is_preferred,
)
from watcher.gate.statistics import RequestCounts
from watcher.service.endpoint_plan import EndpointPlan
from watcher.service.endpoint_ticket import EndpointTicket
from watcher.service.plan import Plan
from watcher.worker import ClaimTicket

#: Recordings outside all watched folders, as `watcher once` may name them, go to any endpoint.
_ELSEWHERE: Final = b""
#: How much each outcome of a request to try again says; of several endpoints, the one that says most counts.
_OUTCOMES: Final = (ResumeOutcome.HELD, ResumeOutcome.PAUSED, ResumeOutcome.UNKNOWN, ResumeOutcome.OPEN)


@dataclass(frozen=True, slots=True)
class EndpointAccess:
    """One endpoint, with its client and its gate."""

    plan: EndpointPlan
    client: Client
    #: It stays the same as long as the endpoint's name does.
    gate: Gate


class Endpoints:
    """The endpoints of one set of settings. Any thread may use it; a reload replaces it."""

    def __init__(
        self,
        plan: Plan,
        accesses: Mapping[str, EndpointAccess],
        *,
        busy: Callable[[str], int] = lambda _name: 0,
        stop: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`busy` returns how many recordings are in work at an endpoint."""
        self._plan = plan
        self._accesses = dict(accesses)
        self._busy = busy
        self._stop = stop
        self._monotonic = monotonic
        api = plan.settings.api
        self._spread, self._failover_seconds = api.spread, api.failover_seconds
        every = tuple(self._accesses)
        self._orders = {root: folder.endpoints or every for root, folder in plan.roots} | {_ELSEWHERE: every}

    def __getitem__(self, name: str) -> EndpointAccess:
        """Return an endpoint."""
        return self._accesses[name]

    def get(self, name: str) -> EndpointAccess | None:
        """Return an endpoint; None: the settings do not have it."""
        return self._accesses.get(name)

    def __iter__(self) -> Iterator[str]:
        """Return the names, the preferred first."""
        return iter(self._accesses)

    def request_counts(self) -> dict[str, RequestCounts]:
        """Return what was counted of the requests at each endpoint, by its name."""
        return {name: access.gate.request_counts() for name, access in self._accesses.items()}

    @property
    def gates(self) -> list[Gate]:
        """The gates of all endpoints."""
        return [access.gate for access in self._accesses.values()]

    @property
    def first(self) -> EndpointAccess:
        """The preferred endpoint."""
        return next(iter(self._accesses.values()))

    # The choice.

    def admit(self, *, timeout: float, only_probes: bool = False) -> ClaimTicket | None:
        """Return a ticket to claim a job; None if no endpoint takes one within `timeout` seconds, or on stop.

        `only_probes`: a ticket only to probe an endpoint that is closed.
        """
        if len(self._accesses) == 1 and not only_probes:
            return self.first.gate.admit(timeout=timeout)
        deadline = self._monotonic() + timeout
        while not self._stop.is_set():
            if (ticket := self._ticket(only_probes=only_probes)) is not None:
                return ticket
            left = deadline - self._monotonic()
            if left <= 0:
                return None
            self._stop.wait(min(left, SLICE))
        return None

    def choose(self, order: Sequence[str], *, began: str = "") -> str:
        """Return the endpoint that a recording goes to now; "" if none of `order` is open. See `watcher.gate.choice`."""
        if len(self._accesses) == 1:
            # Its gate holds back what cannot be sent.
            return next((name for name in order if name in self._accesses), "")
        return choose(order, self._available(), began=began, spread=self._spread)

    def is_open(self, name: str) -> bool:
        """Return whether an endpoint takes recordings now."""
        return self._available()[name].is_open

    def open_names(self) -> set[str]:
        """Return the endpoints that take recordings now."""
        return {name for name, one in self._available().items() if one.is_open}

    def better(self, order: Sequence[str], name: str, path: bytes) -> str:
        """Return the endpoint at which a recording should be rather than wait for a place at `name`; "" if there is none.

        It is one before `name` that is open, or that this file may probe now; with `spread`, also one that has a place free.
        """
        states = {one: self._accesses[one].gate.state() for one in self._rather(order, name)}
        for one, state in states.items():
            is_open = availability(state, failover_seconds=self._failover_seconds).is_open
            if is_open and not (self._spread and state.in_flight >= state.limit):
                return one
        return next((one for one in states if self._accesses[one].gate.wants_probe(path)), "")

    def is_misplaced(self, order: Sequence[str], name: str) -> bool:
        """Return whether an endpoint before `name` is open, so that a new recording would go there; never with `spread`."""
        return not self._spread and bool(choose(self._rather(order, name), self._available()))

    def probe(self, order: Sequence[str], path: bytes, *, attempts: int) -> tuple[str, Ticket] | None:
        """Return the first closed endpoint of `order` of which a probe is due, with the permission to make it with this file."""
        for name in order:
            if name not in self._accesses:
                continue
            gate = self._accesses[name].gate
            if gate.wants_probe() and (ticket := gate.admit(timeout=0.0)) is not None:
                ticket.offer(path, attempts=attempts)
                return name, ticket
        return None

    def _rather(self, order: Sequence[str], name: str) -> list[str]:
        """Return the endpoints at which a recording that is at `name` might be better."""
        if name not in order:
            return []
        others = order if self._spread else order[: order.index(name)]
        return [one for one in others if one != name and one in self._accesses]

    def closed_error(self, order: Sequence[str], path: bytes) -> JobError:
        """Return the error of a recording for which no endpoint of `order` is open."""
        kind = HeldError if tuple(order) == self._orders[self._root_of(path)] else ClosedError
        return kind(self._why_closed(order), reason="closed", hint=self._hint(order))

    def _available(self) -> dict[str, Availability]:
        return {
            name: availability(access.gate.state(), failover_seconds=self._failover_seconds, busy=self._busy(name))
            for name, access in self._accesses.items()
        }

    def _ticket(self, *, only_probes: bool) -> EndpointTicket | None:
        """Return a ticket for the folders of which an endpoint is open, or should be probed now."""
        states = self._available()
        open_to = set() if only_probes else {root for root, order in self._orders.items() if choose(order, states)}
        for name, access in self._accesses.items():
            wanting = {
                root for root, order in self._orders.items() if is_preferred(name, order, states, spread=self._spread)
            }
            if states[name].is_open or not wanting:
                continue
            probe = access.gate.admit(timeout=0.0)
            if probe is not None and probe.probe:
                return EndpointTicket(
                    self._root_of,
                    open_to,
                    self._orders.keys() - open_to - (wanting - probe.without),
                    probe=probe,
                    endpoint=name,
                    wanting=wanting - probe.without,
                    only_probes=only_probes,
                )
        if not open_to:
            return None
        return EndpointTicket(self._root_of, open_to, self._orders.keys() - open_to)

    def _root_of(self, path: bytes) -> bytes:
        folder = self._plan.folder(path)
        return _ELSEWHERE if folder is None else os.fsencode(folder.path)

    def _why_closed(self, order: Sequence[str]) -> str:
        """Return why none of these endpoints is open."""
        if not order:
            return "no endpoint is left that may get it: the lists of the settings and of .watcher.toml have none in common"
        states = {name: self._accesses[name].gate.state() for name in order if name in self._accesses}
        return "; ".join(f"{name} is {state.fact}" for name, state in states.items()) or "its endpoints are gone"

    def _hint(self, order: Sequence[str]) -> str:
        if not order:
            return "correct endpoints in .watcher.toml, or in the settings of its folder"
        return self._accesses[order[0]].gate.state().hint if order[0] in self._accesses else ""

    # All of them together.

    def state(self, roots: Collection[bytes] = ()) -> GateState:
        """Return the state for some watched folders, by default for all: open if one of their endpoints is open to one of them.

        Else it is that of the endpoint which the first of them prefers, with its name.
        """
        if len(self._accesses) == 1:
            return self.first.gate.state()
        states = {name: access.gate.state() for name, access in self._accesses.items()}
        available = {
            name: availability(state, failover_seconds=self._failover_seconds) for name, state in states.items()
        }
        orders = [order for root in roots or self._orders if (order := self._orders.get(root))] or [tuple(states)]
        names = list(dict.fromkeys(name for order in orders for name in order))
        usable = [states[name] for name in names if available[name].is_open]
        shown = usable[0] if usable else states[names[0]]
        due = not usable and any(states[name].due for name in names)
        in_flight = sum(states[name].in_flight for name in names)
        if usable:
            limit = sum(states[name].limit for name in names)
            return GateState(GateStatus.OPEN, shown.since, in_flight=in_flight, limit=limit)
        return replace(shown, message=f"{names[0]}: {shown.message}", due=due, in_flight=in_flight)

    def closed_roots(self) -> dict[bytes, str]:
        """Return the watched folders of which no endpoint is open, with the reason; none if there is only one endpoint."""
        if len(self._accesses) == 1:
            return {}
        states = self._available()
        return {
            root: self._why_closed(order)
            for root, order in self._orders.items()
            if root != _ELSEWHERE and not choose(order, states)
        }

    def described(self) -> list[dict[str, Any]]:
        """Return the facts about each endpoint for `status`, the preferred first."""
        return [
            {
                "name": name,
                "server": access.plan.endpoint.server,
                "model": access.plan.endpoint.model,
                "stored_as": access.plan.endpoint.name,
                "price_per_minute": access.plan.price_per_minute,
                "gate": facts(access.gate.state()),
            }
            for name, access in self._accesses.items()
        ]

    def held(self) -> str:
        """Return in one line what is held or paused while others are open, for systemd; "" if nothing is, or all are."""
        states = {name: access.gate.state() for name, access in self._accesses.items()}
        closed = [f"{name} {state.sentence}" for name, state in states.items() if state.status is not GateStatus.OPEN]
        return "; ".join(closed) if 0 < len(closed) < len(states) else ""

    def state_and_asking(self) -> tuple[GateState, dict[bytes, float]]:
        """Return `state`, and the files of requests in flight with the time (Unix) since when each has had any."""
        if len(self._accesses) == 1:
            return self.first.gate.state_and_asking()
        return self.state(), self.asking()

    def asking(self) -> dict[bytes, float]:
        """Return the files of requests in flight, and since when each has had any without a break (Unix time)."""
        since: dict[bytes, float] = {}
        for gate in self.gates:
            for path, began in gate.asking().items():
                since[path] = min(began, since.get(path, began))
        return since

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        return sum(gate.state().in_flight for gate in self.gates)

    @property
    def paid_seconds(self) -> float:
        """Seconds of audio that were bought, whatever the outcome, since the gates were made."""
        return sum(access.gate.paid_seconds for access in self._accesses.values() if not access.plan.is_free)

    @property
    def trouble(self) -> StateError | None:
        """Why the database of the fleet cannot be reached; None: it can."""
        return next((gate.trouble for gate in self.gates if gate.trouble is not None), None)

    # Requests of a person.

    def outcome(self, names: Collection[str] = ()) -> ResumeOutcome:
        """Return the result of the last `resume`: of these endpoints, or of all; one that is held decides."""
        return min((access.gate.outcome for access in self._named(names)), key=_OUTCOMES.index)

    def expect_outcome(self, names: Collection[str] = ()) -> tuple[str, ...]:
        """Forget the results of the last `resume` of these endpoints, or of all; return those of which a new one follows.

        An endpoint that is open is not tried, so nothing follows.
        """
        named = self._named(names)
        closed = [access for access in named if access.gate.state().status is not GateStatus.OPEN] or named
        for access in closed:
            access.gate.expect_outcome()
        return tuple(access.plan.endpoint.title for access in closed)

    def resume(self, names: Collection[str] = ()) -> None:
        """Probe these endpoints at once, or all of them: a person asked for it. In a fleet, the command does that itself."""
        for access in self._named(names):
            # New settings have caused a probe already: do not end a pause that the server has requested since.
            if not access.gate.shared and access.gate.outcome is not ResumeOutcome.PAUSED:
                access.gate.resume()

    def _named(self, names: Collection[str]) -> list[EndpointAccess]:
        """Return these endpoints, as far as the settings have them; all, if they have none."""
        return [self._accesses[name] for name in names if name in self._accesses] or [*self._accesses.values()]
