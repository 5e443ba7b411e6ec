"""The sandbox of the decoder process: limits, Landlock, a filter of system calls; it ends when its parent ends."""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from watcher.sandbox.seccomp import filter_calls

#: linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
#: linux/capability.h: the version of the structures; CAP_DAC_READ_SEARCH.
_CAPABILITIES: Final = 0x20080522
_READ_OTHERS: Final = 1 << 2
#: asm-generic/unistd.h; the same on every architecture.
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT_SELF: Final = 446
#: linux/landlock.h: rights for files in version 1 (bits 0 to 12), and those that later versions added.
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_FILES: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NET_VERSION: Final = 4
_BIND_AND_CONNECT: Final = 3
#: From this version on: no abstract UNIX socket of, and no signal to, a process outside the sandbox.
_SCOPE_VERSION: Final = 6
_SOCKETS_AND_SIGNALS: Final = 3
#: Read files and directories; write, make and (a separate right since version 3) truncate regular files.
_READ: Final = 1 << 2 | 1 << 3
_WRITE: Final = 1 << 1 | 1 << 8 | 1 << 14
#: Size of the largest file that it may write; an incompressible piece of 1390 s has 44 MB.
FILE_SIZE: Final = 256 << 20
#: Its value in `/proc/self/oom_score_adj` (-1000 to 1000): it counts as if it used half of the machine's memory in addition, so the
#: kernel ends it before the daemon and before other services.
_OOM_SCORE: Final = 500
#: Most descriptors; it needs two files at a time in addition to those of its modules.
_DESCRIPTORS: Final = 64


def confine(parent: int, *, memory: int, code: Iterable[Path], spool: Path | None = None) -> None:
    """Confine this process: it ends with its parent, has `memory` bytes of address space, and writes only below `spool`.

    If the machine runs out of memory, the kernel ends it first. It has no core dumps, no new privileges, no other process or thread,
    no large file and few files; only the system calls of `seccomp`, so no socket, no program and no signal to others; of root's
    capabilities only that of reading what others own. With Landlock (Linux 5.13) it opens files only below `spool` (None: nowhere)
    and, for reading, below the directories `code`, from which modules are imported. Open descriptors stay usable. Call it before any
    thread starts. Raises ProcessLookupError if the parent has ended already, and OSError if the kernel has Landlock or seccomp and
    refuses to use it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        raise ProcessLookupError("the daemon is gone")
    _raise_oom_score()
    _landlock(libc, spool, code)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_FSIZE, FILE_SIZE)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _limit(resource.RLIMIT_AS, memory)
    _drop_capabilities(libc)
    # This comes last: it forbids the calls that set the limits.
    filter_calls(libc)


def allow_cpu(seconds: float, *, most: float) -> None:
    """Allow this process `seconds` of CPU time in all, and never more than `most`; beyond, the kernel ends it with SIGXCPU."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    # The soft limit stays below the hard one, at which the kernel sends SIGKILL, which does not show the reason.
    ceiling = int(most) + 2 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_CPU, (max(0, min(int(seconds) + 1, ceiling - 1)), ceiling))


def landlock_version(libc: ctypes.CDLL | None = None) -> int:
    """Return the kernel's version of Landlock; 0 if there is none, or it is not allowed."""
    libc = libc or ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def _landlock(libc: ctypes.CDLL, spool: Path | None, code: Iterable[Path]) -> None:
    version = landlock_version(libc)
    if not version:
        # A kernel without Landlock is no reason to refuse work: the other limits apply.
        return
    files = sum(bits for since, bits in _FILES.items() if since <= version)
    rules = struct.pack("=Q", files)
    if version >= _NET_VERSION:
        rules += struct.pack("=Q", _BIND_AND_CONNECT)
    if version >= _SCOPE_VERSION:
        rules += struct.pack("=Q", _SOCKETS_AND_SIGNALS)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    written = () if spool is None else ((spool, _READ | _WRITE),)
    for directory, rights in (*written, *((place, _READ) for place in code)):
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights & files, descriptor)
        _checked(libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
        os.close(descriptor)
    _checked(libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Keep of root's capabilities only the one to read what others own: modules may lie in somebody's home.

    With others, root raises its own limits again, or takes memory away from the whole machine (MADV_HWPOISON).
    """
    header = struct.pack("=Ii", _CAPABILITIES, 0)
    held = ctypes.create_string_buffer(24)
    _checked(libc.capget(header, held))
    # Of capabilities 0 to 31 those that are effective, permitted and inheritable; then the same of 32 to 63.
    effective, permitted, *_ = struct.unpack("=6I", held.raw)
    kept = struct.pack("=6I", effective & _READ_OTHERS, permitted & _READ_OTHERS, 0, 0, 0, 0)
    if held.raw != kept:
        _checked(libc.capset(header, kept))


def _raise_oom_score() -> None:
    """Raise this process's score, never lower it; if /proc cannot be written, the other limits still apply."""
    with suppress(OSError):
        score = Path("/proc/self/oom_score_adj")
        if int(score.read_text()) < _OOM_SCORE:
            score.write_text(str(_OOM_SCORE))


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "the process cannot be confined")


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
