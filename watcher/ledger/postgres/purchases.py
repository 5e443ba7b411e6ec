"""Audio seconds that were bought, added to two sums exactly once, even if the database's reply to the commit is lost."""

import secrets
import threading
from itertools import count
from typing import Final

from watcher.errors import StateBusyError
from watcher.ledger import rows
from watcher.ledger.part import Connection, LedgerContext
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.purchases import Purchases

#: Seconds for which the last booking of a process is stored; a booking that is still unconfirmed after that may count twice.
_KEPT: Final = 7 * 86_400.0


class PostgresPurchases(Purchases):
    """The bookings of this process. May be called from any thread."""

    _database: PostgresDatabase

    def __init__(self, context: LedgerContext, *, host: str) -> None:
        """`host`: the host whose seconds in flight count as bought."""
        super().__init__(context)
        self._host = host
        self._process = secrets.token_hex(8)
        self._numbers = count(1)
        #: By endpoint and day: number and seconds of each unconfirmed booking. At most one of them was made.
        self._unknown: dict[tuple[str, str], dict[int, float]] = {}
        self._lock = threading.Lock()

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        """See Purchases. After a StateError, book the same again, alone or with more."""
        if not seconds:
            return self._of_day(endpoint, day)
        endpoint, day = rows.text(endpoint), rows.text(day)

        def book(connection: Connection) -> float:
            return self._book(connection, endpoint, day, seconds)

        with self._lock:
            try:
                total = self._database.change(book, durable=False, patience=0.0)
            except StateBusyError:
                # Wait for the database as long as for any change, however long the first try took to fail.
                total = self._database.change(book, durable=False)
            del self._unknown[endpoint, day]
        return total

    def _book(self, connection: Connection, endpoint: str, day: str, seconds: float) -> float:
        unknown = self._unknown.setdefault((endpoint, day), {})
        number, key = next(self._numbers), rows.text(f"bought.{self._process}.{endpoint}.{day}")

        def spend(some: float) -> float:
            values = (endpoint, self._host, day, rows.seconds(some))
            ((total,),) = connection.execute("SELECT gate_spend(?, ?, ?, ?)", values).fetchall()
            return float(total)

        rest = seconds
        if unknown:
            # This waits for the row that an earlier booking may have locked. Once we have it, the earlier one is made or failed for good.
            spend(0.0)
            found = connection.execute("SELECT value FROM memory WHERE key = ?", (key,)).fetchall()
            rest -= unknown.get(int(found[0][0]), 0.0) if found else 0.0
        unknown[number] = seconds
        total = spend(rest)
        connection.execute(self._context.add, (rows.seconds(rest), "paid_seconds"))
        connection.execute(_NUMBER, (key, str(number), self._database.now() + _KEPT))
        self._count(connection, endpoint, rest)
        return total


#: The last booking of a process, in the transaction that made it.
_NUMBER: Final = """
INSERT INTO memory (key, value, expires) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
"""
