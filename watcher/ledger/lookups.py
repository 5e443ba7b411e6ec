"""Queries of `status` and the finder: single sources, sums, and walks over all of them."""

import itertools
from collections.abc import Iterator
from typing import Final

from watcher.job import Fingerprint, Job, State
from watcher.ledger import rows
from watcher.ledger.activity import Activities
from watcher.ledger.claims import GROUPS, NEXT_ROOT, next_name
from watcher.ledger.part import Row, Values
from watcher.ledger.sessions import MOST_STEMS
from watcher.ledger.values import SourceRecord, Tally

#: Rows read at a time in a walk over all of them, so that other threads do not wait for the whole walk.
_PAGE: Final = 2_000


class Lookups(Activities):
    """Queries for sources."""

    def known(self, root: bytes) -> Iterator[tuple[bytes, Fingerprint, State]]:
        """Yield every source below `root`, in no particular order, without holding all of them in memory.

        The ledger may be changed meanwhile, also by the caller: a source that exists all the time is yielded exactly once. Here, as
        in every walk, `next` may be called again after a StateBusyError, and continues where it was.
        """
        return map(self._known, self._walk_below(_KNOWN, root, _PAGE))

    def lookup(self, path: bytes) -> SourceRecord | None:
        """Return the source at `path`, if it is known."""
        found = self._records(_LOOKUP, (self._paths.stored(path),))
        return found[0] if found else None

    def moved(self, path: bytes) -> SourceRecord | None:
        """Return the last source that was found under this path, and is now stored under the path it was moved to (`Queue.relocate`)."""
        found = self._records(_MOVED, (self._paths.stored(path),))
        return found[0] if found else None

    def stem_counts(self) -> dict[State, int]:
        """Return the number of stems of sessions in each state, zeros included."""
        found: dict[str, int] = dict(self._database.query(_STEM_COUNTS))
        return {state: int(found.get(state.value, 0)) for state in State}

    def stems(self, session: bytes) -> list[SourceRecord]:
        """Return the stems of a session, in the order of their paths; of too many, one more than MOST_STEMS."""
        return self._records(_STEMS, (self._paths.stored(session),) * 2)

    def namesakes(self, job: Job) -> list[SourceRecord]:
        """Return done sources of the same root, with other paths, that were the same file: same inode, stamp and content.

        If the job's content is not known yet, the caller has to compare it. Sources that are queued again count, too. Of many hard
        links, the oldest 20 are returned. Sources in other roots are left out: otherwise a person who can write there could
        cause outputs in this root to be moved.
        """
        stamp = job.fingerprint
        values = {
            "root": self._paths.stored(job.root),
            "path": self._paths.stored(job.path),
            "content": job.content,
            "inode": rows.signed(stamp.inode),
            "size": stamp.size,
            "mtime_ns": stamp.mtime_ns,
        }
        return self._records(_NAMESAKES, values)

    def counts(self) -> dict[State, int]:
        """Return the number of sources in each state, zeros included."""
        totals = self._totals()
        return {state: int(totals[state]) for state in State}

    def records(self, *states: State, limit: int = 10) -> list[SourceRecord]:
        """Return the latest records of each state, newest first; of sessions those that are done, without their done stems."""
        found = [record for state in dict.fromkeys(states) for record in self._latest(state, limit)]
        return sorted(found, key=lambda record: (record.updated_at, record.id), reverse=True)[:limit]

    def upcoming(self, limit: int) -> list[SourceRecord]:
        """Return the sources that are due, in the order in which they will be claimed, as far as that is known."""
        turns = [
            (turn, record)
            for root in itertools.islice(self._ready_roots(), limit)
            for turn, record in enumerate(self._records(_NEXT, {"root": root, "limit": limit}))
        ]
        return [record for _, record in sorted(turns, key=lambda pair: pair[0])[:limit]]

    def oldest_queued(self) -> float | None:
        """Return the Unix time at which the source was queued that has waited longest, due or delayed; None: none waits."""
        ((delayed,),) = self._database.query(_OLDEST_DELAYED)
        ready = [
            record.queued_at
            for root in self._ready_roots()
            for record in self._records(_EARLIEST, {"root": root, "limit": 1})
        ]
        return min([*ready, *([] if delayed is None else [float(delayed)])], default=None)

    def tally(self) -> Tally:
        """Return the sums over all sources and purchases."""
        totals = self._totals()
        return Tally(
            audio_seconds=totals["audio_seconds"],
            paid_seconds=totals["paid_seconds"],
            answers=int(totals["answers"]),
            saved_seconds=totals["saved_seconds"],
        )

    def transcribed(self, since: float) -> float:
        """Return the audio seconds done since that Unix time, exact to the minute; only the last hour is known."""
        since = max(self._ledger_time(since), self._clock() - _HOUR)
        return float(self._database.query(_TRANSCRIBED, (minute_of(since),))[0][0])

    def _records(self, statement: str, values: Values) -> list[SourceRecord]:
        return [rows.record(row, self._paths.real) for row in self._database.query(statement, values)]

    def _latest(self, state: State, limit: int) -> list[SourceRecord]:
        if state is not State.READY:
            return self._records(_LATEST[state], (limit,))
        newest = (self._records(_NEWEST, {"root": root, "limit": limit}) for root in self._ready_roots())
        return list(itertools.chain.from_iterable(newest))

    def _ready_roots(self) -> Iterator[bytes]:
        """Yield the stored roots that have ready sources, by name."""
        after = b""
        while found := self._database.query(NEXT_ROOT, {"start": next_name(after)}):
            ((after,),) = found
            yield after

    def _known(self, row: Row) -> tuple[bytes, Fingerprint, State]:
        path, size, mtime_ns, inode, state = row
        return self._paths.real(path), Fingerprint(size, mtime_ns, rows.unsigned(inode)), State(state)

    def _totals(self) -> dict[str, float]:
        return dict(self._database.query("SELECT name, value FROM totals"))


