"""The queue on PostgreSQL: what differs from SQLite because hosts share it.

A lease matters only to the other hosts: they take a job over when it lapses. For the host that made the claim it does not
lapse, as on SQLite: its workers know which jobs they run, however long the process was stopped.
"""

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from itertools import count
from typing import ClassVar, Final, TypeVar

from watcher.errors import LeaseLostError, StateBusyError, StateError
from watcher.job import FoundRecording, Job, State
from watcher.ledger import rows
from watcher.ledger.claims import GROUPS, QueueHead, RootLimit, RunningJob, Wanted, next_name
from watcher.ledger.part import Connection, LedgerContext, Row, held
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.finding import distinct, put_distinct
from watcher.ledger.postgres.listener import HostSignals
from watcher.ledger.postgres.roots import RootMap
from watcher.ledger.postgres.schema import LOCKS, PUTTING
from watcher.ledger.postgres.unconfirmed import UnconfirmedQueueing, below_any
from watcher.ledger.queue import HOLDS, Queue
from watcher.ledger.suspects import CRASHED, CRASHES, why
from watcher.ledger.values import PutResult, SourceRecord
from watcher.ledger.waiting import LONGEST_DELAY

_T = TypeVar("_T")

#: Seconds for which claims do not look again for jobs that fall due: threads that wait do that as soon as one is due.
_PROMOTED: Final = 0.5


