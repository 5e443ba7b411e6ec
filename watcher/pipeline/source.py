"""The second look: the source has to be what was judged still, and nobody may write it."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from watcher import tree
from watcher.errors import ChangedError, GoneError, PassingError
from watcher.job import Job
from watcher.settle import Writer, writer


@contextmanager
def opened(job: Job) -> Iterator[int]:
    """Open the source for reading, once: what is judged, read and uploaded is this one descriptor.

    Raises GoneError, ChangedError, and PassingError where it cannot be read now.
    """
    try:
        descriptor = tree.open_file(job.root, job.path)
    except FileNotFoundError as exc:
        raise GoneError("the file is not there any more") from exc
    except PermissionError as exc:
        raise PassingError(
            "the file cannot be read: permission denied",
            hint="let the user that runs the service read it (chmod o+r, or a common group)",
            reason="unreadable",
        ) from exc
    except (OSError, ValueError) as exc:
        raise ChangedError(f"the path leads elsewhere now: {exc}") from exc
    try:
        verify(job, descriptor)
        if writer(descriptor) is Writer.SOMEONE:
            raise ChangedError("somebody writes it again")
        yield descriptor
    finally:
        os.close(descriptor)


def verify(job: Job, descriptor: int) -> os.stat_result:
    """Hold descriptor and path against the job's fingerprint. Raises ChangedError and GoneError."""
    status = unchanged(job, descriptor)
    folder, name = os.path.split(job.path)
    try:
        with tree.directory(job.root, folder) as parent:
            standing = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError as exc:
        raise GoneError("the file is not there any more") from exc
    except (OSError, ValueError) as exc:
        raise ChangedError(f"the path leads elsewhere now: {exc}") from exc
    if (standing.st_dev, standing.st_ino) != (status.st_dev, status.st_ino):
        raise ChangedError("another file stands in its place")
    return status


def unchanged(job: Job, descriptor: int) -> os.stat_result:
    """Hold the descriptor alone against the job's fingerprint, whatever became of the path. Raises ChangedError."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not job.fingerprint.matches(status):
        raise ChangedError("its size or its modification time changed")
    return status
