"""Audio seconds that were bought, by endpoint and day."""

from typing import Final

from watcher.ledger import rows
from watcher.ledger.counting import counted
from watcher.ledger.part import Connection, LedgerPart


class Purchases(LedgerPart):
    """Sums of bought seconds."""

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        """Add audio seconds bought on `day` (YYYY-MM-DD) to the day's sum and to the tally; return the day's sum; 0: only return it. Cheap."""
        if not seconds:
            return self._of_day(endpoint, day)

        def buy(connection: Connection) -> float:
            ((total,),) = connection.execute(
                _BUY, (rows.text(endpoint), rows.text(day), rows.seconds(seconds))
            ).fetchall()
            connection.execute(self._context.add, (rows.seconds(seconds), "paid_seconds"))
            self._count(connection, endpoint, seconds)
            return float(total)

        # The answer itself follows, durably.
        return self._database.change(buy, durable=False)

    def bought(self, endpoint: str | None, first: str, last: str) -> float:
        """Return the audio seconds bought from one day (YYYY-MM-DD) to another, both included; 0 if `last` is before `first`.

        `endpoint` None: of all endpoints.
        """
        if endpoint is None:
            return float(self._database.query(_BOUGHT_IN_ALL, (first, last))[0][0])
        return float(self._database.query(_BOUGHT, (rows.text(endpoint), first, last))[0][0])

    def _count(self, connection: Connection, endpoint: str, seconds: float) -> None:
        values = counted(self._clock(), endpoint=rows.text(endpoint), bought=rows.seconds(seconds))
        connection.execute(self._context.count, values)

    def _of_day(self, endpoint: str, day: str) -> float:
        return self.bought(endpoint, day, day)


_BOUGHT: Final = "SELECT coalesce(sum(seconds), 0) FROM bought WHERE endpoint = ? AND day >= ? AND day <= ?"
_BOUGHT_IN_ALL: Final = "SELECT coalesce(sum(seconds), 0) FROM bought WHERE day >= ? AND day <= ?"
#: Adds to the sum of an endpoint and day; returns the new sum.
_BUY: Final = """
INSERT INTO bought (endpoint, day, seconds) VALUES (?, ?, ?)
ON CONFLICT (endpoint, day) DO UPDATE SET seconds = bought.seconds + excluded.seconds
RETURNING seconds
"""
