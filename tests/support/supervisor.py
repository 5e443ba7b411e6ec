"""The other end of the notification socket, as systemd has it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Supervisor:
    """Receives what a service says of itself, from when it is made until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Every line so far.
        self.said: list[str] = []
        #: When (monotonic) it said that it is alive, each time.
        self.beats: list[float] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._hear, name="supervisor")
        self._thread.start()

    def close(self) -> None:
        """Stop receiving."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"END", str(self.path))
        self._thread.join()
        self._socket.close()

    @property
    def status(self) -> str:
        """The last status; "" before the first."""
        return next((line[7:] for line in reversed(self.said) if line.startswith("STATUS=")), "")

    @property
    def alive(self) -> int:
        """How often the service said that it is alive."""
        return len(self.beats)

    def _hear(self) -> None:
        while (word := self._socket.recv(65_536)) != b"END":
            lines = word.decode().split("\n")
            self.beats += [time.monotonic()] * lines.count("WATCHDOG=1")
            self.said += lines


@contextmanager
def supervised(directory: Path) -> Iterator[Supervisor]:
    """Receive for as long as the block lasts; the socket is in `directory`."""
    supervisor = Supervisor(directory / "n")
    try:
        yield supervisor
    finally:
        supervisor.close()
