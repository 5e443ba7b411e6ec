"""The protocol on a socket: HTTP/1.1 with kept connections, one named thread per connection."""

import ipaddress
import itertools
import logging
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase, RawIOBase
from typing import Any, cast

from watcher.engine.errors import ApiError, EngineError
from watcher.engine.protocol import MAX_REQUEST, Api, ApiRequest, ApiResponse, refusal

_log = logging.getLogger(__name__)

#: The longest headers. Python's parser needs time with the square of a content type's length, 0.2 s for this much.
_HEAD_BYTES = 16 * 1024
#: Seconds a connection may stay silent, between requests or in the middle of one.
_SILENCE = 60.0
#: Seconds for the last answers, once the server closes.
_LAST_ANSWERS = 5.0
#: After a refusal, this much of an unread upload is still taken in, so that the caller gets to read the answer
#: instead of a reset connection.
_LINGER_BYTES = 4 * MAX_REQUEST
_LINGER_SECONDS = 5.0
#: Connections at the same time: anybody on the machine can open some, and each takes a descriptor and a thread of the process.
_MOST = 64
#: Digits of the longest Content-Length that is read: Python refuses to read thousands of them.
_DIGITS = 15


class EngineServer(socketserver.TCPServer):
    """Accepts connections; `close` ends them all and joins their threads."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, api: Api, *, address: str = "127.0.0.1") -> None:
        """Bind an IP address and a port (0: any free one); raises `EngineError` if they cannot be used."""
        try:
            # A name could stand for several, and an empty one for all.
            is_six = ipaddress.ip_address(address).version == 6  # noqa: PLR2004
        except ValueError:
            raise EngineError(
                f"{address!r} is no IP address.", hint="Give one of this machine, or 0.0.0.0 for all."
            ) from None
        self.address_family = socket.AF_INET6 if is_six else socket.AF_INET
        try:
            super().__init__((address, port), RequestHandler)
        except OSError as error:
            where = f"Port {port}" if address == "127.0.0.1" else f"{address}, port {port},"
            raise EngineError(
                f"{where} cannot be used: {error.strerror}.", hint="Choose another one, or 0 for any free one."
            ) from error
        self.api = api
        self._lock = threading.Lock()
        #: From the oldest on; those whose request is admitted, and of these those whose upload is whole; and those that were ended,
        #: whose threads follow.
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._admitted: set[socket.socket] = set()
        self._whole: set[socket.socket] = set()
        self._ended: set[socket.socket] = set()
        self._numbers = itertools.count(1)

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self.socket.getsockname()[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the base class's parameters
        """Return whether there is room for a connection; where there are many, end the oldest without an admitted request.

        If there is none, end the oldest whose upload still arrives: callers that send a byte a minute would keep all others out.
        """
        with self._lock:
            if len(self._connections) - len(self._ended) < _MOST:
                return True
            open_ones = [one for one in self._connections if one not in self._ended]
            waiting = (one for kept in (self._admitted, self._whole) for one in open_ones if one not in kept)
            oldest = next(waiting, None)
            if oldest is None or len(self._connections) >= 2 * _MOST:
                return False
            self._ended.add(oldest)
            with suppress(OSError):  # the caller has hung up already
                oldest.shutdown(socket.SHUT_RDWR)
        return True

    @contextmanager
    def admitted(self, request: socket.socket) -> Iterator[None]:
        """Keep a connection while its request is answered."""
        with self._lock:
            self._admitted.add(request)
        try:
            yield
        finally:
            with self._lock:
                self._admitted.discard(request)
                self._whole.discard(request)

    def received(self, request: socket.socket) -> None:
        """Note that the upload of an admitted request is whole."""
        with self._lock:
            if request in self._admitted:
                self._whole.add(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection in a thread of its own."""
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name=f"engine-connection-{next(self._numbers)}"
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def close(self) -> None:
        """Take no more connections, end the idle ones, let the others send their answer for some seconds, join the threads."""
        self.server_close()
        threads = self._shut(socket.SHUT_RD)
        until = time.monotonic() + _LAST_ANSWERS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        # The rest waits for callers that do not read.
        self._shut(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    def _shut(self, how: int) -> list[threading.Thread]:
        """Shut down all connections that are open; return their threads."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the caller has hung up already
                    connection.shutdown(how)
            return list(self._connections.values())

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            _log.debug("connection ended", exc_info=True)  # a caller that hangs up is no news
        finally:
            with self._lock:
                del self._connections[request]
                self._ended.discard(request)
            self.shutdown_request(request)


class RequestHandler(BaseHTTPRequestHandler):
    """Reads requests off one connection and writes the answers."""

    protocol_version = "HTTP/1.1"
    server_version = "watcher-engine"
    sys_version = ""
    timeout = _SILENCE
    #: An answer is two small writes; without this the second would wait for the caller's acknowledgement.
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        length = self._length()
        server = cast("EngineServer", self.server)
        body = _Body(self.rfile, max(length, 0), whole=lambda: server.received(self.connection))
        reply = self._reply(length, cast("Any", body))
        # What is left of the upload is before the next request; a little is skipped, a lot ends the connection.
        skips = 0 <= length <= MAX_REQUEST
        self._write(reply, keep=skips)
        if skips:
            body.skip()
        else:
            self._linger()

    do_GET = do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815  # http.server's names

    def parse_request(self) -> bool:
        """Read the headers, as far as a request needs some; return whether it is one, after refusing what is none."""
        source = self.rfile
        self.rfile = cast("Any", _Head(source))
        try:
            return super().parse_request()
        finally:
            self.rfile = source

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no HTTP request at all in the same shape as everything else."""
        self._write(refusal(ApiError(code, message or explain or "Bad request")), keep=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Write no access log: the daemon's own log tells each request."""

    def _length(self) -> int:
        """Return how long the body is; -1 when that cannot be known."""
        if "Transfer-Encoding" in self.headers:
            return -1
        given = self.headers.get("Content-Length", "0")
        return int(given) if given.isascii() and given.isdigit() and len(given) <= _DIGITS else -1

    def _reply(self, length: int, body: Any) -> ApiResponse:
        if length < 0:
            return refusal(ApiError(411, "Send a Content-Length."))
        server = cast("EngineServer", self.server)
        call = ApiRequest(
            method=self.command,
            path=self.path,
            authorization=self.headers.get("Authorization", ""),
            content_type=self.headers.get("Content-Type", ""),
            length=length,
            body=body,
            abandoned=lambda: _hung_up(self.connection),
        )
        try:
            with server.admitted(self.connection):
                return server.api.respond(call)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:  # noqa: BLE001  # the thread's boundary: one request must not take the connection's thread down unanswered
            _log.exception("request failed")
            return refusal(ApiError(500, "The engine failed on this request.", kind="server_error"))

    def _write(self, reply: ApiResponse, *, keep: bool) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        if not keep:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    def _linger(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            left = _LINGER_BYTES
            while left > 0 and (data := self.connection.recv(1 << 16)):
                left -= len(data)


class _Head:
    """The headers of one request, line by line."""

    def __init__(self, source: BufferedIOBase) -> None:
        self._source = source
        self._left = _HEAD_BYTES

    def readline(self, size: int) -> bytes:
        line = self._source.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise HTTPException(f"The headers have more than {_HEAD_BYTES} bytes.")
        return line


class _Body(RawIOBase):
    """The body of one request: ends after `length` bytes, and says so when the caller stops sending before."""

    def __init__(self, source: BufferedIOBase, length: int, *, whole: Callable[[], None]) -> None:
        """`whole` is called with the last bytes."""
        self._source = source
        self._left = length
        self._whole = whole

    def readinto(self, buffer: Any) -> int:
        data = self._source.read1(min(len(buffer), self._left)) if self._left else b""
        if self._left and not data:
            raise ConnectionResetError("The request ended before its Content-Length.")
        self._left -= len(data)
        if data and not self._left:
            self._whole()
        buffer[: len(data)] = data
        return len(data)

    def skip(self) -> None:
        """Read the rest and forget it."""
        while self.read(1 << 16):
            pass


def _hung_up(connection: socket.socket) -> bool:
    """Return whether the caller has closed its side; a request that waits behind this one is no hang-up."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    try:
        return bool(poll.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
