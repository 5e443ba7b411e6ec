"""Signals as flags: a handler only stores a number, and a wake-up descriptor ends the main loop's wait at once.

An ``Event.set()`` in a handler could deadlock: its lock is not reentrant, and the handler may interrupt the main thread
while it holds the lock. (See also signal.set_wakeup_fd.) And a handler in Python is itself interrupted by the next signal:
very many signals nest until a RecursionError, which would end the process. So the handler is a method of `dict`, in C.
"""

import select
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

_END: Final = (signal.SIGTERM, signal.SIGINT)
_ASKED: Final = (*_END, signal.SIGHUP)

#: Seconds between two checks whether the main thread handles signals.
_UNHANDLED: Final = 1.0


class Signals:
    """SIGTERM, SIGINT and SIGHUP, within the context; only in the main thread.

    If the process was asked to end, later signals are ignored once the context is left, so that they do not
    change its exit code.
    """

    def __init__(self) -> None:
        """Install no handlers yet: entering the context does that."""
        # By number; the values mean nothing.
        self._seen: dict[int, FrameType | None] = {}
        self._asked_to_end = False
        self._former: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.settimeout(0)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._wakeup = -1
        self._left = False

    def __enter__(self) -> Self:
        """Install the handlers."""
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _ASKED:
            self._former[number] = signal.signal(number, self._seen.setdefault)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the former handlers, or ignore all signals from now on."""
        self._take()
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_IGN if self._asked_to_end else handler)
        signal.set_wakeup_fd(self._wakeup)
        self._left = True
        self._reader.close()
        self._writer.close()

    def _take(self) -> list[signal.Signals]:
        """Return the kinds of signals since the last call; those that ask for the end come first."""
        # Several signals of one kind since the last check count as one.
        taken = [number for number in _ASKED if number in self._seen]
        for number in taken:
            del self._seen[number]
        self._asked_to_end |= any(number in _END for number in taken)
        return taken

    def await_unhandled_end(self) -> bool:
        """Wait, in another thread, until the main thread does not handle a SIGTERM or SIGINT; return False when the context is left.

        Python writes to the descriptor when the kernel delivers a signal, even if the main thread hangs. A main thread that does not
        hang has handled it long before the second check here.
        """
        # A separate selector: two threads cannot wait in the same one.
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        looks = 0
        while not self._left:
            poll.poll(_UNHANDLED * 1000)
            try:
                waiting = self._reader.recv(4096, socket.MSG_PEEK)
            except OSError:
                # No signal, or the context is left.
                waiting = b""
            looks = looks + 1 if any(number in waiting for number in _END) else 0
            if looks > 1:
                return True
            if waiting:
                time.sleep(_UNHANDLED)
        return False

    def wake(self) -> None:
        """End a wait from another thread."""
        try:
            self._writer.send(b"\0")
        except OSError:
            # The pipe is full or closed: the main thread is awake already, or has ended.
            return

    def wait(self, seconds: float) -> list[signal.Signals]:
        """Wait for signals or `wake`, at most `seconds`; return their kinds; those that ask for the end come first."""
        if self._poll.poll(max(0.0, seconds) * 1000):
            self._reader.recv(4096)
        return self._take()
