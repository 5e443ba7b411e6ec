"""Whether a recording has text already that is not Watcher's: then it is left alone, and nothing is paid."""

from collections.abc import Callable

import structlog

from watcher import sidecar
from watcher.job import Job
from watcher.ledger.ledger import Ledger
from watcher.pipeline.tools import JobSettings
from watcher.settle import is_audio

_log = structlog.get_logger()


def is_adopted(
    job: Job, source: bytes, wanted: JobSettings, ledger: Ledger, inside: Callable[[], int] = lambda: 0
) -> bool:
    """Return whether a person's files are the outputs of `source` (see `has_outputs`), and nobody asked to transcribe the job again."""
    if not wanted.formats or job.again is not None:
        return False
    if not has_outputs(job.root, source, wanted, ledger, inside=inside):
        return False
    _log.info("file.adopted", formats=wanted.formats)
    return True


def has_outputs(
    root: bytes, source: bytes, wanted: JobSettings, ledger: Ledger, *, inside: Callable[[], int] = lambda: 0
) -> bool:
    """Return whether a person's files count as the outputs of a source; `inside` counts its own subtitle tracks.

    With ``skip_existing = "own"``, all outputs have to be there under the very names that they would get. With ``"any"``,
    subtitles under whatever name suffice, and so do those inside the film. Raises OutputError, GoneError.
    """
    if sidecar.adopted(root, source, wanted.formats, wanted.names, ledger):
        return True
    if wanted.skip_existing != "any":
        return False
    return sidecar.has_subtitles(root, source, is_recording=is_audio, ledger=ledger) or inside() > 0
