"""One lock per sound: a second request for the same sound waits for the first answer instead.

Two copies of a recording that arrive together are in work together, and neither finds the other's answer yet.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds between two signs of life of somebody who waits.
_SPELL: Final = 10.0


class KeyedLocks:
    """Locks by key, kept while a thread holds or awaits them. A thread holds one at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken: dict[str, _KeyLock] = {}

    @contextmanager
    def take(self, key: str, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait until nobody else holds `key`, and hold it; `waiting` is called now and then meanwhile."""
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
        """Return the number of keys that somebody holds or awaits."""
        return len(self._taken)


class _KeyLock:
    """One key's lock, and how many hold or await it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
