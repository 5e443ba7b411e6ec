"""One SQLite connection for all threads: transactions, shared flushes to the disk, errors that say what to do.

A commit goes to the write-ahead log without waiting for the disk (synchronous=NORMAL). A change that must survive power
loss then waits for one fdatasync of that log, together with all other threads that wait at that moment. The effect on the disk
is that of synchronous=FULL; but FULL blocks all other threads meanwhile, and a flush takes milliseconds while
a change takes microseconds. Everything committed before a flushed change is durable with it.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from watcher.errors import StateBusyError, StateDamagedError, StateError
from watcher.ledger import schema
from watcher.ledger.part import Row, Values

_T = TypeVar("_T")

#: RETURNING came with 3.35 (2021).
_OLDEST: Final = (3, 35)
#: Seconds to wait until another process (`watcher retry`) has finished its change.
_BUSY: Final = 10.0
#: KiB of pages kept in memory; the kernel's cache keeps the rest. More is no faster (measured at 512 and 4,096), and a daemon that
#: runs for months fills it.
_CACHE: Final = 512
#: Bytes the write-ahead log is cut back to after a large change.
_LOG_LIMIT: Final = 16 * 1024 * 1024
#: SQLite's result codes: the low byte is the kind, the rest says where.
_KIND: Final = 0xFF


def _exists(path: Path) -> bool:
    try:
        if path.parent.exists() and not path.parent.is_dir():
            raise StateError(f"the state directory {path.parent} is no directory", hint="name a directory: [state] dir")
        return path.exists()
    except OSError as exc:
        raise StateError(
            f"the state in {path.parent} cannot be looked at: {exc.strerror}",
            hint="ask as the user that Watcher runs as, or as root: sudo watcher …",
        ) from exc


class SqliteDatabase:
    """The ledger's file. If there is none and none is to be made: an empty ledger that takes no changes."""

    remote = False

    def __init__(self, path: Path, *, create: bool) -> None:
        """Open; `create`: make the file where there is none, and bring its schema up to date. Raises StateError."""
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StateError(
                f"SQLite {sqlite3.sqlite_version} is too old for the ledger",
                hint="3.35 or newer is needed: use a Python that was built with it",
            )
        self.path = path
        self._create = create
        self.missing = not create and not _exists(path)
        self._lock = threading.RLock()
        self._flushes = threading.Condition()
        self._flushing = False
        self._committed = 0
        self._flushed = 0
        self._log: int | None = None
        try:
            if create:
                _make(path)
            self._connection = self._connect()
            try:
                self._prepare(create=create)
            except BaseException:
                self._connection.close()
                raise
        except OSError as exc:
            raise StateError(f"the ledger {path} cannot be made: {exc.strerror}", hint=_WRITABLE) from exc
        except sqlite3.Error as exc:
            raise self._error(exc) from exc

    def close(self) -> None:
        """Release the file; may be called again."""
        with self._lock:
            self._connection.close()
            if self._log is not None:
                os.close(self._log)
                self._log = None

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run the block in a transaction, all or nothing. `durable`: return only when the change survives power loss.

        Any exception in the block undoes the change. Engine failures are raised as StateError, and the database stays usable.
        """
        with self._lock:
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                before = connection.total_changes
                yield connection
                changed = connection.total_changes != before
                connection.execute("COMMIT")
            except sqlite3.Error as exc:
                self._undo()
                raise self._error(exc) from exc
            except BaseException:
                self._undo()
                raise
            self._committed += 1
            ticket = self._committed
        if durable and changed:
            self._flush(ticket)

    def change(self, make: Callable[[sqlite3.Connection], _T], *, durable: bool = True) -> _T:
        """See part.Store; runs it once: unlike a server, a file is not unreachable for a moment."""
        with self.transaction(durable=durable) as connection:
            return make(connection)

    def query(self, sql: str, values: Values = ()) -> list[Row]:
        """Read all rows of a statement. Raises StateError."""
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as exc:
                raise self._error(exc) from exc

    def version(self) -> int:
        """Return a number that differs whenever another process has changed the ledger."""
        return int(self.query("PRAGMA data_version")[0][0])

    def shrink(self) -> bool:
        """See part.Store; so few pages at a time that other threads do not wait for long."""
        before = self._free_pages()
        if not before:
            return False
        with self.transaction(durable=False) as connection:
            for _ in range(min(before, _PAGES_AT_ONCE)):
                # One page per call: SQLite returns a row without columns for every page, and Python stops after the first.
                connection.execute("PRAGMA incremental_vacuum")
        # A file made without auto_vacuum keeps its free pages and uses them again.
        return 0 < self._free_pages() < before

    def size(self) -> int:
        """Return the bytes it takes on disk, its log included."""
        return sum(_size(Path(f"{self.path}{suffix}")) for suffix in ("", "-wal", "-shm"))

    def _free_pages(self) -> int:
        return int(self.query("PRAGMA freelist_count")[0][0])

    def _connect(self) -> sqlite3.Connection:
        # The name as bytes: a state directory need not be UTF-8.
        location = ":memory:" if self.missing else f"file:{quote(os.fsencode(self.path.absolute()))}?mode=rw"
        return sqlite3.connect(
            location,
            uri=not self.missing,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _prepare(self, *, create: bool) -> None:
        connection = self._connection
        if create:
            if not connection.execute("PRAGMA page_count").fetchone()[0]:
                # This has an effect only before anything is written.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StateError(
                    f"the file system of {self.path} cannot hold a ledger (no shared memory for a write-ahead log)",
                    hint="put the state on a local disk: [state] dir",
                )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        connection.execute("PRAGMA temp_store = MEMORY")
        if create:
            schema.migrate(connection, self.path)
        elif self.missing:
            schema.migrate(connection, self.path)
            connection.execute("PRAGMA query_only = ON")
        elif not schema.check(connection, self.path):
            # A daemon is making it at this moment.
            connection.close()
            self.missing = True
            self._connection = self._connect()
            self._prepare(create=False)

    def _undo(self) -> None:
        # A failure of the disk may have undone it already, or may fail the rollback too: then the next BEGIN fails.
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def _flush(self, ticket: int) -> None:
        """Wait until the commit with this number is on the disk; one thread flushes for all threads that wait."""
        with self._flushes:
            self._flushes.wait_for(lambda: self._flushed >= ticket or not self._flushing)
            if self._flushed >= ticket:
                return
            self._flushing = True
        # All counted commits are in the log's pages by now, whichever thread made them.
        reached = self._committed
        try:
            if self._log is None:
                self._log = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._log)
        except OSError as exc:
            reached = 0
            raise StateError(f"the ledger {self.path} cannot be saved: {exc.strerror}", hint=_DISK) from exc
        finally:
            with self._flushes:
                self._flushing = False
                self._flushed = max(self._flushed, reached)
                self._flushes.notify_all()

    def _error(self, exc: sqlite3.Error) -> StateError:
        """Return our error for one of SQLite's."""
        if self.missing:
            return StateError(
                f"there is no ledger in {self.path.parent} yet",
                hint="nothing has run with this state so far; is it the right one? see watcher config",
            )
        extended = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
        code = sqlite3.SQLITE_FULL if extended in _ALSO_FULL else extended & _KIND
        sentence, hint = _ERRORS.get(code, ("the ledger {path} cannot be used", ""))
        # A transaction that wrote is undone by now.
        kind = StateBusyError if code in _PASSING else StateDamagedError if code in _DAMAGE else StateError
        if kind is StateDamagedError and self._create:
            with contextlib.suppress(OSError):
                damage_mark(self.path).touch()
        return kind(f"{sentence.format(path=self.path)} ({exc})", hint=hint.format(path=self.path))


