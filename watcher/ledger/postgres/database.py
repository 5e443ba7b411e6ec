"""PostgreSQL under the ledger: a few connections for all threads, statements in the ledger's dialect, errors with a remedy.

A cheap change commits without waiting for the server's disk (synchronous_commit = off). The server writes its log in
order, so everything committed before a durable change is durable with it, whichever connection made it.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, TypeVar

import psycopg
from psycopg import errors
from psycopg.adapt import Dumper

from watcher.errors import StateBusyError, StateError
from watcher.ledger.part import Row, Values
from watcher.ledger.postgres import schema
from watcher.ledger.postgres.address import Address
from watcher.ledger.postgres.pool import ConnectionPool, Raw

_T = TypeVar("_T")

#: Pauses between two tries while the database cannot be reached; seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
#: Seconds between two readings of the database's clock.
_SYNC: Final = 60.0
#: Settings of every connection. A host that was stopped in the middle of a transaction must not keep its locks for
#: long, and none of our statements takes long.
_SETTINGS: Final = (
    b"SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '60s'; SET lock_timeout = '30s'"
)


class PostgresConnection:
    """An open transaction, for statements in the dialect that both engines share."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    def execute(self, sql: str, values: Values = (), /) -> "psycopg.Cursor[Row]":
        """See part.Connection."""
        return self._raw.execute(translated(sql), values or None)

    def executemany(self, sql: str, values: Iterable[Values], /) -> None:
        """See part.Connection."""
        with self._raw.cursor() as cursor:
            cursor.executemany(translated(sql), values)


class PostgresDatabase:
    """A pool of connections; every method may be called from any thread."""

    missing = False
    remote = True

    def __init__(
        self, url: str, *, create: bool, host: str, patience: float, clock: Callable[[], float] | None = None
    ) -> None:
        """Connect; `create`: bring the schema up to date. Raises StateError and ConfigError.

        `host`: this host's name. `patience`: seconds to wait for a database that cannot be reached. `clock` replaces the
        database's own.
        """
        self._address = Address(url)
        self._works = create
        self._host = host
        self._patience = patience
        self._clock = clock
        self._pool = ConnectionPool(self.connect)
        #: The database's time, and the time of our own clock at that moment; our clock goes on while the machine sleeps.
        self._moment = (0.0, 0.0)
        try:
            self.patiently(self._open)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with self._pool.lent() as raw, _errors(self._address.name):
            if self._works:
                schema.migrate(raw, self._address.name)
            else:
                schema.check(raw, self._address.name)

    def close(self) -> None:
        """Close all connections; threads that wait for the database stop waiting. May be called again."""
        self._pool.close()

    @property
    def name(self) -> str:
        """Return the database's name for people, without a password."""
        return self._address.name

    def now(self) -> float:
        """Return the database's Unix time, to within the milliseconds of a round trip."""
        if self._clock is not None:
            return self._clock()
        theirs, ours = self._moment
        passed = _boot_time() - ours
        if passed > _SYNC:
            # Clocks drift by millionths: while the database is away or busy, a reading that is a minute old is good enough.
            self._sync_at_leisure()
            theirs, ours = self._moment
            passed = _boot_time() - ours
        return theirs + passed

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[PostgresConnection]:
        """See part.Store; raises StateBusyError if the same change may succeed in a moment."""
        with self._begun(durable=durable) as raw, _errors(self._address.name):
            yield PostgresConnection(raw)
            raw.execute(b"COMMIT")

    def change(
        self, make: Callable[[PostgresConnection], _T], *, durable: bool = True, patience: float | None = None
    ) -> _T:
        """See part.Store; waits for a database that is away, for `patience` seconds instead of our own."""

        def once() -> _T:
            with self.transaction(durable=durable) as connection:
                return make(connection)

        return self.patiently(once, patience=patience)

    def query(self, sql: str, values: Values = (), *, patience: float | None = None) -> list[Row]:
        """See part.Store; waits for a database that is away, for `patience` seconds instead of our own."""

        def ask() -> list[Row]:
            with self._pool.lent() as raw, _errors(self._address.name):
                return raw.execute(translated(sql), values or None).fetchall()

        return self.patiently(ask, patience=patience)

    def patiently(self, call: Callable[[], _T], *, patience: float | None = None) -> _T:
        """Repeat a call until the database can be reached, for `patience` seconds at most."""
        deadline, pause = time.monotonic() + (self._patience if patience is None else patience), _FIRST_PAUSE
        while True:
            try:
                return call()
            except StateBusyError:
                if time.monotonic() + pause > deadline or self._pool.closed.wait(pause):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)

    def version(self) -> int:
        """See part.Store: made of the sums, which change with every change of a source's state.

        It never changes for a host that claims jobs: such a host is notified of new work, and needs to know nothing else.
        """
        if self._works:
            return 0
        return hash(tuple(self.query("SELECT name, value FROM totals ORDER BY name")))

    def shrink(self) -> bool:
        """See part.Store; all at once, beside what others do."""
        # Only the tables' owner may do this; if the hosts' role is not the owner, the server's autovacuum does it later.
        with contextlib.suppress(StateError), self._pool.lent() as raw, _errors(self._address.name):
            raw.execute(b"VACUUM (TRUNCATE) answers, contents, cuts")
        return False

    def size(self) -> int:
        """See part.Store; works on a closed database, too."""
        with self._pool.lent() as raw, _errors(self._address.name):
            return int(raw.execute(_SIZE).fetchall()[0][0])

    def say(self, channel: str, word: str) -> None:
        """Notify all listeners of a channel; a host that is not reached looks by itself."""
        with contextlib.suppress(StateError), self._pool.lent() as raw, _errors(self._address.name):
            raw.execute(b"SELECT pg_notify(%s, %s)", (channel, word))

    def connect(self) -> Raw:
        """Open a connection outside the pool. Raises StateError."""
        with _errors(self._address.name):
            raw = self._address.connect()
            try:
                raw.adapters.register_dumper(bool, _Flag)
                raw.execute(_SETTINGS)
                raw.execute(b"SELECT set_config('watcher.host', %s, false)", (self._host,))
                self._sync(raw)
            except BaseException:
                raw.close()
                raise
        return raw

    def _sync_at_leisure(self) -> None:
        """Read the database's clock if a connection is idle. Do not wait for one: the caller may hold one itself."""
        with self._pool.idle() as raw, contextlib.suppress(StateError), _errors(self._address.name):
            if raw is not None:
                self._sync(raw)

    def _sync(self, raw: Raw) -> None:
        before = _boot_time()
        ((theirs,),) = raw.execute(b"SELECT extract(epoch FROM clock_timestamp())::float8").fetchall()
        self._moment = (theirs, (before + _boot_time()) / 2)

    @contextmanager
    def _begun(self, *, durable: bool) -> Iterator[Raw]:
        """Yield a connection with an open transaction; it is rolled back unless it was committed."""
        begin = b"BEGIN" if durable else b"BEGIN; SET LOCAL synchronous_commit = off"
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(self._pool.lent())
            try:
                raw.execute(begin, prepare=False)
            except psycopg.OperationalError:
                # It broke while it was idle; if the server was restarted, so did the other idle ones. Nothing was done yet.
                stack.close()
                self._pool.forget_idle()
                raw = stack.enter_context(self._pool.lent())
                with _errors(self._address.name):
                    raw.execute(begin, prepare=False)
            yield raw


