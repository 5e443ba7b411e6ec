"""One POST over HTTP: a file streamed with its length, an answer within its bounds, an end when told to end.

What `requests` leaves open is closed here: a deadline for the whole exchange (its timeouts count silence between two
bytes only), a cap on what the server may send (headers, chunk marks and decompressed bytes included), and `cancel`, which
ends requests in flight from another thread. Sessions are left out: their redirects re-read answers without bounds and
their ``.netrc`` replaces our key. Proxy and CA variables of the environment apply as `requests` reads them.
"""

import contextlib
import errno
import http.client
import io
import os
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests_toolbelt.multipart.encoder import MultipartEncoder
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    LocationParseError,
    MaxRetryError,
    ProxySchemeUnknown,
    ReadTimeoutError,
)
from urllib3.poolmanager import PoolManager, ProxyManager

from watcher import __version__
from watcher.client.endpoint import Endpoint
from watcher.errors import AccountError, ChangedError, JobError, PassingError, SourceError, StoppedError

CONNECT_SECONDS: Final = 10.0
#: The largest answer: verbose_json with words of a day of speech stays below 20 MB. Every request in flight may hold one.
ANSWER_BYTES: Final = 24 * 1024 * 1024
#: The longest status line and headers, with interim answers before them: what Node's client takes. Python's parser needs time
#: with the square of a content type's length, 0.2 s for this much.
HEAD_BYTES: Final = 16 * 1024

