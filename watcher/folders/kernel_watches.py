"""Read from the kernel which inotify watches this process has, and why one is refused."""

import ctypes
import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init

from watcher import tree

#: Where the kernel's limits stand: that of the machine, and that of a container with users of its own.
_LIMITS: Final = (Path("/proc/sys/fs/inotify/max_user_watches"), Path("/proc/sys/user/max_inotify_watches"))
#: Inode and device of a watch, in a line of fdinfo.
_WATCHED: Final = re.compile(rb"^inotify wd:\w+ ino:(\w+) sdev:(\w+)")


def watched() -> frozenset[tuple[int, int]]:
    """Return (device, inode) of every directory this process has inotify watches on, from /proc/self/fdinfo."""
    pairs: set[tuple[int, int]] = set()
    # Without Path: it enters every name into the interpreter's table of strings, which grows by those that come and go.
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):  # closed by another thread in the meantime
            if os.readlink(f"/proc/self/fd/{number}") != "anon_inode:inotify":  # noqa: PTH115
                continue
            with open(f"/proc/self/fdinfo/{number}", "rb") as told:  # noqa: PTH123
                # Line by line, so that other threads run meanwhile.
                pairs.update((int(found[2], 16), int(found[1], 16)) for found in map(_WATCHED.match, told) if found)
    return frozenset(pairs)


def share(others: int) -> int:
    """Return how many watches one folder may have; `others`: how many the other folders have.

    It leaves an eighth of what these leave, since anybody who can write into a folder can make any number of directories.
    """
    limits = []
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int(path.read_bytes()))
    return max(1, (min(limits, default=_ANY) - others) * 7 // 8)


def kernel_device(device: int) -> int:
    """Write a `st_dev` in the form of fdinfo."""
    return os.major(device) << 20 | os.minor(device)


def path_of(directory: int) -> bytes:
    """Return a path that leads to an open directory, and nowhere else; links at its end need not be followed (IN_DONT_FOLLOW)."""
    return b"/proc/self/fd/%d/." % directory


def diagnose(root: bytes, path: bytes) -> int:
    """Find out why a directory below a root has no watch: 0 if the kernel gives one now, else the errno."""
    try:
        with tree.directory(root, path) as directory:
            return _refusal(path_of(directory))
    except OSError as error:
        return error.errno or 0


def _refusal(directory: bytes) -> int:
    descriptor = inotify_init()
    if descriptor < 0:
        return ctypes.get_errno()
    try:
        given = inotify_add_watch(descriptor, directory, InotifyConstants.IN_CREATE)
        return 0 if given >= 0 else ctypes.get_errno()
    finally:
        os.close(descriptor)


#: More watches than any kernel gives; used if its limit is not known.
_ANY: Final = 1 << 31
#: What to do about the kernel's refusals, by errno.
REMEDIES: Final = {
    errno.ENOSPC: "raise fs.inotify.max_user_watches, e.g. sysctl -w fs.inotify.max_user_watches=524288",
    errno.EMFILE: "raise fs.inotify.max_user_instances, e.g. sysctl -w fs.inotify.max_user_instances=512",
}
