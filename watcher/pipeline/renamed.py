"""Recognise a recording that was renamed after it was done, and rename its outputs."""

import os
from dataclasses import dataclass, replace

import structlog

from watcher import media, reach, sidecar, tree
from watcher.job import Job, Outcome, ResultWarning
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput, SourceRecord
from watcher.pipeline.tools import HeartbeatCallback, Tools
from watcher.text import printable

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FormerRecording:
    """The former source of a recording that was renamed."""

    record: SourceRecord
    outcome: Outcome
    #: Its outputs under the former path.
    rows: tuple[OwnedOutput, ...]
    #: Its outputs that were moved with their folder, and now belong to the new source.
    along: tuple[OwnedOutput, ...] = ()
    #: Kinds of those outputs that were not changed since they were written.
    kinds: tuple[str, ...] = ()


def former_of(
    job: Job, descriptor: int, status: os.stat_result, tools: Tools, beat: HeartbeatCallback
) -> FormerRecording | None:
    """Return the recording's former source; None if it was not renamed, or if this is not certain.

    Raises OutputError, GoneError, LeaseLostError.
    """
    ledger = tools.ledger
    record = next((one for one in ledger.history.namesakes(job) if _is_gone(one, status)), None)
    if record is None or record.outcome is None or media.digest(descriptor, tools.stop, beat) != record.content:
        return None
    rows = ledger.outputs.owned(record.path)
    taken = {output.path for output in sidecar.take_over(job, rows, ledger)}
    # Including those of a run that ended before the recording was concluded.
    names = {os.path.basename(row.path) for row in rows}  # noqa: PTH119 - bytes
    along = tuple(
        row
        for row in ledger.outputs.owned(job.path)
        if row.path in taken or os.path.basename(row.path) in names  # noqa: PTH119 - bytes
    )
    kinds = (*sidecar.unchanged(record.root, rows), *sidecar.unchanged(job.root, along))
    return FormerRecording(record, record.outcome, rows, along, tuple(dict.fromkeys(kinds)))


def follow(former: FormerRecording, job: Job, outcome: Outcome, ledger: Ledger) -> Outcome:
    """Remove the former outputs once those under the new name are placed; return the outcome, with a warning about files that stay.

    Raises OutputError.
    """
    keep = {output.path for output in outcome.outputs}
    edited = sidecar.remove_former(former.record.root, former.rows, ledger, keep=keep)
    edited += sidecar.remove_former(job.root, former.along, ledger, keep=keep)
    _log.info(
        "output.followed",
        former=former.record.path,
        outputs=[output.path for output in outcome.outputs],
        left_behind=list(edited),
    )
    warnings = tuple(
        ResultWarning(
            "output_left_behind",
            f"{printable(os.path.basename(path))} was changed by a person, and kept its name when the recording was renamed",  # noqa: PTH119 - bytes
            "rename it by hand, if it is to go with the recording",
        )
        for path in edited
    )
    return replace(outcome, renamed_from=former.record.path, warnings=(*outcome.warnings, *warnings))


def _is_gone(record: SourceRecord, status: os.stat_result) -> bool:
    """Return whether a source is gone from its path, on the same file system as this one."""

    def look() -> bool:
        if os.stat(record.root).st_dev != status.st_dev:  # noqa: PTH116 - bytes
            return False
        try:
            return tree.status(record.root, record.path).st_ino != status.st_ino
        except (FileNotFoundError, NotADirectoryError):
            # The second one, too, if a link is in the place of its folder.
            return True

    try:
        return reach.ask(record.root, look)
    except OSError:
        # Its mount does not answer, or is not mounted.
        return False
