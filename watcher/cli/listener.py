"""The operator's listener of the daemon, if the settings want one."""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

from watcher.cli.options import surroundings
from watcher.cli.status import look_with
from watcher.errors import ConfigError
from watcher.service.view import ServiceView


def operator_listener(view: ServiceView) -> AbstractContextManager[object]:
    """Return what serves metrics, health and state as long as it is open. Raises ConfigError if that is not possible."""
    http = view.config().settings.http
    if not http.listen:
        return nullcontext()
    if missing := [name for name in ("waitress", "prometheus_client") if find_spec(name) is None]:
        raise ConfigError(
            f"http.listen needs {' and '.join(missing)}", hint="install it: pip install 'transcription-watcher[http]'"
        )
    from watcher.web.answers import Facts  # noqa: PLC0415 - part of an extra
    from watcher.web.listener import listening  # noqa: PLC0415 - likewise

    facts = Facts(lambda: look_with(view.config()), view.requests, lambda: view.health.ailment)
    return listening(http.listen, http.hosts, surroundings().sockets, facts)
