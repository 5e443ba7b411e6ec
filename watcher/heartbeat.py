"""Signs of life of threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: How long a step may take before it says otherwise; generous, because a busy disk is no hang.
_STEP: Final = 60.0


class Heartbeat:
    """One thread's sign of life: until when it may honestly be silent (monotonic seconds)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = monotonic() + _STEP
        self._lock = threading.Lock()
        self._beside: list[Heartbeat] = []

    def __call__(self, seconds: float = _STEP) -> None:
        """Note that the thread is alive, and announce the next sign of life within `seconds`."""
        self._until = self._monotonic() + seconds

    @contextmanager
    def beside(self) -> Iterator["Heartbeat"]:
        """Yield the sign of life of another thread that works for this one, for as long as it does; from that thread.

        While it is overdue, so is this one: a worker that waits for its requests knows no bound of its own for them.
        """
        other = Heartbeat(self._monotonic)
        with self._lock:
            self._beside.append(other)
        try:
            yield other
        finally:
            with self._lock:
                self._beside.remove(other)

    @property
    def overdue(self) -> bool:
        """True when this thread, or one that works for it, has been silent for longer than it announced."""
        with self._lock:
            others = list(self._beside)
        return self._monotonic() > self._until or any(other.overdue for other in others)
