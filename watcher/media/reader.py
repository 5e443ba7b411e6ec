"""Read the messages of the process that decodes, which may have been taken over: no line may keep other threads waiting."""

import select
import socket
from typing import Final

from watcher.media.protocol import MAX_LINE, Message, ProtocolError, decode

#: Brackets and commas of a line: a hundred tracks and a hundred warnings have some two thousand. Millions of them, parsed as JSON,
#: would hold the interpreter's lock for seconds.
_MOST_PARTS: Final = 10_000


class MessageReader:
    """Messages out of a socket, with a timeout."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        self._buffer = bytearray()
        #: Bytes at the beginning of it that have no end of a line.
        self._searched = 0
        #: Bytes of the messages so far.
        self.taken = 0

    def get(self, timeout: float) -> Message | None:
        """Return the next message, None where it is not complete within `timeout` seconds; EOFError, ProtocolError.

        Reads once at most, so that the caller can look after other things however slowly a line comes.
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
        """Return the first message that came to its end."""
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
