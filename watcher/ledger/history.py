"""Read and forget sources.

`watcher.service.sweep` looks at the disk. This module notes since when a source is gone, and deletes such sources a few at a time,
so that other threads do not wait for long.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from watcher.job import TRIAL_MODEL
from watcher.ledger import rows
from watcher.ledger.lookups import Lookups
from watcher.ledger.part import Connection, Row
from watcher.ledger.values import FinishedSource

#: Rows read at a time in a walk over all of them.
_PAGE: Final = 500


class History(Lookups):
    """What is known of the sources, and forgetting those that are gone."""

    def finished(self) -> Iterator[FinishedSource]:
        """Walk the sources that are done, failed or skipped, sorted by path; see `known`. Only those that this host may see."""
        return map(self._finished_source, self._walk(_FINISHED, self._paths.ranges(), _PAGE))

    def note_gone(self, gone: Iterable[bytes], back: Iterable[bytes]) -> None:
        """Note that finished sources are gone since now, or since they were noted before; and that those of `back` exist again."""
        missing, there = sorted(self._stored(gone)), sorted(self._stored(back))

        def note(connection: Connection) -> None:
            connection.executemany(_GONE, [(self._clock(), path) for path in missing])
            connection.executemany(_BACK, [(path,) for path in there])

        self._database.change(note, durable=False)

    def retire(self, paths: Iterable[bytes], *, gone_before: float) -> list[bytes]:
        """Delete those finished sources of `paths` that are noted as gone since before that Unix time; return their paths.

        A session goes with the last of its stems, as its folder may stay. Their answers stay stored, and so do the rows of their outputs, until these `orphans` are gone as well.
        """
        stored, before = sorted(self._stored(paths)), self._ledger_time(gone_before)

        def retire(connection: Connection) -> list[bytes]:
            return [path for path in stored if _retire(connection, path, before)]

        return self._real(self._database.change(retire, durable=False))

    def trials(self, root: bytes) -> Iterator[tuple[bytes, float]]:
        """Walk the sources below `root` that only TRIAL_MODEL has transcribed: path and seconds of audio; see `known`."""
        return map(self._trial, self._walk_below(_TRIALS, root, _PAGE))

    def tidy(self) -> bool:
        """Return some free space to the file system, in a few milliseconds; False: there is no more."""
        return self._database.shrink()

    def size(self) -> int:
        """Return the bytes the ledger takes on disk."""
        return self._database.size()

    def _finished_source(self, row: Row) -> FinishedSource:
        path, root, gone_at = row
        return FinishedSource(self._paths.real(path), self._paths.real(root), gone_at)

    def _trial(self, row: Row) -> tuple[bytes, float]:
        path, outcome = row
        return self._paths.real(path), rows.outcome_from(outcome, self._paths.real).audio_seconds


def _retire(connection: Connection, path: bytes, before: float) -> bool:
    """Delete a source, and its session if that has no other stems; return whether it was to be deleted."""
    sessions = connection.execute("SELECT session FROM sources WHERE path = ?", (path,)).fetchall()
    if not connection.execute(_RETIRE, (path, before)).rowcount:
        return False
    for (session,) in sessions:
        connection.execute(_RETIRE_SESSION, {"session": session})
    return True


_FINISHED: Final = """
SELECT path, root, gone_at FROM sources
WHERE path > ? AND path < ? AND state IN ('done', 'failed', 'skipped') ORDER BY path LIMIT ?
"""
_GONE: Final = """
UPDATE sources SET gone_at = ? WHERE path = ? AND gone_at = 0 AND state IN ('done', 'failed', 'skipped')
"""
_BACK: Final = "UPDATE sources SET gone_at = 0 WHERE path = ? AND gone_at <> 0"
_RETIRE: Final = """
DELETE FROM sources WHERE path = ? AND gone_at > 0 AND gone_at <= ? AND state IN ('done', 'failed', 'skipped')
"""
_RETIRE_SESSION: Final = """
DELETE FROM sources WHERE path = :session AND state IN ('done', 'failed') AND NOT EXISTS (
    SELECT 1 FROM sources AS stem WHERE stem.session = :session AND stem.session IS NOT NULL AND stem.path <> :session
)
"""
_TRIALS: Final = f"""
SELECT path, outcome FROM sources
WHERE state = 'done' AND model = '{TRIAL_MODEL}' AND path > ? AND path < ? ORDER BY path LIMIT ?
"""  # noqa: S608 - our own word
