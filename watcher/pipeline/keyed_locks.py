"""One lock per sound: instead of a second request for the same sound, a thread waits for the first answer.

Two copies of a recording that arrive together are processed at the same time, when neither finds the other's answer stored.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds between two signs of life of a waiting thread.
_SPELL: Final = 10.0


class KeyedLocks:
    """Locks by key; each exists while a thread holds or awaits it. A thread holds one at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken: dict[str, _KeyLock] = {}

    @contextmanager
    def take(self, key: str, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait until no other thread holds `key`, and hold it; `waiting` is called every few seconds meanwhile."""
        with self._guard:
            turn = self._taken.setdefault(key, _KeyLock())
            turn.users += 1
        try:
            while not turn.lock.acquire(timeout=_SPELL):
                waiting()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._guard:
                turn.users -= 1
                if not turn.users:
                    del self._taken[key]

    def __len__(self) -> int:
        """Return the number of keys that are held or awaited."""
        return len(self._taken)


class _KeyLock:
    """One key's lock, and the number of threads that hold or await it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
