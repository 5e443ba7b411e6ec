"""Read the messages of the decoder process. An attacker may control it, so no line may block other threads for long."""

import select
import socket
from typing import Final

from watcher.media.protocol import MAX_LINE, Message, ProtocolError, decode

#: Most brackets and commas of a line: a hundred tracks and a hundred warnings have some two thousand. Parsing millions of them as
#: JSON would hold the interpreter's lock for seconds.
_MOST_PARTS: Final = 10_000


class MessageReader:
    """Reads messages from a socket, with a timeout."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        self._buffer = bytearray()
        #: Number of bytes at the start of the buffer that contain no line end.
        self._searched = 0
        #: Bytes of all messages so far.
        self.taken = 0

    def get(self, timeout: float) -> Message | None:
        """Return the next message, or None if it is not complete within `timeout` seconds. Raises EOFError and ProtocolError.

        It reads at most once, so that the caller can do other checks however slowly a line comes.
        """
        if (message := self._complete()) is not None or not self._poll.poll(timeout * 1000):
            return message
        try:
            data = self._link.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError("the child is gone")
        self._buffer += data
        return self._complete()

    def _complete(self) -> Message | None:
        """Return the first complete message in the buffer."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > MAX_LINE:
                raise ProtocolError("a line without end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        self.taken += end
        if sum(map(line.count, (b"[", b"{", b","))) > _MOST_PARTS:
            raise ProtocolError("a line of too many parts")
        return decode(line)
