"""A seccomp filter for the decoding process: it may compute, read and write what it has, and nothing else.

The filter is a list of what is allowed, so that whatever the kernel learns later is refused: no socket, no program, no
process or thread, no signal or limit for others, no mode, owner, time or attribute of a file, no file without a name, no tracing,
no namespace.
What the kernel does with the calls that stay is up to Landlock and the limits of `confine`.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

#: linux/prctl.h, linux/seccomp.h
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
#: linux/bpf_common.h: load a word of seccomp's data, compare it, and end.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: struct seccomp_data, little-endian: the call's number, the architecture, and six arguments of 64 bits.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
#: From this number on calls are the same on all architectures, and C libraries do without those that a kernel does not
#: know; an error other than "not implemented" would confuse them.
_NEW: Final = 424

#: linux/audit.h
_X86_64: Final = 0xC000_003E
_AARCH64: Final = 0xC000_00B7

#: Numbers on x86-64 (asm/unistd_64.h) and on aarch64 (asm-generic/unistd.h); None: it does not exist there.
_ANY_ARGUMENT: Final[Mapping[str, tuple[int | None, int | None]]] = {
    # Its own memory and time.
    "brk": (12, 214),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "madvise": (28, 233),
    "futex": (202, 98),
    "membarrier": (324, 283),
    "gettimeofday": (96, 169),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # What it is, and what it runs on.
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "times": (100, 153),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    # Descriptors it has; what is opened by name, Landlock decides.
    "read": (0, 63),
    "readv": (19, 65),
    "pread64": (17, 67),
    "write": (1, 64),
    "writev": (20, 66),
    "pwrite64": (18, 68),
    "lseek": (8, 62),
    "close": (3, 57),
    "dup": (32, 23),
    "poll": (7, None),
    "ppoll": (271, 73),
    "fadvise64": (221, 223),
    "fstat": (5, 80),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "recvfrom": (45, 207),
}
#: Calls that are allowed for some values of one argument: its place, and the values ("pid": this process's id).
_SOME_ARGUMENTS: Final[Mapping[str, tuple[tuple[int | None, int | None], int, Sequence[int | str]]]] = {
    # Without an address, which could open a connection (MSG_FASTOPEN).
    "sendto": ((44, 206), 4, (0,)),
    # Its own limits, which it can only lower.
    "prlimit64": ((302, 261), 0, (0, "pid")),
    # abort() ends a process by a signal to itself.
    "tgkill": ((234, 131), 0, ("pid",)),
    # F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: no owner, who would be sent signals, and no lease or lock.
    "fcntl": ((72, 25), 1, (1, 2, 3, 1030)),
    # TCGETS, FIOCLEX: is it a terminal, and close it at exec.
    "ioctl": ((16, 29), 1, (0x5401, 0x5451)),
}
#: Calls that open a file by its name, and the place of their flags. Not with O_TMPFILE: what the process writes has a name, so that
#: the daemon sees how much it is.
_OPENING: Final[Mapping[str, tuple[tuple[int | None, int | None], int]]] = {
    "open": ((2, None), 1),
    "openat": ((257, 56), 2),
}
#: The bit that O_TMPFILE has beside that of O_DIRECTORY, which it includes (asm-generic/fcntl.h).
_TMPFILE: Final = os.O_TMPFILE & ~os.O_DIRECTORY


def filter_calls(libc: ctypes.CDLL) -> bool:
    """Allow this thread, and what it starts, the calls listed here; all others fail with EPERM, or ENOSYS for new ones.

    False, and nothing is filtered: the kernel has no seccomp, or the machine is neither x86-64 nor aarch64 (64 bits, little-
    endian). Needs no_new_privs, or root's rights. Cannot be undone. Raises OSError when the kernel refuses the filter.
    """
    machine = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if machine is None or struct.calcsize("P") != struct.calcsize("Q"):
        return False
    program = b"".join(_program(machine))
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(described), 0, 0):
        number = ctypes.get_errno()
        if number == errno.EINVAL:
            return False
        raise OSError(number, "the calls of the process cannot be filtered")
    return True


def _program(machine: int) -> Iterator[bytes]:
    """Yield the filter's instructions (linux/filter.h: code, steps to skip if true and if false, value)."""
    refuse, allow = _ERRNO | errno.EPERM, _ALLOW
    yield _step(_LOAD, _ARCHITECTURE)
    # Calls of another architecture, such as i386 on x86-64, have other numbers.
    yield _step(_EQUAL, (_X86_64, _AARCH64)[machine], true=1)
    yield _step(_RETURN, refuse)
    yield _step(_LOAD, _NUMBER)
    for numbers in _ANY_ARGUMENT.values():
        if (number := numbers[machine]) is not None:
            yield _step(_EQUAL, number, false=1)
            yield _step(_RETURN, allow)
    for numbers, place, values in _SOME_ARGUMENTS.values():
        if (number := numbers[machine]) is not None:
            body = b"".join(_argument_is(place, [os.getpid() if value == "pid" else int(value) for value in values]))
            yield _step(_EQUAL, number, false=len(body) // 8)
            yield body
    for numbers, place in _OPENING.values():
        if (number := numbers[machine]) is not None:
            yield _step(_EQUAL, number, false=4)
            yield _step(_LOAD, _ARGUMENTS + 8 * place)
            yield _step(_ANY_BIT, _TMPFILE, false=1)
            yield _step(_RETURN, refuse)
            yield _step(_RETURN, allow)
    # On x86-64 numbers from 2**30 on are those of the x32 interface; "not implemented" refuses them as well.
    yield _step(_AT_LEAST, _NEW, false=1)
    yield _step(_RETURN, _ERRNO | errno.ENOSYS)
    yield _step(_RETURN, refuse)


def _argument_is(place: int, values: Sequence[int]) -> Iterator[bytes]:
    """Yield the instructions that allow a call whose argument is one of `values`, each below 2**32, and refuse others."""
    low = _ARGUMENTS + 8 * place
    yield _step(_LOAD, low + 4)
    yield _step(_EQUAL, 0, false=1 + 2 * len(values))
    yield _step(_LOAD, low)
    for value in values:
        yield _step(_EQUAL, value, false=1)
        yield _step(_RETURN, _ALLOW)
    yield _step(_RETURN, _ERRNO | errno.EPERM)


def _step(code: int, value: int, *, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, value)