def minute_of(moment: float) -> int:
    """Return the number of a Unix time's minute."""
    return int(moment // 60)


#: Seconds for which the pace is stored; older rows are deleted from time to time.
_HOUR: Final = 3600.0
_TRANSCRIBED: Final = "SELECT coalesce(sum(seconds), 0) FROM pace WHERE minute > ?"
_KNOWN: Final = """
SELECT path, size, mtime_ns, inode, state FROM sources WHERE path > ? AND path < ? ORDER BY path LIMIT ?
"""
_LOOKUP: Final = f"SELECT {rows.RECORD} FROM sources WHERE path = ?"  # noqa: S608 - our own column names
_MOVED: Final = f"""
SELECT {rows.RECORD} FROM sources WHERE came_as = ? ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - our own column names
_STEMS: Final = f"""
SELECT {rows.RECORD} FROM sources WHERE session = ? AND path <> ? ORDER BY path LIMIT {MOST_STEMS + 1}
"""  # noqa: S608 - our own column names
_STEM_COUNTS: Final = """
SELECT state, count(*) FROM sources WHERE session IS NOT NULL AND session <> path GROUP BY state
"""
#: Limit, since somebody may make twenty thousand hard links of one file, and each of them looks for the others.
MOST_NAMESAKES: Final = 20
_SAME: Final = """
inode <> 0 AND content <> '' AND inode = :inode AND size IN (:size, -1 - :size) AND mtime_ns = :mtime_ns
AND :content IN ('', content) AND root = :root AND path <> :path
"""
# A source that was done and is queued again may be renamed before a worker finds it gone. It was queued before the renamed one, so
# it is no longer ready; delayed and running sources are few.
_NAMESAKES: Final = f"""
SELECT * FROM (
SELECT {rows.RECORD} FROM sources WHERE state = 'done' AND {_SAME}
UNION ALL
SELECT {rows.RECORD} FROM sources WHERE state = 'delayed' AND outcome IS NOT NULL AND again = '' AND {_SAME}
UNION ALL
SELECT {rows.RECORD} FROM sources WHERE state = 'running' AND outcome IS NOT NULL AND again = '' AND {_SAME}
) AS found ORDER BY id + 0 LIMIT {MOST_NAMESAKES}
"""  # noqa: S608 - our own column names
_SELECT: Final = f"SELECT {rows.RECORD} FROM sources WHERE state = "  # noqa: S608 - our own column names


# The state is part of the statement, not a parameter: otherwise SQLite would not use the partial index. Ready sources are read
# through the index of the claims, one group at a time: a second index on state = 'ready' misleads the planner (schema.py,
# sources_ready).
# Delayed and running sources are few, and sorted when asked for.
def _ready(first: str, order: str) -> str:
    """Return the statement for a root's ready sources in this order; `first`: the order within one backlog value."""
    groups = (
        f"""
        SELECT * FROM (
            SELECT {rows.RECORD}, backlog FROM sources
            WHERE state = 'ready' AND alone = {alone} AND small = {small} AND root = :root AND backlog = {backlog}
            ORDER BY {first} LIMIT :limit
        ) AS found
        """  # noqa: S608 - numbers and names of our own
        for alone, small in GROUPS
        for backlog in (0, 1)
    )
    return f"SELECT {rows.RECORD} FROM ({' UNION ALL '.join(groups)}) AS ready ORDER BY {order} LIMIT :limit"  # noqa: S608 - our own words


_NEXT: Final = _ready("queued_at, id", "backlog, queued_at, id")
_OLDEST_DELAYED: Final = "SELECT min(queued_at) FROM sources WHERE state = 'delayed'"
_EARLIEST: Final = _ready("queued_at, id", "queued_at, id")
_NEWEST: Final = _ready("queued_at DESC, id DESC", "queued_at DESC, id DESC")
_LATEST: Final = {
    State.DELAYED: _SELECT + "'delayed' ORDER BY updated_at DESC, id DESC LIMIT ?",
    State.RUNNING: _SELECT + "'running' ORDER BY updated_at DESC, id DESC LIMIT ?",
    State.DONE: _SELECT + "'done' AND (session IS NULL OR session = path) ORDER BY updated_at DESC, id DESC LIMIT ?",
    State.FAILED: _SELECT + "'failed' ORDER BY updated_at DESC, id DESC LIMIT ?",
    State.SKIPPED: _SELECT + "'skipped' ORDER BY updated_at DESC, id DESC LIMIT ?",
}
