"""What the parts of a ledger have in common: the database, and what time it is."""

import time
from collections.abc import Callable

from watcher.ledger.database import Database


class Part:
    """One concern of a ledger; an engine is made of all of them, on one database."""

    def __init__(
        self,
        database: Database,
        *,
        exclusive: bool,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`exclusive`: this process holds the state's lock. `clock` dates what is stored, `monotonic` times leases."""
        self._database = database
        self._exclusive = exclusive
        self._clock = clock
        self._monotonic = monotonic
