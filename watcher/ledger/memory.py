"""Small things to remember: what the endpoint honours, holds, minutes bought; and the hooks still to be run."""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from watcher.ledger import rows
from watcher.ledger.part import Connection, LedgerPart, Row, Store
from watcher.ledger.protocol import HookCall


class Memory(LedgerPart):
    """Values under keys, purchases by day, hook calls."""

    #: Some of the calls this process may run, by id.
    HOOKS: ClassVar[str] = "SELECT id, source, kind, payload, attempts FROM hooks WHERE id > ? ORDER BY id LIMIT ?"

    def __init__(
        self,
        database: Store,
        *,
        exclusive: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """See Part."""
        super().__init__(database, exclusive=exclusive, clock=clock)
        #: Calls given out by this process and not done yet, with their sources. A dead process's are due again by nature.
        self._calling: dict[int, bytes] = {}
        self._hooks = threading.Lock()

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        written = json.dumps(dict(value), separators=(",", ":"))
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM memory WHERE expires <= ?", (self._clock(),))
            connection.execute(_REMEMBER, (rows.text(key), written, expires))

    def remembered(self, key: str) -> dict[str, object] | None:
        found = self._database.query(_REMEMBERED, (rows.text(key), self._clock()))
        if not found:
            return None
        value: dict[str, object] = json.loads(found[0][0])
        return value

    def forget_memory(self, key: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM memory WHERE key = ?", (rows.text(key),))

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        key = (rows.text(endpoint), day)
        if not seconds:
            found = self._database.query("SELECT seconds FROM bought WHERE endpoint = ? AND day = ?", key)
            return float(found[0][0]) if found else 0.0
        # The answer itself follows, durably.
        with self._database.transaction(durable=False) as connection:
            ((total,),) = connection.execute(_BUY, (*key, rows.seconds(seconds))).fetchall()
            connection.execute(self.ADD, (rows.seconds(seconds), "paid_seconds"))
        return float(total)

    def bought(self, endpoint: str | None, first: str, last: str) -> float:
        if endpoint is None:
            return float(self._database.query(_BOUGHT_IN_ALL, (first, last))[0][0])
        return float(self._database.query(_BOUGHT, (rows.text(endpoint), first, last))[0][0])

    def add_hook(self, kind: str, payload: str) -> None:
        values = (b"", kind, payload.encode("utf-8", "surrogatepass"))
        with self._database.transaction() as connection:
            # A call that was entered before, without our hearing of it, is not run twice.
            connection.execute(
                "DELETE FROM hooks WHERE source = ? AND kind = ? AND payload = ? AND attempts = 0", values
            )
            connection.execute(HOOK, values)

    def hooks_due(self, limit: int, *, heir_of: Collection[str] = ()) -> Sequence[HookCall]:  # noqa: ARG002 - nobody dies here
        with self._hooks:
            chosen: dict[int, tuple[bytes, HookCall]] = {}
            with self._database.transaction(durable=False) as connection:
                busy = set(self._calling.values())
                # Beyond those of busy sources, and one more than is chosen, so that one page is enough as a rule.
                for id_, source, kind, payload, attempts in self._waiting_calls(connection, limit + len(busy) + 1):
                    if len(chosen) == limit:
                        break
                    if source not in busy:
                        busy.add(source)
                        words = payload.decode("utf-8", "surrogatepass")
                        chosen[id_] = (source, HookCall(id_, kind, words, attempts + 1))
                connection.executemany(
                    "UPDATE hooks SET attempts = attempts + 1 WHERE id = ?", ((id_,) for id_ in chosen)
                )
            # Only now: calls that a full disk kept from being given out are still due.
            self._calling.update({id_: source for id_, (source, _) in chosen.items()})
        return [call for _, call in chosen.values()]

    def _waiting_calls(self, connection: Connection, some: int) -> Iterator[Row]:
        """Read the calls in order, `some` at a time: a long backlog is not fetched for each call that ends."""
        after = 0
        while page := connection.execute(self.HOOKS, (after, some)).fetchall():
            yield from page
            after = page[-1][0]

    def repeat_hook(self, call: HookCall) -> HookCall:
        with self._database.transaction(durable=False) as connection:
            connection.execute("UPDATE hooks SET attempts = ? WHERE id = ?", (call.attempts + 1, call.id))
        return replace(call, attempts=call.attempts + 1)

    def hook_done(self, call: HookCall) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM hooks WHERE id = ?", (call.id,))
        with self._hooks:
            self._calling.pop(call.id, None)


_REMEMBER: Final = """
INSERT INTO memory (key, value, expires) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
"""
_REMEMBERED: Final = "SELECT value FROM memory WHERE key = ? AND (expires IS NULL OR expires > ?)"
_BOUGHT: Final = "SELECT coalesce(sum(seconds), 0) FROM bought WHERE endpoint = ? AND day >= ? AND day <= ?"
_BOUGHT_IN_ALL: Final = "SELECT coalesce(sum(seconds), 0) FROM bought WHERE day >= ? AND day <= ?"
#: Keeps a hook call of a source; of none, where that is empty.
HOOK: Final = "INSERT INTO hooks (source, kind, payload) VALUES (?, ?, ?)"
#: Adds to what was bought of an endpoint on a day; gives the sum.
_BUY: Final = """
INSERT INTO bought (endpoint, day, seconds) VALUES (?, ?, ?)
ON CONFLICT (endpoint, day) DO UPDATE SET seconds = bought.seconds + excluded.seconds
RETURNING seconds
"""
