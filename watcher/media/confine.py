"""What a process that decodes hostile bytes may still do: little memory, little time, few files, and no life of its own."""

import ctypes
import os
import resource
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
#: Largest file it may write; an uncompressed piece of 1390 s has 44 MB.
_FILE_SIZE: Final = 256 << 20


def confine(parent: int, *, memory: int) -> None:
    """Bind this process to its parent's life and limits: address space, file size, no core, no new privileges.

    Raises ProcessLookupError when the parent is gone already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        raise ProcessLookupError("the daemon is gone")
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _FILE_SIZE)
    _limit(resource.RLIMIT_AS, memory)


def allow_cpu(seconds: float, *, most: float) -> None:
    """Let this process use so many CPU seconds in all; beyond, the kernel ends it with SIGXCPU, at `most` in any case."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    ceiling = int(most) + 1 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_CPU, (min(int(seconds) + 1, ceiling), ceiling))


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
