"""What `watcher check` finds about the endpoints: each one that a folder may use is asked, all of them at the same time."""

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from queue import SimpleQueue

from watcher.client import Endpoint
from watcher.config import Config, Settings
from watcher.doctor.findings import Finding, Grade
from watcher.doctor.server import server_findings
from watcher.doctor.unit import SystemdUnit
from watcher.errors import ConfigError
from watcher.service.endpoint_plan import endpoint_of, require_key


def endpoint_findings(config: Config, *, paid: bool, unit: SystemdUnit | None) -> Generator[Finding, None, bool]:
    """Yield what is found about each endpoint; return whether any was asked. `paid` and `unit`: see `examine`."""
    used = _used(config.settings)
    asked = []
    for name in config.settings.servers:
        if is_locked_away(config, unit, name):
            continue
        try:
            endpoint = endpoint_of(config.settings, name)
            require_key(endpoint, unused_key=config.unused_key)
        except ConfigError as error:
            yield named(Finding("settings", Grade.FAIL, error.message, error.hint), name, config)
            continue
        if name in used:
            asked.append(endpoint)
        else:
            hint = f"name it in the endpoints of a folder, or remove [{endpoint.section}]"
            yield named(Finding("settings", Grade.WARN, "no folder uses it, so it was not asked", hint), name, config)
    if len(asked) > 1:
        yield from _side_by_side(config, asked, paid=paid)
    else:
        for endpoint in asked:
            yield from _asked(config, endpoint, paid=paid)
    return bool(asked)


def named(finding: Finding, name: str, config: Config) -> Finding:
    """Return a finding that names its endpoint, if the settings have several."""
    if len(config.settings.servers) == 1:
        return finding
    return replace(finding, message=f"{name}: {finding.message}", endpoint=name)


def is_locked_away(config: Config, unit: SystemdUnit | None, name: str) -> bool:
    """Return whether only the service can read the key of an endpoint."""
    key = config.settings.servers[name].key.get_secret_value()
    return unit is not None and unit.encrypted(name) is not None and not key


def _used(settings: Settings) -> set[str]:
    """Return the endpoints that a folder may use; without folders, all."""
    lists = [folder.endpoints or tuple(settings.servers) for folder in settings.folders]
    return {name for names in lists for name in names} if lists else set(settings.servers)


def _asked(config: Config, endpoint: Endpoint, *, paid: bool) -> Iterator[Finding]:
    for finding in server_findings(endpoint, paid=paid, unused_key=config.unused_key):
        yield named(finding, endpoint.title, config)


def _side_by_side(config: Config, endpoints: Sequence[Endpoint], *, paid: bool) -> Iterator[Finding]:
    """Yield what is found about several endpoints, each as soon as it is known."""
    found: SimpleQueue[Finding | Exception | None] = SimpleQueue()

    def look(endpoint: Endpoint) -> None:
        try:
            for finding in _asked(config, endpoint, paid=paid):
                found.put(finding)
            found.put(None)
        except Exception as exc:  # noqa: BLE001 - it is raised in the thread that waits
            found.put(exc)

    for endpoint in endpoints:
        # A server may take minutes; Ctrl-C ends the command all the same.
        threading.Thread(target=look, args=(endpoint,), name=f"check-{endpoint.title}", daemon=True).start()
    looking = len(endpoints)
    while looking:
        one = found.get()
        if isinstance(one, Exception):
            raise one
        if one is None:
            looking -= 1
        else:
            yield one
