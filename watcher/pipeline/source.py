"""Check the source again: it must be the file that was found, and nobody may be writing it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from watcher import tree
from watcher.errors import AbsentError, ChangedError, GoneError, JobError, SourceError
from watcher.job import Job
from watcher.settle import WriterState, writer

#: errno at opening that means that the file is gone (ESTALE: its server has removed it) ...
_GONE: Final = frozenset({errno.ENOENT, errno.ESTALE})
#: ... or that the path now leads through a link, or to something that is no file.
_ELSEWHERE: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO})


@contextmanager
def opened(job: Job) -> Iterator[tuple[int, os.stat_result]]:
    """Open the source for reading, once; yield the descriptor for all checks and uploads, and its stat.

    Raises AbsentError, GoneError, ChangedError, and SourceError if it cannot be read now.
    """
    try:
        descriptor = tree.open_file(job.root, job.path)
    except (OSError, ValueError) as exc:
        raise _missed(exc, AbsentError) from exc
    try:
        status = verify(job, descriptor)
        if writer(descriptor) is WriterState.SOMEONE:
            raise ChangedError("somebody writes it again")
        yield descriptor, status
    finally:
        os.close(descriptor)


def verify(job: Job, descriptor: int) -> os.stat_result:
    """Compare descriptor and path with the job's fingerprint. Raises ChangedError, GoneError and SourceError."""
    status = unchanged(job, descriptor)
    folder, name = os.path.split(job.path)
    try:
        with tree.directory(job.root, folder) as parent:
            standing = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except (OSError, ValueError) as exc:
        raise _missed(exc) from exc
    if (standing.st_dev, standing.st_ino) != (status.st_dev, status.st_ino):
        raise ChangedError("another file is in its place")
    return status


def unchanged(job: Job, descriptor: int) -> os.stat_result:
    """Compare only the descriptor with the job's fingerprint, not the path.

    Raises ChangedError, and SourceError if this cannot be checked now.
    """
    try:
        status = os.fstat(descriptor)
    except OSError as exc:
        raise SourceError.of(exc) from exc
    if not stat.S_ISREG(status.st_mode) or not job.fingerprint.matches(status):
        raise ChangedError("its size or its modification time changed")
    return status


def _missed(error: OSError | ValueError, gone: type[GoneError] = GoneError) -> JobError:
    """Return the error for a job whose path does not lead to a file; an `error` of type ValueError: it is not below its root."""
    if isinstance(error, OSError) and error.errno in _GONE:
        return gone("the file is not there any more")
    if not isinstance(error, OSError) or error.errno in _ELSEWHERE:
        return ChangedError(f"the path leads elsewhere now: {error}")
    return SourceError.of(error)