#: What headers, chunk marks and interim answers may add to an answer on the wire.
_OVERHEAD_BYTES: Final = 1024 * 1024
_BLOCK_BYTES: Final = 128 * 1024
#: Connections kept alive; more than any sensible `api.concurrency`.
_CONNECTIONS: Final = 64
#: A server is silent while it works, up to hours: the kernel finds out whether the peer is still there.
_SOCKET_OPTIONS: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 5))
        if hasattr(socket, name)  # Linux names; elsewhere the system's defaults hold
    ),
]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send: read with pread, so that several threads may share the descriptor and its offset stays.

    `seconds` is the length of the audio. `name` is ASCII with the true container's extension in lower case, `mime` the
    part's type: servers go by either. `digest` tells the sound apart from others, "" only by its size and length.
    """

    descriptor: int
    size: int
    seconds: float
    name: str
    mime: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer, whatever its status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """The connections to one endpoint; every method may be called from any thread."""

    def __init__(self, endpoint: Endpoint, *, monotonic: Callable[[], float]) -> None:
        """Read proxy and CA settings of the environment, once; nothing is connected yet."""
        self._secret = endpoint.secret
        self._monotonic = monotonic
        self._adapter = _Adapter(pool_maxsize=_CONNECTIONS)
        self._lock = threading.Lock()
        self._flights: set[_Flight] = set()
        self._cancelled = False
        #: Requests that `cancel` ended before their answer was complete.
        self.given_up = 0
        with requests.Session() as session:
            settings = session.merge_environment_settings(endpoint.transcriptions, {}, True, None, None)  # noqa: FBT003 - positional in its signature
        # No proxy can reach our own loopback, though the environment's rules rarely say so.
        self._proxies: dict[str, str] = {} if endpoint.loopback else dict(settings["proxies"])
        self._verify: bool | str = True if settings["verify"] is None else settings["verify"]

    def post(self, url: str, fields: Sequence[tuple[str, str]], upload: Upload, *, seconds: float) -> Reply:
        """Send the form and read the whole answer within `seconds`.

        Raises AccountError (address, certificate, proxy login), PassingError (transport), StoppedError (`cancel`),
        ChangedError and SourceError (the file shrank, or cannot be read).
        """
        flight = _Flight(self._monotonic, seconds)
        span = _Span(upload, flight)
        encoder = MultipartEncoder(fields=[*fields, ("file", (upload.name, span, upload.mime))])
        request = requests.Request("POST", url, headers={"Content-Type": encoder.content_type}, data=encoder)
        try:
            return self._exchange(request, flight, seconds)
        except PassingError as error:
            if error.reason == "connection" and span.len:
                raise PassingError("the connection broke while the file was sent", reason="reset_sending") from error
            raise

    def get(self, url: str, *, seconds: float) -> tuple[Reply, float | None]:
        """Ask for a page, with the key; give it, and the Unix time at which the server's certificate ends (None: no TLS).

        Raises like `post`.
        """
        flight = _Flight(self._monotonic, seconds)
        reply = self._exchange(requests.Request("GET", url), flight, seconds)
        return reply, flight.certificate_ends

    def cancel(self) -> None:
        """End the requests in flight with StoppedError, and all later ones before they begin."""
        with self._lock:
            self._cancelled = True
            flights = list(self._flights)
        for flight in flights:
            flight.cancel()

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    @contextlib.contextmanager
    def _flying(self, flight: "_Flight") -> Iterator[None]:
        with self._lock:
            if self._cancelled:
                raise StoppedError("the daemon stops")
            self._flights.add(flight)
        token = _current.set(flight)
        try:
            yield
        finally:
            _current.reset(token)
            with self._lock:
                self._flights.discard(flight)

    def _exchange(self, request: requests.Request, flight: "_Flight", seconds: float) -> Reply:
        request.headers = {
            "User-Agent": f"watcher/{__version__}",
            "Accept": "*/*",
            # Transcripts are small, and a compressed answer would have to be measured twice.
            "Accept-Encoding": "identity",
            **request.headers,
        }
        request.auth = self._authorise
        with self._flying(flight):
            try:
                response = self._adapter.send(
                    request.prepare(),
                    stream=True,
                    timeout=(min(CONNECT_SECONDS, seconds), seconds),
                    verify=self._verify,
                    proxies=self._proxies,
                )
                try:
                    return Reply(
                        status=response.status_code,
                        headers={name.lower(): value for name, value in response.headers.items()},
                        body=_body(response),
                    )
                finally:
                    response.close()
            except _TRANSPORT as exc:
                if flight.cancelled:
                    with self._lock:
                        self.given_up += 1
                raise _translated(exc, flight=flight) from exc

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret:
            request.headers["Authorization"] = f"Bearer {self._secret}"
        return request


class _TooMuchError(Exception):
    """The server sends more than any transcript can be."""


class _LongHeadError(Exception):
    """The server sends more headers than any answer needs."""


class _Flight:
    """One exchange: until when it may last, how much may still come, and the socket to shut when it has to end."""

    def __init__(self, monotonic: Callable[[], float], seconds: float) -> None:
        self._monotonic = monotonic
        self._deadline = monotonic() + seconds
        self._left = ANSWER_BYTES + _OVERHEAD_BYTES
        self._left_of_head: int | None = None
        self._socket: Any = None
        self.cancelled = False
        self.certificate_ends: float | None = None

    @property
    def connected(self) -> bool:
        """There was a connection (through TLS and proxies, where they are in the way)."""
        return self._socket is not None

    def board(self, connected: Any) -> None:
        """Take the socket of the connection in use; raises when the exchange has to end already."""
        self._socket = connected
        self.await_bytes()

    def await_bytes(self) -> None:
        """Let the next blocking call last until the deadline; TimeoutError beyond it, or after `cancel`."""
        remaining = self._deadline - self._monotonic()
        if self.cancelled or remaining <= 0:
            raise TimeoutError("cancelled" if self.cancelled else "deadline")
        if self._socket is not None:
            self._socket.settimeout(remaining)

    def take(self, count: int) -> None:
        """Count bytes received."""
        self._left -= count
        if self._left < 0:
            raise _TooMuchError
        if self._left_of_head is not None:
            self._left_of_head -= count
            if self._left_of_head < 0:
                raise _LongHeadError

    @contextlib.contextmanager
    def head(self) -> Iterator[None]:
        """Accept at most `HEAD_BYTES` inside the block."""
        self._left_of_head = HEAD_BYTES
        try:
            yield
        finally:
            self._left_of_head = None

    def cancel(self) -> None:
        """Wake the thread that waits on the socket, from another thread."""
        self.cancelled = True
        connected = self._socket
        if hasattr(connected, "socket"):  # urllib3's SSLTransport, TLS through a TLS proxy
            connected = connected.socket
        if isinstance(connected, socket.socket):
            # Not SSLSocket.shutdown: it takes the TLS object away from under the thread that reads. An error means that
            # it was closed meanwhile, and its thread has woken already.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


#: The exchange of this thread: the connection classes below are made by urllib3 and learn of it no other way.
_current: ContextVar[_Flight] = ContextVar("flight")


class _Span:
    """The file as MultipartEncoder reads it: `len` is what is left; the offset is ours, not the descriptor's."""

    def __init__(self, upload: Upload, flight: _Flight) -> None:
        self._descriptor = upload.descriptor
        self._flight = flight
        self._offset = 0
        self.len = upload.size

    def read(self, size: int) -> bytes:
        """Give the next bytes; also the place where a slow upload meets its deadline."""
        self._flight.await_bytes()
        wanted = min(size, self.len)
        try:
            block = os.pread(self._descriptor, wanted, self._offset)
        except OSError as exc:
            raise SourceError.of(exc) from exc
        if not block:
            raise ChangedError("the file became shorter while it was sent")
        self._offset += len(block)
        self.len -= len(block)
        return block


