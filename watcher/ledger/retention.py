"""Delete what is gone: sources, and outputs of deleted sources; and free their space.

Whether something is gone, only who can see the disk knows (`watcher.service.history`); here it is noted since when, and
dropped in slices, so that nobody waits for long.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from watcher.job import TRIAL_MODEL
from watcher.ledger import rows
from watcher.ledger.lookups import Lookups
from watcher.ledger.outputs import OUTPUT, owned
from watcher.ledger.part import Row
from watcher.ledger.protocol import ConcludedSource, OwnedOutput

#: Rows read at a time where all are walked through.
_PAGE: Final = 500


class Retention(Lookups):
    """Forgetting, and what it takes to know what may be forgotten."""

    #: Ends, both outside, of the ranges of paths whose disks this process can see.
    RANGES: ClassVar[Sequence[tuple[bytes, bytes]]] = ((b"", b"\xff"),)

    def concluded(self) -> Iterator[ConcludedSource]:
        return itertools.starmap(ConcludedSource, self._walk_all(_CONCLUDED))

    def note_gone(self, gone: Iterable[bytes], back: Iterable[bytes]) -> None:
        with self._database.transaction(durable=False) as connection:
            connection.executemany(_GONE, [(self._clock(), path) for path in sorted(gone)])
            connection.executemany(_BACK, [(path,) for path in sorted(back)])

    def retire(self, paths: Iterable[bytes], *, gone_before: float) -> list[bytes]:
        with self._database.transaction(durable=False) as connection:
            return [path for path in sorted(paths) if connection.execute(_RETIRE, (path, gone_before)).rowcount]

    def orphans(self) -> Iterator[bytes]:
        # Few of them are orphans: asked for these alone, one page would be a walk over all.
        return map(_path, itertools.filterfalse(_is_known, self._walk_all(_OUTPUTS)))

    def disown_orphans(self, paths: Iterable[bytes]) -> None:
        with self._database.transaction(durable=False) as connection:
            connection.executemany(_DISOWN, [(path,) for path in sorted(paths)])

    def trials(self, root: bytes) -> Iterator[tuple[bytes, float]]:
        after, behind = rows.below(root)
        return map(_trial, self._walk(_TRIALS, after, behind, _PAGE))

    def outputs_below(self, folder: bytes) -> Iterator[OwnedOutput]:
        after, behind = rows.below(folder)
        return map(owned, self._walk(_OUTPUTS_BELOW, after, behind, _PAGE))

    def tidy(self) -> bool:
        return self._database.shrink()

    def _walk_all(self, statement: str) -> Iterator[Row]:
        return itertools.chain.from_iterable(
            self._walk(statement, first, behind, _PAGE) for first, behind in self._ranges()
        )

    def _ranges(self) -> Sequence[tuple[bytes, bytes]]:
        return self.RANGES


def _trial(row: Row) -> tuple[bytes, float]:
    path, outcome = row
    return path, rows.outcome_from(outcome).audio_seconds


def _path(row: Row) -> bytes:
    path: bytes = row[0]
    return path


def _is_known(row: Row) -> bool:
    return bool(row[1])


_CONCLUDED: Final = """
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
_OUTPUTS: Final = """
SELECT path, EXISTS (SELECT 1 FROM sources WHERE sources.path = outputs.source)
FROM outputs WHERE path > ? AND path < ? ORDER BY path LIMIT ?
"""
_TRIALS: Final = f"""
SELECT path, outcome FROM sources
WHERE state = 'done' AND model = '{TRIAL_MODEL}' AND path > ? AND path < ? ORDER BY path LIMIT ?
"""  # noqa: S608 - our own word
_OUTPUTS_BELOW: Final = f"{OUTPUT} WHERE path > ? AND path < ? AND kind <> 'note' ORDER BY path LIMIT ?"
_DISOWN: Final = """
DELETE FROM outputs WHERE path = ? AND NOT EXISTS (SELECT 1 FROM sources WHERE sources.path = outputs.source)
"""
