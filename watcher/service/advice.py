"""What a person can do about a hold, depending on how this process was started."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watcher.config import Config, Surroundings
from watcher.config.settings import API
from watcher.text import joined


class RunContext(StrEnum):
    """How the process was started, which decides how it can get another key."""

    TERMINAL = "terminal"
    SYSTEM_SERVICE = "system service"
    USER_SERVICE = "user service"
    #: A `watcher once`: nothing continues its work when it has ended.
    BATCH = "batch"


def place_of(surroundings: Surroundings) -> RunContext:
    """Return how a daemon was started: for a user's services, systemd's socket is below ``/run/user``, see user@.service(5)."""
    if not surroundings.notify_socket:
        return RunContext.TERMINAL
    return RunContext.USER_SERVICE if surroundings.notify_socket.startswith("/run/user/") else RunContext.SYSTEM_SERVICE


@dataclass(frozen=True, slots=True)
class HoldAdvice:
    """Adapts the hint of an error that holds the queue to the way this process was started."""

    place: RunContext
    #: The program's name on the command line.
    program: str = "watcher"

    def about(self, reason: str, hint: str, config: Config, *, endpoint: str = API) -> str:
        """Return what to do: for a refused key, how to set another one; else the hint, with the right command. `endpoint`: its title.

        If a server fails without a useful message, only its operator can do something.
        """
        if reason == "key":
            return joined(self._key(config, endpoint), config.unused_key)
        if reason in _FAILS and not hint:
            return f"{_SERVER}; {_THEN_BATCH if self.place is RunContext.BATCH else _THEN}"
        return self._resumed(hint)

    def _key(self, config: Config, endpoint: str) -> str:
        suffix = "" if endpoint == API else f".{endpoint}"
        section = "api" if endpoint == API else f"endpoints.{endpoint}"
        origin = config.origin(f"{section}.key")
        file = config.settings.servers[endpoint].key_file if endpoint in config.settings.servers else ""
        if not file and config.file is not None and origin == str(config.file):
            file = str(config.file.absolute())
        if file:
            return self._resumed(f"put the right key into {file}, then watcher resume")
        variable = f"WATCHER_{section.upper().replace('.', '__')}__KEY"
        match self.place:
            case RunContext.SYSTEM_SERVICE | RunContext.USER_SERVICE:
                in_unit = origin in {"credential", "default"}
                what = f"the unit's credential api_key{suffix}" if in_unit else f"the unit ({section}.key)"
                return f"put the right key into {what}, then {self._restart}"
            case RunContext.BATCH:
                return f"set the right key (export {variable}=…) and run it again"
            case _:
                return f"end it with Ctrl-C, set the right key (export {variable}=…) and start it again"

    def _resumed(self, hint: str) -> str:
        if self.place is RunContext.BATCH:
            return _RESUME.sub("", hint)
        return hint.replace("then watcher resume", f"then sudo {self.program} resume") if self._is_roots else hint

    @property
    def _is_roots(self) -> bool:
        return self.place is RunContext.SYSTEM_SERVICE

    @property
    def _restart(self) -> str:
        return "sudo systemctl restart watcher" if self._is_roots else "systemctl --user restart watcher"


#: Reasons of a server that fails (HTTP 500), and of connections that break before an answer is complete.
_FAILS: Final = frozenset({"server", "timeout", "connection", "reset_sending", "truncated"})
_SERVER: Final = "the fault is the server's, not the recordings': see whether it runs, and what its own log says"
_THEN: Final = "nothing is lost, and the recordings go on when it answers"
_THEN_BATCH: Final = "nothing is lost: what waits is done by the next watcher once or run"
#: The part of a hint that is only useful for a daemon.
_RESUME: Final = re.compile(r"[,;] then:? watcher resume(?=$|;)")
