"""The application's threads: named, not daemonic, joined with a deadline; an unexpected error in one ends the service."""

import math
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

import structlog

from watcher.errors import StateError, WatcherError

_log = structlog.get_logger()

_CRASH: Final = "service.stopping"
#: Seconds between two checks whether the end is wanted now.
_LOOK: Final = 0.1
#: Seconds for all threads from then on: to store received answers, and to put jobs back. Documented are 2 s
#: for the whole process.
_HASTE: Final = 1.2


class ThreadGroup:
    """Starts threads, notices crashes, and joins them."""

    def __init__(self, *, on_death: Callable[[], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`on_death` is called, from the thread itself, when a thread ends with an error."""
        self._on_death = on_death
        self._monotonic = monotonic
        self._threads: list[threading.Thread] = []
        self.error: BaseException | None = None

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a thread called `name`."""
        thread = threading.Thread(target=self._guarded, args=(target,), name=name, daemon=False)
        # Drop ended threads: after many reloads there are many.
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    def join(self, seconds: float, *, but: Collection[str] = ()) -> list[str]:
        """Wait for all threads, `seconds` in all at most; return the names of those that still run.

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


class ShutdownDeadline:
    """The time left for ending; it becomes short once a person asks a second time."""

    def __init__(
        self,
        asked_again: Callable[[], bool] = lambda: False,
        *,
        on_haste: Callable[[], None] = lambda: None,
        meanwhile: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`asked_again` returns whether the end is wanted now; `on_haste` is called once when it is.

        `meanwhile` is called again and again during the wait, until there is haste; it must not wait itself.
        """
        self._asked_again = asked_again
        self._on_haste = on_haste
        self._meanwhile = meanwhile
        self._monotonic = monotonic
        self._latest = math.inf
        #: Whether the end is wanted now.
        self.in_haste = False

    def left(self, seconds: float) -> float:
        """Return how much of `seconds` is left."""
        return max(0.0, min(seconds, self._latest - self._monotonic()))

    def join(
        self, thread_group: ThreadGroup, seconds: float, *, but: Collection[str] = (), patient: bool = False
    ) -> list[str]:
        """Wait as `ThreadGroup.join` does, for what is left of `seconds`; with `patient`, until the end is wanted now."""
        deadline = self._monotonic() + seconds
        while True:
            left = self.left(deadline - self._monotonic())
            late = thread_group.join(min(left, _LOOK), but=but)
            if not late or left <= 0:
                return late
            if not self.in_haste and self._asked_again():
                self.in_haste, self._latest = True, self._monotonic() + _HASTE
                self._on_haste()
            if self.in_haste and patient:
                return late
            if not self.in_haste:
                self._meanwhile()


def raise_crash(error: BaseException | None) -> None:
    """Raise the error that ended a thread, if there is one, as a WatcherError."""
    if error is None:
        return
    if isinstance(error, WatcherError):
        raise error
    raise StateError(
        f"a part of Watcher crashed: {type(error).__name__}: {error}",
        hint="the log has the details; the queue is safe, and a restart goes on where this ended",
    ) from error
