"""Check failure notes: a note that a person deleted asks for another try."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from watcher import sidecar
from watcher.errors import JobError
from watcher.job import State
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput

_log = structlog.get_logger()


def heed(
    ledger: Ledger, notes: Iterable[OwnedOutput], intact: Callable[[OwnedOutput], bool]
) -> tuple[list[bytes], list[bytes]]:
    """Put back the failed sources whose note is gone, and forget those that are gone themselves while their note is still there.

    Returns the paths of both. Where note and source are gone, a disk was taken out or a folder moved away: nobody meant the
    note. `intact` says, right before anything is changed, whether the note's folder is still the one that was looked at.
    """
    put_back: list[bytes] = []
    forgotten: list[bytes] = []
    for note in [note for note in notes if note.placed]:
        stands, source_stands = os.path.lexists(note.path), os.path.lexists(note.source)
        if stands == source_stands or not intact(note):
            continue
        if source_stands:
            with ledger.queue.reporting([note.source]):
                put_back += (queued := ledger.queue.put_back([note.source]))
                for path in queued:
                    _log.info("file.queued", path=os.fsdecode(path), reason="note_deleted")
            ledger.outputs.disown(note.path)
        elif _forgotten(ledger, note):
            forgotten.append(note.source)
    for path in forgotten:
        _log.info("service.tidied", path=os.fsdecode(path), reason="recording_deleted")
    return put_back, forgotten


def _forgotten(ledger: Ledger, note: OwnedOutput) -> bool:
    """Forget a failed source and remove its note; False where it did not fail, or the note cannot be removed now."""
    record = ledger.history.lookup(note.source)
    if record is None or record.state is not State.FAILED:
        return False
    with suppress(JobError):
        sidecar.remove_note(record.root, record.path, ledger)
        ledger.queue.forget(record.path)
        return True
    return False
