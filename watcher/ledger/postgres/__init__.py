"""The ledger on PostgreSQL: any number of hosts that share one queue, one memory and one budget.

Instead of SQLite's file lock, the server keeps hosts apart: claims skip rows that another host is claiming, leases run by the
database's clock and are taken over when they lapse, and every write is fenced. A host is one state directory: at its start
it puts back only its own running jobs, and looks only after its own temporaries and hooks. Needs the extra ``postgres``.
"""

from watcher.ledger.postgres.ledger import PostgresLedger

__all__ = ["PostgresLedger"]
