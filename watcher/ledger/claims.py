"""The order in which jobs are claimed.

Roots take turns, one job each, in the order of their names: however many files somebody puts into one root, at most one of
them is claimed before the next job of each other root. Within a root, arrivals go before backlog, and the oldest goes first.
Each process keeps its own turns in memory, and begins with the first root when it starts.

With turns alone, a root with jobs of many hours would in the end occupy every worker. So a claim may come with a limit: how many
workers may run jobs of the same root, or of several roots that wait for the same server. If that is one less than there are workers, one
remains for other roots. A worker counts until it
says that it is idle: a change of the file puts its job back, and the worker that has it may learn of that hours later.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from watcher.errors import StateError
from watcher.job import Job
from watcher.ledger import rows
from watcher.ledger.part import Connection, LedgerContext
from watcher.ledger.waiting import WorkSignal

#: Longest time (seconds) that a claim waits until a change was reported.
_REPORTED: Final = 5.0


class QueueHead(NamedTuple):
    """First ready source of one group (alone, small) of a root. Heads sort in the order in which they are claimed."""

    backlog: int
    queued_at: float
    id: int
    alone: int
    small: int
    root: bytes


class RunningJob(NamedTuple):
    """A job that runs in this process, with its stored root."""

    owner: str
    root: bytes
    alone: int


@dataclass(frozen=True, slots=True)
class RootLimit:
    """At most `most` of these owners may run jobs of the same root, or of the same group of roots, at a time."""

    owners: frozenset[str]
    most: int
    #: Roots that count together.
    groups: tuple[frozenset[bytes], ...] = ()

    def roots_at_limit(
        self, running: Collection[RunningJob], *, owner: str, stored: Callable[[bytes], bytes] = bytes
    ) -> set[bytes]:
        """Return the stored roots of which `owner` may begin no job; its own jobs do not count. `stored` converts those of the groups.

        `running` may contain a job twice. While it chooses a job for a probe, an owner has several for a moment; they count once.
        """
        pairs = {(job.root, job.owner) for job in running if job.owner in self.owners - {owner}}
        at_limit = {root for root, count in Counter(root for root, _ in pairs).items() if count >= self.most}
        for group in (set(map(stored, roots)) for roots in self.groups):
            if len({other for root, other in pairs if root in group}) >= self.most:
                at_limit |= group
        return at_limit


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs a claim may take; see `Claims.claim`."""

    owner: str
    small: bool = False
    limit: RootLimit | None = None
    without: frozenset[bytes] = frozenset()


