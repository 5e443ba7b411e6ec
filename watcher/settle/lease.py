"""Find out from the kernel whether an open file is still being written, and whether all of it was written.

A read lease is granted only while no process has the inode open for writing, through any name or mapping
(fcntl(2), F_SETLEASE). It is taken and released at once: while it is held, a writer's `open` waits.
"""

import errno
import fcntl
import os
import signal
from contextlib import suppress
from enum import StrEnum
from typing import Final

#: Below this size a file may be a single block, which is never sparse, or stored in its inode.
_BLOCK: Final = 4096
#: `st_blocks` counts these, whatever the file system's own block size (stat(2)).
_SECTOR: Final = 512


class WriterState(StrEnum):
    """Whether a file is open for writing."""

    NONE = "none"
    SOMEONE = "someone"
    #: Not known: the file is not ours and there is no CAP_LEASE, or the file system has no leases.
    UNKNOWN = "unknown"


def writer(descriptor: int) -> WriterState:
    """Return whether the file of this read-only descriptor is open for writing (3-5 us).

    The answer is only about this machine: on a network or FUSE mount others may write unseen.
    """
    try:
        # If someone opens the file for writing while we hold the lease, the kernel sends us a signal: by default SIGIO,
        # which would end the process. SIGURG is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return WriterState.SOMEONE if error.errno == errno.EAGAIN else WriterState.UNKNOWN
    with suppress(OSError):  # broken by the kernel in the meantime: then there is nothing left to give back
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return WriterState.NONE


def hollow(descriptor: int, status: os.stat_result) -> bool:
    """Return whether part of the file was never written: its size was set first, and its content follows.

    Such a file waits until it is quiet; it is not rejected, because some file systems store digital silence as a hole. FUSE
    shows no holes, so a file of which less than half is on disk counts, too (online-only files of cloud clients have nothing on disk).
    """
    if status.st_size <= _BLOCK:
        return False
    if status.st_blocks * _SECTOR < status.st_size // 2:
        return True
    try:
        hole = os.lseek(descriptor, 0, os.SEEK_HOLE)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        return False
    return hole < status.st_size
