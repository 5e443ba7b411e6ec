"""Signals as flags: a handler stores a number and nothing else, and a wake-up descriptor ends the main loop's wait at once.

An ``Event.set()`` in a handler could deadlock: its lock is not reentrant, and the handler may interrupt the main thread
while it holds it. (See also signal.set_wakeup_fd.) And a handler written in Python is itself interrupted by the next signal:
a flood of them nests until a RecursionError, which would end the process. So the handler is a method of `dict`, in C.
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

#: Seconds between two looks at whether the main thread hears signals.
_UNHEARD: Final = 1.0


class Signals:
    """SIGTERM, SIGINT and SIGHUP, while the context lasts; only in the main thread.

    A process that was asked to end is ending when the context is left: signals that come after that are ignored, so that none
    of them changes its exit code in its last moments.
    """

    def __init__(self) -> None:
        """Nothing is installed before the context is entered."""
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
        """Put the former handlers back, or ignore all signals from here on."""
        self._take()
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_IGN if self._asked_to_end else handler)
        signal.set_wakeup_fd(self._wakeup)
        self._left = True
        self._reader.close()
        self._writer.close()

    def _take(self) -> list[signal.Signals]:
        """Return the kinds that came since the last look, those that ask for the end first."""
        # However many of a kind come before the main thread looks, they are one.
        taken = [number for number in _ASKED if number in self._seen]
        for number in taken:
            del self._seen[number]
        self._asked_to_end |= any(number in _END for number in taken)
        return taken

    def await_unheard_end(self) -> bool:
        """Wait, in another thread, until SIGTERM or SIGINT has come and the main thread has not looked; False when the context is left.

        The descriptor is written to where the kernel delivers a signal, whatever the main thread hangs in. One that does not hang
        has looked long before the second look here.
        """
        # One of its own: two threads cannot wait in the same.
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        looks = 0
        while not self._left:
            poll.poll(_UNHEARD * 1000)
            try:
                waiting = self._reader.recv(4096, socket.MSG_PEEK)
            except OSError:
                # Nothing, or the context is left.
                waiting = b""
            looks = looks + 1 if any(number in waiting for number in _END) else 0
            if looks > 1:
                return True
            if waiting:
                time.sleep(_UNHEARD)
        return False

    def wake(self) -> None:
        """End a wait from another thread."""
        try:
            self._writer.send(b"\0")
        except OSError:
            # Full or closed: the main thread is awake already, or gone.
            return

    def wait(self, seconds: float) -> list[signal.Signals]:
        """Wait for signals or `wake`, at most `seconds`; return the kinds that came, those that ask for the end first."""
        if self._poll.poll(max(0.0, seconds) * 1000):
            self._reader.recv(4096)
        return self._take()
