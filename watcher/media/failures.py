"""Convert reports of the decoder process to errors and warnings of the daemon; texts that are not trusted go only to the log."""

import os
import tempfile
from pathlib import Path

import structlog

from watcher.errors import FileError, JobError, OutputError, PassingError, SourceError
from watcher.job import ResultWarning
from watcher.loudness import Loudness
from watcher.media.protocol import Ended, Failed
from watcher.media.sentences import UNFORESEEN, failure, passed_on, system_error
from watcher.media.values import Summary

_log = structlog.get_logger()


def failure_of(failed: Failed, *, spool: Path, max_bytes: int, descriptor: int) -> JobError:
    """Return the error that the child reports, in known sentences.

    A failure that costs no attempt is believed only if this process sees it as well: no room for a piece of `max_bytes` in the
    spool, or a recording (`descriptor`) that cannot be read.
    """
    error: JobError | None
    if failed.kind == OutputError.code:
        error = unwritable(spool, system_error(failed.message))
        if _has_room(spool, max_bytes):
            error = PassingError(error.message, hint=error.hint, reason=error.reason)
    elif failed.kind == SourceError.code:
        error = SourceError.of(system_error(failed.message))
        if error.uncounted and _is_readable(descriptor):
            error = SourceError(error.message, hint=error.hint, reason="unreadable")
    else:
        error = failure(failed.reason, failed.message)
    if error is None or error.reason == UNFORESEEN.code:
        _log.warning("media.child", reason=failed.reason, message=failed.message, detail=failed.detail)
    elif failed.detail:
        _log.debug("media.child", reason=failed.reason, detail=failed.detail)
    return invalid_message() if error is None else error


def warnings_of(ended: Ended) -> tuple[ResultWarning, ...]:
    """Return those of the child's warnings that are known sentences."""
    found = []
    for warning in ended.warnings:
        known = passed_on(warning)
        if known is None:
            _log.warning("media.child", reason=warning.code, message=warning.message)
        else:
            found.append(known)
    return tuple(found)


def unwritable(spool: Path, error: OSError) -> OutputError:
    """Return the error for a spool into which no pieces can be written."""
    return OutputError(
        f"No pieces can be put into {spool}: {error.strerror}",
        hint="Check that the state directory can be written and its disk has room.",
        reason="spool",
    )


def summary_of(ended: Ended) -> Summary:
    """Return the facts about a recording that has ended, with the warnings that the child may give."""
    return Summary(
        seconds=ended.seconds,
        content=ended.content,
        loudness=Loudness(ended.loudness),
        warnings=warnings_of(ended),
        stream=ended.stream,
        number=ended.number,
        tracks=ended.tracks,
    )


def invalid_message() -> FileError:
    """Return the error for a message that our decoder never sends: an attacker controls the child."""
    return FileError(
        "The decoder process sent an invalid message.",
        hint="The recording is probably damaged; export it again, for example as WAV or FLAC.",
        reason="crashed",
    )


def _has_room(spool: Path, size: int) -> bool:
    try:
        with tempfile.TemporaryFile(dir=spool) as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        return False
    return True


def _is_readable(descriptor: int) -> bool:
    """Return whether the end of the recording can be read."""
    try:
        os.pread(descriptor, 1, max(0, os.fstat(descriptor).st_size - 1))
    except OSError:
        return False
    return True