class PostgresQueue(Queue):
    """Sources that hosts share: claims, leases, recovery, and waiting for what other hosts change."""

    EXONERATE: ClassVar[str] = """
    UPDATE sources SET crashes = crashes - 1 WHERE id IN (
        SELECT id FROM sources WHERE alone = 1 AND crashes > 0 AND state IN ('ready', 'delayed') FOR UPDATE SKIP LOCKED
    )
    """

    UNDELAY: ClassVar[str] = """
    UPDATE sources SET state = 'ready', run_at = :now WHERE id IN (
        SELECT id FROM sources WHERE state = 'delayed' AND reason = :reason FOR UPDATE SKIP LOCKED
    )
    """

    ANSWERS_ASIDE: ClassVar[str] = """
    UPDATE answers SET aside = 1 FROM sources
    WHERE sources.id = :id AND answers.host = sources.host AND answers.used_at >= sources.updated_at
    """
    KEEP_PACE: ClassVar[str] = Queue.KEEP_PACE.replace("(minute) DO", "(minute, host) DO")

    _database: PostgresDatabase
    _paths: RootMap

    def __init__(
        self, context: LedgerContext, *, host: str, grace: float, tick: Callable[[], float] | None = None
    ) -> None:
        """`host`: this host's name.

        `grace`: seconds after a start of the server in which no lease is taken over, because nobody could renew any while
        it was away. `tick` replaces its clock.
        """
        self._host = host
        self._grace = grace
        self._tick = tick
        #: Allows one claim of this host at a time: the rule about suspects counts this host's running jobs.
        self._claiming = threading.Lock()
        #: Owners whose last claim failed: the database may have made the claim although its reply was lost.
        self._unsure: set[str] = set()
        #: Claims whose conclusion may have been committed although the reply was lost.
        self._unconfirmed: set[tuple[int, int]] = set()
        self._unconfirmed_queueing = UnconfirmedQueueing()
        #: When the last claim that found nothing began, by `small`; monotonic.
        self._found_nothing_since = {False: -math.inf, True: -math.inf}
        #: When due jobs were last made ready, by the database's clock.
        self._promoted_at = -math.inf
        super().__init__(context)
        self.signals = HostSignals(self._database, host=host, work=self._announce)

    def start(self) -> None:
        """Start to listen, and recover from a crash. Call it before the first claim, so that no change is missed after it."""
        self.signals.listen()
        self.recover()
        self.signals.offer()

    # Finding.

    def put(self, found: Iterable[FoundRecording]) -> list[PutResult]:
        runs = list(distinct(map(self._paths.found, found)))
        if not runs:
            return []
        paths = [one.path for run in runs for one in run]
        asked = frozenset(paths).__contains__

        def put(connection: Connection) -> list[PutResult]:
            # Hosts that find the same files take turns: otherwise each could wait for a row that the other has locked.
            connection.execute("SELECT pg_advisory_xact_lock(?, ?)", (LOCKS, PUTTING))
            now = self._clock()
            answers = [answer for run in runs for answer in put_distinct(connection, run, now)]
            queued = {
                path: answer for path, answer in zip(paths, answers, strict=True) if answer is not PutResult.KNOWN
            }
            earlier = self._unconfirmed_queueing.note(connection, queued, now, asked)
            return [earlier.pop(path, answer) for path, answer in zip(paths, answers, strict=True)]

        # Durable, unlike on SQLite: the server may crash while we go on, and files that we believe to be stored are not put again.
        answers = self._database.change(put)
        self._unconfirmed_queueing.confirmed(asked)
        if any(answer is not PutResult.KNOWN for answer in answers):
            self._offer()
            if PutResult.CHANGED in answers:
                self._concluded()
        return answers

    def _in_one(self, make: Callable[[Connection, float], list[bytes]], stored: list[bytes] | None) -> list[bytes]:
        asked = below_any(stored)

        def requeue(connection: Connection) -> list[bytes]:
            now = self._clock()
            queued = make(connection, now)
            earlier = self._unconfirmed_queueing.note(connection, dict.fromkeys(queued, PutResult.QUEUED), now, asked)
            return [*earlier, *queued]

        queued = self._database.change(requeue)
        self._unconfirmed_queueing.confirmed(asked)
        return queued

    # Working.

    def claim(
        self,
        owner: str,
        *,
        lease: float,
        small: bool = False,
        limit: RootLimit | None = None,
        without: Collection[bytes] = (),
    ) -> Job | None:
        if not self._context.exclusive:
            raise StateError("only a host that works on the ledger may claim jobs")
        wanted = Wanted(owner, small, limit, frozenset(without))
        job = self._database.patiently(lambda: self._take(wanted, lease=lease))
        if job is not None:
            self._await_report(job)
        return job

    def _take(self, wanted: Wanted, *, lease: float) -> Job | None:
        self._about_to_claim()
        owner = wanted.owner
        came = time.monotonic()
        # Do not wait for the database while holding this lock: the other threads would wait one after the other.
        with self._claiming:
            # A change wakes all waiting threads. If another thread's claim began after this call and found nothing, this one
            # finds nothing either.
            unsure = owner in self._unsure
            if not unsure and max(self._found_nothing_since[False], self._found_nothing_since[wanted.small]) > came:
                return None
            begun = time.monotonic()
            self._unsure.add(owner)
            job = self._claimed(owner, lease=lease) if unsure else None
            job = job or self._claim(wanted, lease=lease)
            if job is not None:
                self._at_work[owner] = self._paths.stored(job.root)
            self._unsure.discard(owner)
            if job is None and not (self.held_back() or wanted.without):
                self._found_nothing_since[wanted.small] = begun
        return job

    def _claimed(self, owner: str, *, lease: float) -> Job | None:
        """Return the job that this owner claimed without getting the reply; an owner has one job at a time."""
        values = {"host": self._host, "owner": rows.text(owner), "lease": float(lease)}
        found = self._database.change(
            lambda connection: self._timed(connection, _CLAIMED, values), durable=False, patience=0.0
        )
        return rows.job(found[0], self._paths.real) if found else None

    def _claim(self, wanted: Wanted, *, lease: float) -> Job | None:
        now = self._clock()

        def take(connection: Connection) -> tuple[bytes, Job] | None:
            if not 0.0 <= now - self._promoted_at < _PROMOTED:
                self._promote(connection, now=now)
            for head in self._claimable(connection, wanted):
                values = {
                    "alone": head.alone,
                    "small": head.small,
                    "root": head.root,
                    "mounts": self._paths.mounts,
                    "host": self._host,
                    "owner": rows.text(wanted.owner),
                    "lease": float(lease),
                    "now": self._clock(),
                }
                # Another host may be claiming it: then take the next one of its group, or the next head.
                if claimed := self._timed(connection, _CLAIM, values):
                    return head.root, rows.job(claimed[0], self._paths.real)
            return None

        taken = self._database.change(take, durable=False, patience=0.0)
        if taken is None:
            return None
        self._served[wanted.small], job = taken
        return job

    def renew(self, job: Job, *, lease: float) -> None:
        statement, values = self._with_tick(_RENEW, {"lease": float(lease)})
        self._database.change(lambda connection: held(connection, statement, job, **values), durable=False)

    def _conclude(
        self, job: Job, make: Callable[[Connection], _T], *, back: bool = False, durable: bool = True
    ) -> _T | None:
        """See Queue; if the reply to a commit was lost, the second run recognises what the first one did."""
        claim, runs = (job.id, job.fence), count(1)

        def conclude(connection: Connection) -> _T | None:
            unconfirmed = next(runs) > 1 or claim in self._unconfirmed
            try:
                return make(connection)
            except LeaseLostError:
                values = {"id": job.id, "fence": job.fence}
                if unconfirmed and (back or connection.execute(HOLDS, values).fetchall()):
                    return None
                raise

        try:
            result = self._database.change(conclude, durable=durable)
        except StateBusyError:
            self._unconfirmed.add(claim)
            raise
        self._unconfirmed.discard(claim)
        return result

    # Waiting.

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self.signals.listen()
        super().wait(max(0.0, deadline - time.monotonic()))

    def _offer(self) -> None:
        super()._offer()
        self.signals.offer()

    # After a crash.

    def quarantined(self) -> tuple[SourceRecord, ...]:
        """See Suspects; only sources in roots of this host."""
        found = self._database.query(_QUARANTINED, {"mounts": self._paths.mounts})
        return tuple(rows.record(row, self._paths.real) for row in found)

    # Within a transaction.

    def _left_running(self, connection: Connection) -> list[Row]:
        return connection.execute(_LEFT_RUNNING, (self._host,)).fetchall()

    def _heads(self, connection: Connection, after: bytes, *, small: bool) -> list[QueueHead]:
        start = next_name(after)
        places = self._paths.ranges()
        ahead = [(max(first, start), behind) for first, behind in places if start < behind]
        starts, behinds = zip(*ahead, *places, strict=True)
        values = {
            "starts": list(starts),
            "behinds": list(behinds),
            "after": after,
            "small": small,
            "mounts": self._paths.mounts,
        }
        return sorted(QueueHead(*row) for row in connection.execute(_HEADS, values).fetchall())

    def _running(self, connection: Connection) -> list[RunningJob]:
        # A crash ends one process, so a suspect runs alone only on its own host, and only that host's workers are counted.
        return [RunningJob(*row) for row in connection.execute(_RUNNING, (self._host,)).fetchall()]

    def _promote(self, connection: Connection, *, now: float) -> None:
        """Make jobs ready that are due, or that another host was running under a lease that has lapsed."""
        self._promoted_at = now
        connection.execute(_PROMOTE, {"now": now, "horizon": now + LONGEST_DELAY})
        values = {"host": self._host, "grace": self._grace, "crashes": CRASHES, **why(CRASHED)}
        for id_, state in self._timed(connection, _LAPSE, values):
            if state == State.FAILED:
                connection.execute(self.ANSWERS_ASIDE, {"id": id_})

    def _due_in(self) -> float:
        """Return the seconds until a delayed job falls due or another host's lease lapses; infinity if there is neither."""
        now = self._clock()
        values = {"grace": self._grace, "host": self._host}
        ((first, last, lapse),) = self._database.query(*self._with_tick(_DUE, values))
        if last is not None and last > now + LONGEST_DELAY:
            return 0.0
        due = math.inf if first is None else first - now
        return min(due, math.inf if lapse is None else lapse)

    def _timed(self, connection: Connection, statement: str, values: dict[str, object]) -> list[Row]:
        """Run a statement that uses the database's clock, and return its rows."""
        return connection.execute(*self._with_tick(statement, values)).fetchall()

    def _with_tick(self, statement: str, values: dict[str, object]) -> tuple[str, dict[str, object]]:
        if self._tick is None:
            return statement.replace(":tick", _TICK), values
        return statement.replace(":tick", ":tick::float8"), {**values, "tick": self._tick()}


