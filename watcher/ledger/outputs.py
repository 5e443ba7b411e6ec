"""Owners of the files beside the sources: outputs, failure notes, and the temporaries they are made from."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from watcher.errors import LeaseLostError
from watcher.job import Job, Output
from watcher.ledger.part import Connection, LedgerPart, Row
from watcher.ledger.values import OwnedOutput

#: Rows read at a time in a walk over all of them.
_PAGE: Final = 200


class Outputs(LedgerPart):
    """Output paths and temporaries."""

    def enter(self, job: Job, output: Output) -> bool:
        """Record that `output.path` belongs to the job's source and is not placed yet. Call it before writing the file.

        Return False if another source owns the path. If the source owns it already, the row gets the new digest; the old one is
        kept in `former` until `placed` is called, also if the path is entered once more before that (after a crash). A caller that
        then finds the entered digest on the disk calls `placed` before it enters the next one. Outputs of a concluded job may be
        entered, too, as long as there was no later claim. Raises LeaseLostError.
        """
        values = self._columns(job.path, output)

        def enter_row(connection: Connection) -> bool:
            if not connection.execute(_CURRENT, (job.id, job.fence)).fetchall():
                raise LeaseLostError("the job's lease is gone: its outputs must not be placed")
            return connection.execute(_ENTER, values).rowcount == 1

        return self._database.change(enter_row)

    def enter_note(self, source: bytes, note: Output) -> bool:
        """Do as `enter` does, for a note beside a file that is no recording and so has no job."""
        values = self._columns(source, note)
        return self._database.change(lambda connection: connection.execute(_ENTER, values).rowcount == 1)

    def placed(self, path: bytes) -> None:
        """Mark the file under `path` as the one that was entered last. Cheap."""
        values = (self._paths.stored(path),)
        self._database.change(lambda connection: connection.execute(_PLACED, values), durable=False)

    def disown(self, path: bytes) -> None:
        """Delete an output path from the ledger; the file stays."""
        values = (self._paths.stored(path),)
        self._database.change(lambda connection: connection.execute("DELETE FROM outputs WHERE path = ?", values))

    def owner(self, path: bytes) -> OwnedOutput | None:
        """Return the owner of an output path."""
        found = self._database.query(_OWNER, (self._paths.stored(path),))
        return self._owned(found[0]) if found else None

    def owned(self, source: bytes) -> tuple[OwnedOutput, ...]:
        """Return the outputs of a source, notes included."""
        return tuple(map(self._owned, self._database.query(_OWNED, (self._paths.stored(source),))))

    def notes(self) -> Iterator[OwnedOutput]:
        """Yield all notes, beside sources and beside other files."""
        # Only roots of this host: others cannot be checked from here.
        return map(self._owned, self._walk(_NOTES, self._paths.ranges(), _PAGE))

    def below(self, folder: bytes) -> Iterator[OwnedOutput]:
        """Walk the output paths below a folder, without notes; see `known`."""
        return map(self._owned, self._walk_below(_OUTPUTS_BELOW, folder, _PAGE))

    def orphans(self) -> Iterator[bytes]:
        """Walk the output paths whose source is no longer known. Only those that this host may see."""
        # Orphans are few: a query for orphans alone would read through all rows to fill one page.
        outputs = self._walk(_ALL, self._paths.ranges(), _PAGE)
        return map(self._path, itertools.filterfalse(_is_known, outputs))

    def disown_orphans(self, paths: Iterable[bytes]) -> None:
        """Delete those output paths whose source is still not known."""
        values = [(path,) for path in sorted(self._stored(paths))]
        self._database.change(lambda connection: connection.executemany(_DISOWN, values), durable=False)

    def enter_temporary(self, path: bytes) -> None:
        """Note a temporary file before it is made. Cheap."""
        values = (self._paths.stored(path),)
        # Durable on PostgreSQL: a temporary that is not recorded would never be removed.
        durable = self._database.remote
        self._database.change(lambda connection: connection.execute(_TEMPORARY, values), durable=durable)

    def drop_temporary(self, path: bytes) -> None:
        """Delete the entry of a temporary file that is gone. Cheap."""
        values = (self._paths.stored(path),)
        self._database.change(
            lambda connection: connection.execute("DELETE FROM temporaries WHERE path = ?", values), durable=False
        )

    def temporaries(self) -> tuple[bytes, ...]:
        """Return the temporaries that a crash may have left."""
        found = self._database.query(_TEMPORARIES.format(own=self._context.own))
        return tuple(self._paths.real(path) for (path,) in found if self._paths.has(path))

    def abandoned(self) -> tuple[bytes, ...]:
        """Return the temporaries of dead hosts that lie in a root of this host; it may delete them."""
        return ()

    def _path(self, row: Row) -> bytes:
        return self._paths.real(row[0])

    def _columns(self, source: bytes, output: Output) -> dict[str, object]:
        return {
            "path": self._paths.stored(output.path),
            "source": self._paths.stored(source),
            "kind": output.kind,
            "digest": output.digest,
        }

    def _owned(self, row: Row) -> OwnedOutput:
        """Make an output path of a row of _OUTPUT's columns."""
        path, source, kind, digest, placed, former = row
        return OwnedOutput(
            path=self._paths.real(path),
            source=self._paths.real(source),
            kind=kind,
            digest=digest,
            placed=bool(placed),
            former=former,
        )


def _is_known(row: Row) -> bool:
    return bool(row[1])


# Concluded jobs count too: `watcher render` and the failure note write for a job that has ended, as long as there was no later claim.
_CURRENT: Final = "SELECT 1 FROM sources WHERE id = ? AND fence = ? AND state IN ('running', 'done', 'failed')"
# If it was entered again before it was placed, the file on the disk is still the former one, if there was one.
_ENTER: Final = """
INSERT INTO outputs (path, source, kind, digest) VALUES (:path, :source, :kind, :digest)
ON CONFLICT (path) DO UPDATE SET
    kind = excluded.kind,
    former = CASE WHEN outputs.placed = 1 OR outputs.former = '' THEN outputs.digest ELSE outputs.former END,
    digest = excluded.digest,
    placed = 0
WHERE outputs.source = excluded.source
"""
_OUTPUT: Final = "SELECT path, source, kind, digest, placed, former FROM outputs"
_OWNER: Final = _OUTPUT + " WHERE path = ?"
_OWNED: Final = _OUTPUT + " WHERE source = ? ORDER BY path"
_NOTES: Final = _OUTPUT + " WHERE kind = 'note' AND path > ? AND path < ? ORDER BY path LIMIT ?"
_OUTPUTS_BELOW: Final = _OUTPUT + " WHERE path > ? AND path < ? AND kind <> 'note' ORDER BY path LIMIT ?"
_PLACED: Final = "UPDATE outputs SET placed = 1, former = '' WHERE path = ?"
_TEMPORARY: Final = "INSERT INTO temporaries (path) VALUES (?) ON CONFLICT (path) DO NOTHING"
_TEMPORARIES: Final = "SELECT path FROM temporaries WHERE {own} ORDER BY path"
_ALL: Final = """
SELECT path, EXISTS (SELECT 1 FROM sources WHERE sources.path = outputs.source)
FROM outputs WHERE path > ? AND path < ? ORDER BY path LIMIT ?
"""
_DISOWN: Final = """
DELETE FROM outputs WHERE path = ? AND NOT EXISTS (SELECT 1 FROM sources WHERE sources.path = outputs.source)
"""
