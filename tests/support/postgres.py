"""A PostgreSQL cluster of the tests' own, on a free port, started when the first of them needs it."""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.tools import succeeds

#: Debian keeps the server's programs out of PATH, by version.
_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
#: Root may not run the server.
_AS: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
_NUMBERS = count(1)
#: Waits for the end of whoever holds the other end of its stdin, however that one ends, and then ends the server. In a
#: session of its own, so that what is sent to a test run's group does not end it first.
_GUARD = 'read -r _; "$1" -D "$2/data" -m immediate stop; rm -rf "$2"'

#: Empties a ledger, with its first rows again; returns the bytes that its tables and indexes have grown to.
_EMPTIED = """
CREATE OR REPLACE FUNCTION public.emptied(ledger text) RETURNS bigint LANGUAGE plpgsql
-- Without triggers.
SET session_replication_role = replica AS $$
DECLARE place regclass; kind "char"; BEGIN
    FOR place, kind IN SELECT oid, relkind FROM pg_class WHERE relnamespace = ledger::regnamespace LOOP
        IF kind = 'r' THEN
            EXECUTE format('DELETE FROM %s', place);
        ELSIF kind = 'S' THEN
            PERFORM setval(place, 1, false);
        END IF;
    END LOOP;
    FOR place IN SELECT oid FROM pg_class WHERE relnamespace = (ledger || '_first')::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('INSERT INTO %I.%I TABLE %s', ledger, (SELECT relname FROM pg_class WHERE oid = place), place);
    END LOOP;
    RETURN (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = ledger::regnamespace AND relkind = 'r');
END $$
"""
#: Bytes of tables that are no more like new ones, which have 550,000.
_GROWN = 750_000


class Cluster:
    """One server with its data in a temporary directory; `port` may be given to start it again where it was."""

    def __init__(self, *settings: str) -> None:
        self._bin = programs()
        self.directory = Path(tempfile.mkdtemp(prefix="watcher-pg-"))
        if _AS:
            shutil.chown(self.directory, "postgres", "postgres")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._emptied: list[str] = []
        self._settings = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}", *settings)
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", self._bin / "pg_ctl", self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **_AS,
        )
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        options = " ".join(f"-c {setting}" for setting in (f"port={self.port}", *self._settings))
        self._run("pg_ctl", "-w", "-l", str(self.directory / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def remove(self) -> None:
        """End it and take its data away: what happens by itself when this process is killed."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()

    def url(self, schema: str, *, user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/postgres?options={quote(f'-csearch_path={schema}')}"

    @contextmanager
    def schema(self) -> Iterator[str]:
        """Give the url of an empty schema, dropped at the end: to a ledger it is a database of its own."""
        name = f"t{next(_NUMBERS)}"
        self.sql(f"CREATE SCHEMA {name}")
        try:
            yield self.url(name)
        finally:
            self.sql(f"DROP SCHEMA {name} CASCADE")

    @contextmanager
    def tables(self) -> Iterator[str]:
        """Give the url of a schema with the tables of an empty ledger: those of an earlier test, emptied, or new ones.

        To make them costs more than most of what tests do with them.
        """
        name = self._emptied.pop() if self._emptied else self._migrated()
        yield self.url(name)
        ((size,),) = self.sql(f"SELECT public.emptied('{name}')")
        if size < _GROWN:
            self._emptied.append(name)
        else:
            self.sql(f"DROP SCHEMA {name}, {name}_first CASCADE")

    def _migrated(self) -> str:
        """Make the tables of a ledger, in a schema whose name is returned."""
        import psycopg  # noqa: PLC0415 - where the extra is missing, nothing of this is run

        from watcher.ledger.postgres.schema import migrate  # noqa: PLC0415 - likewise

        name = f"t{next(_NUMBERS)}"
        self.sql(f"CREATE SCHEMA {name}; CREATE SCHEMA {name}_first")
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            migrate(connection, name)
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            ).fetchall()
        self.sql(_EMPTIED)
        for (table,) in tables:
            self.sql(f"CREATE TABLE {name}_first.{table} AS TABLE {name}.{table}")
            if not self.sql(f"TABLE {name}_first.{table} LIMIT 1"):
                self.sql(f"DROP TABLE {name}_first.{table}")
        return name

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        import psycopg  # noqa: PLC0415 - where the extra is missing, nothing of this is run

        with psycopg.connect(self.url("public"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin / program, "-D", self.directory / "data", *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            cwd="/",
            **_AS,
        )


def programs() -> Path:
    """Return the directory of the server's programs, or skip the test where there are none."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    place = _place()
    if place is None:
        pytest.skip("no PostgreSQL server can be run here (apt install postgresql)")
    return place


def installed() -> bool:
    """Return whether a cluster can be started here."""
    return find_spec("psycopg") is not None and _place() is not None


@cache
def _place() -> Path | None:
    """Return a directory with all of the server's programs, which may be run as its user: not a client's alone."""
    found = shutil.which("initdb")
    for place in [*([Path(found).parent] if found else []), *_PLACES]:
        if all(succeeds([place / program, "--version"], **_AS) for program in ("initdb", "pg_ctl", "postgres")):
            return place
    return None


@cache
def cluster() -> Cluster:
    """Give the cluster that most tests share; they ask for no durability."""
    made = Cluster("fsync=off", "max_connections=200")
    atexit.register(made.remove)
    return made
