"""Convert the settings of each endpoint to the values that client and gate take."""

from dataclasses import dataclass, replace
from typing import Final

from watcher.client import CONNECT_SECONDS, Endpoint
from watcher.config import Settings
from watcher.config.settings import ServerSettings
from watcher.errors import ConfigError
from watcher.gate import GateOptions
from watcher.job import is_offline
from watcher.text import joined

MEBIBYTE: Final = 1024 * 1024
#: The only public server that is known to refuse every request without a key.
_OPENAI: Final = "api.openai.com"
#: Seconds between two probes of an endpoint, at most, if others do its work: then a probe costs no time.
_PROBED: Final = 60.0
#: Seconds without a connection, or of nothing but refusals of a busy server, after which the next endpoint is used, at least.
_SHORTEST_OUTAGE: Final = 1.0


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """The values of one endpoint's settings."""

    endpoint: Endpoint
    gate: GateOptions
    price_per_minute: float = 0.0

    @property
    def is_free(self) -> bool:
        """Whether it is the offline engine: nothing is bought."""
        return is_offline(self.endpoint.model)

    def of_batch(self, patience: float) -> "EndpointPlan":
        """Return the values for a batch: it waits at most `patience` seconds for a server that is only ever busy."""
        # No place has to be reserved: nothing new arrives.
        gate = replace(self.gate, reserve=0, crowded_seconds=min(self.gate.crowded_seconds, patience))
        return replace(self, gate=gate)


def endpoint_plans(settings: Settings) -> dict[str, EndpointPlan]:
    """Return the endpoints of the settings by name, in order of preference. Raises ConfigError."""
    return {name: _endpoint_plan(name, server, settings) for name, server in settings.servers.items()}


def _endpoint_plan(name: str, server: ServerSettings, settings: Settings) -> EndpointPlan:
    endpoint = _endpoint(name, server)
    is_free = is_offline(endpoint.model)
    is_one_of_several = len(settings.servers) > 1
    gate = GateOptions(
        concurrency=server.concurrency,
        requests_per_minute=server.requests_per_minute,
        daily_minutes=0.0 if is_free else server.daily_minutes,
        monthly_minutes=0.0 if is_free else server.monthly_minutes,
        fleet_concurrency=server.fleet_concurrency,
        folders=sum(not folder.endpoints or name in folder.endpoints for folder in settings.folders),
        section=endpoint.section,
    )
    if is_one_of_several:
        # A shorter patience would send recordings back from an endpoint that still counts as open, and they would come again at once.
        patience = settings.api.failover_seconds
        gate = replace(
            gate,
            patience=patience,
            longest_interval=_PROBED,
            outage_seconds=max(_SHORTEST_OUTAGE, patience - CONNECT_SECONDS),
            crowded_seconds=max(_SHORTEST_OUTAGE, patience),
        )
    return EndpointPlan(endpoint, gate, 0.0 if is_free else server.price_per_minute)


def _endpoint(name: str, server: ServerSettings) -> Endpoint:
    return Endpoint(
        url=server.url,
        model=server.model,
        key=server.key,
        max_upload_bytes=int(server.max_upload_mb * MEBIBYTE),
        title=name,
        headers=tuple((header, secret.get_secret_value()) for header, secret in server.headers.items()),
        query=tuple(server.query.items()),
        ca_file=server.ca_file,
        deadline_factor=server.deadline_factor,
    )


def endpoint_of(settings: Settings, name: str = "") -> Endpoint:
    """Return an endpoint of the settings; without `name`, the preferred one. Raises ConfigError."""
    servers = settings.servers
    name = name or next(iter(servers))
    return _endpoint(name, servers[name])


def require_key(
    endpoint: Endpoint,
    *,
    unused_key: str = "",
    offline: bool = True,
    remedy: str = "set WATCHER_API__KEY (or api.key), or have watcher setup ask for it",
) -> None:
    """Raise ConfigError if there is no key for a public server: nearly all refuse a file after it has been sent.

    `unused_key`: the message for a key that is set and not used. `offline`: whether the command has the option --offline.
    `remedy`: how a key is given here.
    """
    if endpoint.secret or endpoint.headers or not endpoint.public:
        return
    if offline:
        remedy += ", or run with --offline to use the offline engine"
    if endpoint.host != _OPENAI:
        remedy += "; if this server wants no key, any word will do"
    raise ConfigError(
        f"there is no API key for {endpoint.host}", hint=joined(endpoint.with_own_keys(remedy), unused_key)
    )
