"""Decide whether a file can be sent as it is: in one request, neither cut nor encoded."""

from typing import Final

from watcher import container
from watcher.client import RequestLimits
from watcher.errors import SourceError
from watcher.job import Job
from watcher.media import SoundChoice, has_long_hole

#: Most channels of an ordinary recording; more are the inputs of a recorder, and one of them may be timecode.
_STEREO: Final = 2


def upload_form(job: Job, descriptor: int, choice: SoundChoice, limits: RequestLimits) -> tuple[str, str, float] | None:
    """Return the file name, MIME type and seconds for sending the file as it is; None if it must be cut or encoded first.

    The limits may have been learned since the file was found, and an earlier version may have counted larger files as small.
    Raises SourceError if the file cannot be read.
    """
    size = job.fingerprint.size
    try:
        inspection = container.inspect(descriptor, size)
        name, seconds = container.upload_name(inspection.format), inspection.seconds
        if name is None or seconds is None or inspection.has_video:
            return None
        if size > limits.max_bytes or seconds > (limits.max_seconds or seconds):
            return None
        if name[0].rpartition(".")[2] in limits.refused:
            return None
        # What is sent has to be compared with its digest.
        if has_long_hole(descriptor, size):
            return None
        if _is_sound_in_doubt(inspection, choice) or _is_sound_mixed(descriptor, size, inspection.format):
            return None
    except OSError as exc:
        raise SourceError.of(exc) from exc
    return *name, seconds


def _is_sound_in_doubt(inspection: container.Inspection, choice: SoundChoice) -> bool:
    """Return whether the server may hear something other than the chosen sound."""
    if choice.channel != "mix" or inspection.tracks > 1 or inspection.channels > _STEREO:
        return True
    return isinstance(choice.track, int) and choice.track > 1


def _is_sound_mixed(descriptor: int, size: int, container_format: str) -> bool:
    """Return whether the server may miss some of the speech in the file, or hear timecode besides it."""
    file = (descriptor, size, container_format)
    return container.is_chained(*file) or container.has_timecode(*file)
