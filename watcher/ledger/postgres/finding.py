"""Put found files into the queue on PostgreSQL, many with each statement."""

from collections.abc import Iterable, Iterator
from typing import Final

from watcher.job import Fingerprint, FoundRecording
from watcher.ledger import rows
from watcher.ledger.part import Connection
from watcher.ledger.queue import MOVED_SIZE, REQUEUE, REROOT, columns, news
from watcher.ledger.sessions import queue_sessions
from watcher.ledger.values import PutResult


def distinct(found: Iterable[FoundRecording]) -> Iterator[list[FoundRecording]]:
    """Split the found files into runs without equal paths: one statement can change each row only once."""
    run: dict[bytes, FoundRecording] = {}
    for one in found:
        if one.path in run:
            yield list(run.values())
            run = {}
        run[one.path] = one
    if run:
        yield list(run.values())


def put_distinct(connection: Connection, found: list[FoundRecording], now: float) -> list[PutResult]:
    """Put files of distinct paths."""
    answers = dict.fromkeys((one.path for one in found), PutResult.KNOWN)
    left = found
    while left:
        entered = {path for (path,) in connection.execute(_ENTER, {**_arrays(left), "now": now}).fetchall()}
        answers.update(dict.fromkeys(entered, PutResult.QUEUED))
        paths = [one.path for one in left if one.path not in entered]
        known = {row[0]: row[1:] for row in connection.execute(_KNOWN, {"paths": paths}).fetchall()} if paths else {}
        changed = [one for one in left if one.path in known and _differs(one.fingerprint, *known[one.path][2:])]
        moved = [one for one in left if one.path in known and known[one.path][1] != one.root and one not in changed]
        if changed:
            connection.executemany(REQUEUE, [columns(one, now) for one in changed])
            answers.update(
                (one.path, PutResult.QUEUED if known[one.path][2] < MOVED_SIZE else PutResult.CHANGED)
                for one in changed
            )
        if moved:
            connection.executemany(REROOT, [(one.root, known[one.path][0]) for one in moved])
        # Another host deleted the row in between; insert again.
        left = [one for one in left if one.path not in entered and one.path not in known]
    queue_sessions(connection, news(found, (answers[one.path] for one in found)), now)
    return [answers[one.path] for one in found]


def _differs(new: Fingerprint, size: int, mtime_ns: int, inode: int) -> bool:
    # An inode of 0 means that the file system has no stable inodes: do not compare it.
    return (size, mtime_ns) != (new.size, new.mtime_ns) or bool(inode and new.inode and inode != rows.signed(new.inode))


def _arrays(found: list[FoundRecording]) -> dict[str, object]:
    all_columns = [columns(one, 0.0) for one in found]
    arrays: dict[str, object] = {
        name: [one[name] for one in all_columns]
        for name in ("path", "root", "size", "mtime_ns", "inode", "seconds", "session")
    }
    arrays |= {name: [int(bool(one[name])) for one in all_columns] for name in ("backlog", "small", "suspect")}
    return arrays


_ENTER: Final = """
INSERT INTO sources (
    path, root, size, mtime_ns, inode, backlog, small, suspect, seconds, session, state, run_at, queued_at, updated_at,
    content, again
)
SELECT
    found.path, found.root, found.size, found.mtime_ns, found.inode, found.backlog, found.small, found.suspect,
    found.seconds, found.session, 'ready', :now, :now, :now,
    coalesce((
        SELECT done.content FROM sources AS done
        WHERE done.state = 'done' AND done.inode <> 0 AND done.content <> ''
        AND done.inode = found.inode AND done.size IN (found.size, -1 - found.size) AND done.mtime_ns = found.mtime_ns
        LIMIT 1
    ), ''),
    coalesce((
        SELECT done.again FROM sources AS done
        WHERE done.state = 'done' AND done.inode <> 0 AND done.content <> ''
        AND done.inode = found.inode AND done.size = -1 - found.size AND done.mtime_ns = found.mtime_ns
        AND done.again <> '' AND done.root = found.root
        LIMIT 1
    ), '')
FROM unnest(
    :path::bytea[], :root::bytea[], :size::int8[], :mtime_ns::int8[], :inode::int8[],
    :backlog::int2[], :small::int2[], :suspect::int2[], :seconds::float8[], :session::bytea[]
) WITH ORDINALITY AS found (path, root, size, mtime_ns, inode, backlog, small, suspect, seconds, session, place)
ORDER BY found.place
ON CONFLICT (path) DO NOTHING
RETURNING path
"""
_KNOWN: Final = "SELECT path, id, root, size, mtime_ns, inode FROM sources WHERE path = ANY(:paths::bytea[])"
