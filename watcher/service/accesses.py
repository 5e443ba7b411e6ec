"""Make the client and the gate of each endpoint, and keep them when settings are read again."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from watcher.client import Client
from watcher.errors import JobError, StateBusyError
from watcher.gate import Gate
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import ENDPOINT
from watcher.service.clients import OtherClients
from watcher.service.endpoint_plan import EndpointPlan
from watcher.service.endpoints import EndpointAccess, Endpoints
from watcher.service.plan import Plan


class EndpointAccesses:
    """Makes clients and gates. For the main thread, but for `others`."""

    def __init__(
        self,
        direct: Ledger,
        *,
        stop: threading.Event,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        on_held: Callable[[Mapping[str, object]], None],
        on_resumed: Callable[[Mapping[str, object]], None],
        advise: Callable[[str, JobError], str],
    ) -> None:
        """`direct`: the ledger that does not wait; `on_held`, `on_resumed` and `advise`: see `Gate`, with the endpoint's title first."""
        self._direct = direct
        self._stop = stop
        self._clock = clock
        self._monotonic = monotonic
        self._on_held = on_held
        self._on_resumed = on_resumed
        self._advise = advise
        #: Clients that are used no more, or for single recordings.
        self.others = OtherClients(direct.memory)
        #: All gates so far, by the endpoint's name in the ledger: an endpoint that comes back has requests in flight, maybe.
        self._gates: dict[tuple[str, bool], Gate] = {}
        #: Party of the endpoint for which each gate was used last.
        self._parties: dict[Gate, str] = {}

    @property
    def gates(self) -> list[Gate]:
        """All gates, also of endpoints that the settings do not have any more."""
        return [*self._gates.values()]

    def make(self, plan: Plan) -> dict[str, EndpointAccess]:
        """Return the endpoints of the first settings."""
        self._name(plan)
        return {
            name: EndpointAccess(made, Client(made.endpoint, memory=self._direct.memory), self._new_gate(made))
            for name, made in plan.endpoints.items()
        }

    def remake(self, former: Endpoints, plan: Plan) -> dict[str, EndpointAccess]:
        """Return the endpoints of new settings; requests in flight go on, with their former client and gate."""
        self._name(plan)
        for name in former:
            if name not in plan.endpoints:
                self.others.retire(former[name].client)
        return {name: self._remade(former.get(name), made) for name, made in plan.endpoints.items()}

    def _remade(self, former: EndpointAccess | None, made: EndpointPlan) -> EndpointAccess:
        endpoint = made.endpoint
        client = former.client if former is not None and former.plan.endpoint == endpoint else None
        if client is None:
            if former is not None:
                self.others.retire(former.client)
            client = Client(endpoint, memory=self._direct.memory)
        gate = self._gates.get((endpoint.name, made.is_free))
        if gate is None:
            return EndpointAccess(made, client, self._new_gate(made))
        if endpoint.party != self._parties[gate]:
            self._parties[gate] = endpoint.party
            gate.use_fleet(self._direct.hosts.fleet(endpoint.name, endpoint.party))
        gate.reload(made.gate)
        if former is None or client is not former.client:
            # The key, the model or the server is another one, so the hold may be over.
            gate.resume()
        return EndpointAccess(made, client, gate)

    def _new_gate(self, made: EndpointPlan) -> Gate:
        endpoint = made.endpoint
        gate = Gate(
            made.gate,
            endpoint_name=endpoint.name,
            # The gate writes while it holds its lock, which the main thread takes, too: so it needs the ledger that does not
            # wait. Changes that the ledger did not take are repeated later.
            memory=self._direct.memory,
            # With the offline engine, nothing is sent or paid for, and each host has its own.
            buy=(lambda *_: 0.0) if made.is_free else self._direct.purchases.buy,
            bought=self._direct.purchases.bought,
            stop=self._stop,
            fleet=None if made.is_free else self._direct.hosts.fleet(endpoint.name, endpoint.party),
            clock=self._clock,
            monotonic=self._monotonic,
            on_held=self._on_held,
            on_resumed=self._on_resumed,
            advise=partial(self._advise, endpoint.title),
        )
        self._gates[endpoint.name, made.is_free] = gate
        self._parties[gate] = endpoint.party
        return gate

    def _name(self, plan: Plan) -> None:
        """Store the endpoints' names, for `status` after the end of this process; not the offline engine's, which ends with it."""
        named = [made.endpoint for made in plan.endpoints.values() if not made.is_free]
        if not named:
            return
        value: dict[str, object] = {"name": named[0].name, "party": named[0].party}
        if len(plan.endpoints) > 1:
            value["endpoints"] = [
                {"name": one.name, "party": one.party, "server": one.server, "model": one.model} for one in named
            ]
        with suppress(StateBusyError):
            self._direct.memory.remember(ENDPOINT, value)
