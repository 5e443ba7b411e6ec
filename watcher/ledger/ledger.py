"""The ledger's promises: one contract suite tests them on every engine.

Threads exchange work through the ledger alone, and it is the daemon's whole memory: a durable queue with leases and
fences, the paid answers, who owns which output path, what is known of the endpoint, and what `status` shows. Every
method may be called from any thread. Times are Unix seconds. Failures of the engine are raised as `StateError`; the
ledger can be used again as soon as their cause is gone.

Every change survives the death of the process the moment its method returns, and unless said otherwise power loss too.
The others ("cheap") survive power loss as soon as any later change does: changes are never lost out of their order.

A new operation is one method of the part that it belongs to. It carries paths over with `_paths`, and times that callers
give with `_ledger_time`; it reads with `_database.query`, and changes the database with a function for `_database.change`,
which may run it twice. Where PostgreSQL needs another statement, that is a class attribute of the part, or a method that is
overridden in `watcher.ledger.postgres`.
"""

from collections.abc import Mapping

from watcher.fleet import Fleet, Host
from watcher.ledger.answers import Answers
from watcher.ledger.memory import Memory
from watcher.ledger.outputs import Outputs
from watcher.ledger.queue import Queue
from watcher.ledger.retention import Retention


class Ledger(Queue, Answers, Outputs, Memory, Retention):
    """A durable queue and memory, of one host unless an engine knows of others; the module says what its methods promise."""

    def close(self) -> None:
        """Close the engine and release the lock; the ledger can't be used afterwards."""
        self._database.close()

    def mount(self, roots: Mapping[str, str]) -> None:
        """Set where named roots lie on this host from now on; needed only by a ledger that hosts share."""

    # Other hosts on the same ledger.

    def fleet(self, endpoint: str, party: str) -> Fleet | None:  # noqa: ARG002 - there are none
        """Return what all hosts share of an endpoint; None: there are no others.

        `party`: who comes with the same key and model; a hold is theirs alone.
        """
        return None

    def beat(self) -> None:
        """Update this host's heartbeat; every few seconds. Cheap."""

    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts by name, and those that have fallen silent within a day; none where there are no others.

        What a host remembers under ``service`` is what the others see of it.
        """
        return ()

    def abandoned(self) -> tuple[bytes, ...]:
        """Return the temporaries of hosts that died; a host that has their root may delete them."""
        return ()

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:  # noqa: ARG002 - nobody else scans it
        """Take the scanning of a root over, or keep it, for `lease` seconds; 0: it is ours.

        Else another host scans it by the same `rules`, and the answer is after how many seconds it may be free. Cheap.
        """
        return 0.0

    def release_scan(self, root: bytes, rules: str) -> None:
        """Leave the scanning of a root to others. Cheap."""

    def common(self, path: bytes) -> bytes:
        """Return the name that a path of this host has on all hosts."""
        return path
