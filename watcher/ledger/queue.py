"""The durable queue: sources found, claimed, concluded.

A claim lasts until it is concluded: its owner is a thread of the process that holds the state's lock, and the jobs of a dead
process are queued again at the next start. A lease that lapses would only do harm: a process that was stopped for a minute
(SIGSTOP, a frozen container) would think its own jobs abandoned, and run them twice. A ledger that hosts share has
leases for them (`watcher.ledger.postgres.queue`).

`put`, `claim` and `drop` do not wait for the disk, which would take milliseconds: if power loss undoes a claim, the job is
claimed again; if it takes a file out of the queue, the scan at the next start finds the file again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, Final, TypeVar

from watcher.errors import JobError, LeaseLostError
from watcher.job import Fingerprint, FoundRecording, Job, Outcome, State
from watcher.ledger import rows
from watcher.ledger.claims import Claims
from watcher.ledger.counting import counted
from watcher.ledger.hooks import HOOK
from watcher.ledger.lookups import minute_of
from watcher.ledger.part import LOST, Connection, held
from watcher.ledger.requeue import Requeue
from watcher.ledger.sessions import MOVE_STEMS, Stems, delete_source, queue_sessions, wake_session
from watcher.ledger.suspects import Suspects, why
from watcher.ledger.values import SPENT, PutResult, WebhookCall
from watcher.ledger.waiting import LONGEST_DELAY

_T = TypeVar("_T")


class Queue(Claims, Suspects, Requeue, Stems):
    """Sources and their states."""

    #: Adds to the seconds done in a minute.
    KEEP_PACE: ClassVar[str] = """
    INSERT INTO pace (minute, seconds) VALUES (?, ?)
    ON CONFLICT (minute) DO UPDATE SET seconds = pace.seconds + excluded.seconds
    """

    # Finding.

    def put(self, found: Iterable[FoundRecording]) -> list[PutResult]:
        """Queue new and changed files, all in one transaction; return the results in the same order.

        A changed source starts again (attempts 0, due now), whatever its state was, and its fence is raised; if it had failed, a
        request of `queue_again` is forgotten. A source dropped with an open `again` request is queued as new. If the content is the
        same under a new fingerprint, the worker finds that out, through `Job.content`. An inode of 0, old or new,
        is not compared. The sessions of stems that are queued are queued, too. Cheap: after power loss, the scan at the next start
        finds the files again.
        """
        now, stored = self._clock(), list(map(self._paths.found, found))

        def put(connection: Connection) -> list[PutResult]:
            answers = [_put(connection, one, now) for one in stored]
            queue_sessions(connection, news(stored, answers), now)
            return answers

        answers = self._database.change(put, durable=False)
        if any(answer is not PutResult.KNOWN for answer in answers):
            self._offer()
        return answers

    def skip(self, found: Iterable[FoundRecording]) -> None:
        """Record files that are not to be transcribed (``backlog = false``), unless they are known already. Cheap."""
        now = self._clock()
        values = [columns(one, now) for one in map(self._paths.found, found)]
        # On PostgreSQL wait for the disk: if the server crashed and lost the row, this process would still believe that it exists.
        durable = self._database.remote
        self._database.change(lambda connection: connection.executemany(SKIP, values), durable=durable)

    def relocate(self, path: bytes, found: FoundRecording) -> bool:
        """Note under which path a source was found now that was moved away after it was done (`Outcome.moved_to`).

        Its former path stays known (`History.moved`). Return False if `path` has no source that was moved away, or if the new path
        is known already.
        """
        values = {
            "former": self._paths.stored(path),
            "path": self._paths.stored(found.path),
            "root": self._paths.stored(found.root),
            **_stat(found.fingerprint),
        }
        return self._database.change(lambda connection: connection.execute(_RELOCATE, values).rowcount == 1)

    def forget(self, path: bytes) -> None:
        """Delete a source that is gone, or that must be found and inspected again; its answers and outputs stay stored. Cheap."""
        stored = self._paths.stored(path)
        self._database.change(lambda connection: delete_source(connection, stored, self._clock()), durable=False)
        self._concluded()

    # Working.

    def renew(self, job: Job, *, lease: float) -> None:  # noqa: ARG002 - nobody shares it
        """Extend the lease; raise LeaseLostError if another worker has it now. Cheap."""
        if not self._database.query(_RUNS, {"id": job.id, "fence": job.fence}):
            raise LeaseLostError(LOST)

    def holds(self, job: Job) -> bool:
        """Return whether the job is still under this claim, or was concluded by this claim and not changed since."""
        return bool(self._database.query(HOLDS, {"id": job.id, "fence": job.fence}))

    def done(self, job: Job, outcome: Outcome, *, hook: str = "", webhooks: Sequence[WebhookCall] = ()) -> None:
        """Conclude as done. Raises LeaseLostError.

        `hook`: the JSON payload of an on_done hook; it and the deliveries to `webhooks` are stored in the same transaction.

        `outcome.content` becomes `Job.content` of the next claim. A source that was moved away has no fingerprint any more: a file
        found under its path from now on is another file, even with the same stat. If the content is the same as in the former
        outcome and nothing was bought (a file that was only touched or renamed), the tally does not change. The source's name
        before it was renamed is forgotten, and the request `job.again` is completed.
        """

        def done(connection: Connection) -> None:
            done = self._store_outcome(connection, job, outcome)
            self._add_calls(connection, job, "on_done", hook, webhooks)
            if done:
                connection.execute(self._context.count, done)

        self._conclude(job, done)
        self._concluded(announced=bool(hook or webhooks))
        if job.session:
            self._offer()

    def fail(self, job: Job, error: JobError, *, hook: str = "", webhooks: Sequence[WebhookCall] = ()) -> None:
        """Conclude as failed for good, with the error's reason, message and hint. Raises LeaseLostError.

        A quarantined job may be failed once more, so that its hook runs; the first caller wins.
        """

        def fail(connection: Connection) -> None:
            held(connection, _FAIL, job, now=self._clock(), **why(error))
            connection.execute(_FORGET, (f"{SPENT}{job.id}",))
            self._add_calls(connection, job, "on_failed", hook, webhooks)
            self._wake_session(connection, job)
            connection.execute(self._context.count, counted(self._clock(), failed=1))

        self._conclude(job, fail)
        self._concluded(announced=bool(hook or webhooks))

    def retry(self, job: Job, error: JobError, *, run_at: float) -> None:
        """Put back, due at `run_at`, or now if that is over two hours away; the attempt stays counted. Raises LeaseLostError."""
        self._back(job, run_at, error, given_back=0)

    def release(self, job: Job, *, run_at: float = 0.0, error: JobError | None = None) -> None:
        """Put back, due at `run_at`, and do not count the attempt: it was not the file's fault. Raises LeaseLostError."""
        self._back(job, run_at, error, given_back=1)

    def drop(self, job: Job) -> None:
        """Delete a job's source, if the job is still under this claim. Raises LeaseLostError. Cheap.

        A source that was done before stays stored as done, so that it is recognised under another name.
        So does one with a person's request (`Job.again`): the request is carried out once a file is found (`put`) under the
        path, or the same file, by inode and stamp, under another path. Durable in this case.
        """
        if job.again is not None:
            self._drop_and_keep_request(job)
            return
        values = {"id": job.id, "fence": job.fence, "now": self._clock(), **why(DROPPED)}

        def drop(connection: Connection) -> None:
            if not connection.execute(_AWAIT_DONE, values).rowcount:
                held(connection, _DROP, job)
            self._wake_session(connection, job)

        self._conclude(job, drop, back=True, durable=False)
        self._concluded()

    def progress(self, job: Job, *, piece: int, pieces: int, seconds_done: float) -> None:
        """Store how far a running job is. A lost lease is ignored. Cheap."""
        values = {"piece": piece, "pieces": pieces, "seconds_done": rows.seconds(seconds_done)}
        values |= {"id": job.id, "fence": job.fence}
        self._database.change(lambda connection: connection.execute(_PROGRESS, values), durable=False)
        if job.alone:
            self._concluded()

    def _conclude(
        self,
        job: Job,  # noqa: ARG002 - used where the answer to a commit can get lost
        make: Callable[[Connection], _T],
        *,
        back: bool = False,  # noqa: ARG002
        durable: bool = True,
    ) -> _T | None:
        """Make the change that ends a claim; `back`: afterwards the claim does not hold any more (see `holds`)."""
        return self._database.change(make, durable=durable)

    def _store_outcome(self, connection: Connection, job: Job, outcome: Outcome) -> dict[str, object]:
        """Store an outcome, and return the values by which it counts as activity (`counted`); {}: it does not count."""
        now, done = self._clock(), dict[str, object]()
        before = connection.execute(_BEFORE, (job.id,)).fetchall()
        held(
            connection,
            _DONE,
            job,
            outcome=rows.outcome_text(outcome, self._paths.stored),
            content=outcome.content,
            model=rows.text(outcome.model),
            now=now,
        )
        connection.execute(_FORGET, (f"{SPENT}{job.id}",))
        ((former, content, crashes, queued_at, claimed_at),) = before
        if outcome.moved_to:
            connection.execute(_MOVED_AWAY, (job.id,))
        if outcome.renamed_from:
            delete_source(connection, self._paths.stored(outcome.renamed_from), now, statement=_RENAMED)
        if crashes:
            connection.execute(self.EXONERATE)
        same = former is not None and bool(content) and content == outcome.content
        again = (same or bool(outcome.renamed_from)) and not outcome.paid_seconds
        # A file that was only touched or renamed does not count twice.
        is_new = bool(outcome.audio_seconds) and not again
        # The audio of a session has counted with its stems, which are no recordings of their own.
        seconds = 0.0 if job.is_session else rows.seconds(outcome.audio_seconds)
        if is_new:
            waited = 0.0 if job.is_stem else rows.seconds(max(0.0, claimed_at - queued_at))
            done = counted(now, done=int(not job.is_stem), audio=seconds, waited=waited)
        if is_new and seconds:
            connection.execute(self._context.add, (seconds, "audio_seconds"))
            saved = min(rows.seconds(outcome.saved_seconds), seconds)
            connection.execute(self._context.add, (saved, "saved_seconds"))
            connection.execute(self.KEEP_PACE, (minute_of(now), seconds))
        if not outcome.moved_to:
            is_known = former is not None and content == outcome.content and job.again is None
            self._wake_session(connection, job, news=not is_known or outcome.paid_seconds > 0)
        elif job.is_session:
            # Its outputs are in their place: now the stems follow.
            connection.execute(MOVE_STEMS, {"session": self._paths.stored(job.path), "now": now})
        return done

    def _wake_session(self, connection: Connection, job: Job, *, news: bool = True) -> None:
        if job.is_stem:
            wake_session(connection, self._paths.stored(job.session), self._clock(), news=news)

    def _add_calls(
        self, connection: Connection, job: Job, kind: str, payload: str, webhooks: Sequence[WebhookCall]
    ) -> None:
        """Store the call of the program for `kind`, if there is a payload, and the deliveries to webhooks."""
        source, calls = self._paths.stored(job.path), [("", kind, payload)] if payload else []
        for receiver, event, text in calls + [(call.receiver, call.kind, call.payload) for call in webhooks]:
            connection.execute(HOOK, (source, job.id, receiver, event, text.encode("utf-8", "surrogatepass")))

    def _drop_and_keep_request(self, job: Job) -> None:
        """Move a person's request to the same file under another name; if there is none, keep it until the file is found again."""
        now = self._clock()
        values = {"id": job.id, "now": now, "path": self._paths.stored(job.path), **_stat(job.fingerprint)}

        def drop(connection: Connection) -> int:
            held(connection, _AWAIT, job, now=now, **why(AWAITED))
            handed_over = connection.execute(_HAND_OVER, values).rowcount
            if handed_over:
                connection.execute(_HANDED_OVER, (job.id,))
            return handed_over

        handed_over = self._conclude(job, drop, back=True)
        self._concluded()
        if handed_over:
            self._offer()

    def _back(self, job: Job, run_at: float, error: JobError | None, *, given_back: int) -> None:
        now = self._clock()
        due = self._ledger_time(run_at) if run_at else 0.0
        # The caller's clock was set back while it waited for a ledger that took no changes.
        due = due if due <= now + LONGEST_DELAY else now
        state = State.DELAYED if due > now else State.READY
        values = {"state": state, "run_at": due, "now": now, "given_back": given_back, **why(error)}
        self._conclude(job, lambda connection: held(connection, _BACK, job, **values), back=True)
        self._offer()