_PAGES_AT_ONCE: Final = 256
_WRITABLE: Final = "the state directory must exist on a writable disk and belong to the user the daemon runs as"
_DISK: Final = "look at the disk it is on (space, quota, dmesg); what was reported as saved is still there"
_DAMAGED: Final = (
    "start the watcher again: it sets {path} aside, takes over what can be read of it, and finds the rest again; files that "
    "have their outputs are not paid for a second time. The disk may be failing: dmesg tells"
)
_ERRORS: Final = {
    sqlite3.SQLITE_FULL: (
        "no space is left for the ledger {path}",
        "free some space on its disk; nothing that was reported as saved is lost",
    ),
    sqlite3.SQLITE_IOERR: ("the disk fails the ledger {path}", _DISK),
    sqlite3.SQLITE_READONLY: ("the ledger {path} cannot be written", _WRITABLE),
    sqlite3.SQLITE_PERM: ("the ledger {path} cannot be opened", _WRITABLE),
    sqlite3.SQLITE_CANTOPEN: ("the ledger {path} cannot be opened", _WRITABLE),
    sqlite3.SQLITE_CORRUPT: ("the ledger {path} is damaged", _DAMAGED),
    sqlite3.SQLITE_NOTADB: ("the ledger {path} is damaged", _DAMAGED),
    sqlite3.SQLITE_BUSY: ("another process keeps the ledger {path} busy", "try again in a moment"),
    sqlite3.SQLITE_LOCKED: ("another process keeps the ledger {path} busy", "try again in a moment"),
}
#: The shared memory beside the database could not grow. It could before, so the disk is full.
_ALSO_FULL: Final = frozenset({sqlite3.SQLITE_IOERR_SHMSIZE})
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def damage_mark(path: Path) -> Path:
    """Return the file that tells the next start that the ledger is damaged: opening it alone may not show the damage."""
    return path.with_name(f"{path.name}.damaged")


def _make(path: Path) -> None:
    """Make an empty file for the database, for its owner only: paths and transcripts are private."""
    # Never open it if it exists: closing any descriptor of it would drop this process's locks on it (fcntl(2)).
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        if os.geteuid() == 0:
            # If root works on a service's state, the service must be able to open the new file.
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
