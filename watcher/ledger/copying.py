"""Copy a ledger from one engine to another: every row, so that no history and no paid answer is lost.

Both ledgers are opened as a daemon opens them, so that no daemon can use them meanwhile; for a shared ledger, all hosts have to be
stopped. A shared ledger stores root and path below it; SQLite stores this host's paths.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from watcher.errors import StateError
from watcher.job import State
from watcher.ledger import open_ledger
from watcher.ledger.part import Connection, LedgerContext, Row, Store
from watcher.ledger.rows import outcome_from, outcome_text
from watcher.ledger.sqlite import NAME


@dataclass(frozen=True, slots=True)
class LedgerLocation:
    """Location of a ledger: a state directory, and the url of a shared one; see `open_ledger`."""

    directory: Path
    url: str = ""


def copy(source: LedgerLocation, target: LedgerLocation, *, roots: Mapping[str, str]) -> dict[str, int]:
    """Copy a ledger into an empty one, all or nothing; return the number of rows by table. The source stays as it is.

    `roots`: path of each named root on this host. In a shared ledger, a path outside all named roots belongs to one host: paths
    of other hosts are left out, and counted as ``left_out``. Raises StateLockedError if a daemon uses one of the two,
    StateError if the target is not empty or a root has no path here, and ConfigError.
    """
    if source == target:
        raise StateError("a ledger cannot be copied to itself", hint="name two places")
    if not source.url and not (source.directory / NAME).exists():
        raise StateError(f"there is no ledger in {source.directory}", hint="name the state directory: watcher config")
    with _opened(source, target, roots) as giving, _opened(target, source, roots) as taking:
        if any(taking.database.query(f"SELECT 1 FROM {table.name} LIMIT 1") for table in TABLES):  # noqa: S608 - our own
            raise StateError(
                "the ledger to copy to holds something already",
                hint="copy into a new database, or into a state directory without a ledger",
            )
        copied = {"left_out": 0}
        with taking.database.transaction() as connection:
            for table in TABLES:
                copied[table.name], left_out = _copy(table, giving, taking, connection)
                copied["left_out"] += left_out
            sums = giving.database.query("SELECT name, value FROM totals")
            connection.executemany(taking.add, [(value, name) for name, value in sums if name not in set(State)])
            # A shared ledger has a row of each host.
            pace = giving.database.query("SELECT minute, sum(seconds) FROM pace GROUP BY minute")
            connection.executemany("INSERT INTO pace (minute, seconds) VALUES (?, ?)", pace)
            _copy_activity(giving, connection)
    return copied


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the columns by which it is sorted, and all columns that are copied."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


# Without the time since which a source is gone: a scan finds that again.
TABLES: Final = (
    Table(
        "sources",
        ("id",),
        (
            *(
                "path",
                "root",
                "size",
                "mtime_ns",
                "inode",
                "backlog",
                "small",
                "suspect",
                "seconds",
                "content",
                "state",
            ),
            *(
                "attempts",
                "fence",
                "alone",
                "crashes",
                "reached",
                "run_at",
                "queued_at",
                "updated_at",
                "piece",
                "pieces",
            ),
            *("seconds_done", "reason", "message", "hint", "outcome", "again", "model", "came_as", "session"),
        ),
    ),
    Table("answers", ("id",), ("digest", "parameters", "body", "seconds", "model", "endpoint", "used_at", "aside")),
    Table(
        "cuts",
        ("sketch", "parameters", "number"),
        ("sketch", "parameters", "number", "first", "behind", "digest", "used_at"),
    ),
    Table(
        "contents",
        ("id",),
        (
            *("digest", "sketch", "parameters", "others", "seconds", "cuts"),
            *("loudness", "loudness_rate", "warnings", "parts", "start", "used_at"),
        ),
    ),
    Table("outputs", ("path",), ("path", "source", "kind", "digest", "former", "placed")),
    Table("temporaries", ("path",), ("path",)),
    Table("memory", ("key",), ("key", "value", "expires")),
    Table("bought", ("endpoint", "day"), ("endpoint", "day", "seconds")),
    Table(
        "hooks",
        ("id",),
        ("source", "receiver", "kind", "payload", "attempts", "failures", "run_at", "message", "given_up"),
    ),
)
#: Not empty in a new ledger; a shared one has rows of each host.
ACTIVITY: Final = Table(
    "activity",
    ("slot", "endpoint"),
    ("slot", "endpoint", "done", "failed", "audio_seconds", "waited_seconds", "bought_seconds"),
)
#: Columns that hold a path.
_PATHS: Final = frozenset({"path", "root", "source", "came_as", "session"})
#: Rows at a time.
_PAGE: Final = 500


@contextmanager
def _opened(location: LedgerLocation, other: LedgerLocation, roots: Mapping[str, str]) -> Iterator[LedgerContext]:
    # If both have the same directory, one lock is enough; SQLite always takes it.
    lock = location.directory != other.directory or bool(other.url)
    ledger = open_ledger(location.directory, location.url, roots=roots, lock=lock)
    try:
        yield ledger.context
    finally:
        ledger.close()


def _copy(table: Table, giving: LedgerContext, taking: LedgerContext, connection: Connection) -> tuple[int, int]:
    """Copy a table; return how many rows were copied and how many left out."""
    marks = ", ".join("?" * len(table.columns))
    # A shared ledger may know one file twice, below a named root and below none; of two, the first stays.
    insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own names
    read = 0
    for page in _pages(table, giving.database):
        carried = [_carried(dict(zip(table.columns, row, strict=True)), giving, taking) for row in page]
        kept = [tuple(values[column] for column in table.columns) for values in carried if values is not None]
        connection.executemany(insert, kept)
        read += len(page)
    ((copied,),) = connection.execute(f"SELECT count(*) FROM {table.name}").fetchall()  # noqa: S608 - our own names
    return copied, read - copied


def _copy_activity(giving: LedgerContext, connection: Connection) -> None:
    """Copy what was done, the rows of all hosts as one, and since when it is counted."""
    sums = ", ".join(f"sum({column})" for column in ACTIVITY.columns[2:])
    found = giving.database.query(f"SELECT slot, endpoint, {sums} FROM activity GROUP BY slot, endpoint")  # noqa: S608 - our own names
    marks = ", ".join("?" * len(ACTIVITY.columns))
    connection.execute("DELETE FROM activity")
    connection.executemany(f"INSERT INTO activity ({', '.join(ACTIVITY.columns)}) VALUES ({marks})", found)  # noqa: S608 - our own names


def _pages(table: Table, store: Store) -> Iterator[list[Row]]:
    """Read a table in the order of its key, some rows at a time."""
    width = len(table.key)
    key = ", ".join(table.key)
    select = f"SELECT {key}, {', '.join(table.columns)} FROM {table.name}"  # noqa: S608 - our own names
    order = f" ORDER BY {key} LIMIT {_PAGE}"
    page = store.query(select + order)
    while page:
        yield [row[width:] for row in page]
        behind = f" WHERE ({key}) > ({', '.join('?' * width)})"
        page = store.query(select + behind + order, page[-1][:width])


def _carried(values: dict[str, Any], giving: LedgerContext, taking: LedgerContext) -> dict[str, Any] | None:
    """Return a row as the other ledger stores it; None if it belongs to another host."""

    def carry(path: bytes) -> bytes | None:
        if not path:
            # A hook about no file.
            return path
        own = giving.paths.own(path)
        return None if own is None else taking.paths.stored(own)

    try:
        for name in _PATHS & values.keys():
            if values[name] is not None:
                values[name] = carry(values[name])
                if values[name] is None:
                    return None
        if values.get("outcome"):
            values["outcome"] = _outcome(values["outcome"], carry)
    except ValueError as exc:
        raise StateError(
            f"the folder {str(exc)!r}, which the ledger knows, has no path on this host",
            hint="name it in the settings, with its path here: [[folders]] name, path",
        ) from exc
    # No host works on it now; if a host died while it worked on it, it is a suspect, as it would be for the other hosts.
    if values.get("state") == State.RUNNING:
        values |= {"state": State.READY.value, "alone": 1}
    return values


def _outcome(written: str, carry: Callable[[bytes], bytes | None]) -> str:
    outcome = outcome_from(written)
    return outcome_text(
        replace(
            outcome,
            outputs=tuple(replace(output, path=carry(output.path) or output.path) for output in outcome.outputs),
            moved_to=(carry(outcome.moved_to) or b"") if outcome.moved_to else b"",
            renamed_from=(carry(outcome.renamed_from) or b"") if outcome.renamed_from else b"",
        )
    )
