"""A real HTTP server on loopback that answers as a test tells it to, and remembers what it was asked."""

import contextlib
import email.parser
import email.policy
import json
import os
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: "Message[str, str]"
    raw: bytes
    #: Port of the client's end: the same for requests on one connection.
    port: int

    @property
    def parts(self) -> list[tuple[dict[str, str], bytes]]:
        """Every part of the form: its headers in lower case, and its bytes."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.raw)
        return [
            ({name.lower(): str(value) for name, value in part.items()}, _bytes(part.get_payload(decode=True)))
            for part in message.iter_parts()
        ]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The form's fields in order, without the file."""
        found = []
        for headers, body in self.parts:
            disposition = headers["content-disposition"]
            if "filename=" not in disposition:
                found.append((disposition.partition('name="')[2].rstrip('"'), body.decode()))
        return found

    @property
    def form(self) -> dict[str, str]:
        """The fields by name; of repeated ones the last."""
        return dict(self.fields)

    @property
    def file(self) -> tuple[dict[str, str], bytes]:
        """The file's part."""
        return next(part for part in self.parts if "filename=" in part[0]["content-disposition"])


def _bytes(payload: object) -> bytes:
    return payload if isinstance(payload, bytes) else b""


@dataclass(frozen=True)
class Reply:
    """What to answer: a status and a body, or something less proper."""

    body: bytes | str | dict[str, Any] | list[Any] = b""
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    #: The Content-Length to claim; None: the true one; -1: none at all, the end is the connection's.
    length: int | None = None
    #: Reset the connection instead of answering (or after the body).
    reset: bool = False
    #: Say nothing until the server is closed.
    silent: bool = False
    #: Close the connection after it.
    close: bool = False
    #: Send these chunks, as they are, instead of an answer; stops when the client is gone.
    stream: Callable[[], Iterator[bytes]] | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Script = Callable[[Asked], Reply]


@dataclass
class Server:
    """The running server: its address, and every request so far."""

    url: str
    port: int
    asked: list[Asked] = field(default_factory=list)
    #: Set when the server is closed: what answers nothing waits on it.
    closed: threading.Event = field(default_factory=threading.Event)
    #: Set when a request has arrived.
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def formats(self) -> list[str]:
        """The response formats that were asked for, with their granularities."""
        return [
            "+".join(
                value
                for name, value in asked.fields
                if name.removesuffix("[]") in {"response_format", "timestamp_granularities"}
            )
            for asked in self.asked
        ]


def sequence(*replies: Reply) -> Script:
    """Answer with these in turn, and with the last one from then on."""
    waiting = list(replies)
    lock = threading.Lock()

    def script(_asked: Asked) -> Reply:
        with lock:
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return script


@contextlib.contextmanager
def serving(
    script: Script, *, tls: ssl.SSLContext | None = None, early: bool = False, port: int = 0
) -> Iterator[Server]:
    """Run a server for as long as the block lasts; `early`: it answers before it has read a request's body; `port`: 0 for any."""
    listener = _Listener(("127.0.0.1", port), _Handler)
    listener.script, listener.early = script, early
    if tls is not None:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    port = listener.server_address[1]
    server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1", port)
    listener.record = server
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), name="scripted")
    thread.start()
    try:
        yield server
    finally:
        server.closed.set()
        listener.shutdown()
        listener.end_connections()
        listener.server_close()
        thread.join(60)


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = False
    block_on_close = True
    record: Server
    script: Script
    early: bool

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Wake handlers that wait for a next request on a kept connection."""
        with self._guard:
            for request in self._open:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Listener

    def do_POST(self) -> None:
        record = self.server.record
        length = 0 if self.server.early else int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        asked = Asked(self.command, self.path, self.headers, raw, self.client_address[1])
        reply = self.server.script(asked)
        record.asked.append(asked)
        record.arrived.set()
        self._send(reply, record)

    def do_GET(self) -> None:
        self.do_POST()

    def do_CONNECT(self) -> None:
        self.do_POST()

    def log_message(self, *args: object) -> None:
        """Keep silent: tests look at what was asked, not at a log."""

    def _send(self, reply: Reply, record: Server) -> None:
        if reply.silent:
            record.closed.wait(30)
            self.close_connection = True
            return
        if reply.stream is not None:
            self.close_connection = True
            for chunk in reply.stream():
                if record.closed.is_set():
                    return
                self.wfile.write(chunk)
                self.wfile.flush()
            return
        if not (reply.reset and not reply.content):
            self.send_response_only(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            if reply.length != -1:
                self.send_header("Content-Length", str(len(reply.content) if reply.length is None else reply.length))
            if reply.close or self.server.early or reply.length is not None:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(reply.content)
            self.wfile.flush()
        if reply.reset:
            # Linger of 0: closing sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        self.close_connection = self.close_connection or reply.reset or self.server.early
