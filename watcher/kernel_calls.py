"""Find out whether a thread of this process waits in the kernel for a file: only its disk or its mount can end such a wait."""

import os
import platform
from pathlib import Path
from typing import Final

#: Numbers of the system calls that may wait for a file system: those on a descriptor that may be a pipe or socket as well, and the
#: others (openat, newfstatat, statx, getdents64, lseek, pread64, pwrite64, fsync, flock, fcntl, renames, links and so on).
_ON_DESCRIPTOR: Final = {"x86_64": "0 1", "aarch64": "63 64"}
_ON_FILE: Final = {
    "x86_64": "2 3 4 5 6 8 17 18 40 72 73 74 75 76 77 78 82 83 84 86 87 89 90 91 92 93 137 138 217 257 258 260 262 263 264 265 267 268 269 "
    "280 285 316 332 439",
    "aarch64": "25 32 34 35 37 38 43 44 45 46 47 48 52 53 54 55 56 57 61 62 67 68 71 78 79 80 82 83 88 276 291 439",
}


def waits_for_file(thread: int) -> bool:
    """Return whether a thread, named by its native id, is in a system call on a file; False where that is not known."""
    machine = platform.machine()
    try:
        number, *arguments = Path(f"/proc/self/task/{thread}/syscall").read_text().split()
        if number in _ON_DESCRIPTOR.get(machine, "").split():
            return os.readlink(f"/proc/self/fd/{int(arguments[0], 16)}").startswith("/")  # noqa: PTH115 - as it is
    except (OSError, ValueError, IndexError):  # it runs, has ended, or the kernel does not tell
        return False
    return number in _ON_FILE.get(machine, "").split()
