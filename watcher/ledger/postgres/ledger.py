"""The ledger on PostgreSQL, as one host sees it: with this host's paths, clock and memory, and the other hosts.

While the database restarts or fails over, changes and reads are repeated for a short time (`PostgresDatabase.patiently`);
after that they raise StateBusyError, and a caller that can wait longer may repeat them. Every change may be repeated: if the first
commit succeeded without being confirmed, the second has the same effect, or the fence refuses it and the first is recognised.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Final

from watcher.ledger.answers import Answers
from watcher.ledger.counting import COUNT
from watcher.ledger.history import History
from watcher.ledger.hooks import Hooks
from watcher.ledger.ledger import Ledger
from watcher.ledger.lock import Lock
from watcher.ledger.memory import Memory
from watcher.ledger.outputs import Outputs
from watcher.ledger.part import LedgerContext
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.host import host_of
from watcher.ledger.postgres.hosts import PostgresHosts
from watcher.ledger.postgres.purchases import PostgresPurchases
from watcher.ledger.postgres.queue import PostgresQueue
from watcher.ledger.postgres.roots import RootMap
from watcher.ledger.postgres.shared import ADD
from watcher.ledger.postgres.takeover import Takeover
from watcher.ledger.values import HookCall

#: Seconds that a change waits for a database that cannot be reached: a restart takes no longer.
PATIENCE: Final = 2.0
#: Seconds after a start of the server in which no lease is taken over: longer than the time between two renewals.
GRACE: Final = 15.0
#: Seconds between two queries for hooks of dead hosts.
_TAKEOVER_PAUSE: Final = 5.0
#: Memory keys of which each host has its own value.
_OWN: Final = frozenset({"history", "pause-notes"})
_TOLD: Final = "service"


class PostgresAnswers(Answers):
    """Answers, with the host that used them last."""

    KEEP: ClassVar[str] = f"{Answers.KEEP}, host = excluded.host"
    RECALL: ClassVar[str] = Answers.RECALL.replace("SET ", "SET host = current_setting('watcher.host'), ")

    # Two hosts may transcribe copies of one recording at the same time: then the second finds the row of the first.
    KEEP_CONTENT: ClassVar[str] = f"""
    {Answers.KEEP_CONTENT}
    ON CONFLICT (digest, parameters) DO UPDATE SET
        id = DEFAULT, sketch = excluded.sketch, seconds = excluded.seconds, cuts = excluded.cuts,
        loudness = excluded.loudness, loudness_rate = excluded.loudness_rate, warnings = excluded.warnings,
        others = excluded.others, start = excluded.start, used_at = excluded.used_at
    """


class PostgresOutputs(Outputs):
    """Outputs, with the temporaries of dead hosts."""

    def __init__(self, context: LedgerContext, *, takeover: Takeover) -> None:
        super().__init__(context)
        self._takeover = takeover

    def abandoned(self) -> tuple[bytes, ...]:
        return self._takeover.temporaries()


class PostgresMemory(Memory):
    """Memory, in which some values belong to one host, and the daemon's facts for `status` are in the list of hosts."""

    def __init__(self, context: LedgerContext, *, hosts: PostgresHosts, host: str) -> None:
        super().__init__(context)
        self._hosts = hosts
        self._host = host

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        if key == _TOLD:
            self._hosts.tell(value)
        else:
            super().remember(self._key(key), value, expires=expires)

    def remembered(self, key: str) -> dict[str, object] | None:
        return self._hosts.told() if key == _TOLD else super().remembered(self._key(key))

    def forget(self, key: str) -> None:
        if key == _TOLD:
            self._hosts.leave()
        else:
            super().forget(self._key(key))

    def _key(self, key: str) -> str:
        return f"{key}@{self._host}" if key in _OWN else key


class PostgresHooks(Hooks):
    """Hook calls; only those of this host and of dead hosts are due."""

    def __init__(self, context: LedgerContext, *, takeover: Takeover) -> None:
        super().__init__(context)
        self._takeover = takeover
        #: Monotonic time of the next query for calls of dead hosts, by receiver.
        self._next_takeover: dict[str, float] = {}

    def due(self, limit: int, *, receiver: str = "", take_over: Collection[str] = ()) -> Sequence[HookCall]:
        if take_over and time.monotonic() >= self._next_takeover.get(receiver, 0.0):
            taken = self._takeover.take_hooks(take_over, receiver)
            self._next_takeover[receiver] = 0.0 if taken else time.monotonic() + _TAKEOVER_PAUSE
        return super().due(limit, receiver=receiver)


