"""The daemon beside which a command runs, and the settings that it uses."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watcher import reach
from watcher.client import Endpoint
from watcher.config import Config
from watcher.ledger import Ledger, holder
from watcher.report import ReportedError
from watcher.service.application import SERVICE
from watcher.status.problems import not_in_use
from watcher.text import printable
from watcher.tree import is_below


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon with the same state."""

    pid: int
    #: Its facts for `status`; empty if it has stored none yet.
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, ledger: Ledger, config: Config) -> "Daemon | None":
        """Return the daemon that uses the state of these settings; None: there is none. Raises StateError."""
        pid = holder(config.state_directory)
        if pid is None:
            return None
        facts = ledger.memory.remembered(SERVICE) or {}
        # Facts of a process that was killed do not apply to this one.
        return cls(pid, facts if facts.get("pid") == pid else {})

    def __str__(self) -> str:
        """Return its name for people."""
        return f"the daemon (pid {self.pid})"

    @property
    def is_stopping(self) -> bool:
        """Whether it takes no new jobs: the next start does."""
        return "stopping" in self.facts

    @property
    def model(self) -> str:
        """The model that it uses for jobs queued now; "": not known."""
        return "" if self.is_stopping else str(self.facts.get("model", ""))

    def watches(self, names: Sequence[bytes]) -> bool:
        """Return whether a path with these names is, lies in or contains a folder that it watches; True if that is not known."""
        known = [os.fsencode(str(folder["path"])) for folder in self.facts.get("folders", ())]
        # Its facts have the paths as a terminal shows them.
        shown = [os.fsencode(printable(name)) for name in names]
        places = {*known, *reach.real_paths(known).values()}
        return not known or any(
            name == place or is_below(name, place) or is_below(place, name) for name in shown for place in places
        )

    @property
    def waits(self) -> str:
        """Why it sends nothing now, since when and until when, in the words of `status`; "": it sends, or this is not known."""
        gate = self.facts.get("gate") or {}
        return "" if gate.get("status") in {None, "open"} else f"the queue waits: {gate['sentence']}"

    def unloaded(self, command: str, *, named: str) -> ReportedError | None:
        """Return the problem that the settings file changed since the daemon loaded it; None: it did not.

        `command`: the command line for the model that the daemon uses; `named`: the model that a person named, "": none.
        """
        if not self.model:
            return None
        for problem in not_in_use(self.facts):
            message = f"{self} works with the settings that it loaded, which ask {self.model}"
            hint = f"load them first: {problem['hint']}; or ask the daemon's model: {command} --model {self.model}"
            if named:
                message = f"{self} asks {named}, and works with the settings that it loaded in all else"
                hint = f"to load them for what comes next: {problem['hint']}"
            return ReportedError("settings_not_loaded", f"{message}; since then {problem['path']} has changed", hint)
        return None

    def asks_another(self, endpoint: Endpoint, command: str) -> ReportedError | None:
        """Return the problem that the settings of `command` name another model or server than the daemon's; None: they do not."""
        theirs, ours = (self.model, self.facts.get("endpoint")), (endpoint.model, endpoint.name)
        if not self.model or theirs == ours:
            return None
        message, hint = f"{self} asks {theirs[0]}, not {ours[0]}", f"{command} --model {ours[0]} asks for {ours[0]}"
        if theirs[1] != ours[1]:
            message = f"{self} asks {theirs[0]} at {theirs[1]}, not {ours[0]} at {ours[1]}"
            hint = "the daemon uses the settings that it loaded: change those, then reload it"
        return ReportedError("settings_not_loaded", message, hint)
