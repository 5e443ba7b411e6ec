"""Is anybody still writing this file, and was all of it written? Asked of the kernel, on an open descriptor.

A read lease is granted only while nobody has the inode open for writing, in any process, through any name or mapping
(fcntl(2), F_SETLEASE). It is taken and given back at once: while it is held, a writer's `open` waits.
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
    #: The kernel won't say: not our file and no CAP_LEASE, or a file system without leases.
    UNKNOWN = "unknown"


def writer(descriptor: int) -> WriterState:
    """Return whether anybody has the file behind this read-only descriptor open for writing (3-5 us).

    The answer holds for this machine only: on a network or FUSE mount others may write unseen.
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
    """Return whether part of the file was never written: its size was set first, its content is still to come.

    Such a file waits until it is quiet; it is not rejected, for some file systems store digital silence as a hole. FUSE
    shows no holes, so a file of which less than half is on disk counts too (online-only files of cloud clients have nothing).
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
