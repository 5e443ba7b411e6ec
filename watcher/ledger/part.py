"""What the parts of a ledger share: the database, the clock, and how paths are stored."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from watcher.errors import LeaseLostError
from watcher.job import Job
from watcher.ledger.counting import COUNT
from watcher.ledger.paths import LedgerPaths

#: Message for a job whose claim is over.
LOST: Final = "the job's lease is gone: its file changed, was dropped, or another worker has it"

_T = TypeVar("_T")
Row: TypeAlias = tuple[Any, ...]
Values: TypeAlias = Mapping[str, object] | Sequence[object]


class Cursor(Protocol):
    """Result of a statement; it has rows only if the statement returns some."""

    @property
    def rowcount(self) -> int:
        """Number of rows that were changed."""

    def fetchall(self) -> list[Row]:
        """Return all rows."""

    def __iter__(self) -> Iterator[Row]:
        """Yield one row after the other."""


class Connection(Protocol):
    """A transaction under way; statements are in the dialect that SQLite and PostgreSQL share, with ? or :name for values."""

    def execute(self, sql: str, values: Values = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, values: Iterable[Values], /) -> object:
        """Run one statement for each of the values, in order."""


class Store(Protocol):
    """The database under a ledger."""

    #: There is no database, and none is to be made.
    missing: bool
    #: It is a server: it may crash and lose the last changes that are not durable, while this process continues.
    remote: bool

    def close(self) -> None:
        """Close the database; may be called again."""

    def change(self, make: Callable[[Connection], _T], *, durable: bool = True) -> _T:
        """Run a function in a transaction, all or nothing, and return what it returns.

        If the database cannot be reached for a moment, the function may be run again, even after a commit that succeeded but was not
        confirmed. `durable`: return only when the change survives power loss. Raises StateError, and what the function raises.
        """

    def query(self, sql: str, values: Values = ()) -> list[Row]:
        """Read all rows of a statement; try again if the database cannot be reached for a moment. Raises StateError."""

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        """Run the block in a transaction, as `change` does, but never twice: for copying a whole ledger."""

    def version(self) -> int:
        """Return a number that changes when another process changes the ledger."""

    def shrink(self) -> bool:
        """Return some of the free space to the file system; False: there is no more."""

    def size(self) -> int:
        """Return the size on disk in bytes."""


def _as_given(moment: float) -> float:
    return moment


@dataclass(frozen=True, slots=True)
class LedgerContext:
    """What the parts of one ledger share."""

    database: Store
    #: This process holds the state's lock.
    exclusive: bool
    #: The clock for stored times; Unix seconds.
    clock: Callable[[], float]
    #: How paths are stored.
    paths: LedgerPaths
    #: Converts a caller's Unix time into a time of `clock`.
    ledger_time: Callable[[float], float] = _as_given
    #: Statement that adds a value to the total of a name.
    add: str = "UPDATE totals SET value = value + ? WHERE name = ?"
    #: Statement that adds to what was done in a slot; see `watcher.ledger.counting`.
    count: str = COUNT
    #: Condition: a row (a hook, a temporary) is this host's.
    own: str = "TRUE"


def held(connection: Connection, statement: str, job: Job, **values: object) -> None:
    """Run a statement that changes the job's row if the claim still holds; raise LeaseLostError if not."""
    if not connection.execute(statement, {"id": job.id, "fence": job.fence, **values}).rowcount:
        raise LeaseLostError(LOST)


class LedgerPart:
    """One part of a ledger: its operations on the ledger's database."""

    def __init__(self, context: LedgerContext) -> None:
        self._context = context
        self._database = context.database
        self._paths = context.paths
        self._clock = context.clock
        self._ledger_time = context.ledger_time

    def _stored(self, paths: Iterable[bytes]) -> list[bytes]:
        return list(map(self._paths.stored, paths))

    def _real(self, stored: Iterable[bytes]) -> list[bytes]:
        return list(map(self._paths.real, stored))

    def _walk(self, statement: str, ranges: Iterable[tuple[bytes, bytes]], page: int) -> Iterator[Row]:
        """Return the rows of a statement in ranges of its key, `page` at a time; the key is the first column.

        The statement's values are the two ends of a range, both excluded, and the number of rows. `next` raises StateError if a page
        cannot be read; it may then be called again, and continues where it was.
        """
        return itertools.chain.from_iterable(
            _RowPages(self._database.query, statement, first, behind, page) for first, behind in ranges
        )

    def _walk_below(self, statement: str, folder: bytes, page: int) -> Iterator[Row]:
        """Walk the rows whose key lies below a folder of this host."""
        return self._walk(statement, map(below, self._paths.below(folder)), page)


def below(folder: bytes) -> tuple[bytes, bytes]:
    """Return the two ends, both excluded, of the range of paths that lie below a folder."""
    first = folder.rstrip(b"/") + b"/"
    # The second end has the byte after the slash: all paths below the folder sort between the two.
    return first, first[:-1] + b"0"


class _RowPages(Iterator[Row]):
    """Rows, read a page at a time. It is no generator: an error would end it, and the caller could not try again later."""

    def __init__(self, query: Callable[[str, Values], list[Row]], statement: str, after: object, *rest: object) -> None:
        self._query = query
        self._statement = statement
        self._after = after
        self._rest = rest
        self._page: Iterator[Row] = iter(())

    def __next__(self) -> Row:
        for row in self._page:
            return row
        page = self._query(self._statement, (self._after, *self._rest))
        if not page:
            raise StopIteration
        self._after, self._page = page[-1][0], iter(page)
        return next(self._page)
