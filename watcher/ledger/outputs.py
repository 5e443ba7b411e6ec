"""Owners of the paths beside the sources: outputs, failure notes, and the temporaries they are made from."""

from collections.abc import Iterator
from typing import Final

from watcher.errors import LeaseLostError
from watcher.job import Job, Output
from watcher.ledger.part import LedgerPart, Row
from watcher.ledger.protocol import OwnedOutput

#: Rows read at a time where all are walked through.
_PAGE: Final = 200


class Outputs(LedgerPart):
    """Output paths and temporaries."""

    def enter_output(self, job: Job, output: Output) -> bool:
        with self._database.transaction() as connection:
            if not connection.execute(_CURRENT, (job.id, job.fence)).fetchall():
                raise LeaseLostError("the job's lease is gone: its outputs must not be placed")
            values = {"path": output.path, "source": job.path, "kind": output.kind, "digest": output.digest}
            return connection.execute(_ENTER, values).rowcount == 1

    def enter_note(self, source: bytes, note: Output) -> bool:
        values = {"path": note.path, "source": source, "kind": note.kind, "digest": note.digest}
        with self._database.transaction() as connection:
            return connection.execute(_ENTER, values).rowcount == 1

    def placed(self, path: bytes) -> None:
        with self._database.transaction(durable=False) as connection:
            connection.execute("UPDATE outputs SET placed = 1, former = '' WHERE path = ?", (path,))

    def disown(self, path: bytes) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM outputs WHERE path = ?", (path,))

    def owner(self, path: bytes) -> OwnedOutput | None:
        found = self._database.query(_OWNER, (path,))
        return owned(found[0]) if found else None

    def owned(self, source: bytes) -> tuple[OwnedOutput, ...]:
        return tuple(owned(row) for row in self._database.query(_OWNED, (source,)))

    def notes(self) -> Iterator[OwnedOutput]:
        return map(owned, self._walk(_NOTES, b"", _PAGE))

    def enter_temporary(self, path: bytes) -> None:
        with self._database.transaction(durable=False) as connection:
            connection.execute("INSERT INTO temporaries (path) VALUES (?) ON CONFLICT (path) DO NOTHING", (path,))

    def drop_temporary(self, path: bytes) -> None:
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM temporaries WHERE path = ?", (path,))

    def temporaries(self) -> tuple[bytes, ...]:
        return tuple(path for (path,) in self._database.query("SELECT path FROM temporaries ORDER BY path"))


def owned(row: Row) -> OwnedOutput:
    """Make an output path of a row of OUTPUT's columns."""
    path, source, kind, digest, placed, former = row
    return OwnedOutput(path=path, source=source, kind=kind, digest=digest, placed=bool(placed), former=former)


# Concluded counts too: `watcher render` and the failure note write for a job that has ended, as long as none came after it.
_CURRENT: Final = "SELECT 1 FROM sources WHERE id = ? AND fence = ? AND state IN ('running', 'done', 'failed')"
# Entered again before it was placed, the file there is still the former one, unless there was none.
_ENTER: Final = """
INSERT INTO outputs (path, source, kind, digest) VALUES (:path, :source, :kind, :digest)
ON CONFLICT (path) DO UPDATE SET
    kind = excluded.kind,
    former = CASE WHEN outputs.placed = 1 OR outputs.former = '' THEN outputs.digest ELSE outputs.former END,
    digest = excluded.digest,
    placed = 0
WHERE outputs.source = excluded.source
"""
#: Selects output paths, for `owned` to read.
OUTPUT: Final = "SELECT path, source, kind, digest, placed, former FROM outputs"
_OWNER: Final = OUTPUT + " WHERE path = ?"
_OWNED: Final = OUTPUT + " WHERE source = ? ORDER BY path"
_NOTES: Final = OUTPUT + " WHERE kind = 'note' AND path > ? ORDER BY path LIMIT ?"
