"""Signals as flags: handlers store a name and nothing else, and a wake-up descriptor ends the main loop's wait at once.

An ``Event.set()`` in a handler could deadlock: its lock is not reentrant, and the handler may interrupt the main thread
while it holds it. (See also signal.set_wakeup_fd.)
"""

import select
import signal
import socket
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

_END: Final = (signal.SIGTERM, signal.SIGINT)
_ASKED: Final = (*_END, signal.SIGHUP)


class Signals:
    """SIGTERM, SIGINT and SIGHUP, while the context lasts; only in the main thread.

    A process that was asked to end is ending when the context is left: signals that come after that are ignored, so that none
    of them changes its exit code in its last moments.
    """

    def __init__(self) -> None:
        """Nothing is installed before the context is entered."""
        self._seen: set[signal.Signals] = set()
        self._obeyed = False
        self._former: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.settimeout(0)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._wakeup = -1

    def __enter__(self) -> Self:
        """Install the handlers."""
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _ASKED:
            self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the former handlers back, or stay deaf."""
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_IGN if self._obeyed else handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # A set: however many of a kind come before the main thread looks, they are one.
        self._seen.add(signal.Signals(number))
        self._obeyed |= number in _END

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
        seen, self._seen = self._seen, set()
        return [number for number in _ASKED if number in seen]
