"""Sessions in the queue: the row of a session waits until its stems are concluded, and nothing new has come for some seconds.

A stem is a source of its own, with the path of its session. The session is a source, too, under that path (`session_path`): putting a
stem queues it, and the conclusion of its last stem makes it due. Whatever the stems' order, and whichever host works on them, each
change makes it due once more, so the outputs of a session are always made of the stems as they are now.
"""

from collections.abc import Iterable
from typing import Final

from watcher.job import FoundRecording, Job, SessionPlace
from watcher.ledger.part import Connection
from watcher.ledger.waiting import WorkSignal

#: Most stems of a session: a larger number of recordings in a directory is no take.
MOST_STEMS: Final = 64
#: Seconds after which the job of a session looks for its stems, whatever happened: a crash may have concluded the last of them.
_LONGEST: Final = 3600.0
#: Deletes a source.
DELETE: Final = "DELETE FROM sources WHERE path = ?"
#: Why a session waits; stored with its row, for `status`.
REASON: Final = "stems"
MESSAGE: Final = "it waits for its stems: its outputs are made when the last of them is transcribed"


class Stems(WorkSignal):
    """Changes of all stems of a session."""

    def disband(self, session: bytes) -> None:
        """Queue the done stems of a session again that have no outputs of their own, as it turned out to be none. Cheap."""
        self._change_stems(_DISBAND, session)

    def await_stems(self, session: bytes) -> None:
        """Have the done stems of a session, which are gone, count as new ones where they are found again. Cheap."""
        self._change_stems(_AWAIT_STEMS, session)

    def gather(self, stem: Job, quiet_seconds: float) -> None:
        """Queue the session of a stem, unless it is known: the conclusion of its last stem makes it due. Cheap."""
        path, root, now = self._paths.stored(stem.session), self._paths.stored(stem.root), self._clock()
        place = SessionPlace(path, quiet_seconds)
        self._database.change(
            lambda connection: queue_session(connection, place, root=root, backlog=stem.backlog, now=now), durable=False
        )

    def _change_stems(self, statement: str, session: bytes) -> None:
        values = {"session": self._paths.stored(session), "now": self._clock()}
        self._database.change(lambda connection: connection.execute(statement, values), durable=False)
        self._offer()


def queue_sessions(connection: Connection, found: Iterable[FoundRecording], now: float) -> None:
    """Queue the sessions of new or changed stems; their paths are stored ones. A session whose outputs are being made loses its lease."""
    sessions = {one.session.path: (one, one.session) for one in found if one.session is not None}
    for _, (one, place) in sorted(sessions.items(), key=lambda item: item[0]):
        connection.execute(_QUEUE, _columns(place, one.root, now, backlog=one.backlog))


def queue_session(connection: Connection, place: SessionPlace, *, root: bytes, backlog: bool, now: float) -> None:
    """Queue a session unless it is known; its path and root are stored ones."""
    connection.execute(_QUEUE_UNKNOWN, _columns(place, root, now, backlog=backlog))


def _columns(place: SessionPlace, root: bytes, now: float, *, backlog: bool) -> dict[str, object]:
    return {
        "path": place.path,
        "root": root,
        "backlog": int(backlog),
        "quiet": place.quiet_seconds,
        "until": now + _LONGEST,
        "now": now,
        "reason": REASON,
        "message": MESSAGE,
    }


def wake_session(connection: Connection, session: bytes | None, now: float, *, news: bool = True) -> None:
    """Make a session due once nothing new has come for its seconds, unless one of its stems is still queued or running.

    Call it after the change that concluded a stem. `session`: a stored path; None: there is none. `news`: whether that changed
    anything about the stem; if not, a session that is done stays done.
    """
    if session:
        # On PostgreSQL this locks the row: of two hosts that conclude the last two stems at once, the second one sees the first's.
        connection.execute("UPDATE sources SET updated_at = updated_at WHERE path = ?", (session,))
        connection.execute(_WAKE, {"session": session, "now": now, "news": int(news)})


def delete_source(connection: Connection, path: bytes, now: float, *, statement: str = DELETE) -> None:
    """Delete the source at a stored path by a statement of DELETE's shape; a session of which it was a stem goes on without it."""
    sessions = connection.execute("SELECT session FROM sources WHERE path = ?", (path,)).fetchall()
    connection.execute(statement, (path,))
    for (session,) in sessions:
        wake_session(connection, session, now)


_INSERT: Final = """
INSERT INTO sources (
    path, session, root, size, mtime_ns, inode, backlog, small, suspect, seconds, state, run_at, queued_at, updated_at,
    reason, message
) VALUES (
    :path, :path, :root, 0, 0, 0, :backlog, 1, 0, :quiet, 'delayed', :until, :now, :now, :reason, :message
)
"""
_QUEUE_UNKNOWN: Final = f"{_INSERT} ON CONFLICT (path) DO NOTHING"
_QUEUE: Final = f"""
{_INSERT} ON CONFLICT (path) DO UPDATE SET
    root = excluded.root, size = 0, backlog = excluded.backlog, seconds = excluded.seconds, state = 'delayed', attempts = 0,
    fence = sources.fence + 1, alone = 0, crashes = 0, reached = 0, gone_at = 0, run_at = excluded.run_at,
    queued_at = excluded.queued_at, updated_at = excluded.updated_at, piece = 0, pieces = 0, seconds_done = 0,
    reason = excluded.reason, message = excluded.message, hint = ''
"""
#: Queues the stems of a session that was moved away, so that they follow it; stems that did so have no size.
MOVE_STEMS: Final = """
UPDATE sources SET
    state = 'ready', attempts = 0, run_at = :now, queued_at = :now, updated_at = :now, piece = 0, pieces = 0, seconds_done = 0
WHERE session = :session AND path <> :session AND state = 'done' AND size >= 0
"""
#: The same for stems that have no outputs of their own, of what turned out to be no session.
_DISBAND: Final = f"""
{MOVE_STEMS} AND outcome LIKE '%"outputs":[]%' AND outcome LIKE '%"adopted":false%'
"""
#: Lets stems that are gone count as new ones where they are found again, as no file has a negative size (see `queue._AWAIT`).
_AWAIT_STEMS: Final = """
UPDATE sources SET size = -1 - size, updated_at = :now
WHERE session = :session AND path <> :session AND state = 'done' AND size >= 0
"""
_WAKE: Final = """
UPDATE sources SET
    state = 'delayed', attempts = 0, fence = CASE WHEN state = 'delayed' THEN fence ELSE fence + 1 END, updated_at = :now,
    run_at = CASE WHEN queued_at + seconds > :now THEN queued_at + seconds ELSE :now END
WHERE path = :session AND (:news = 1 OR state <> 'done') AND NOT EXISTS (
    SELECT 1 FROM sources AS stem
    WHERE stem.session = :session AND stem.session IS NOT NULL AND stem.path <> :session AND stem.state IN ('ready', 'delayed', 'running')
)
"""