AWAITED: Final = JobError(
    "it was to be transcribed once more, and was not there any more, or changed: that is done when it is found again",
    hint="put it back, or name its new path: watcher once PATH; answers that came are kept",
    reason="gone",
)

DROPPED: Final = JobError(
    "it was not there any more, or changed, when it was looked at again",
    hint="nothing need be done: if it is still there, it is found under the name that it has now",
    reason="gone",
)

_KNOWN: Final = "SELECT id, root, size, mtime_ns, inode FROM sources WHERE path = ?"
REROOT: Final = "UPDATE sources SET root = ? WHERE id = ?"
# A file that was renamed before a person's request was carried out (`_AWAIT`) takes the request along; a hard link in another
# root, which somebody else may have made, does not.
_QUEUE: Final = """
INSERT INTO sources (
    path, root, size, mtime_ns, inode, backlog, small, suspect, seconds, session, state, run_at, queued_at, updated_at,
    content, again
) VALUES (
    :path, :root, :size, :mtime_ns, :inode, :backlog, :small, :suspect, :seconds, :session, 'ready', :now, :now, :now,
    coalesce((
        SELECT content FROM sources
        WHERE state = 'done' AND inode <> 0 AND content <> '' AND inode = :inode AND size IN (:size, -1 - :size)
        AND mtime_ns = :mtime_ns
        LIMIT 1
    ), ''),
    coalesce((
        SELECT again FROM sources
        WHERE state = 'done' AND inode <> 0 AND content <> '' AND inode = :inode AND size = -1 - :size
        AND mtime_ns = :mtime_ns AND again <> '' AND root = :root
        LIMIT 1
    ), '')
)
"""
REQUEUE: Final = """
UPDATE sources SET
    root = :root, size = :size, mtime_ns = :mtime_ns, inode = :inode, backlog = :backlog, small = :small,
    suspect = :suspect, seconds = :seconds, session = :session, state = 'ready', attempts = 0, fence = fence + 1, alone = 0, crashes = 0,
    reached = 0, gone_at = 0, run_at = :now, queued_at = :now, updated_at = :now, piece = 0, pieces = 0, seconds_done = 0,
    reason = '', message = '', hint = '',
    again = CASE WHEN state = 'failed' THEN '' ELSE again END
WHERE path = :path
"""
SKIP: Final = """
INSERT INTO sources (
    path, root, size, mtime_ns, inode, backlog, small, suspect, seconds, state, run_at, queued_at, updated_at
) VALUES (
    :path, :root, :size, :mtime_ns, :inode, :backlog, :small, :suspect, :seconds, 'skipped', :now, :now, :now
) ON CONFLICT (path) DO NOTHING
"""
#: The time of the claim, too: nothing else changes `updated_at` of a running source.
_BEFORE: Final = "SELECT outcome, content, crashes, queued_at, updated_at FROM sources WHERE id = ?"
_RUNS: Final = "SELECT 1 FROM sources WHERE id = :id AND fence = :fence AND state = 'running'"
HOLDS: Final = "SELECT 1 FROM sources WHERE id = :id AND fence = :fence AND state IN ('done', 'failed', 'running')"
_DONE: Final = """
UPDATE sources SET
    state = 'done', updated_at = :now, outcome = :outcome, content = :content, model = :model, again = '', alone = 0,
    crashes = 0, reached = 0
WHERE id = :id AND fence = :fence AND state = 'running'
"""
# No file has this fingerprint, so a file that is found under the path later counts as another one.
MOVED_SIZE: Final = -1
_MOVED_AWAY: Final = f"UPDATE sources SET size = {MOVED_SIZE}, mtime_ns = 0, inode = 0 WHERE id = ?"  # noqa: S608 - our own number
_RELOCATE: Final = f"""
UPDATE sources SET
    path = :path, root = :root, size = :size, mtime_ns = :mtime_ns, inode = :inode, gone_at = 0, came_as = :former
WHERE path = :former AND state = 'done' AND size = {MOVED_SIZE}
AND NOT EXISTS (SELECT 1 FROM sources AS other WHERE other.path = :path)
"""  # noqa: S608 - our own number
# A file that gets this name later counts as new.
_RENAMED: Final = "DELETE FROM sources WHERE path = ? AND state IN ('done', 'delayed', 'ready')"
_FORGET: Final = "DELETE FROM memory WHERE key = ?"
_FAIL: Final = """
UPDATE sources SET
    state = 'failed', updated_at = :now, alone = 0, crashes = 0, reached = 0,
    reason = :reason, message = :message, hint = :hint
WHERE id = :id AND fence = :fence AND (state = 'running' OR state = 'failed' AND alone = 1)
"""
_BACK: Final = """
UPDATE sources SET
    state = :state, run_at = :run_at, updated_at = :now, attempts = attempts - :given_back,
    reason = :reason, message = :message, hint = :hint
WHERE id = :id AND fence = :fence AND state = 'running'
"""
# For a source that is to be transcribed again, but cannot be found now. No file has a negative size, so any file found under the
# path is queued, with the request; and the rest of the fingerprint recognises the file if it was renamed.
_AWAIT: Final = """
UPDATE sources SET
    state = 'done', size = -1 - size, fence = fence + 1, alone = 0, crashes = 0, reached = 0, updated_at = :now,
    reason = :reason, message = :message, hint = :hint
WHERE id = :id AND fence = :fence AND state = 'running'
"""
# The same for a source that was done before: if the file is found under another name, its outputs follow it (`namesakes`).
_AWAIT_DONE: Final = f"{_AWAIT} AND outcome IS NOT NULL AND content <> ''"
_HANDED_OVER: Final = "UPDATE sources SET again = '', reason = '', message = '', hint = '' WHERE id = ?"
# Gives the request to the same file under another name, which may be running there without the request.
_HAND_OVER: Final = """
UPDATE sources SET
    state = 'ready', attempts = 0, fence = fence + 1, backlog = 0, run_at = :now, queued_at = :now, updated_at = :now,
    piece = 0, pieces = 0, seconds_done = 0, reason = '', message = '', hint = '',
    again = (SELECT former.again FROM sources AS former WHERE former.id = :id),
    content = (SELECT former.content FROM sources AS former WHERE former.id = :id)
WHERE id = (
    SELECT min(other.id) FROM sources AS other
    WHERE other.inode <> 0 AND other.inode = :inode AND other.size = :size AND other.mtime_ns = :mtime_ns
    AND other.path <> :path AND other.again = '' AND other.state <> 'failed'
    AND other.root = (SELECT former.root FROM sources AS former WHERE former.id = :id)
)
"""
_DROP: Final = "DELETE FROM sources WHERE id = :id AND fence = :fence AND state = 'running'"
# Once it has got further than in the crash, other jobs may run beside it.
_PROGRESS: Final = """
UPDATE sources SET
    piece = :piece, pieces = :pieces, seconds_done = :seconds_done,
    alone = CASE WHEN :piece > reached THEN 0 ELSE alone END
WHERE id = :id AND fence = :fence AND state = 'running'
"""