_TICK: Final = "extract(epoch FROM clock_timestamp())::float8"

_GROUPS: Final = f"(VALUES {', '.join(map(str, GROUPS))}) AS kind (alone, small)"
_HEADS: Final = f"""
WITH turn AS MATERIALIZED (
    SELECT found.root
    FROM unnest(:starts::bytea[], :behinds::bytea[]) AS place (start, behind) CROSS JOIN {_GROUPS} CROSS JOIN LATERAL (
        SELECT root FROM sources
        WHERE state = 'ready' AND sources.alone = kind.alone AND sources.small = kind.small
        AND root >= place.start AND root < place.behind AND mount = ANY(:mounts::bytea[])
        ORDER BY root LIMIT 1
    ) AS found
    WHERE :small = 0 OR kind.alone = 1 OR kind.small = 1
    ORDER BY found.root <= :after, found.root LIMIT 1
)
SELECT head.* FROM turn CROSS JOIN {_GROUPS} CROSS JOIN LATERAL (
    SELECT backlog, queued_at, id, sources.alone, sources.small, sources.root FROM sources
    WHERE state = 'ready' AND sources.alone = kind.alone AND sources.small = kind.small AND sources.root = turn.root
    AND mount = ANY(:mounts::bytea[])
    ORDER BY backlog, queued_at, id LIMIT 1
) AS head
"""  # noqa: S608 - our own names and numbers
_QUARANTINED: Final = f"""
SELECT {rows.RECORD} FROM sources
WHERE state = 'failed' AND alone = 1 AND mount = ANY(:mounts::bytea[]) ORDER BY id
"""  # noqa: S608 - our own column names
_RUNNING: Final = "SELECT owner, root, alone FROM sources WHERE state = 'running' AND host = ?"
# A server that crashes may lose the last claims while their workers go on. So a fence is never less than the time: no number is
# used twice.
_CLAIM: Final = f"""
WITH chosen AS MATERIALIZED (
    SELECT id AS number FROM sources
    WHERE state = 'ready' AND alone = :alone AND small = :small AND root = :root AND mount = ANY(:mounts::bytea[])
    ORDER BY backlog, queued_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE sources SET
    state = 'running', attempts = attempts + 1, owner = :owner, host = :host,
    fence = greatest(fence + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::int8),
    lease_until = :tick + :lease, updated_at = :now, piece = 0, pieces = 0, seconds_done = 0,
    reason = '', message = '', hint = ''
FROM chosen WHERE id = number
RETURNING {rows.JOB}
"""  # noqa: S608 - our own column names
_CLAIMED: Final = f"""
UPDATE sources SET lease_until = :tick + :lease
WHERE state = 'running' AND host = :host AND owner = :owner
RETURNING {rows.JOB}
"""  # noqa: S608 - our own column names
_RENEW: Final = """
UPDATE sources SET lease_until = :tick + :lease WHERE id = :id AND fence = :fence AND state = 'running'
"""
_LEFT_RUNNING: Final = """
SELECT id, piece, crashes, reached, alone FROM sources WHERE state = 'running' AND host = ? ORDER BY id FOR UPDATE
"""
# Statements that change several sources skip those that another statement is changing: so two never wait for each other.
_PROMOTE: Final = """
UPDATE sources SET state = 'ready' WHERE id IN (
    SELECT id FROM sources WHERE state = 'delayed' AND (run_at <= :now OR run_at > :horizon) FOR UPDATE SKIP LOCKED
)
"""
# A job whose lease lapsed on another host may have killed that host: it is a suspect now, so that it cannot kill one host after
# the other while other files run beside it. It counts as a crash by the rule of Suspects.recover.
_LAPSE: Final = """
WITH lapsed AS MATERIALIZED (
    SELECT id AS number, CASE
        WHEN piece > reached THEN least(crashes, 1)
        WHEN alone = 1 THEN greatest(crashes, alone) + 1
        ELSE crashes
    END AS counted
    FROM sources WHERE state = 'running' AND host <> :host AND lease_until <= :tick
    AND pg_postmaster_start_time() + make_interval(secs => :grace) <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE sources SET
    state = CASE WHEN counted >= :crashes THEN 'failed' ELSE 'ready' END,
    reason = CASE WHEN counted >= :crashes THEN :reason ELSE reason END,
    message = CASE WHEN counted >= :crashes THEN :message ELSE message END,
    hint = CASE WHEN counted >= :crashes THEN :hint ELSE hint END,
    crashes = counted,
    reached = greatest(reached, piece),
    alone = 1
FROM lapsed WHERE id = number
RETURNING id, state
"""
_DUE: Final = """
SELECT
    (SELECT min(run_at) FROM sources WHERE state = 'delayed'),
    (SELECT max(run_at) FROM sources WHERE state = 'delayed'),
    (SELECT greatest(
        min(lease_until) - :tick,
        extract(epoch FROM pg_postmaster_start_time() + make_interval(secs => :grace) - clock_timestamp())::float8
    ) FROM sources WHERE state = 'running' AND host <> :host HAVING count(*) > 0)
"""
