"""The list of hosts, and which host scans which root: heartbeats and leases, by the database's clock."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from watcher.fleet import Host
from watcher.ledger import rows
from watcher.ledger.hosts import Hosts
from watcher.ledger.part import Connection, LedgerContext
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.fleet import PostgresFleet
from watcher.ledger.postgres.purchases import PostgresPurchases

#: Seconds without a heartbeat after which a host counts as dead, and after which it is forgotten.
SILENT: Final = 30.0
_FORGOTTEN: Final = 86_400.0


class PostgresHosts(Hosts):
    """The hosts of a ledger, as one of them sees them."""

    _database: PostgresDatabase

    def __init__(
        self,
        context: LedgerContext,
        *,
        host: str,
        purchases: PostgresPurchases,
        sender: str,
        listen: Callable[[Callable[[], None]], None],
    ) -> None:
        """`host`: this host's name; `purchases`, `sender` and `listen` are for `PostgresFleet`."""
        super().__init__(context)
        self._name = host
        self._host = rows.text(host)
        self._purchases = purchases
        self._sender = sender
        self._listen = listen

    def fleet(self, endpoint: str, party: str) -> PostgresFleet:
        return PostgresFleet(
            self._database,
            endpoint=endpoint,
            party=party,
            host=self._name,
            paths=self._paths,
            purchases=self._purchases,
            sender=self._sender,
            listen=self._listen,
        )

    def beat(self) -> None:
        def beat(connection: Connection) -> None:
            connection.execute(_BEAT, (self._host,))
            connection.execute(_FORGET, (_FORGOTTEN,))

        self._database.change(beat, durable=False)

    def tell(self, facts: Mapping[str, object]) -> None:
        """Store this host's facts."""
        values = (self._host, json.dumps(dict(facts), separators=(",", ":")))
        self._database.change(lambda connection: connection.execute(_TELL, values), durable=False)

    def told(self) -> dict[str, object] | None:
        """Return the facts this host stored last; None if it has stored no facts since it signed off."""
        found = self._database.query("SELECT facts FROM hosts WHERE host = ? AND facts <> '{}'", (self._host,))
        if not found:
            return None
        facts: dict[str, object] = json.loads(found[0][0])
        return facts

    def leave(self) -> None:
        """Store that this host ends."""

        def leave(connection: Connection) -> None:
            connection.execute("DELETE FROM hosts WHERE host = ?", (self._host,))
            connection.execute("DELETE FROM rounds WHERE host = ?", (self._host,))

        self._database.change(leave, durable=False)

    def all(self) -> tuple[Host, ...]:
        busy: dict[str, list[int]] = {}
        for host, id_ in self._database.query("SELECT host, id FROM sources WHERE state = 'running' ORDER BY id"):
            busy.setdefault(host, []).append(id_)
        return tuple(
            Host(
                name=host,
                seen=max(0.0, seen),
                alive=seen < SILENT,
                myself=host == self._host,
                facts=json.loads(facts),
                running=tuple(busy.get(host, ())),
            )
            for host, seen, facts in self._database.query(_HOSTS)
        )

    def common(self, path: bytes) -> bytes:
        return self._paths.stored(path)

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:
        key = (self._paths.stored(root), rows.text(rules))

        def claim(connection: Connection) -> float:
            if connection.execute(_CLAIM, (*key, self._host, lease)).fetchall():
                return 0.0
            left = connection.execute(_LEFT, key).fetchall()
            return max(0.05, float(left[0][0])) if left else 0.05

        return self._database.change(claim, durable=False)

    def release_scan(self, root: bytes, rules: str) -> None:
        values = (self._paths.stored(root), rows.text(rules), self._host)
        # Try only once: the lease also lapses by itself.
        self._database.change(lambda connection: connection.execute(_RELEASE, values), durable=False, patience=0.0)


_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"
_BEAT: Final = f"""
INSERT INTO hosts (host, seen) VALUES (?, {_NOW}) ON CONFLICT (host) DO UPDATE SET seen = excluded.seen
"""  # noqa: S608 - our own expression
# SKIP LOCKED: do not wait for a host that updates its heartbeat at this moment.
_FORGET: Final = f"""
DELETE FROM hosts WHERE host IN (SELECT host FROM hosts WHERE seen < {_NOW} - ? FOR UPDATE SKIP LOCKED)
"""  # noqa: S608 - our own expression
_TELL: Final = f"""
INSERT INTO hosts (host, seen, facts) VALUES (?, {_NOW}, ?)
ON CONFLICT (host) DO UPDATE SET seen = excluded.seen, facts = excluded.facts
"""  # noqa: S608 - our own expression
_HOSTS: Final = f"SELECT host, {_NOW} - seen, facts FROM hosts ORDER BY host"  # noqa: S608 - our own expression
_CLAIM: Final = f"""
INSERT INTO rounds (root, rules, host, lease_until) VALUES (?, ?, ?, {_NOW} + ?)
ON CONFLICT (root, rules) DO UPDATE SET host = excluded.host, lease_until = excluded.lease_until
WHERE rounds.host = excluded.host OR rounds.lease_until <= {_NOW}
RETURNING root
"""  # noqa: S608 - our own expression
_LEFT: Final = f"SELECT lease_until - {_NOW} FROM rounds WHERE root = ? AND rules = ?"  # noqa: S608 - our own expression
_RELEASE: Final = "DELETE FROM rounds WHERE root = ? AND rules = ? AND host = ?"