class PostgresHistory(History):
    """History that also merges the sums: each connection has rows of its own, so that hosts do not wait for each other."""

    def tidy(self) -> bool:
        self.fold()
        return super().tidy()

    def fold(self) -> None:
        """Merge the sums of connections that are closed."""
        self._database.change(lambda connection: connection.execute(_FOLD), durable=False)


class PostgresLedger(Ledger):
    """A ledger that hosts share; `watcher.ledger.open_ledger` says what the arguments mean."""

    queue: PostgresQueue
    hosts: PostgresHosts

    def __init__(
        self,
        directory: Path,
        url: str,
        *,
        roots: Mapping[str, str] | None = None,
        exclusive: bool = True,
        lock: bool = True,
        clock: Callable[[], float] = time.time,
        patience: float = PATIENCE,
        grace: float = GRACE,
        database_clock: tuple[Callable[[], float], Callable[[], float]] | None = None,
    ) -> None:
        """Open. Raises StateLockedError when another process is the host of this directory, StateError, ConfigError.

        `lock`: False if the caller holds the directory's lock already. `clock`: this host's clock, for the times that callers
        give. `database_clock`: replaces the database's clock, for stored times and leases.
        """
        with ExitStack() as stack:
            if exclusive and lock:
                stack.callback(Lock(directory).release)
            #: This host's name.
            self.host = host = host_of(directory, make=exclusive)
            self._roots = RootMap(roots or {}, host=host)
            now, tick = database_clock or (None, None)
            database = PostgresDatabase(url, create=exclusive, host=host, patience=patience, clock=now)
            stack.callback(database.close)
            context = _context(database, self._roots, clock, exclusive=exclusive)
            takeover = Takeover(database, roots=self._roots, grace=grace)
            queue = PostgresQueue(context, host=host, grace=grace, tick=tick)
            stack.callback(queue.signals.close)
            purchases = PostgresPurchases(context, host=host)
            # The daemon ignores its own notifications; those of a command on the same host must reach it, so they have another sender.
            sender = host if exclusive else queue.signals.sender
            hosts = PostgresHosts(
                context, host=host, purchases=purchases, sender=sender, listen=queue.signals.gates.append
            )
            history = PostgresHistory(context)
            super().__init__(
                context,
                queue=queue,
                answers=PostgresAnswers(context),
                outputs=PostgresOutputs(context, takeover=takeover),
                memory=PostgresMemory(context, hosts=hosts, host=host),
                purchases=purchases,
                hooks=PostgresHooks(context, takeover=takeover),
                history=history,
                hosts=hosts,
            )
            if exclusive:
                history.fold()
                queue.start()
            self._closing = stack.pop_all()

    def mount(self, roots: Mapping[str, str]) -> None:
        self._roots.mount(roots)
        # Some jobs may be claimable here only now.
        self.queue.wake()


def _context(
    database: PostgresDatabase, roots: RootMap, clock: Callable[[], float], *, exclusive: bool
) -> LedgerContext:
    return LedgerContext(
        database,
        exclusive=exclusive,
        clock=database.now,
        paths=roots,
        # The database's clock may differ from this host's.
        ledger_time=lambda moment: moment + database.now() - clock(),
        add=ADD,
        count=COUNT.replace("(slot, endpoint) DO", "(slot, endpoint, host) DO"),
        own="host = current_setting('watcher.host')",
    )


#: Merges the sums of closed connections into one row each.
_FOLD: Final = """
WITH old AS (
    DELETE FROM sums WHERE backend <> 0 AND backend NOT IN (SELECT pid FROM pg_stat_activity) RETURNING name, value
)
INSERT INTO sums (backend, name, value) SELECT 0, name, sum(value) FROM old GROUP BY name
ON CONFLICT (backend, name) DO UPDATE SET value = sums.value + excluded.value
"""
