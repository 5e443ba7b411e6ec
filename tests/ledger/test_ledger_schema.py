"""Ledgers of other versions: brought forward, or refused with a remedy."""

import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ledger_engines import claimed, found

from watcher.errors import StateError
from watcher.ledger import schema
from watcher.ledger.schema import APPLICATION, STEPS, migrate
from watcher.ledger.sqlite import NAME, SqliteLedger
from watcher.loudness import COARSE_RATE, Loudness

PATH = Path("ledger.sqlite3")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


FIRST = (f"PRAGMA application_id = {APPLICATION}", "CREATE TABLE notes (words TEXT)")
SECOND = ("ALTER TABLE notes ADD COLUMN length INTEGER", "UPDATE notes SET length = length(words)")


def test_a_new_ledger_has_all_steps_behind_it(connection: sqlite3.Connection) -> None:
    migrate(connection, PATH)

    assert version(connection) == len(STEPS)


def test_a_ledger_gets_the_steps_it_lacks_and_keeps_what_it_holds(connection: sqlite3.Connection) -> None:
    migrate(connection, PATH, (FIRST,))
    connection.execute("INSERT INTO notes VALUES ('hello')")

    migrate(connection, PATH, (FIRST, SECOND))

    assert version(connection) == 2
    assert connection.execute("SELECT * FROM notes").fetchall() == [("hello", 5)]


def test_a_ledger_that_lacks_nothing_is_left_alone(connection: sqlite3.Connection) -> None:
    migrate(connection, PATH)
    before = connection.total_changes

    migrate(connection, PATH)

    assert connection.total_changes == before


def test_a_step_that_fails_leaves_the_ledger_as_it_was(connection: sqlite3.Connection) -> None:
    migrate(connection, PATH, (FIRST,))
    connection.execute("INSERT INTO notes VALUES ('hello')")

    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, PATH, (FIRST, (*SECOND, "DROP TABLE nothing")))

    assert version(connection) == 1
    assert connection.execute("SELECT * FROM notes").fetchall() == [("hello",)]


def test_a_newer_ledger_is_refused_with_a_remedy(tmp_path: Path) -> None:
    SqliteLedger(tmp_path).close()
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()

    for exclusive in (True, False):
        with pytest.raises(StateError, match="newer watcher") as refused:
            SqliteLedger(tmp_path, exclusive=exclusive)
        assert str(tmp_path / NAME) in refused.value.message
        assert refused.value.hint


def test_a_looker_brings_no_older_ledger_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteLedger(tmp_path).close()
    monkeypatch.setattr(schema, "STEPS", (*STEPS, ("CREATE TABLE more (words TEXT)",)))

    with pytest.raises(StateError, match="older watcher") as refused:
        SqliteLedger(tmp_path, exclusive=False)
    assert refused.value.hint


@pytest.mark.slow
def test_a_looker_sees_no_ledger_that_is_half_made(tmp_path: Path) -> None:
    """`status` in the moment of the first start, at every statement of it."""
    looks = []

    def look(_: str) -> None:
        SqliteLedger(tmp_path, exclusive=False).close()
        looks.append(1)

    connection = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.set_trace_callback(look)
    migrate(connection, tmp_path / NAME)
    connection.set_trace_callback(None)
    connection.close()

    assert len(looks) > sum(map(len, STEPS))


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute("CREATE TABLE contacts (name TEXT)")
    connection.close()

    with pytest.raises(StateError, match="not a watcher's ledger"):
        SqliteLedger(tmp_path)


def test_a_refused_ledger_is_not_locked(tmp_path: Path) -> None:
    SqliteLedger(tmp_path).close()
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError):
        SqliteLedger(tmp_path)
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
    connection.close()

    ledger = SqliteLedger(tmp_path)

    ledger.queue.put([found()])
    ledger.close()


_WAITS = """
INSERT INTO sources (path, root, size, mtime_ns, inode, backlog, small, suspect, state, queued_at, updated_at)
VALUES (?, ?, 1, 1, 0, 0, 0, 0, 'ready', ?, 0)
"""
#: Two files of one root that wait since before roots took turns, and a later one of another root: path, root, queued at.
WAITING = [(b"/srv/a/1.wav", b"/srv/a", 1), (b"/srv/a/2.wav", b"/srv/a", 2), (b"/srv/b/1.wav", b"/srv/b", 3)]
IN_TURNS = [b"/srv/a/1.wav", b"/srv/b/1.wav", b"/srv/a/2.wav"]


def test_what_waits_in_a_ledger_of_a_version_without_turns_is_claimed_in_turns(tmp_path: Path) -> None:
    older = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    migrate(older, tmp_path / NAME, STEPS[:6])
    older.executemany(_WAITS, WAITING)
    older.close()

    ledger = SqliteLedger(tmp_path)
    taken = [claimed(ledger).path for _ in WAITING]
    ledger.close()

    assert taken == IN_TURNS


def test_what_waits_in_a_database_of_a_version_without_turns_is_claimed_in_turns(url: str, tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    from watcher.ledger.postgres import PostgresLedger  # noqa: PLC0415 - see above
    from watcher.ledger.postgres import schema as tables  # noqa: PLC0415 - see above

    with psycopg.connect(url) as older:
        tables.migrate(older, "test", tables.STEPS[:8])
        stored = [(path.replace(root, root[-1:] + b":"), root[-1:] + b":", at) for path, root, at in WAITING]
        older.cursor().executemany(_WAITS.replace("?", "%s"), stored)

    ledger = PostgresLedger(tmp_path, url, roots={"a": "/srv/a", "b": "/srv/b"})
    taken = [claimed(ledger).path for _ in WAITING]
    ledger.close()

    assert taken == IN_TURNS


#: A content as versions stored it that measured tenths of a second: two tenths.
_MEASURED = """
INSERT INTO contents (digest, sketch, parameters, seconds, cuts, loudness, used_at) VALUES ('d', 's', 'p', 0.2, '[]', ?, 0)
"""
TENTHS = Loudness(b"\x14\xff", COARSE_RATE)


def test_loudness_by_tenths_in_a_ledger_of_an_older_version_is_read_as_such(tmp_path: Path) -> None:
    older = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    migrate(older, tmp_path / NAME, STEPS[:11])
    older.execute(_MEASURED, (zlib.compress(TENTHS.levels),))
    older.close()

    ledger = SqliteLedger(tmp_path)
    content = ledger.answers.content(digest="d")
    ledger.close()

    assert content is not None
    assert content.loudness == TENTHS
    assert content.start is None


def test_loudness_by_tenths_in_a_database_of_an_older_version_is_read_as_such(url: str, tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    from watcher.ledger.postgres import PostgresLedger  # noqa: PLC0415 - see above
    from watcher.ledger.postgres import schema as tables  # noqa: PLC0415 - see above

    with psycopg.connect(url) as older:
        tables.migrate(older, "test", tables.STEPS[:13])
        older.cursor().execute(_MEASURED.replace("?", "%s"), (zlib.compress(TENTHS.levels),))
    ledger = PostgresLedger(tmp_path, url, roots={})
    content = ledger.answers.content(digest="d")
    ledger.close()

    assert content is not None
    assert content.loudness == TENTHS
