"""The durable queue: sources found, claimed, concluded.

A claim lasts until it is concluded: its owner is a thread of the process that holds the state's lock, and what a dead
process had is queued again at the next start. A lease that lapses would only harm: a process that stood still for a minute
(SIGSTOP, a frozen container) would take its own jobs for abandoned, and run them twice. Where hosts share a ledger, it has
leases for them (`watcher.ledger.postgres.queue`). What can be found out again is not worth the milliseconds of a flush: a
claim that power loss undoes was never made, and a file that it takes out of the queue is found again by the scan at the next
start.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar, Final, TypeVar

from watcher.errors import GarbledError, JobError, LeaseLostError
from watcher.job import AgainRequest, Fingerprint, FoundRecording, Job, Outcome, State
from watcher.ledger import rows
from watcher.ledger.claims import Claims
from watcher.ledger.lookups import minute_of
from watcher.ledger.memory import HOOK
from watcher.ledger.part import LOST, Connection, below, held
from watcher.ledger.protocol import RETRIED, PutResult
from watcher.ledger.suspects import CRASHED, Suspects, why
from watcher.ledger.waiting import LONGEST_DELAY

_T = TypeVar("_T")


class Queue(Claims, Suspects):
    """Sources and their states."""

    #: Adds to what was done in a minute.
    KEEP_PACE: ClassVar[str] = """
    INSERT INTO pace (minute, seconds) VALUES (?, ?)
    ON CONFLICT (minute) DO UPDATE SET seconds = pace.seconds + excluded.seconds
    """

    # Finding.

    def put(self, found: Iterable[FoundRecording]) -> list[PutResult]:
        now, stored = self._clock(), self._found(found)
        answers = self._database.change(
            lambda connection: [_put(connection, one, now) for one in stored], durable=False
        )
        if any(answer is not PutResult.KNOWN for answer in answers):
            self._offer()
        return answers

    def skip(self, found: Iterable[FoundRecording]) -> None:
        now = self._clock()
        values = [columns(one, now) for one in self._found(found)]
        # Where a server forgets it and we live on, what we think is known nobody notes again.
        durable = self._database.remote
        self._database.change(lambda connection: connection.executemany(SKIP, values), durable=durable)

    def relocate(self, path: bytes, found: FoundRecording) -> bool:
        values = {
            "former": self._paths.stored(path),
            "path": self._paths.stored(found.path),
            "root": self._paths.stored(found.root),
            **_stat(found.fingerprint),
        }
        return self._database.change(lambda connection: connection.execute(_RELOCATE, values).rowcount == 1)

    def forget(self, path: bytes) -> None:
        values = (self._paths.stored(path),)
        self._database.change(
            lambda connection: connection.execute("DELETE FROM sources WHERE path = ?", values), durable=False
        )
        self._concluded()

    # Working.

    def renew(self, job: Job, *, lease: float) -> None:  # noqa: ARG002 - nobody shares it
        if not self._database.query(_RUNS, {"id": job.id, "fence": job.fence}):
            raise LeaseLostError(LOST)

    def holds(self, job: Job) -> bool:
        return bool(self._database.query(HOLDS, {"id": job.id, "fence": job.fence}))

    def done(self, job: Job, outcome: Outcome, *, hook: str = "") -> None:
        self._conclude(job, lambda connection: self._store_outcome(connection, job, outcome, hook))
        self._concluded(hook)

    def fail(self, job: Job, error: JobError, *, hook: str = "") -> None:

        def fail(connection: Connection) -> None:
            held(connection, _FAIL, job, now=self._clock(), **why(error))
            self._add_hook(connection, job, "on_failed", hook)

        self._conclude(job, fail)
        self._concluded(hook)

    def retry(self, job: Job, error: JobError, *, run_at: float) -> None:
        self._back(job, run_at, error, given_back=0)

    def release(self, job: Job, *, run_at: float = 0.0, error: JobError | None = None) -> None:
        self._back(job, run_at, error, given_back=1)

    def drop(self, job: Job) -> None:
        if job.again is not None:
            self._drop_and_keep_request(job)
            return
        values = {"id": job.id, "fence": job.fence, "now": self._clock(), **why(DROPPED)}

        def drop(connection: Connection) -> None:
            if not connection.execute(_SET_DOWN, values).rowcount:
                held(connection, _DROP, job)

        self._conclude(job, drop, back=True, durable=False)
        self._concluded()

    def progress(self, job: Job, *, piece: int, pieces: int, seconds_done: float) -> None:
        values = {"piece": piece, "pieces": pieces, "seconds_done": rows.seconds(seconds_done)}
        values |= {"id": job.id, "fence": job.fence}
        self._database.change(lambda connection: connection.execute(_PROGRESS, values), durable=False)
        if job.alone:
            self._concluded()

    # Operator.

    def put_back(self, paths: Iterable[bytes] | None = None) -> list[bytes]:
        stored = None if paths is None else [place for path in paths for place in self._paths.below(path)]

        def put_back(connection: Connection) -> list[bytes]:
            failed = _failed(connection, stored)
            now = self._clock()
            connection.executemany(_RETRIED, ((now + _RETRIED_KEPT, id_) for id_ in failed))
            connection.executemany(_PUT_BACK, ((now, now, id_) for id_ in failed))
            return list(failed.values())

        failed = self._database.change(put_back)
        if failed:
            self._offer()
        return self._real(failed)

    def queue_again(self, paths: Iterable[bytes], again: AgainRequest | None = None) -> list[bytes]:
        now, stored = self._clock(), self._stored(paths)

        def queue(connection: Connection, path: bytes) -> int:
            if again is None:
                return connection.execute(_QUEUE_DONE, {"path": path, "now": now}).rowcount
            return _ask_again(connection, path, again, now)

        queued = self._database.change(lambda connection: [path for path in stored if queue(connection, path)])
        if queued:
            self._offer()
        return self._real(queued)

    def _found(self, found: Iterable[FoundRecording]) -> list[FoundRecording]:
        """Return what was found, with stored paths."""
        stored = self._paths.stored
        return [replace(one, root=stored(one.root), path=stored(one.path)) for one in found]

    def _conclude(
        self,
        job: Job,  # noqa: ARG002 - where a commit can go unheard, it tells the claim
        make: Callable[[Connection], _T],
        *,
        back: bool = False,  # noqa: ARG002
        durable: bool = True,
    ) -> _T | None:
        """Make the change that ends a claim; `back`: one after which the claim may not be held any more."""
        return self._database.change(make, durable=durable)

    def _store_outcome(self, connection: Connection, job: Job, outcome: Outcome, hook: str) -> None:
        now = self._clock()
        before = connection.execute("SELECT outcome, content, crashes FROM sources WHERE id = ?", (job.id,)).fetchall()
        held(
            connection,
            _DONE,
            job,
            outcome=rows.outcome_text(outcome, self._paths.stored),
            content=outcome.content,
            model=rows.text(outcome.model),
            now=now,
        )
        ((former, content, crashes),) = before
        if outcome.moved_to:
            connection.execute(_MOVED_AWAY, (job.id,))
        if outcome.renamed_from:
            connection.execute(_RENAMED, (self._paths.stored(outcome.renamed_from),))
        if crashes:
            connection.execute(self.EXONERATE)
        same = former is not None and bool(content) and content == outcome.content
        again = (same or bool(outcome.renamed_from)) and not outcome.paid_seconds
        if outcome.audio_seconds and not again:
            # A file that was only touched, or renamed, is no work done twice.
            seconds = rows.seconds(outcome.audio_seconds)
            connection.execute(self.ADD, (seconds, "audio_seconds"))
            saved = min(rows.seconds(outcome.saved_seconds), seconds)
            connection.execute(self.ADD, (saved, "saved_seconds"))
            connection.execute(self.KEEP_PACE, (minute_of(now), seconds))
        self._add_hook(connection, job, "on_done", hook)

    def _add_hook(self, connection: Connection, job: Job, kind: str, payload: str) -> None:
        if payload:
            values = (self._paths.stored(job.path), kind, payload.encode("utf-8", "surrogatepass"))
            connection.execute(HOOK, values)

    def _drop_and_keep_request(self, job: Job) -> None:
        """Keep what a person asked for with the same file under another name, else until it is found again."""
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
        # A time by another clock: it was set back while the caller waited for a ledger that took no changes.
        due = due if due <= now + LONGEST_DELAY else now
        state = State.DELAYED if due > now else State.READY
        values = {"state": state, "run_at": due, "now": now, "given_back": given_back, **why(error)}
        self._conclude(job, lambda connection: held(connection, _BACK, job, **values), back=True)
        self._offer()


AWAITED: Final = JobError(
    "it was asked for once more, and was not there any more, or changed: that is done when it is found again",
    hint="put it back, or name it to watcher once as it is called now; answers that came are kept",
    reason="gone",
)

DROPPED: Final = JobError(
    "it was not there any more, or changed, when it was looked at again",
    hint="nothing need be done: if it is still there, it is found under the name that it has now",
    reason="gone",
)

_KNOWN: Final = "SELECT id, root, size, mtime_ns, inode FROM sources WHERE path = ?"
REROOT: Final = "UPDATE sources SET root = ? WHERE id = ?"
# A file that was renamed before a person's request was carried out (`_AWAIT`) comes with the request; a hard link in another
# root, which somebody else may have made, does not.
_QUEUE: Final = """
INSERT INTO sources (
    path, root, size, mtime_ns, inode, backlog, small, suspect, seconds, state, run_at, queued_at, updated_at, content,
    again
) VALUES (
    :path, :root, :size, :mtime_ns, :inode, :backlog, :small, :suspect, :seconds, 'ready', :now, :now, :now,
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
    suspect = :suspect, seconds = :seconds, state = 'ready', attempts = 0, fence = fence + 1, alone = 0, crashes = 0,
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
_RUNS: Final = "SELECT 1 FROM sources WHERE id = :id AND fence = :fence AND state = 'running'"
HOLDS: Final = "SELECT 1 FROM sources WHERE id = :id AND fence = :fence AND state IN ('done', 'failed', 'running')"
_DONE: Final = """
UPDATE sources SET
    state = 'done', updated_at = :now, outcome = :outcome, content = :content, model = :model, again = '', alone = 0,
    crashes = 0, reached = 0
WHERE id = :id AND fence = :fence AND state = 'running'
"""
# No file has this fingerprint, so one that comes under the path again is taken for what it is: another one.
MOVED_SIZE: Final = -1
_MOVED_AWAY: Final = f"UPDATE sources SET size = {MOVED_SIZE}, mtime_ns = 0, inode = 0 WHERE id = ?"  # noqa: S608 - our own number
_RELOCATE: Final = f"""
UPDATE sources SET path = :path, root = :root, size = :size, mtime_ns = :mtime_ns, inode = :inode, gone_at = 0
WHERE path = :former AND state = 'done' AND size = {MOVED_SIZE}
AND NOT EXISTS (SELECT 1 FROM sources AS other WHERE other.path = :path)
"""  # noqa: S608 - our own number
# Should it be called so again, it is new.
_RENAMED: Final = "DELETE FROM sources WHERE path = ? AND state IN ('done', 'delayed', 'ready')"
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
# Done before, and asked for once more, but not to be found now. No file has a negative size, so whatever is found under the
# path is queued, and the request with it; and the rest of the fingerprint tells a file that was renamed.
_AWAIT: Final = """
UPDATE sources SET
    state = 'done', size = -1 - size, fence = fence + 1, alone = 0, crashes = 0, reached = 0, updated_at = :now,
    reason = :reason, message = :message, hint = :hint
WHERE id = :id AND fence = :fence AND state = 'running'
"""
# One that was done before stays known as that: under another name its outputs follow it (`namesakes`).
_SET_DOWN: Final = f"{_AWAIT} AND outcome IS NOT NULL AND content <> ''"
_HANDED_OVER: Final = "UPDATE sources SET again = '', reason = '', message = '', hint = '' WHERE id = ?"
# The file is known under another name already, and may be worked on there as if nobody had asked.
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
# Past the point where it crashed, others may run beside it.
_PROGRESS: Final = """
UPDATE sources SET
    piece = :piece, pieces = :pieces, seconds_done = :seconds_done,
    alone = CASE WHEN :piece > reached THEN 0 ELSE alone END
WHERE id = :id AND fence = :fence AND state = 'running'
"""
_FAILED: Final = "SELECT id, path FROM sources WHERE state = 'failed' ORDER BY updated_at, id"
_FAILED_AT: Final = "SELECT id, path FROM sources WHERE path = ? AND state = 'failed'"
_FAILED_BELOW: Final = "SELECT id, path FROM sources WHERE path > ? AND path < ? AND state = 'failed' ORDER BY path"
# What was set aside for its crashes is a suspect again: nobody has shown yet that it is harmless.
_PUT_BACK: Final = f"""
UPDATE sources SET
    state = 'ready', attempts = 0, crashes = 0, run_at = ?, updated_at = ?, reason = '', message = '', hint = '',
    alone = CASE WHEN reason = '{CRASHED.reason}' THEN 1 ELSE alone END
WHERE id = ? AND state = 'failed'
"""  # noqa: S608 - our own word
_QUEUE_DONE: Final = """
UPDATE sources SET
    state = 'ready', attempts = 0, backlog = 1, run_at = :now, queued_at = :now, updated_at = :now, piece = 0, pieces = 0,
    seconds_done = 0
WHERE path = :path AND state = 'done' AND size >= 0
"""
_WAITS: Final = "SELECT id, again FROM sources WHERE path = ? AND state <> 'running' AND size >= 0"
_QUEUE_AGAIN: Final = f"""
UPDATE sources SET
    state = 'ready', attempts = 0, backlog = 0, crashes = 0, run_at = :now, queued_at = :now, updated_at = :now, piece = 0,
    pieces = 0, seconds_done = 0, again = :again,
    alone = CASE WHEN reason = '{CRASHED.reason}' THEN 1 ELSE alone END, reason = '', message = '', hint = ''
WHERE id = :id AND state <> 'running'
"""  # noqa: S608 - our own word
_RETRIED: Final = f"""
INSERT INTO memory (key, value, expires)
SELECT '{RETRIED}' || id, '{{}}', ? FROM sources WHERE id = ? AND state = 'failed' AND reason = '{GarbledError.code}'
ON CONFLICT (key) DO UPDATE SET expires = excluded.expires
"""  # noqa: S608 - our own words
#: Seconds that a person's wish for one request more is remembered, as the unreadable answers are (`gate.garbled`).
_RETRIED_KEPT: Final = 30 * 86_400.0


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


def _ask_again(connection: Connection, path: bytes, again: AgainRequest, now: float) -> int:
    """Queue a source to be transcribed once more; return the rows that were changed."""
    for id_, words in connection.execute(_WAITS, (path,)).fetchall():
        # Asked for once more before the former request was carried out: what was paid for it meanwhile is still wanted.
        former = rows.again_from(words)
        wish = again if former is None else replace(again, token=former.token or again.token)
        return connection.execute(_QUEUE_AGAIN, {"id": id_, "again": rows.again_text(wish), "now": now}).rowcount
    return 0


def columns(found: FoundRecording, now: float) -> dict[str, object]:
    """Return a found file's columns."""
    return {
        "path": found.path,
        "root": found.root,
        **_stat(found.fingerprint),
        "backlog": found.backlog,
        "small": found.small,
        "suspect": found.suspect,
        "seconds": None if found.seconds is None else rows.seconds(found.seconds),
        "now": now,
    }


def _stat(fingerprint: Fingerprint) -> dict[str, int]:
    return {
        "size": fingerprint.size,
        "mtime_ns": fingerprint.mtime_ns,
        "inode": rows.signed(fingerprint.inode),
    }


def _failed(connection: Connection, paths: Iterable[bytes] | None) -> dict[int, bytes]:
    """Return what failed, or what failed at or below `paths`: id and path."""
    if paths is None:
        return dict(connection.execute(_FAILED).fetchall())
    failed: dict[int, bytes] = {}
    for path in paths:
        failed.update(connection.execute(_FAILED_AT, (path.rstrip(b"/"),)).fetchall())
        failed.update(connection.execute(_FAILED_BELOW, below(path)).fetchall())
    return failed
