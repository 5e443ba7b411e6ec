"""PostgreSQL under the ledger: a few connections for all threads, statements in the ledger's dialect, errors with a remedy.

A cheap change commits without waiting for the server's disk (synchronous_commit = off): the server writes its log in
order, so whatever was committed before a durable change is durable with it, on whichever connection.
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

#: Pauses between two tries while the database is away; seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
#: Seconds between two looks at the database's clock.
_SYNC: Final = 60.0
#: What every connection begins with. A host that was stopped in the middle of a transaction must not hold its locks for
#: long, and none of our statements takes long.
_SETTINGS: Final = (
    b"SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '60s'; SET lock_timeout = '30s'"
)


class PostgresConnection:
    """A transaction under way, for statements in the dialect the engines share."""

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

        `host` is who we are. `patience`: seconds that a database that went away is waited for. `clock` replaces the
        database's own.
        """
        self._address = Address(url)
        self._works = create
        self._host = host
        self._patience = patience
        self._clock = clock
        self._pool = ConnectionPool(self.connect)
        #: The database's time at a moment of our own clock, which goes on while a machine sleeps.
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
        """Return which database it is, for people; without a password."""
        return self._address.name

    def now(self) -> float:
        """Return the database's Unix time, to within the milliseconds of a round trip."""
        if self._clock is not None:
            return self._clock()
        theirs, ours = self._moment
        passed = _boot_time() - ours
        if passed > _SYNC:
            # Clocks differ by millionths: what was right a minute ago does while the database is away, or busy.
            self._sync_at_leisure()
            theirs, ours = self._moment
            passed = _boot_time() - ours
        return theirs + passed

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[PostgresConnection]:
        """See part.Store; StateBusyError where the same may pass in a moment."""
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
        """Do something again until the database is there to do it, but not for longer than our patience."""
        deadline, pause = time.monotonic() + (self._patience if patience is None else patience), _FIRST_PAUSE
        while True:
            try:
                return call()
            except StateBusyError:
                if time.monotonic() + pause > deadline or self._pool.closed.wait(pause):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)

    def version(self) -> int:
        """See part.Store: made of the sums, which every change of a source's state moves.

        Always the same for a host that works: it is notified of new work, and of nothing else.
        """
        if self._works:
            return 0
        return hash(tuple(self.query("SELECT name, value FROM totals ORDER BY name")))

    def shrink(self) -> bool:
        """See part.Store; all at once, beside what others do."""
        # Only the tables' owner may; where the hosts' role is another one, the server's autovacuum does it in time.
        with contextlib.suppress(StateError), self._pool.lent() as raw, _errors(self._address.name):
            raw.execute(b"VACUUM (TRUNCATE) answers, contents, cuts")
        return False

    def size(self) -> int:
        """See part.Store; may be asked of a closed one, too."""
        with self._pool.lent() as raw, _errors(self._address.name):
            return int(raw.execute(_SIZE).fetchall()[0][0])

    def say(self, channel: str, word: str) -> None:
        """Notify all that listen on a channel; a host that is not reached looks by itself."""
        with contextlib.suppress(StateError), self._pool.lent() as raw, _errors(self._address.name):
            raw.execute(b"SELECT pg_notify(%s, %s)", (channel, word))

    def connect(self) -> Raw:
        """Make a connection of one's own. Raises StateError."""
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
        """Look at the database's clock if a connection lies idle: who asks may have one already, so nobody waits for one."""
        with self._pool.idle() as raw, contextlib.suppress(StateError), _errors(self._address.name):
            if raw is not None:
                self._sync(raw)

    def _sync(self, raw: Raw) -> None:
        before = _boot_time()
        ((theirs,),) = raw.execute(b"SELECT extract(epoch FROM clock_timestamp())::float8").fetchall()
        self._moment = (theirs, (before + _boot_time()) / 2)

    @contextmanager
    def _begun(self, *, durable: bool) -> Iterator[Raw]:
        """Yield a connection on which a transaction has begun; it is undone unless it was committed."""
        begin = b"BEGIN" if durable else b"BEGIN; SET LOCAL synchronous_commit = off"
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(self._pool.lent())
            try:
                raw.execute(begin, prepare=False)
            except psycopg.OperationalError:
                # It broke while it lay idle, and so did the others, if the server was restarted: nothing was done yet.
                stack.close()
                self._pool.forget_idle()
                raw = stack.enter_context(self._pool.lent())
                with _errors(self._address.name):
                    raw.execute(begin, prepare=False)
            yield raw


@lru_cache(maxsize=512)
def translated(sql: str) -> bytes:
    """Write ? and :name the way psycopg does."""
    return _PLACE.sub(lambda match: f"%({match[1]})s" if match[1] else "%s", sql.replace("%", "%%")).encode()


# Not the second colon of a cast.
_PLACE: Final = re.compile(r"(?<!:):(\w+)|\?")
_SIZE: Final = b"""
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""


class _Flag(Dumper):
    """A truth value as the number the tables have for it."""

    oid = 21

    def dump(self, obj: bool) -> bytes:  # noqa: FBT001 - psycopg's own signature
        return b"1" if obj else b"0"


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Raise our errors for PostgreSQL's."""
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
    ((errors.InsufficientPrivilege,), StateError, "the database {name} does not let us", _RIGHTS),
)


def _boot_time() -> float:
    """Return seconds that never jump, and go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
