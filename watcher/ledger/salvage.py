"""Open a ledger even if its file is damaged: copy the readable rows into a new one, and keep the old file.

A daemon that refuses to start with a damaged file would do nothing until somebody looks. Lost rows are found again:
sources by the next scan, and files that were done are recognised by their outputs.

The new ledger is made in a separate directory, and renamed when it is complete. A crash before that means to begin again; a crash
after it means to continue with these steps: rename the damaged files, its write-ahead log included (SQLite would apply it to the
new ledger); remove the mark of damage; move the new ledger to the final path.
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

from watcher.errors import StateDamagedError, StateError
from watcher.job import State
from watcher.ledger import open_ledger
from watcher.ledger.copying import ACTIVITY, TABLES, Table
from watcher.ledger.database import damage_mark
from watcher.ledger.ledger import Ledger
from watcher.ledger.lock import Lock
from watcher.ledger.part import Connection
from watcher.ledger.rows import again_from, cuts_from, outcome_from, parts_from, start_from, warnings_from
from watcher.ledger.sqlite import NAME, SqliteLedger

#: Directory below the state directory in which the new ledger is made, and its name once it is complete.
_WORKSHOP: Final = "salvage"
_COMPLETE: Final = f"{NAME}.salvaged"
#: SQLite's files beside a database.
_BESIDE: Final = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Salvage:
    """Result of salvaging a damaged ledger."""

    #: The damaged file, kept under a new name.
    backup: Path
    #: Number of copied rows, by table.
    rows: Mapping[str, int]


def open_or_salvage(
    directory: Path, url: str = "", *, roots: Mapping[str, str] | None = None, clock: Callable[[], float] = time.time
) -> tuple[Ledger, Salvage | None]:
    """Open a ledger exclusively, as `open_ledger` does; if the SQLite file is damaged, first make a new one of its readable rows."""
    if url:
        return open_ledger(directory, url, roots=roots, clock=clock), None
    if not _is_to_be_salvaged(directory):
        try:
            return open_ledger(directory, clock=clock), None
        except StateDamagedError:
            if not _is_to_be_salvaged(directory):
                raise
    lock = Lock(directory)
    try:
        salvage = _salvaged(directory, clock)
    finally:
        lock.release()
    return open_ledger(directory, clock=clock), salvage


def _is_to_be_salvaged(directory: Path) -> bool:
    return damage_mark(directory / NAME).exists() or (directory / _COMPLETE).exists()


def _salvaged(directory: Path, clock: Callable[[], float]) -> Salvage:
    damaged, workshop, complete = directory / NAME, directory / _WORKSHOP, directory / _COMPLETE
    if not complete.exists():
        _make_new(damaged, workshop, clock).rename(complete)
    backup = _backup(directory, clock)
    for suffix in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{damaged}{suffix}").rename(f"{backup}{suffix}")
    rows = _counted(complete)
    damage_mark(damaged).unlink(missing_ok=True)
    shutil.rmtree(workshop, ignore_errors=True)
    complete.rename(damaged)
    return Salvage(backup, rows)


def _make_new(damaged: Path, workshop: Path, clock: Callable[[], float]) -> Path:
    """Fill a new ledger with the readable rows of the damaged one; return its file."""
    shutil.rmtree(workshop, ignore_errors=True)
    ledger = SqliteLedger(workshop, clock=clock)
    try:
        _take_over(damaged, ledger)
    finally:
        ledger.close()
    made = workshop / NAME
    if Path(f"{made}-wal").exists():
        # The last connection moves the log into the one file, unless the disk is full.
        raise StateError(
            f"no space is left for a new ledger in {workshop}",
            hint="free some space on its disk; the damaged one is as it was",
        )
    return made


def _backup(directory: Path, clock: Callable[[], float]) -> Path:
    """Return the new name of the damaged file and its log: the same for both, also if a crash comes between the two renames."""
    if not (directory / NAME).exists() and (kept := sorted(directory.glob(f"{NAME}.*.damaged"))):
        return kept[-1]
    return directory / f"{NAME}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(clock()))}.damaged"


def _counted(complete: Path) -> dict[str, int]:
    """Count the rows of the new ledger by table; afterwards no file of SQLite is beside it."""
    reading = sqlite3.connect(f"file:{quote(os.fsencode(complete.absolute()))}?immutable=1", uri=True)
    with contextlib.closing(reading):
        return {table.name: reading.execute(_COUNT.format(table.name)).fetchone()[0] for table in TABLES}


_COUNT: Final = "SELECT count(*) FROM {}"


def _take_over(damaged: Path, ledger: SqliteLedger) -> None:
    """Fill an empty ledger with every row that can be read and is plausible."""
    try:
        giving = sqlite3.connect(f"file:{quote(os.fsencode(damaged.absolute()))}?mode=ro", uri=True)
    except sqlite3.Error:
        return
    inside = ledger.context
    with contextlib.closing(giving), inside.database.transaction() as taking:
        for table in (*TABLES, ACTIVITY):
            for row in filter(_is_sound, _readable(table, giving)):
                _take(table, row, taking)
        with contextlib.suppress(sqlite3.Error):
            sums = giving.execute("SELECT name, value FROM totals").fetchall()
            taking.executemany(inside.add, [(value, name) for name, value in sums if name not in set(State)])


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


def _take(table: Table, values: dict[str, Any], taking: Connection) -> None:
    if values.get("state") == State.RUNNING:
        values |= {"state": State.READY.value, "alone": 1}
    marks = ", ".join("?" * len(values))
    insert = f"INSERT OR IGNORE INTO {table.name} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608 - our own
    with contextlib.suppress(sqlite3.Error):
        taking.execute(insert, tuple(values.values()))


def _is_sound(values: Mapping[str, Any]) -> bool:
    """Return whether all values of a damaged file's row are plausible: others could end the daemon later."""
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


_OPTIONAL: Final = frozenset({"seconds", "outcome", "expires", "came_as", "session"})
_BLOBS: Final = frozenset({"path", "root", "source", "came_as", "session", "body", "loudness", "payload"})
_NUMBERS: Final = frozenset({"seconds", "run_at", "queued_at", "updated_at", "seconds_done", "used_at", "expires"}) | {
    *("audio_seconds", "waited_seconds", "bought_seconds"),
}
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
            "failures",
            "fence",
            "alone",
            "crashes",
            "reached",
        ),
        *("piece", "pieces", "number", "first", "behind", "placed", "aside", "loudness_rate"),
        *("slot", "done", "failed"),
    )
)
_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "outcome": outcome_from,
    "again": again_from,
    "cuts": cuts_from,
    "warnings": warnings_from,
    "parts": parts_from,
    "start": start_from,
    "value": lambda words: {**json.loads(words)},
}