@lru_cache(maxsize=512)
def translated(sql: str) -> bytes:
    """Replace ? and :name by psycopg's placeholders."""
    return _PLACE.sub(lambda match: f"%({match[1]})s" if match[1] else "%s", sql.replace("%", "%%")).encode()


# Not the second colon of a cast.
_PLACE: Final = re.compile(r"(?<!:):(\w+)|\?")
_SIZE: Final = b"""
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""


class _Flag(Dumper):
    """Sends a truth value as the number that the tables store."""

    oid = 21

    def dump(self, obj: bool) -> bytes:  # noqa: FBT001 - psycopg's own signature
        return b"1" if obj else b"0"


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Raise PostgreSQL's errors as our own."""
    try:
        yield
    except psycopg.Error as exc:
        words = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        for kinds, ours, sentence, hint in _ERRORS:
            if isinstance(exc, kinds):
                raise ours(f"{sentence.format(name=name)} ({words})", hint=hint) from exc
        # Without a code of its own, libpq lost the server or never reached it.
        if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError) and exc.sqlstate is None:
            raise StateBusyError(f"the database {name} cannot be reached ({words})", hint=_REACH) from exc
        raise StateError(f"the ledger in the database {name} cannot be used ({words})") from exc


_REACH: Final = (
    "look at the server (systemctl status postgresql, pg_isready), the way to it, and the role: its password comes from "
    "PGPASSFILE (~/.pgpass) or the url, pg_hba.conf says who may; everything goes on when it answers"
)
_RIGHTS: Final = (
    "the role needs USAGE on the schema, and SELECT, INSERT, UPDATE, DELETE on its tables; where it does not own them, the "
    "owner makes them, at first and for each new version: watcher state migrate postgresql://owner@host/database"
)
_ERRORS: Final[tuple[tuple[tuple[type[psycopg.Error], ...], type[StateError], str, str], ...]] = (
    (
        (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable, errors.QueryCanceled),
        StateBusyError,
        "the ledger in the database {name} is busy",
        "if this lasts, look for long transactions in pg_stat_activity",
    ),
    (
        (
            errors.AdminShutdown,
            errors.CrashShutdown,
            errors.CannotConnectNow,
            errors.IdleInTransactionSessionTimeout,
            errors.ReadOnlySqlTransaction,
        ),
        StateBusyError,
        "the database {name} does not take changes now",
        _REACH,
    ),
    (
        (errors.DiskFull, errors.TooManyConnections),
        StateBusyError,
        "the database {name} has no room",
        "free space on the server's disk, or raise max_connections; nothing that was reported as saved is lost",
    ),
    ((errors.InsufficientPrivilege,), StateError, "the database {name} refuses access", _RIGHTS),
)


def _boot_time() -> float:
    """Return the seconds of a clock that never jumps and goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