def _put(connection: Connection, found: FoundRecording, now: float) -> PutResult:
    known = connection.execute(_KNOWN, (found.path,)).fetchall()
    if not known:
        connection.execute(_QUEUE, columns(found, now))
        return PutResult.QUEUED
    ((id_, root, size, mtime_ns, inode),) = known
    new = found.fingerprint
    # An inode of 0 says nothing: the file system came to be mounted another way.
    if (size, mtime_ns) != (new.size, new.mtime_ns) or (inode and new.inode and inode != rows.signed(new.inode)):
        connection.execute(REQUEUE, columns(found, now))
        return PutResult.QUEUED if size < MOVED_SIZE else PutResult.CHANGED
    if root != found.root:
        connection.execute(REROOT, (found.root, id_))
    return PutResult.KNOWN


def news(found: Iterable[FoundRecording], answers: Iterable[PutResult]) -> Iterator[FoundRecording]:
    """Yield the files that were queued; `answers`: what `put` made of each."""
    return (one for one, answer in zip(found, answers, strict=True) if answer is not PutResult.KNOWN)


def columns(found: FoundRecording, now: float) -> dict[str, object]:
    """Return a found file's columns."""
    return {
        "path": found.path,
        "root": found.root,
        **_stat(found.fingerprint),
        "backlog": found.backlog,
        "small": found.small,
        "suspect": found.incomplete,
        "seconds": None if found.seconds is None else rows.seconds(found.seconds),
        "session": None if found.session is None else found.session.path,
        "now": now,
    }


def _stat(fingerprint: Fingerprint) -> dict[str, int]:
    return {
        "size": fingerprint.size,
        "mtime_ns": fingerprint.mtime_ns,
        "inode": rows.signed(fingerprint.inode),
    }
