"""One at a time for the same sound: whoever would ask for it a second time waits for the first answer instead.

Two copies of a recording that arrive together are in work together, and neither finds the other's answer yet.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds between two signs of life of somebody who waits.
_SPELL: Final = 10.0


class Turns:
    """Locks by key, kept for as long as somebody holds or awaits them. Nobody may take a second one meanwhile."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken: dict[str, _Turn] = {}

    @contextmanager
    def take(self, key: str, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait until nobody else holds `key`, and hold it; `waiting` is called now and then meanwhile."""
        with self._guard:
            turn = self._taken.setdefault(key, _Turn())
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
        """Give the number of keys that somebody holds or awaits."""
        return len(self._taken)


class _Turn:
    """One key's lock, and how many hold or await it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
