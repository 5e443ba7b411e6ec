"""What a running service shows to others in its process: whether it is alive, its settings, and its counts of requests."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from watcher.config import Config
from watcher.gate.statistics import RequestCounts

#: Seconds without a sign of life of the whole service after which it counts as hanging; one comes every second.
_SILENT: Final = 30.0


class Health:
    """Whether the service is alive, by the rule of systemd's watchdog. Any thread may ask."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._alive: float | None = None
        self._ends = False

    def note(self) -> None:
        """Note a moment in which the finder and all workers were alive."""
        self._alive = self._monotonic()

    def end(self) -> None:
        """Note that the service ends."""
        self._ends = True

    @property
    def ailment(self) -> str:
        """Why it takes no recordings now: it starts, stops, or hangs; "" if it is well."""
        if self._ends:
            return "stopping"
        if self._alive is None:
            return "starting"
        silent = self._monotonic() - self._alive
        return "" if silent < _SILENT else f"finder or workers have hung for {silent:.0f} s"


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A running service, for the operator's listener."""

    health: Health
    #: The settings in use.
    config: Callable[[], Config]
    #: By the title of each endpoint.
    requests: Callable[[], Mapping[str, RequestCounts]]