class Claims(WorkSignal):
    """Taking jobs out of the queue."""

    def __init__(self, context: LedgerContext) -> None:
        super().__init__(context)
        #: Root of the last job that was claimed, by `small`. Kept separately: a shared one would let claims of small jobs move the
        #: turn past a root that has long ones only, again and again.
        self._served = {False: b"", True: b""}
        #: How many threads are reporting a change of these sources.
        self._unreported: Counter[bytes] = Counter()
        self._reports = threading.Condition()
        #: Stored root of the job that an owner claimed last, until it is idle.
        self._at_work: dict[str, bytes] = {}

    @contextmanager
    def reporting(self, paths: Collection[bytes]) -> Iterator[None]:
        """Delay this process's claims of these sources until the block has ended, 5 s at most.

        So a change that is logged in the block (queued, put back) comes in the log before the work that it makes possible.
        """
        with self._reports:
            self._unreported.update(paths)
        try:
            yield
        finally:
            with self._reports:
                self._unreported -= Counter(paths)
                self._reports.notify_all()

    def _await_report(self, job: Job) -> None:
        """Wait until nobody reports a change of the job's source any more, 5 s at most."""
        with self._reports:
            self._reports.wait_for(lambda: job.path not in self._unreported, _REPORTED)

    def claim(
        self,
        owner: str,
        *,
        lease: float,  # noqa: ARG002 - nobody shares it
        small: bool = False,
        limit: RootLimit | None = None,
        without: Collection[bytes] = (),
    ) -> Job | None:
        """Claim the next due job, count the attempt, raise the fence. Cheap.

        Roots take turns, in the order of their names; within one, arrivals go before backlog, and the oldest first.
        `small`: only jobs that need one request. `limit`: only jobs of roots of which fewer of its owners are running a job here.
        `without`: no jobs of these roots. If hosts share the ledger, the claim has a lease of `lease` seconds; after that, another
        host may claim. Returns None if nothing is due, or if what is due must wait until other jobs have ended (`held_back`).
        A source that was running in a crash is claimed by the rules in `Suspects`, whatever `small` is.
        """
        if not self._context.exclusive:
            raise StateError("only the process that holds the state's lock may claim jobs")
        self._about_to_claim()
        wanted = Wanted(owner, small, limit, frozenset(without))
        now = self._clock()

        def take(connection: Connection) -> tuple[bytes, Job] | None:
            self._promote(connection, now=now)
            head = next(self._claimable(connection, wanted), None)
            if head is None:
                return None
            values = {"id": head.id, "owner": rows.text(owner), "now": now}
            (row,) = connection.execute(_CLAIM, values).fetchall()
            # Before anything can put it back.
            self._at_work[owner] = head.root
            return head.root, rows.job(row, self._paths.real)

        taken = self._database.change(take, durable=False)
        if taken is None:
            return None
        self._served[small], job = taken
        self._await_report(job)
        return job

    def idle(self, owner: str) -> None:
        """Note that an owner has ended the job that it claimed last, whatever became of the job meanwhile."""
        if self._at_work.pop(owner, None) is not None:
            self._concluded()

    # Within a transaction.

    def _claimable(self, connection: Connection, wanted: Wanted) -> Iterator[QueueHead]:
        """Yield the jobs that may be claimed, the one whose turn it is first; none of roots that are at their limit.

        A source that was running in a crash is claimed in its turn, but runs alone: nothing new begins until the others have
        ended, and nothing else begins while it runs.
        """
        after = self._served[wanted.small]
        seen: set[bytes] = set()
        at_limit: set[bytes] = set()
        running: list[RunningJob] = []
        without = set(map(self._paths.stored, wanted.without))
        while heads := self._heads(connection, after, small=wanted.small):
            after = heads[0].root
            if after in seen:
                break
            if not seen:
                running = self._running(connection)
                if any(job.alone for job in running):
                    self._hold_back()
                    return
                at_limit = self._at_limit(wanted, running)
            seen.add(after)
            if heads[0].alone and running:
                self._hold_back()
                return
            if after in without | at_limit:
                continue
            for place, head in enumerate(heads):
                if place == 0 if head.alone else head.small or not wanted.small:
                    yield head
        if seen & at_limit:
            self._hold_back()

    def _at_limit(self, wanted: Wanted, running: Collection[RunningJob]) -> set[bytes]:
        """Return the stored roots of which enough jobs are in work."""
        if wanted.limit is None:
            return set()
        lost = [RunningJob(owner, root, alone=0) for owner, root in tuple(self._at_work.items())]
        return wanted.limit.roots_at_limit([*running, *lost], owner=wanted.owner, stored=self._paths.stored)

    def _heads(self, connection: Connection, after: bytes, *, small: bool) -> list[QueueHead]:
        """Return the sorted heads of the next root after `after`; []: no source is ready.

        `small`: roots without small jobs may be left out.
        """
        for start in (next_name(after), b""):
            for (root,) in connection.execute(_NEXT_SMALL if small else NEXT_ROOT, {"start": start}).fetchall():
                return sorted(QueueHead(*row) for row in connection.execute(_HEADS, {"root": root}).fetchall())
        return []

    def _running(self, connection: Connection) -> list[RunningJob]:
        """Return the jobs that run here."""
        return [RunningJob(*row) for row in connection.execute(_RUNNING).fetchall()]


def next_name(name: bytes) -> bytes:
    """Return the smallest name that sorts after this one."""
    return name + b"\0"


def _next_root(*kinds: tuple[int, int]) -> str:
    """Return the statement that finds the first root, from a name on, with a ready source of these groups (alone, small)."""
    firsts = (
        f"""
        SELECT * FROM (
            SELECT root FROM sources WHERE state = 'ready' AND alone = {alone} AND small = {small} AND root >= :start
            ORDER BY root LIMIT 1
        ) AS found
        """  # noqa: S608 - numbers of our own
        for alone, small in kinds
    )
    return f"SELECT root FROM ({' UNION ALL '.join(firsts)}) AS roots ORDER BY root LIMIT 1"  # noqa: S608 - statements of our own


#: The groups (alone, small) of the index; each is searched separately.
GROUPS: Final = ((0, 0), (0, 1), (1, 0), (1, 1))
NEXT_ROOT: Final = _next_root(*GROUPS)
_NEXT_SMALL: Final = _next_root(*GROUPS[1:])
_HEADS: Final = " UNION ALL ".join(
    f"""
    SELECT * FROM (
        SELECT backlog, queued_at, id, alone, small, root FROM sources
        WHERE state = 'ready' AND alone = {alone} AND small = {small} AND root = :root
        ORDER BY backlog, queued_at, id LIMIT 1
    )
    """  # noqa: S608 - numbers of our own
    for alone, small in GROUPS
)
_RUNNING: Final = "SELECT owner, root, alone FROM sources WHERE state = 'running'"
_CLAIM: Final = f"""
UPDATE sources SET
    state = 'running', attempts = attempts + 1, fence = fence + 1, owner = :owner, updated_at = :now,
    piece = 0, pieces = 0, seconds_done = 0, reason = '', message = '', hint = ''
WHERE id = :id AND state = 'ready'
RETURNING {rows.JOB}
"""  # noqa: S608 - our own column names