class _Metered(io.RawIOBase):
    """What comes from a socket, held against the exchange's deadline and cap at every read."""

    def __init__(self, raw: io.RawIOBase, flight: _Flight) -> None:
        super().__init__()
        self._raw = raw
        self._flight = flight

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._flight.await_bytes()
        count = self._raw.readinto(buffer)
        self._flight.take(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer whose status line and headers are metered too, not only its body."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        buffered: io.BufferedReader = self.fp
        self.fp = io.BufferedReader(_Metered(buffered.detach(), _current.get()))

    def begin(self) -> None:
        with _current.get().head():
            super().begin()


class _HttpConnection(HTTPConnection):
    response_class = _Answer

    def connect(self) -> None:
        super().connect()
        _current.get().board(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        _current.get().board(self.sock)  # a connection kept alive from an earlier exchange, or none yet
        super().request(*args, **options)


class _HttpsConnection(HTTPSConnection):
    response_class = _Answer

    def connect(self) -> None:
        super().connect()
        certificate = self.sock.getpeercert() or {}  # type: ignore[union-attr] # connected, so there is one, of TLS
        _current.get().certificate_ends = ssl.cert_time_to_seconds(certificate["notAfter"])
        _current.get().board(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        _current.get().board(self.sock)
        super().request(*args, **options)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    """The transport of `requests`, on the connections above; a SOCKS proxy brings its own and keeps them."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, blocksize=_BLOCK_BYTES, socket_options=_SOCKET_OPTIONS, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(
            proxy, blocksize=_BLOCK_BYTES, socket_options=_SOCKET_OPTIONS, **options
        )
        if isinstance(manager, ProxyManager):  # pragma: no branch - the other kind is SOCKS, and needs PySocks
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager


def _body(response: requests.Response) -> bytes:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        decode: Callable[[bytes], bytes] = bytes
    elif encoding in {"gzip", "x-gzip", "deflate"}:
        decode = _inflater()
    else:
        raise http.client.HTTPException(f"the answer is encoded as {encoding!r:.40}, which was not asked for")
    # One piece of memory: chunks of two bytes, each kept by itself, would take twenty times what the answer has.
    body = bytearray()
    # A body shorter than its Content-Length raises: urllib3 holds it against that by itself from version 2 on.
    for chunk in response.raw.stream(_BLOCK_BYTES, decode_content=False):
        body += decode(chunk)
        if len(body) > ANSWER_BYTES:
            raise _TooMuchError
    return bytes(body)


def _inflater() -> Callable[[bytes], bytes]:
    """Give a decoder for gzip and zlib that stops where an answer stops, whatever the bomb holds."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    left = ANSWER_BYTES + 1

    def inflate(chunk: bytes) -> bytes:
        nonlocal left
        try:
            part = inflater.decompress(chunk, max(left, 1))
        except zlib.error as exc:
            raise http.client.HTTPException("the compressed answer is broken") from exc
        left -= len(part)
        return part

    return inflate


def _translated(exc: Exception, *, flight: _Flight) -> JobError:
    """Say in our words what the transport met; the order goes from the certain to the general."""
    if flight.cancelled:
        return StoppedError("the daemon stops", in_flight=True)
    chain = list(_chain(exc))
    ours = next((link for link in chain if isinstance(link, OSError) and link.errno in _NOTHING_LEFT), None)
    if ours is not None:
        return SourceError.of(ours)
    words = " ".join(str(link) for link in chain)
    for mark, reason, message, hint in _OPERATOR:
        if mark in words if isinstance(mark, str) else any(isinstance(link, mark) for link in chain):
            return AccountError(message, reason=reason, hint=hint)
    kinds = [
        _TooMuchError,
        _LongHeadError,
        requests.exceptions.ProxyError,
        TimeoutError,
        ReadTimeoutError,
        IncompleteRead,
    ]
    kind = next((kind for kind in kinds if any(isinstance(link, kind) for link in chain)), None)
    if kind is requests.exceptions.ProxyError:
        hint = "check https_proxy and the proxy itself"
        return PassingError("the proxy cannot be reached, or cannot reach the server", reason="unreachable", hint=hint)
    if not flight.connected:
        hint = "check the network, the name in api.url and whether the server runs"
        return PassingError("the server cannot be reached", reason="unreachable", hint=hint)
    message, reason = _BROKEN.get(kind, ("the connection broke before the answer was complete", "connection"))
    return PassingError(message, reason=reason)


#: errno of this system when it has no descriptor or memory for a connection: no server is to blame for that.
_NOTHING_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

#: What the libraries raise. A ValueError or an OverflowError is a number of the server's that they did not expect, such as
#: a chunk of -5 bytes.
_TRANSPORT: Final = (
    requests.RequestException,
    HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    OverflowError,
    _TooMuchError,
    _LongHeadError,
)

_BROKEN: Final[Mapping[type[Exception] | None, tuple[str, str]]] = {
    _TooMuchError: ("the server sent more than any transcript can be", "oversized_answer"),
    _LongHeadError: ("the server sent more headers than any answer needs", "oversized_answer"),
    TimeoutError: ("the server did not answer in time", "timeout"),
    ReadTimeoutError: ("the server did not answer in time", "timeout"),
    IncompleteRead: ("the answer was cut off", "truncated"),
}

#: What only the operator can mend, by kind or by words of the error: every file would meet it.
_OPERATOR: Final[Sequence[tuple[type[Exception] | str, str, str, str]]] = (
    (
        ssl.SSLCertVerificationError,
        "certificate",
        "the server's certificate is not trusted",
        "check api.url and the clock; for a CA of your own set REQUESTS_CA_BUNDLE",
    ),
    (requests.exceptions.InvalidProxyURL, "proxy", "the proxy's address is not valid", "check https_proxy"),
    (ProxySchemeUnknown, "proxy", "the proxy's kind is not supported", "check https_proxy and all_proxy"),
    (LocationParseError, "url", "the server's address is not valid", "check api.url"),
    (requests.exceptions.InvalidURL, "url", "the server's address is not valid", "check api.url"),
    (
        requests.exceptions.InvalidSchema,
        "proxy",
        "the proxy's kind is not supported",
        "check https_proxy and all_proxy",
    ),
    (
        "invalid path: ",  # requests' OSError for a CA bundle or client certificate that is not there
        "ca",
        "the CA certificates named in the environment cannot be found",
        "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE",
    ),
    ("failed: 407", "proxy", "the proxy asks for a login", "put user and password into https_proxy"),
    ("WRONG_VERSION_NUMBER", "url", "the server does not speak https at this port", "check http or https in api.url"),
)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Give the error and all that led to it: causes, reasons, and errors packed as arguments.

    Not contexts: those may hold what a caller was handling while it asked again.
    """
    seen: set[int] = set()
    waiting: list[object] = [exc]
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, *link.args]
        if isinstance(link, MaxRetryError):
            waiting.append(link.reason)
