"""The ledger on PostgreSQL, as one host sees it: with this host's paths, clock and own memory, and the other hosts.

While the database restarts or fails over, a change or a read is made again for a little while (`PostgresDatabase.patiently`);
then it is a StateBusyError, and a caller that can wait longer may repeat it. All changes may be: what was committed without our
hearing of it is either done once more to the same effect, or refused by the fence and recognised as our own doing.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Final

from watcher.ledger.answers import Answers
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

#: Seconds a change waits for a database that went away: a restart takes no longer.
PATIENCE: Final = 2.0
#: Seconds after a start of the server in which no lease is taken over: longer than between two renewals.
GRACE: Final = 15.0
#: Seconds between two looks at the hooks of dead hosts.
_INHERIT: Final = 5.0
#: Keys under which each host remembers something of its own; what its daemon tells of itself all others may see.
_OWN: Final = frozenset({"history", "pause-notes"})
_TOLD: Final = "service"


class PostgresAnswers(Answers):
    """Answers know which host used them last."""

    KEEP: ClassVar[str] = f"{Answers.KEEP}, host = excluded.host"
    RECALL: ClassVar[str] = Answers.RECALL.replace("SET ", "SET host = current_setting('watcher.host'), ")

    # Two hosts may hear copies of one recording at the same time: the second one finds what the first one entered.
    KEEP_CONTENT: ClassVar[str] = f"""
    {Answers.KEEP_CONTENT}
    ON CONFLICT (digest, parameters) DO UPDATE SET
        id = DEFAULT, sketch = excluded.sketch, seconds = excluded.seconds, cuts = excluded.cuts,
        loudness = excluded.loudness, warnings = excluded.warnings, used_at = excluded.used_at
    """


class PostgresOutputs(Outputs):
    """Temporaries of hosts that died are there, too."""

    def __init__(self, context: LedgerContext, *, takeover: Takeover) -> None:
        super().__init__(context)
        self._takeover = takeover

    def abandoned(self) -> tuple[bytes, ...]:
        return self._takeover.temporaries()


class PostgresMemory(Memory):
    """Some of it is each host's own, and what the daemon tells of itself is in the list of hosts."""

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
    """Only this host's own calls are due, and those of dead ones."""

    def __init__(self, context: LedgerContext, *, takeover: Takeover) -> None:
        super().__init__(context)
        self._takeover = takeover
        #: Monotonic time from which on it is worth another look at what dead hosts have left to run.
        self._inherits_at = 0.0

    def due(self, limit: int, *, heir_of: Collection[str] = ()) -> Sequence[HookCall]:
        if heir_of and time.monotonic() >= self._inherits_at:
            taken = self._takeover.take_hooks(heir_of)
            self._inherits_at = 0.0 if taken else time.monotonic() + _INHERIT
        return super().due(limit)


class PostgresHistory(History):
    """History that also folds the per-connection sums; each connection has its own, so that hosts do not wait for each other."""

    def tidy(self) -> bool:
        self.fold()
        return super().tidy()

    def fold(self) -> None:
        """Add up the sums of connections that are no more."""
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

        `lock`: false where the caller holds the directory's lock himself. `clock`: this host's, in which callers say
        when. `database_clock`: what replaces the database's own, to date what is stored and to time leases.
        """
        with ExitStack() as stack:
            if exclusive and lock:
                stack.callback(Lock(directory).release)
            #: Who we are among the hosts.
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
            # A command beside the daemon is heard by it; the daemon need not hear itself.
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
        # What could not be claimed here may be now.
        self.queue.wake()


def _context(
    database: PostgresDatabase, roots: RootMap, clock: Callable[[], float], *, exclusive: bool
) -> LedgerContext:
    return LedgerContext(
        database,
        exclusive=exclusive,
        clock=database.now,
        paths=roots,
        # The database's clock may be ahead of this host's.
        ledger_time=lambda moment: moment + database.now() - clock(),
        add=ADD,
        own="host = current_setting('watcher.host')",
    )


#: Sums of connections that are no more go into one row each.
_FOLD: Final = """
WITH old AS (
    DELETE FROM sums WHERE backend <> 0 AND backend NOT IN (SELECT pid FROM pg_stat_activity) RETURNING name, value
)
INSERT INTO sums (backend, name, value) SELECT 0, name, sum(value) FROM old GROUP BY name
ON CONFLICT (backend, name) DO UPDATE SET value = sums.value + excluded.value
"""
