"""The ledger on PostgreSQL, as one host sees it: with this host's paths, clock and own memory, and the other hosts.

While the database restarts or fails over, a change or a read is made again for a little while (`PostgresDatabase.patiently`);
then it is a StateBusyError, and a caller that can wait longer may repeat it. All changes may be: what was committed without our
hearing of it is either done once more to the same effect, or refused by the fence and recognised as our own doing.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from watcher.errors import StateError
from watcher.fleet import Host
from watcher.ledger.answers import Answers
from watcher.ledger.ledger import Ledger
from watcher.ledger.lock import Lock
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.fleet import PostgresFleet
from watcher.ledger.postgres.host import host_of
from watcher.ledger.postgres.hosts import Hosts
from watcher.ledger.postgres.purchases import Purchases
from watcher.ledger.postgres.queue import PostgresQueue
from watcher.ledger.postgres.roots import RootMap
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


class PostgresLedger(PostgresQueue, Ledger):
    """A ledger that hosts share; `watcher.ledger.open_ledger` says what the arguments mean."""

    OWN: ClassVar[str] = "host = current_setting('watcher.host')"

    KEEP: ClassVar[str] = f"{Answers.KEEP}, host = excluded.host"
    RECALL: ClassVar[str] = Answers.RECALL.replace("SET ", "SET host = current_setting('watcher.host'), ")

    # Two hosts may hear copies of one recording at the same time: the second one finds what the first one entered.
    KEEP_CONTENT: ClassVar[str] = f"""
    {Answers.KEEP_CONTENT}
    ON CONFLICT (digest, parameters) DO UPDATE SET
        id = DEFAULT, sketch = excluded.sketch, seconds = excluded.seconds, cuts = excluded.cuts,
        loudness = excluded.loudness, warnings = excluded.warnings, used_at = excluded.used_at
    """

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
        self._lock = None
        self._host_clock = clock
        #: Monotonic time from which on it is worth another look at what dead hosts have left to run.
        self._inherits_at = 0.0
        if exclusive:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as exc:
                raise StateError(
                    f"the state directory {directory} cannot be made: {exc.strerror}",
                    hint="name a directory that the daemon's user may write: [state] dir",
                ) from exc
            self._lock = Lock(directory) if lock else None
        try:
            host = host_of(directory, make=exclusive)
            paths = RootMap(roots or {}, host=host)
            now, tick = database_clock or (None, None)
            database = PostgresDatabase(url, create=exclusive, host=host, patience=patience, clock=now)
        except BaseException:
            self._release()
            raise
        try:
            super().__init__(
                database,
                exclusive=exclusive,
                clock=database.now,
                paths=paths,
                host=host,
                grace=grace,
                tick=tick,
            )
            self._purchases = Purchases(database, host=host)
            self._hosts = Hosts(database, host=host)
            self._takeover = Takeover(database, roots=lambda: self._paths, grace=grace)
            if exclusive:
                self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def mount(self, roots: Mapping[str, str]) -> None:
        self._paths = RootMap(roots, host=self.host)
        # What could not be claimed here may be now.
        self._announce()

    def abandoned(self) -> tuple[bytes, ...]:
        return self._takeover.temporaries()

    def tidy(self) -> bool:
        self._fold()
        return super().tidy()

    # Memory.

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        if key == _TOLD:
            self._hosts.tell(value)
        else:
            super().remember(self._key(key), value, expires=expires)

    def remembered(self, key: str) -> dict[str, object] | None:
        return self._hosts.told() if key == _TOLD else super().remembered(self._key(key))

    def forget_memory(self, key: str) -> None:
        if key == _TOLD:
            self._hosts.leave()
        else:
            super().forget_memory(self._key(key))

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        # As a fleet does it, where hosts count what they have in flight as well.
        return self._purchases.buy(endpoint, day, seconds)

    def hooks_due(self, limit: int, *, heir_of: Collection[str] = ()) -> Sequence[HookCall]:
        """See Memory; only this host's own, and those of dead ones."""
        if heir_of and time.monotonic() >= self._inherits_at:
            taken = self._takeover.take_hooks(heir_of)
            self._inherits_at = 0.0 if taken else time.monotonic() + _INHERIT
        return super().hooks_due(limit)

    # Other hosts.

    def fleet(self, endpoint: str, party: str) -> PostgresFleet:
        return PostgresFleet(
            self._database,
            endpoint=endpoint,
            party=party,
            host=self.host,
            purchases=self._purchases,
            # A command beside the daemon is heard by it; the daemon need not hear itself.
            sender=self.host if self._exclusive else self._myself,
            listen=self._gates_heard.append,
        )

    def beat(self) -> None:
        self._hosts.beat()

    def hosts(self) -> tuple[Host, ...]:
        return self._hosts.all()

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:
        return self._hosts.claim_scan(self._paths.stored(root), rules, lease=lease)

    def release_scan(self, root: bytes, rules: str) -> None:
        self._hosts.release_scan(self._paths.stored(root), rules)

    def common(self, path: bytes) -> bytes:
        return self._paths.stored(path)

    def _key(self, key: str) -> str:
        return f"{key}@{self.host}" if key in _OWN else key

    def _ledger_time(self, moment: float) -> float:
        # The database's clock may be ahead of this host's.
        return moment + self._database.now() - self._host_clock()
