"""The ledger's promises: one contract suite tests them on every engine.

Threads exchange work only through the ledger, and it is the daemon's whole memory: a durable queue with leases and
fences, the paid answers, which source owns which output path, what is known about the endpoint, and what `status` shows. Every
method may be called from any thread. Times are Unix seconds. Failures of the engine are raised as `StateError`; the
ledger can be used again as soon as their cause is gone.

When a method has returned, its change survives the death of the process. It is also durable, which means that it survives power
loss, unless the docstring says "Cheap": a cheap change survives power loss only once a later durable change was made. If a change is
lost, all later changes are lost too.

A new operation is one method of the part that it belongs to. It converts paths with `_paths`, and times that callers
give with `_ledger_time`; it reads with `_database.query`, and changes the database with a function for `_database.change`,
which may run it twice. Where PostgreSQL needs another statement, that is a class attribute of the part, or a method, that is
overridden in `watcher.ledger.postgres`.
"""

from collections.abc import Mapping
from contextlib import ExitStack

from watcher.ledger.answers import Answers
from watcher.ledger.history import History
from watcher.ledger.hooks import Hooks
from watcher.ledger.hosts import Hosts
from watcher.ledger.memory import Memory
from watcher.ledger.outputs import Outputs
from watcher.ledger.part import LedgerContext
from watcher.ledger.purchases import Purchases
from watcher.ledger.queue import Queue


class Ledger:
    """A durable queue and memory, in parts; the module's docstring says what all parts promise."""

    #: Everything that `close` closes.
    _closing: ExitStack

    def __init__(
        self,
        context: LedgerContext,
        *,
        queue: Queue,
        answers: Answers,
        outputs: Outputs,
        memory: Memory,
        purchases: Purchases,
        hooks: Hooks,
        history: History,
        hosts: Hosts,
    ) -> None:
        """`context`: what the parts share."""
        self.context = context
        self.queue = queue
        self.answers = answers
        self.outputs = outputs
        self.memory = memory
        self.purchases = purchases
        self.hooks = hooks
        self.history = history
        self.hosts = hosts

    def close(self) -> None:
        """Close the engine and release the lock; the ledger can't be used afterwards. May be called again."""
        self._closing.close()

    def mount(self, roots: Mapping[str, str]) -> None:
        """Set the paths of the named roots on this host; only a shared ledger needs them."""
