"""Opening a ledger even if its file is damaged: what can be read of it is taken over into a new one, and the old one kept.

A daemon that refuses to start over a damaged file would do nothing until somebody looks. What is lost with the damage is
found anew: sources by the next scan, and files that have their outputs are recognised by them. The new file is complete
before the old one is renamed, so a crash on the way begins again or goes on.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from watcher.errors import StateDamagedError
from watcher.job import State
from watcher.ledger import open_ledger
from watcher.ledger.copying import TABLES, Table
from watcher.ledger.database import damage_mark
from watcher.ledger.lock import Lock
from watcher.ledger.part import Connection
from watcher.ledger.protocol import Ledger
from watcher.ledger.rows import cuts_from, outcome_from, warnings_from
from watcher.ledger.sqlite import NAME, SqliteLedger

#: Where the new ledger is made, below the state directory.
_WORKSHOP: Final = "salvage"
#: SQLite's files beside a database.
_BESIDE: Final = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Salvage:
    """What became of a damaged ledger."""

    #: The damaged file, kept under a new name.
    backup: Path
    #: Rows that were taken over, by table.
    rows: Mapping[str, int]


def open_or_salvage(
    directory: Path, url: str = "", *, roots: Mapping[str, str] | None = None, clock: Callable[[], float] = time.time
) -> tuple[Ledger, Salvage | None]:
    """Open a ledger to work on it, as `open_ledger` does; a damaged SQLite file is set aside first, and taken over."""
    mark = damage_mark(directory / NAME)
    if not url and not mark.exists():
        with contextlib.suppress(StateDamagedError):
            return open_ledger(directory, clock=clock), None
    if url or not mark.exists():
        return open_ledger(directory, url, roots=roots, clock=clock), None
    lock = Lock(directory)
    try:
        salvage = _salvaged(directory, clock)
        mark.unlink()
    finally:
        lock.release()
    return open_ledger(directory, clock=clock), salvage


def _salvaged(directory: Path, clock: Callable[[], float]) -> Salvage:
    damaged, workshop = directory / NAME, directory / _WORKSHOP
    backup = directory / f"{NAME}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(clock()))}.damaged"
    rows: dict[str, int] = {}
    if damaged.exists() or not (workshop / NAME).exists():
        # Else a crash fell between the two renamings below, and the new one is complete.
        shutil.rmtree(workshop, ignore_errors=True)
        ledger = SqliteLedger(workshop, clock=clock)
        try:
            rows = _taken_over(damaged, ledger)
        finally:
            ledger.close()
        for suffix in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{damaged}{suffix}").rename(f"{backup}{suffix}")
    (workshop / NAME).rename(damaged)
    shutil.rmtree(workshop, ignore_errors=True)
    return Salvage(backup, rows)


def _taken_over(damaged: Path, ledger: SqliteLedger) -> dict[str, int]:
    """Fill an empty ledger with every row that can be read and makes sense; give their numbers."""
    try:
        giving = sqlite3.connect(f"file:{quote(os.fsencode(damaged.absolute()))}?mode=ro", uri=True)
    except sqlite3.Error:
        return {}
    inside = ledger.insides
    with contextlib.closing(giving), inside.store.transaction() as taking:
        rows = {table.name: sum(_take(table, row, taking) for row in _readable(table, giving)) for table in TABLES}
        with contextlib.suppress(sqlite3.Error):
            sums = giving.execute("SELECT name, value FROM totals").fetchall()
            taking.executemany(inside.add, [(value, name) for name, value in sums if name not in set(State)])
    return rows


def _readable(table: Table, giving: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Read a table from both ends up to where it is damaged; columns that an older ledger lacks get their defaults."""
    try:
        present = {name for _, name, *_ in giving.execute(f"PRAGMA table_info({table.name})")}
    except sqlite3.Error:
        return
    columns = [column for column in table.columns if column in present]
    key = ", ".join(table.key)
    select = f"SELECT {key}, {', '.join(columns)} FROM {table.name} ORDER BY "  # noqa: S608 - our own names
    width = len(table.key)
    last = None
    try:
        for row in giving.execute(select + key):
            last = row[:width]
            yield dict(zip(columns, row[width:], strict=True))
    except sqlite3.Error:
        backwards = ", ".join(f"{column} DESC" for column in table.key)
        with contextlib.suppress(sqlite3.Error):
            for row in giving.execute(select + backwards):
                if last is not None and row[:width] <= last:
                    return
                yield dict(zip(columns, row[width:], strict=True))


def _take(table: Table, values: dict[str, Any], taking: Connection) -> bool:
    if not _is_sound(values):
        return False
    if values.get("state") == State.RUNNING:
        values |= {"state": State.READY.value, "alone": 1}
    marks = ", ".join("?" * len(values))
    try:
        insert = f"INSERT OR IGNORE INTO {table.name} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608 - our own
        return taking.execute(insert, tuple(values.values())).rowcount > 0
    except sqlite3.Error:
        return False


def _is_sound(values: Mapping[str, Any]) -> bool:
    """Say whether a row of a damaged file can be worked with: nonsense in it would end the daemon later."""
    if not all(_has_type(column, value) for column, value in values.items()):
        return False
    if "state" in values and values["state"] not in set(State):
        return False
    try:
        for column, read in _READERS.items():
            if values.get(column) is not None:
                read(values[column])
    except (ValueError, TypeError, LookupError, AttributeError):
        return False
    return True


def _has_type(column: str, value: object) -> bool:
    if value is None:
        return column in _OPTIONAL
    if column in _BLOBS:
        return isinstance(value, bytes)
    if column in _NUMBERS:
        return isinstance(value, int | float)
    if column in _WHOLE:
        return isinstance(value, int)
    return isinstance(value, str)


_OPTIONAL: Final = frozenset({"seconds", "outcome", "expires"})
_BLOBS: Final = frozenset({"path", "root", "source", "body", "loudness", "payload"})
_NUMBERS: Final = frozenset({"seconds", "run_at", "queued_at", "updated_at", "seconds_done", "used_at", "expires"})
_WHOLE: Final = frozenset(
    (
        *(
            "size",
            "mtime_ns",
            "inode",
            "backlog",
            "small",
            "suspect",
            "attempts",
            "fence",
            "alone",
            "crashes",
            "reached",
        ),
        *("piece", "pieces", "number", "first", "behind", "placed"),
    )
)
_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "outcome": outcome_from,
    "cuts": cuts_from,
    "warnings": warnings_from,
    "value": lambda words: {**json.loads(words)},
}
