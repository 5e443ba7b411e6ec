"""What the parts of a ledger share: the database and the clock."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from watcher.errors import LeaseLostError
from watcher.job import Job

#: Said of a job whose claim is over.
LOST: Final = "the job's lease is gone: its file changed, was dropped, or another worker has it"

Row: TypeAlias = tuple[Any, ...]
Values: TypeAlias = Mapping[str, object] | Sequence[object]


class Cursor(Protocol):
    """Result of a statement; it has rows only where the statement returns some."""

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""

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

    #: There is none, and none is to be made.
    missing: bool

    def close(self) -> None:
        """Release it; may be called again."""

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        """Change it, all or nothing. `durable`: return only when the change survives power loss. Raises StateError."""

    def query(self, sql: str, values: Values = ()) -> list[Row]:
        """Read all rows of a statement. Raises StateError."""

    def version(self) -> int:
        """Return a number that is another one whenever another process has changed the ledger."""

    def shrink(self) -> bool:
        """Return some of the free space to the file system; False: there is no more."""

    def size(self) -> int:
        """Return the bytes it takes on disk."""


@dataclass(frozen=True, slots=True)
class LedgerInternals:
    """Access to a ledger's inside, for copying it."""

    store: Store
    #: Statement that adds a value to the total of a name.
    add: str
    #: A path of this host as it is stored, and back; ValueError for a path of a root that this host does not have, None
    #: for one that is another host's own.
    stored: Callable[[bytes], bytes]
    real: Callable[[bytes], bytes | None]


def held(connection: Connection, statement: str, job: Job, **values: object) -> None:
    """Change the job's row if this claim still holds it."""
    if not connection.execute(statement, {"id": job.id, "fence": job.fence, **values}).rowcount:
        raise LeaseLostError(LOST)


class LedgerPart:
    """One concern of a ledger; an engine is made of all of them, on one database."""

    #: Adds a value to the total of a name.
    ADD: ClassVar[str] = "UPDATE totals SET value = value + ? WHERE name = ?"

    def __init__(
        self,
        database: Store,
        *,
        exclusive: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`exclusive`: this process holds the state's lock. `clock` dates what is stored."""
        self._database = database
        self._exclusive = exclusive
        self._clock = clock

    def _walk(self, statement: str, after: bytes, *rest: object) -> Iterator[Row]:
        """Return the rows of a statement whose first value is the key to read on `after`; the key is their first column.

        Raises StateError where a page cannot be read. `next` may then be called again: it goes on where it was.
        """
        return _RowPages(self._database.query, statement, after, rest)


class _RowPages(Iterator[Row]):
    """Rows, read a page at a time. Not a generator: an error would end it, and nobody could wait for a ledger's return."""

    def __init__(
        self, query: Callable[[str, Values], list[Row]], statement: str, after: object, rest: tuple[object, ...]
    ) -> None:
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
