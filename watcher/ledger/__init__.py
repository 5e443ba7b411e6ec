"""The ledger: the durable queue, and all that the daemon remembers."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from watcher.errors import ConfigError
from watcher.ledger.ledger import Ledger
from watcher.ledger.lock import holder, is_state
from watcher.ledger.sqlite import SqliteLedger

__all__ = ["LONGEST_IN_POSTGRES", "Ledger", "holder", "is_state", "open_ledger"]

#: Bytes of the longest path that a ledger on PostgreSQL takes: an entry of an index has at most 2,704 bytes, and the name of
#: the path's folder is part of it.
LONGEST_IN_POSTGRES: Final = 2048
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

    `exclusive`: open it as the one process that claims jobs: take the state's lock, update the schema, and queue again what was
    running in a crash. Otherwise open it to look, beside a running daemon or without one: this takes no lock, creates and
    updates no tables, and may not claim; small changes (`put_back`, `remember`) reach the daemon within a second or so. If
    there is no ledger file yet, a process that looks sees an empty ledger of size 0 and can change nothing; if there is no
    such database, or no ledger in it, it gets a StateError.

    `roots`: path of each named root on this host; a shared ledger knows sources by root and the path below it. There
    `directory` identifies the host; lock and crash recovery are per host. `lock=False`: the caller already holds the lock.
    Raises StateLockedError, StateError, and ConfigError for a url that belongs to no engine.
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
