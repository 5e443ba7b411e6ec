"""A seccomp filter for the decoder process: it may compute, and read and write its descriptors, and nothing else.

The filter lists the allowed calls, so that calls of newer kernels are refused. There is no socket, no program, no
process or thread, no signal or limit for others, no change of a file's mode, owner, times or attributes, no file without a name, no
tracing, no namespace.
Landlock and the limits of `confine` restrict the allowed calls further.
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
#: From this number on, calls have the same numbers on all architectures, and C libraries can do without those that a kernel does not
#: have, if the error is "not implemented".
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
    # Information about itself and the machine.
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
    # Its descriptors; Landlock decides which files it may open by name.
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
#: Calls that are allowed for some values of one argument: the argument's index, and the values ("pid": this process's id).
_SOME_ARGUMENTS: Final[Mapping[str, tuple[tuple[int | None, int | None], int, Sequence[int | str]]]] = {
    # Without an address, which could open a connection (MSG_FASTOPEN).
    "sendto": ((44, 206), 4, (0,)),
    # Its own limits, which it can only lower.
    "prlimit64": ((302, 261), 0, (0, "pid")),
    # abort() ends a process by a signal to itself.
    "tgkill": ((234, 131), 0, ("pid",)),
    # F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: no F_SETOWN, which would send signals, and no lease or lock.
    "fcntl": ((72, 25), 1, (1, 2, 3, 1030)),
    # TCGETS, FIOCLEX: to ask whether it is a terminal, and to close it at exec.
    "ioctl": ((16, 29), 1, (0x5401, 0x5451)),
}
#: Calls that open a file by its name, and the index of their flags. O_TMPFILE is refused: every file that the process writes has a
#: name, so that the daemon sees its size.
_OPENING: Final[Mapping[str, tuple[tuple[int | None, int | None], int]]] = {
    "open": ((2, None), 1),
    "openat": ((257, 56), 2),
}
#: The bit of O_TMPFILE without O_DIRECTORY, which it includes (asm-generic/fcntl.h).
_TMPFILE: Final = os.O_TMPFILE & ~os.O_DIRECTORY


def filter_calls(libc: ctypes.CDLL) -> bool:
    """Allow this thread, and threads and processes that it starts, the calls listed here; others fail with EPERM, new ones with ENOSYS.

    Return False, without a filter, if the kernel has no seccomp, or the machine is neither x86-64 nor aarch64 (64 bits,
    little-endian). Needs no_new_privs, or root's rights. Cannot be undone. Raises OSError if the kernel refuses the filter.
    """
    machine = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if machine is None or struct.calcsize("P") != struct.calcsize("Q"):
        return False
    program = b"".join(_program(machine))
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and their address.
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(described), 0, 0):
        number = ctypes.get_errno()
        if number == errno.EINVAL:
            return False
        raise OSError(number, "the calls of the process cannot be filtered")
    return True


def _program(machine: int) -> Iterator[bytes]:
    """Yield the filter's instructions (linux/filter.h: code, instructions to skip if true and if false, value)."""
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
    # On x86-64, numbers from 2**30 on belong to the x32 interface; they fail with "not implemented".
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
