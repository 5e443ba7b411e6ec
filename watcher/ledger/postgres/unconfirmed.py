"""Recognise what a transaction has queued if its commit succeeded but the reply was lost: repeated, it finds nothing to do."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from watcher.ledger.part import Connection
from watcher.ledger.values import PutResult
from watcher.tree import is_below


class UnconfirmedQueueing:
    """Sources that this process queued in transactions not confirmed yet, by their stored paths. Thread-safe."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        #: path -> (`run_at` as written, which stays until a claim of it ended; PutResult)
        self._written: dict[bytes, tuple[float, PutResult]] = {}

    def note(
        self, connection: Connection, queued: Mapping[bytes, PutResult], now: float, asked: Callable[[bytes], bool]
    ) -> dict[bytes, PutResult]:
        """Note what a transaction queues, just before its commit; `now`: when that is due.

        Return those of the `asked` paths that an earlier, unconfirmed transaction has queued.
        """
        with self._lock:
            earlier = {path: mark for path, mark in self._written.items() if asked(path) and path not in queued}
            self._written.update({path: (now, result) for path, result in queued.items()})
        found = connection.execute(_DUE, {"paths": list(earlier)}).fetchall() if earlier else []
        return {path: earlier[path][1] for path, run_at in found if earlier[path][0] == run_at}

    def confirmed(self, asked: Callable[[bytes], bool]) -> None:
        """Forget the `asked` paths: their transaction is confirmed."""
        with self._lock:
            for path in list(filter(asked, self._written)):
                del self._written[path]


def below_any(folders_asked: Iterable[bytes] | None) -> Callable[[bytes], bool]:
    """Return a function that tells whether a stored path is one of these folders, or lies below one; None: all paths are."""
    if folders_asked is None:
        return lambda _path: True
    folders = tuple(folder.rstrip(b"/") for folder in folders_asked)
    return lambda path: any(path == folder or is_below(path, folder) for folder in folders)


_DUE: Final = "SELECT path, run_at FROM sources WHERE path = ANY(:paths::bytea[])"
