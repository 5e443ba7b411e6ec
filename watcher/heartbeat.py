"""Signs of life of threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds that a step may take if it announced nothing else; generous, because a busy disk does not hang.
_STEP: Final = 60.0


class Heartbeat:
    """One thread's sign of life: the time until which it may be silent (monotonic seconds)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = monotonic() + _STEP
        #: Native id of the thread that gave the last sign; 0: none has.
        self.thread = 0
        self._lock = threading.Lock()
        self._beside: list[Heartbeat] = []

    def __call__(self, seconds: float = _STEP) -> None:
        """Note that the thread is alive, and announce the next sign of life within `seconds`."""
        self._until, self.thread = self._monotonic() + seconds, threading.get_native_id()

    @contextmanager
    def beside(self) -> Iterator["Heartbeat"]:
        """Yield a sign of life for another thread that works for this one; call it in that thread.

        While it is overdue, so is this one: a worker that waits for its requests does not know how long they take.
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
