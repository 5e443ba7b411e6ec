"""The ledger as one host sees it: with this host's paths, and not put off by a database that is away for a moment.

While the database restarts or fails over, a call is made again for a little while; then it is a StateBusyError, and a
caller that can wait longer may repeat it. All calls may be: what was committed without our hearing of it is either done
once more to the same effect, or refused by the fence and recognised as our own doing.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Final

from watcher.errors import JobError, LeaseLostError, StateBusyError, StateError
from watcher.fleet import Fleet, Host
from watcher.job import AgainRequest, Cut, Fingerprint, FoundRecording, Job, Outcome, Output, State
from watcher.ledger.hook_call import HookCall
from watcher.ledger.lock import Lock
from watcher.ledger.part import LedgerInternals
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.engine import PostgresEngine
from watcher.ledger.postgres.host import host_of
from watcher.ledger.postgres.hosts import Hosts
from watcher.ledger.postgres.roots import RootMap
from watcher.ledger.postgres.takeover import Takeover
from watcher.ledger.protocol import ConcludedSource, Content, OwnedOutput, PutResult, SourceRecord, Tally

#: Seconds a call waits for a database that went away: a restart takes no longer.
PATIENCE: Final = 2.0
#: Seconds after a start of the server in which no lease is taken over: longer than between two renewals.
GRACE: Final = 15.0
#: Seconds between two looks at the hooks of dead hosts.
_INHERIT: Final = 5.0
#: Keys under which each host remembers something of its own; what its daemon tells of itself all others may see.
_OWN: Final = frozenset({"history", "pause-notes"})
_TOLD: Final = "service"


class PostgresLedger:
    """See Ledger; `watcher.ledger.open_ledger` says what the arguments mean."""

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
        self._clock = clock
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
            #: Who we are among the hosts.
            self.host = host_of(directory, make=exclusive)
            #: What this host has of the fleet's roots.
            self.roots = RootMap(roots or {}, host=self.host)
            now, tick = database_clock or (None, None)
            self._database = PostgresDatabase(url, create=exclusive, host=self.host, patience=patience, clock=now)
            try:
                self._engine = PostgresEngine(
                    self._database,
                    exclusive=exclusive,
                    host=self.host,
                    mounts=self.roots.mounts,
                    grace=grace,
                    tick=tick,
                )
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise
        self._hosts = Hosts(self._database, host=self.host)
        self._takeover = Takeover(self._database, roots=lambda: self.roots, grace=grace)
        #: Monotonic time from which on it is worth another look at what dead hosts have left to run.
        self._inherits_at = 0.0
        self._patiently = self._database.patiently
        #: Claims whose conclusion may have been committed without our hearing of it.
        self._unsure: set[tuple[int, int]] = set()

    @property
    def internals(self) -> LedgerInternals:
        """What copying needs."""
        return LedgerInternals(
            self._database, self._engine.ADD, stored=self.roots.stored, real=self.roots.strictly_real
        )

    def close(self) -> None:
        self._engine.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def mount(self, roots: Mapping[str, str]) -> None:
        self.roots = RootMap(roots, host=self.host)
        self._engine.mount(self.roots.mounts)

    # Finding.

    def put(self, found: Iterable[FoundRecording]) -> list[PutResult]:
        stored = [self._found(one) for one in found]
        return self._patiently(lambda: self._engine.put(stored))

    def skip(self, found: Iterable[FoundRecording]) -> None:
        stored = [self._found(one) for one in found]
        self._patiently(lambda: self._engine.skip(stored))

    def known(self, root: bytes) -> Iterator[tuple[bytes, Fingerprint, State]]:

        def here(known: tuple[bytes, Fingerprint, State]) -> tuple[bytes, Fingerprint, State]:
            return self.roots.real(known[0]), known[1], known[2]

        return map(here, chain.from_iterable(map(self._engine.known, self.roots.below(root))))

    def lookup(self, path: bytes) -> SourceRecord | None:
        record = self._engine.lookup(self.roots.stored(path))
        return None if record is None else self.roots.record(record)

    def namesakes(self, job: Job) -> list[SourceRecord]:
        return list(map(self.roots.record, self._engine.namesakes(self.roots.stored_job(job))))

    # Working.

    def claim(self, owner: str, *, lease: float, small: bool = False) -> Job | None:
        job = self._patiently(lambda: self._engine.claim(owner, lease=lease, small=small))
        return None if job is None else self.roots.job(job)

    def renew(self, job: Job, *, lease: float) -> None:
        self._patiently(lambda: self._engine.renew(job, lease=lease))

    def holds(self, job: Job) -> bool:
        return self._engine.holds(job)

    def done(self, job: Job, outcome: Outcome, *, hook: str = "") -> None:
        stored, result = self.roots.stored_job(job), self.roots.stored_outcome(outcome)
        self._conclude(job, lambda: self._engine.done(stored, result, hook=hook))

    def fail(self, job: Job, error: JobError, *, hook: str = "") -> None:
        stored = self.roots.stored_job(job)
        self._conclude(job, lambda: self._engine.fail(stored, error, hook=hook))

    def retry(self, job: Job, error: JobError, *, run_at: float) -> None:
        due = run_at + self._ahead()
        self._conclude(job, lambda: self._engine.retry(job, error, run_at=due), back=True)

    def release(self, job: Job, *, run_at: float = 0.0, error: JobError | None = None) -> None:
        due = run_at + self._ahead() if run_at else 0.0
        self._conclude(job, lambda: self._engine.release(job, run_at=due, error=error), back=True)

    def relocate(self, path: bytes, found: FoundRecording) -> bool:
        former, stored = self.roots.stored(path), self._found(found)
        return self._patiently(lambda: self._engine.relocate(former, stored))

    def forget(self, path: bytes) -> None:
        self._patiently(lambda: self._engine.forget(self.roots.stored(path)))

    def drop(self, job: Job) -> None:
        self._conclude(job, lambda: self._engine.drop(job), back=True)

    def progress(self, job: Job, *, piece: int, pieces: int, seconds_done: float) -> None:
        self._patiently(lambda: self._engine.progress(job, piece=piece, pieces=pieces, seconds_done=seconds_done))

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._patiently(lambda: self._engine.wait(max(0.0, deadline - time.monotonic())))

    def wake(self) -> None:
        self._engine.wake()

    def next_due(self) -> float | None:
        due = self._engine.next_due()
        return None if due is None else due - self._ahead()

    # Paid answers.

    def keep(self, digest: str, parameters: str, body: bytes, *, seconds: float, model: str) -> None:
        self._patiently(lambda: self._engine.keep(digest, parameters, body, seconds=seconds, model=model))

    def recall(self, digest: str, parameters: str) -> bytes | None:
        return self._patiently(lambda: self._engine.recall(digest, parameters))

    def keep_cut(self, sketch: str, parameters: str, cut: Cut) -> None:
        self._patiently(lambda: self._engine.keep_cut(sketch, parameters, cut))

    def cuts(self, sketch: str, parameters: str) -> tuple[Cut, ...]:
        return self._engine.cuts(sketch, parameters)

    def keep_content(self, content: Content, *, cut: Collection[str] = ()) -> None:
        self._patiently(lambda: self._engine.keep_content(content, cut=cut))

    def content(self, *, digest: str = "", sketch: str = "", parameters: str = "") -> Content | None:
        return self._patiently(lambda: self._engine.content(digest=digest, sketch=sketch, parameters=parameters))

    def supersede(self, job: Job, content: Content, *, cut: Collection[str] = ()) -> None:
        self._patiently(lambda: self._engine.supersede(job, content, cut=cut))

    def erase(self, digest: str, sketch: str = "") -> int:
        return self._patiently(lambda: self._engine.erase(digest, sketch))

    def prune(self, *, answers_older_than: float, max_bytes: int = 0) -> int:
        before = answers_older_than + self._ahead()
        return self._patiently(lambda: self._engine.prune(answers_older_than=before, max_bytes=max_bytes))

    def prune_some(self, *, answers_older_than: float, max_bytes: int = 0) -> int:
        before = answers_older_than + self._ahead()
        return self._patiently(lambda: self._engine.prune_some(answers_older_than=before, max_bytes=max_bytes))

    # Keeping it bounded.

    def concluded(self) -> Iterator[ConcludedSource]:

        def here(kept: ConcludedSource) -> ConcludedSource:
            return replace(kept, path=self.roots.real(kept.path), root=self.roots.real(kept.root))

        return map(here, self._engine.concluded())

    def note_gone(self, gone: Iterable[bytes], back: Iterable[bytes]) -> None:
        missing, there = list(map(self.roots.stored, gone)), list(map(self.roots.stored, back))
        self._patiently(lambda: self._engine.note_gone(missing, there))

    def retire(self, paths: Iterable[bytes], *, gone_before: float) -> list[bytes]:
        stored, before = list(map(self.roots.stored, paths)), gone_before + self._ahead()
        return list(map(self.roots.real, self._patiently(lambda: self._engine.retire(stored, gone_before=before))))

    def orphans(self) -> Iterator[bytes]:
        return map(self.roots.real, self._engine.orphans())

    def disown_orphans(self, paths: Iterable[bytes]) -> None:
        stored = list(map(self.roots.stored, paths))
        self._patiently(lambda: self._engine.disown_orphans(stored))

    def trials(self, root: bytes) -> Iterator[tuple[bytes, float]]:

        def here(found: tuple[bytes, float]) -> tuple[bytes, float]:
            return self.roots.real(found[0]), found[1]

        return map(here, chain.from_iterable(map(self._engine.trials, self.roots.below(root))))

    def outputs_below(self, folder: bytes) -> Iterator[OwnedOutput]:
        return map(self.roots.owned, chain.from_iterable(map(self._engine.outputs_below, self.roots.below(folder))))

    def tidy(self) -> bool:
        return self._patiently(self._engine.tidy)

    # Output paths.

    def enter_output(self, job: Job, output: Output) -> bool:
        stored, entered = self.roots.stored_job(job), self.roots.stored_output(output)
        return self._patiently(lambda: self._engine.enter_output(stored, entered))

    def enter_note(self, source: bytes, note: Output) -> bool:
        beside, entered = self.roots.stored(source), self.roots.stored_output(note)
        return self._patiently(lambda: self._engine.enter_note(beside, entered))

    def placed(self, path: bytes) -> None:
        self._patiently(lambda: self._engine.placed(self.roots.stored(path)))

    def disown(self, path: bytes) -> None:
        self._patiently(lambda: self._engine.disown(self.roots.stored(path)))

    def owner(self, path: bytes) -> OwnedOutput | None:
        owned = self._engine.owner(self.roots.stored(path))
        return None if owned is None else self.roots.owned(owned)

    def owned(self, source: bytes) -> tuple[OwnedOutput, ...]:
        return tuple(map(self.roots.owned, self._engine.owned(self.roots.stored(source))))

    def notes(self) -> Iterator[OwnedOutput]:
        """See Ledger.notes; only of roots that this host has: of the others it cannot tell which are still there."""
        return map(self.roots.owned, filter(lambda note: self.roots.has(note.path), self._engine.notes()))

    def enter_temporary(self, path: bytes) -> None:
        self._patiently(lambda: self._engine.enter_temporary(self.roots.stored(path)))

    def drop_temporary(self, path: bytes) -> None:
        self._patiently(lambda: self._engine.drop_temporary(self.roots.stored(path)))

    def temporaries(self) -> tuple[bytes, ...]:
        """See Ledger.temporaries; only this host's own."""
        return tuple(self.roots.real(path) for path in self._engine.temporaries() if self.roots.has(path))

    def abandoned(self) -> tuple[bytes, ...]:
        return self._takeover.temporaries()

    # Memory.

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        if key == _TOLD:
            self._patiently(lambda: self._hosts.tell(value))
            return
        end = None if expires is None else expires + self._ahead()
        self._patiently(lambda: self._engine.remember(self._key(key), value, expires=end))

    def remembered(self, key: str) -> dict[str, object] | None:
        return self._hosts.told() if key == _TOLD else self._engine.remembered(self._key(key))

    def forget_memory(self, key: str) -> None:
        self._patiently(self._hosts.leave if key == _TOLD else lambda: self._engine.forget_memory(self._key(key)))

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        # As a fleet does it, where hosts count what they have in flight as well.
        return self.fleet(endpoint, "").spend(day, seconds)

    def bought(self, endpoint: str | None, first: str, last: str) -> float:
        return self._engine.bought(endpoint, first, last)

    # Hooks.

    def add_hook(self, kind: str, payload: str) -> None:
        self._patiently(lambda: self._engine.add_hook(kind, payload))

    def hooks_due(self, limit: int, *, heir_of: Collection[str] = ()) -> Sequence[HookCall]:
        """See Ledger.hooks_due; only this host's own, and those of dead ones."""
        if heir_of and time.monotonic() >= self._inherits_at:
            taken = self._patiently(lambda: self._takeover.take_hooks(heir_of))
            self._inherits_at = 0.0 if taken else time.monotonic() + _INHERIT
        return self._patiently(lambda: self._engine.hooks_due(limit))

    def hooks_waiting(self) -> Sequence[HookCall]:
        return self._patiently(self._engine.hooks_waiting)

    def retry_hook(self, call: HookCall, *, delay: float, message: str) -> None:
        self._patiently(lambda: self._engine.retry_hook(call, delay=delay, message=message))

    def hook_done(self, call: HookCall) -> None:
        self._patiently(lambda: self._engine.hook_done(call))

    # Other hosts.

    def fleet(self, endpoint: str, party: str) -> Fleet:
        return self._engine.fleet(endpoint, party)

    def beat(self) -> None:
        self._patiently(self._hosts.beat)

    def hosts(self) -> tuple[Host, ...]:
        return self._hosts.all()

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:
        return self._patiently(lambda: self._hosts.claim_scan(self.roots.stored(root), rules, lease=lease))

    def release_scan(self, root: bytes, rules: str) -> None:
        self._hosts.release_scan(self.roots.stored(root), rules)

    def common(self, path: bytes) -> bytes:
        return self.roots.stored(path)

    # Looking.

    def counts(self) -> dict[State, int]:
        """See Ledger.counts; of the whole fleet, as all that follows."""
        return self._engine.counts()

    def records(self, *states: State, limit: int = 10) -> list[SourceRecord]:
        return list(map(self.roots.record, self._engine.records(*states, limit=limit)))

    def upcoming(self, limit: int) -> list[SourceRecord]:
        return list(map(self.roots.record, self._engine.upcoming(limit)))

    def tally(self) -> Tally:
        return self._engine.tally()

    def transcribed(self, since: float) -> float:
        return self._engine.transcribed(since + self._ahead())

    def size(self) -> int:
        return self._engine.size()

    # Operator.

    def put_back(self, paths: Iterable[bytes] | None = None) -> list[bytes]:
        stored = None if paths is None else [place for path in paths for place in self.roots.below(path)]
        return list(map(self.roots.real, self._patiently(lambda: self._engine.put_back(stored))))

    def queue_again(self, paths: Iterable[bytes], again: AgainRequest | None = None) -> list[bytes]:
        stored = list(map(self.roots.stored, paths))
        return list(map(self.roots.real, self._patiently(lambda: self._engine.queue_again(stored, again))))

    # After a crash.

    def quarantined(self) -> tuple[SourceRecord, ...]:
        return tuple(map(self.roots.record, self._engine.quarantined()))

    def _conclude(self, job: Job, call: Callable[[], None], *, back: bool = False) -> None:
        """Conclude, if need be again: where a commit went unheard, the second one finds what the first one did."""
        claim = (job.id, job.fence)

        def once() -> None:
            try:
                call()
            except StateBusyError:
                self._unsure.add(claim)
                raise
            except LeaseLostError:
                if not (claim in self._unsure and (back or self._engine.holds(job))):
                    raise

        self._patiently(once)
        self._unsure.discard(claim)

    def _key(self, key: str) -> str:
        return f"{key}@{self.host}" if key in _OWN else key

    def _found(self, found: FoundRecording) -> FoundRecording:
        return replace(found, root=self.roots.stored(found.root), path=self.roots.stored(found.path))

    def _ahead(self) -> float:
        """Return the seconds by which the database's clock is ahead of this host's."""
        return self._database.now() - self._clock()
