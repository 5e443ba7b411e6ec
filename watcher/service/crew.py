"""The threads of the house: named, not daemonic, joined by a deadline; the first unexpected error of any ends the service."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Final

import structlog

from watcher.errors import WatcherError

_log = structlog.get_logger()

_CRASH: Final = "service.stopping"


class Crew:
    """Starts threads, notices their death, and joins them."""

    def __init__(self, *, on_death: Callable[[], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`on_death` is called, from the dying thread, when a thread ends by an error."""
        self._on_death = on_death
        self._monotonic = monotonic
        self._threads: list[threading.Thread] = []
        self.error: BaseException | None = None

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a thread called `name`."""
        thread = threading.Thread(target=self._guarded, args=(target,), name=name, daemon=False)
        # Those that have ended are of no interest: after many reloads there are many.
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    def join(self, seconds: float, *, but: Collection[str] = ()) -> list[str]:
        """Wait for all threads, at most `seconds` in sum; return the names of those that still run.

        `but`: names of threads that are not waited for.
        """
        deadline = self._monotonic() + seconds
        awaited = [thread for thread in self._threads if thread.name not in but]
        for thread in awaited:
            thread.join(max(0.0, deadline - self._monotonic()))
        return [thread.name for thread in awaited if thread.is_alive()]

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: the error is kept, logged, and ends the service
            name = threading.current_thread().name
            if isinstance(error, WatcherError):
                _log.critical(_CRASH, reason=error.code, thread=name, message=error.message, hint=error.hint)
            else:
                _log.critical(_CRASH, reason="crashed", thread=name, exc_info=error)
            if self.error is None:
                self.error = error
            self._on_death()
