"""The thread that reads the kernel's events, and sets and removes the watches."""

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Final

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyFD,
    Mask,
    Watch,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
    inotify_rm_watch,
)

from watcher.folders.kernel_watches import share

#: IN_MODIFY is left out: every write would be an event.
EVENTS: Final = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
)


#: Watches that are added until the kernel's limit is looked up again.
_STEP: Final = 16


class WatchReader(InotifyFD):
    """Reads the kernel's events about one folder, in a separate thread, and adds and removes its watches."""

    def __init__(self, first: Callable[[], None], *, others: Callable[[], int]) -> None:
        """`first`: called by the thread before it reads; `close` does not wait for it. `others`: number of watches of other folders."""
        super().__init__()
        self._first = first
        self._others = others
        #: Watches that may be added until the limit is looked up.
        self._room = 0
        self._is_reading = False
        self._every_watch = Watch(WatchDescriptor(-1), EVENTS, b"")

    def run(self) -> None:
        """See InotifyFD."""
        self._first()
        super().run()

    def close(self) -> None:
        """End by closing the descriptor, which removes all watches at once; watchdog would remove them one by one."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._is_reading and self.is_alive():
                os.write(self._kill_w, b"!")
            else:
                self._close_resources()

    def abandon(self) -> None:
        """Close the descriptors if the thread is never started."""
        self._close_resources()

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, or is ending."""
        return self._closed

    @property
    def count(self) -> int:
        """Number of watches."""
        return len(self._watch_for_wd)

    @property
    def room(self) -> int:
        """How many more watches this folder may have; 0: it takes no more, so that other folders get theirs."""
        return max(0, share(self._others()) - self.count)

    def forget(self, wd: WatchDescriptor) -> None:
        """Remove the kernel's watch on a directory; do nothing if there is none."""
        with self._lock:
            if not self._closed and self._watch_for_wd.pop(wd, None) is not None:
                inotify_rm_watch(self._inotify_fd, wd)

    def _add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        """Watch a directory; OSError if that is refused, or if the folder has as many watches as it may.

        For a directory that is watched already, watchdog's own method gives a warning with all paths in the text, and ends if warnings
        are errors; a directory that may not be read becomes watch number -1; and it keeps the first path of each. Here
        all watches share one entry, as all have the same callback.
        """
        if self._closed:  # its descriptor's number may already be used for another file
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._room = self._room or min(_STEP, self.room)
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._room -= 1
        wd = inotify_add_watch(self._inotify_fd, path, mask)
        if wd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._every_watch.callbacks[id_] = callback
        self._watch_for_wd[wd] = self._every_watch
        return wd
