"""The ledger: the durable queue, and all that the daemon remembers."""

import time
from collections.abc import Callable
from pathlib import Path

from watcher.errors import ConfigError
from watcher.ledger.lock import holder
from watcher.ledger.protocol import Ledger
from watcher.ledger.sqlite import SqliteLedger

__all__ = ["Ledger", "holder", "open_ledger"]


def open_ledger(
    directory: Path, url: str = "", *, exclusive: bool = True, clock: Callable[[], float] = time.time
) -> Ledger:
    """Open the ledger in `directory`, made if need be; `url` chooses the engine ("" is SQLite).

    `exclusive`: as the one process that works on it: takes the state's lock, brings the schema forward and queues again
    what a crash left running. Otherwise as one that looks, beside a running daemon or without one: it takes no lock, makes
    nothing and brings nothing forward, and may not claim; small changes (`put_back`, `remember`) reach the daemon within a
    second or so. Where there is no ledger yet such a looker sees an empty one of size 0, and a change is refused.

    Raises StateLockedError, StateError, and ConfigError for a url no engine answers to.
    """
    if url:
        scheme = url.partition(":")[0]
        raise ConfigError(
            f"no ledger engine answers to {scheme!r} ([state] url)",
            hint="leave url empty: the ledger is then a SQLite file in [state] dir",
        )
    return SqliteLedger(directory, exclusive=exclusive, clock=clock)
