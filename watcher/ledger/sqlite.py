"""The ledger on SQLite: one file in the state directory; one process claims jobs, any number of others look."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from watcher.ledger.answers import Answers
from watcher.ledger.database import SqliteDatabase
from watcher.ledger.history import History
from watcher.ledger.hooks import Hooks
from watcher.ledger.hosts import Hosts
from watcher.ledger.ledger import Ledger
from watcher.ledger.lock import Lock
from watcher.ledger.memory import Memory
from watcher.ledger.outputs import Outputs
from watcher.ledger.part import LedgerContext
from watcher.ledger.paths import AS_STORED
from watcher.ledger.purchases import Purchases
from watcher.ledger.queue import Queue

#: Name of the ledger's file in the state directory.
NAME: Final = "ledger.sqlite3"


class SqliteLedger(Ledger):
    """A ledger in a file; `watcher.ledger.open_ledger` says what `exclusive` means."""

    def __init__(
        self,
        directory: Path,
        *,
        exclusive: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open. Raises StateLockedError if another process has the state's lock, StateError if the file cannot be used."""
        with ExitStack() as stack:
            if exclusive:
                stack.callback(Lock(directory).release)
            database = SqliteDatabase(directory / NAME, create=exclusive)
            stack.callback(database.close)
            context = LedgerContext(database, exclusive=exclusive, clock=clock, paths=AS_STORED)
            super().__init__(
                context,
                queue=Queue(context),
                answers=Answers(context),
                outputs=Outputs(context),
                memory=Memory(context),
                purchases=Purchases(context),
                hooks=Hooks(context),
                history=History(context),
                hosts=Hosts(context),
            )
            if exclusive:
                self.queue.recover()
            self._closing = stack.pop_all()
