"""The ledger: the durable queue, and all that the daemon remembers."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from watcher.errors import ConfigError
from watcher.ledger.ledger import Ledger
from watcher.ledger.lock import holder
from watcher.ledger.sqlite import SqliteLedger

__all__ = ["Ledger", "holder", "open_ledger"]

_POSTGRES: Final = ("postgresql", "postgres")


def open_ledger(
    directory: Path,
    url: str = "",
    *,
    roots: Mapping[str, str] | None = None,
    exclusive: bool = True,
    lock: bool = True,
    clock: Callable[[], float] = time.time,
) -> Ledger:
    """Open the ledger in `directory`, made if need be; `url` chooses the engine ("" is SQLite, postgresql://… is shared).

    `exclusive`: as the one process that works on it: takes the state's lock, brings the schema forward and queues again
    what a crash left running. Otherwise as one that looks, beside a running daemon or without one: it takes no lock, makes
    nothing and brings nothing forward, and may not claim; small changes (`put_back`, `remember`) reach the daemon within a
    second or so. Where there is no ledger yet such a looker sees an empty one of size 0, and a change is refused; where
    there is no database of that url, or none with a ledger, it is a StateError.

    `roots`: path of each named root on this host; a shared ledger knows sources by root and the path below it. There
    `directory` identifies the host; lock and crash recovery are per host. `lock=False`: the caller already holds the lock.

    Raises StateLockedError, StateError, and ConfigError for a url no engine answers to.
    """
    if not url:
        return SqliteLedger(directory, exclusive=exclusive, clock=clock)
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _POSTGRES:
        raise ConfigError(
            f"no ledger engine answers to {scheme.partition(':')[0]!r} ([state] url)",
            hint="leave url empty for a SQLite file in [state] dir, or write postgresql://user@host/database",
        )
    try:
        from watcher.ledger.postgres import PostgresLedger  # noqa: PLC0415 - only for those who share
    except ImportError as exc:
        raise ConfigError(
            "a ledger on PostgreSQL needs the package psycopg ([state] url)",
            hint="pip install 'transcription-watcher[postgres]'",
        ) from exc
    return PostgresLedger(directory, url, roots=roots, exclusive=exclusive, lock=lock, clock=clock)
