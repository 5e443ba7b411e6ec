"""Recognise what a transaction queued whose commit passed, and whose answer was lost: done once more, it finds nothing to do."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from watcher.ledger.part import Connection
from watcher.ledger.values import PutResult
from watcher.tree import is_below


class UnheardQueueing:
    """Sources that this process queued without hearing of it yet, by their stored paths. Thread-safe."""

    def __init__(self) -> None:
        """At first there are none."""
        self._lock = threading.Lock()
        #: path -> (`run_at` as written, which stays until a claim of it ended; PutResult)
        self._written: dict[bytes, tuple[float, PutResult]] = {}

    def note(
        self, connection: Connection, queued: Mapping[bytes, PutResult], now: float, asked: Callable[[bytes], bool]
    ) -> dict[bytes, PutResult]:
        """Note what a transaction queues that is about to be committed; `now`: when it becomes due.

        Returns what an earlier one had queued of what is `asked` for, without our hearing of it.
        """
        with self._lock:
            earlier = {path: mark for path, mark in self._written.items() if asked(path) and path not in queued}
            self._written.update({path: (now, result) for path, result in queued.items()})
        found = connection.execute(_DUE, {"paths": list(earlier)}).fetchall() if earlier else []
        return {path: earlier[path][1] for path, run_at in found if earlier[path][0] == run_at}

    def heard(self, asked: Callable[[bytes], bool]) -> None:
        """Forget what is asked for: its transaction was heard of."""
        with self._lock:
            for path in list(filter(asked, self._written)):
                del self._written[path]


def below_any(places: Iterable[bytes] | None) -> Callable[[bytes], bool]:
    """Return a function that tells whether a stored path is one of the places, or lies below one; None: all do."""
    if places is None:
        return lambda _path: True
    folders = tuple(place.rstrip(b"/") for place in places)
    return lambda path: any(path == folder or is_below(path, folder) for folder in folders)


_DUE: Final = "SELECT path, run_at FROM sources WHERE path = ANY(:paths::bytea[])"
