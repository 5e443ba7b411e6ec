"""The ledger on PostgreSQL: any number of hosts that share one queue, one memory and one budget.

What SQLite's file lock says there is said here by the server: claims skip what another host is claiming, leases run by the
database's clock and are taken over when they lapse, and every write is fenced. A host is one state directory: at its start
only its own running jobs go back, and only its own temporaries and hooks are its business. Needs the extra ``postgres``.
"""

from watcher.ledger.postgres.ledger import PostgresLedger

__all__ = ["PostgresLedger"]
