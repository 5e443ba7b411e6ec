"""Small values under a key: what is known about the endpoint, its holds, the progress of the daemon's own tasks."""

import json
from collections.abc import Mapping
from typing import Final

from watcher.ledger import rows
from watcher.ledger.part import Connection, LedgerPart


class Memory(LedgerPart):
    """JSON values under keys."""

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Store a value; `expires`: Unix time after which it is forgotten."""
        written = json.dumps(dict(value), separators=(",", ":"))
        end = None if expires is None else self._ledger_time(expires)

        def remember(connection: Connection) -> None:
            connection.execute("DELETE FROM memory WHERE expires <= ?", (self._clock(),))
            connection.execute(_REMEMBER, (rows.text(key), written, end))

        self._database.change(remember)

    def remembered(self, key: str) -> dict[str, object] | None:
        """Return a value that has not expired; None also if the disk damaged it, since each can be learnt again."""
        found = self._database.query(_REMEMBERED, (rows.text(key), self._clock()))
        try:
            return dict(json.loads(found[0][0])) if found else None
        except (ValueError, TypeError):
            return None

    def forget(self, key: str) -> None:
        """Drop a value."""
        values = (rows.text(key),)
        self._database.change(lambda connection: connection.execute("DELETE FROM memory WHERE key = ?", values))


_REMEMBER: Final = """
INSERT INTO memory (key, value, expires) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
"""
_REMEMBERED: Final = "SELECT value FROM memory WHERE key = ? AND (expires IS NULL OR expires > ?)"
