"""How long uploads take to be heard, however many are heard at the same time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class BusyTime:
    """Parts the time in which at least one upload is heard among the uploads, as each is done.

    So the parts of several uploads make up the time that all of them took, and nothing counts while none is there.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._since = 0.0

    @contextmanager
    def hearing(self) -> Iterator[Callable[[], float]]:
        """Hear an upload within the context; yield what returns its part, in seconds, once it is done."""
        with self._lock:
            if not self._count:
                self._since = self._clock()
            self._count += 1
        try:
            yield self._part
        finally:
            with self._lock:
                self._count -= 1

    def _part(self) -> float:
        with self._lock:
            now = self._clock()
            part, self._since = now - self._since, now
            return part
