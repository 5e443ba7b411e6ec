"""The ledger on SQLite: one file in the state directory, one process that works on it, any number that look."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watcher.errors import StateError
from watcher.ledger.database import SqliteDatabase
from watcher.ledger.ledger import Ledger
from watcher.ledger.lock import Lock
from watcher.ledger.paths import AS_STORED

#: Name of the ledger's file in the state directory.
NAME: Final = "ledger.sqlite3"


class SqliteLedger(Ledger):
    """A ledger in a file; `watcher.ledger.open_ledger` says what `exclusive` means."""

    _database: SqliteDatabase

    def __init__(
        self,
        directory: Path,
        *,
        exclusive: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open. Raises StateLockedError when another process works on it, StateError when it can't be used."""
        self._lock = None
        if exclusive:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as exc:
                raise StateError(
                    f"the state directory {directory} cannot be made: {exc.strerror}",
                    hint="name a directory that the daemon's user may write: [state] dir",
                ) from exc
            self._lock = Lock(directory)
        try:
            database = SqliteDatabase(directory / NAME, create=exclusive)
            try:
                super().__init__(database, exclusive=exclusive, clock=clock, paths=AS_STORED)
                if exclusive:
                    self._recover()
            except BaseException:
                database.close()
                raise
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def close(self) -> None:
        super().close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
