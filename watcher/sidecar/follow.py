"""Make outputs follow a recording that somebody renamed, or moved with its folder, unless a person changed the outputs."""

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from watcher import tree
from watcher.errors import GoneError, OutputError
from watcher.job import Job, Output
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput
from watcher.sidecar import disk
from watcher.sidecar.placement import NOTE


def take_over(job: Job, rows: Iterable[OwnedOutput], ledger: Ledger) -> tuple[Output, ...]:
    """Take over the unchanged outputs that moved along with the source; return them.

    `rows`: the outputs of the source under its former path, in another folder. Raises OutputError,
    GoneError, LeaseLostError.
    """
    parent = os.path.dirname(job.path)  # noqa: PTH120 - bytes
    taken: list[Output] = []
    with disk.open_folder(job.root, parent) as folder:
        for row in rows:
            name = os.path.basename(row.path)  # noqa: PTH119 - bytes
            path = os.path.join(parent, name)  # noqa: PTH118 - bytes
            digest = disk.digest(folder, name) if path != row.path and row.kind != NOTE else ""
            if not digest or digest not in {row.digest, row.former}:
                continue
            output = Output(row.kind, path, digest)
            if ledger.outputs.enter(job, output):
                ledger.outputs.placed(path)
                taken.append(output)
    return tuple(taken)


def unchanged(root: bytes, rows: Iterable[OwnedOutput]) -> tuple[str, ...]:
    """Return the kinds of those outputs that were not changed since Watcher wrote them. Raises OutputError."""
    return tuple(row.kind for row in rows if row.kind != NOTE and _digest(root, row.path) in {row.digest, row.former})


def remove_former(
    root: bytes, rows: Sequence[OwnedOutput], ledger: Ledger, *, keep: Collection[bytes]
) -> tuple[bytes, ...]:
    """Remove unchanged outputs, except those to `keep`; return the paths of those that a person changed.

    Afterwards the ledger has none of them. Raises OutputError.
    """
    edited: list[bytes] = []
    for row in rows:
        if row.path in keep or row.kind == NOTE:
            continue
        digest = _digest(root, row.path)
        if digest and digest in {row.digest, row.former}:
            _remove(root, row.path)
        elif digest or tree.stands(root, row.path):
            edited.append(row.path)
        # Only now, so that files that a crash leaves in between are still in the ledger.
        ledger.outputs.disown(row.path)
    return tuple(edited)


def _digest(root: bytes, path: bytes) -> str:
    """Return the digest of a file; "" if it does not exist, nor its folder, or a link is in the place of that."""
    parent, name = os.path.split(path)
    try:
        with disk.open_folder(root, parent) as folder:
            return disk.digest(folder, name)
    except GoneError:
        return ""
    except OutputError as error:
        if error.reason != disk.LINKED:
            raise
        return ""


def _remove(root: bytes, path: bytes) -> None:
    parent, name = os.path.split(path)
    with suppress(GoneError), disk.open_folder(root, parent) as folder:
        disk.remove(folder, name)
        disk.sync(folder)
