"""The hostile server: raw sockets, so that nothing comes between what it wants to send and the daemon."""

import contextlib
import hashlib
import random
import socketserver
import threading
from collections import Counter, deque
from typing import Any, Self

from fuzz.answers import Chunk, Hostile, drawn
from servers.fault import parse_form, transcript

#: Stands in the sound of recordings that are always answered well.
CANARY = b"canary in the sound"


class Server:
    """Answers a share of all requests with hostility; a context manager."""

    def __init__(self, seed: int, *, rate: float = 0.7) -> None:
        """`rate`: the share of hostile answers."""
        self._chance = random.Random(f"{seed} answers")
        self._rate = rate
        self._lock = threading.Lock()
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.owner = self
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), name="fuzz-server")
        #: While set, every answer is a good one, and hostile ones that are still being sent end.
        self.calm = threading.Event()
        #: So many answers are good ones before the next hostile one.
        self.good_next = 0
        #: How often each kind of answer was sent to its end, or as far as the daemon let it.
        self.served: Counter[str] = Counter()
        #: The last answers: kind, and their first bytes.
        self.recent: deque[tuple[str, bytes]] = deque(maxlen=40)

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self._listener.server_address[1]}/v1"

    def answer(self, headers: str, body: bytes) -> Hostile:
        """Return the answer to a request."""
        with self._lock:
            good = self.calm.is_set() or self.good_next > 0 or CANARY in body or self._chance.random() > self._rate
            self.good_next = max(0, self.good_next - 1)
            return _good(headers, body) if good else drawn(random.Random(self._chance.random()))

    def sent(self, answer: Hostile, first: bytes) -> None:
        """Count an answer."""
        with self._lock:
            self.served[answer.kind] += 1
            self.recent.append((answer.kind, first))

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.calm.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()


def said(body: bytes) -> str:
    """Return what a good answer says of an upload."""
    return f"This is what recording {hashlib.sha256(body).hexdigest()[:12]} says."


def _good(headers: str, body: bytes) -> Hostile:
    sort = next(
        (line.partition(":")[2].strip() for line in headers.split("\r\n") if line.lower().startswith("content-type:")),
        "",
    )
    parts = list(parse_form(sort, body))
    fields = {part.name: part.data.decode() for part in parts if not part.filename}
    content = next((part.data for part in parts if part.filename), b"")
    answer = transcript(said(content), seconds=0.4, response_format=fields.get("response_format", "json"))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {answer.content_type}\r\nContent-Length: {len(answer.content)}\r\n\r\n"
    return Hostile("good", [head.encode() + answer.content], keep=True)


class _Listener(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over connections that the daemon has closed."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = 60.0
    rbufsize = 1 << 18
    server: _Listener

    def handle(self) -> None:
        owner = self.server.owner
        while head := self._head():
            lines = head.lower().split("\r\n")
            length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
            answer = owner.answer(head, self.rfile.read(length))
            first = bytearray()
            try:
                for chunk in answer.chunks:
                    self._send(chunk)
                    first += chunk if isinstance(chunk, bytes) and len(first) < 1 << 20 else b""
                    if owner.calm.is_set() and answer.kind != "good":
                        return
            finally:
                owner.sent(answer, bytes(first[: 1 << 20]))
            if not answer.keep:
                return

    def _head(self) -> str:
        lines = []
        with contextlib.suppress(OSError):
            while (line := self.rfile.readline(65_536)) not in {b"\r\n", b"\n", b""}:
                lines.append(line.decode("latin-1").rstrip("\r\n"))
        return "\r\n".join(lines)

    def _send(self, chunk: Chunk) -> None:
        if isinstance(chunk, bytes):
            self.request.sendall(chunk)
        else:
            self.server.owner.calm.wait(chunk)
