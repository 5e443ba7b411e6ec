"""Check failure notes: if a person deleted a note, the source is tried again."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from watcher import sidecar, tree
from watcher.errors import JobError
from watcher.job import State
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput

_log = structlog.get_logger()


def heed(
    ledger: Ledger,
    notes: Iterable[OwnedOutput],
    root_of: Callable[[bytes], bytes | None],
    intact: Callable[[OwnedOutput], bool] = lambda _note: True,
) -> tuple[list[bytes], list[bytes]]:
    """Put back failed sources whose note was deleted, and forget failed sources that were deleted without their note.

    Return the paths of both. If note and source are gone, do nothing: a disk was removed or a folder moved away,
    so the missing note is no request. `root_of` returns the watched folder of a path. `intact` is called just before a change, and
    returns whether the note's folder is still the same one.
    """
    put_back: list[bytes] = []
    forgotten: list[bytes] = []
    for note in [note for note in notes if note.placed]:
        root = root_of(note.path)
        if root is None:
            continue
        looks = tree.stands(root, note.path), tree.stands(root, note.source)
        if looks not in {(True, False), (False, True)} or not intact(note):
            continue
        if looks == (False, True):
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
    """Forget a failed source and remove its note; return False if it has not failed, or the note cannot be removed now."""
    record = ledger.history.lookup(note.source)
    if record is None or record.state is not State.FAILED:
        return False
    with suppress(JobError):
        sidecar.remove_note(record.root, record.path, ledger)
        ledger.queue.forget(record.path)
        return True
    return False
