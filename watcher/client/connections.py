"""Connections that enforce the deadline of each exchange and the limits of an answer's size."""

import contextlib
import hashlib
import http.client
import io
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

from watcher.client.upload import Upload
from watcher.errors import ChangedError, SourceError

#: The largest answer: verbose_json with the words of a day of speech stays below 20 MB. Each request in flight may need this memory.
ANSWER_BYTES: Final = 24 * 1024 * 1024
#: The longest status line and headers, with interim answers before them: what Node's client takes. Python's parser needs time
#: with the square of a content type's length, 0.2 s for this much.
HEAD_BYTES: Final = 16 * 1024

#: Bytes that headers, chunk marks and interim answers may add to an answer.
_OVERHEAD_BYTES: Final = 1024 * 1024
BLOCK_BYTES: Final = 128 * 1024
#: Statuses of interim answers, without 101: no request asks for another protocol.
_INTERIM: Final = range(102, 200)
_WITHOUT_BODY: Final = {HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
#: A server is silent while it works, up to hours; with keepalives the kernel finds out whether the peer is still there.
_SOCKET_OPTIONS: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 5))
        if hasattr(socket, name)  # names on Linux; other systems use their defaults
    ),
]


class AnswerTooLongError(Exception):
    """The server sends more bytes than any transcript can have."""


class HeadTooLongError(Exception):
    """The server sends more headers than any answer needs."""


class Exchange:
    """One exchange: its deadline, the bytes that may still come, and the socket to shut down when it has to end."""

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
        """Whether there was a connection, including TLS and proxies if they are used."""
        return self._socket is not None

    def board(self, connected: Any) -> None:
        """Note the socket of the connection; raises if the exchange has to end already."""
        self._socket = connected
        self.await_bytes()

    def await_bytes(self) -> None:
        """Set the timeout of the next blocking call to the deadline; TimeoutError after it, or after `cancel`."""
        remaining = self._deadline - self._monotonic()
        if self.cancelled or remaining <= 0:
            raise TimeoutError("cancelled" if self.cancelled else "deadline")
        if self._socket is not None:
            self._socket.settimeout(remaining)

    def take(self, count: int) -> None:
        """Count bytes received."""
        self._left -= count
        if self._left < 0:
            raise AnswerTooLongError
        if self._left_of_head is not None:
            self._left_of_head -= count
            if self._left_of_head < 0:
                raise HeadTooLongError

    @contextlib.contextmanager
    def head(self) -> Iterator[None]:
        """Accept at most `HEAD_BYTES` within the block."""
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
            # Not SSLSocket.shutdown: it removes the TLS object while the other thread still reads from it. An error means that
            # the socket was closed meanwhile, and its thread has woken up already.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


#: The exchange of this thread. urllib3 makes the connection objects below, so they cannot get it as an argument.
current: ContextVar[Exchange] = ContextVar("exchange")


class FileBody:
    """The file as MultipartEncoder reads it: `len` is the number of bytes left; the descriptor's offset does not change."""

    def __init__(self, upload: Upload, exchange: Exchange) -> None:
        self._upload = upload
        self._exchange = exchange
        self._hash = hashlib.sha256()
        self._offset = 0
        self.len = upload.size

    def read(self, size: int) -> bytes:
        """Return the next bytes; raise TimeoutError if a slow upload is past its deadline."""
        self._exchange.await_bytes()
        wanted = min(size, self.len)
        try:
            block = os.pread(self._upload.descriptor, wanted, self._offset)
        except OSError as exc:
            raise SourceError.of(exc) from exc
        if not block:
            raise ChangedError("the file became shorter while it was sent")
        self._offset += len(block)
        self.len -= len(block)
        if self._upload.compared:
            self._hash.update(block)
        return block

    def check(self) -> None:
        """Raise ChangedError where all was sent and is not what the upload's digest is of.

        Somebody may have written other bytes since and given the file its old times again. The answer would be kept under the digest,
        for every recording that has the bytes of before: also for one of another folder.
        """
        if self._upload.compared and not self.len and self._hash.hexdigest() != self._upload.digest:
            error = ChangedError("its bytes changed while it was sent")
            error.maybe_paid = True
            raise error


class _MeteredSocket(io.RawIOBase):
    """Reads from a socket; each read checks the exchange's deadline and limit."""

    def __init__(self, raw: io.RawIOBase, exchange: Exchange) -> None:
        super().__init__()
        self._raw = raw
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._exchange.await_bytes()
        count = self._raw.readinto(buffer)
        self._exchange.take(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _MeteredResponse(http.client.HTTPResponse):
    """An answer whose status line and headers are limited too, not only its body.

    Interim answers are skipped, as RFC 9110 (section 15.2) demands. Python skips only "100 Continue" and takes any other one as the
    answer; then the real answer would count for the next request on the connection, which is about another recording. For the
    same reason a connection is not used again after an answer that cannot have a body: bytes after it are not read.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        buffered: io.BufferedReader = self.fp
        self.fp = io.BufferedReader(_MeteredSocket(buffered.detach(), current.get()))

    def begin(self) -> None:
        with current.get().head():
            super().begin()
            while self.status in _INTERIM:
                self.headers = self.msg = None  # type: ignore[assignment] # what `begin` reads again from
                super().begin()
        self.will_close = self.will_close or self.status in _WITHOUT_BODY


class _HttpConnection(HTTPConnection):
    response_class = _MeteredResponse

    def connect(self) -> None:
        super().connect()
        current.get().board(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        current.get().board(self.sock)  # a connection kept alive from an earlier exchange, or none yet
        super().request(*args, **options)


class _HttpsConnection(HTTPSConnection):
    response_class = _MeteredResponse

    def connect(self) -> None:
        super().connect()
        certificate = self.sock.getpeercert() or {}  # type: ignore[union-attr] # connected, so there is one, of TLS
        current.get().certificate_ends = ssl.cert_time_to_seconds(certificate["notAfter"])
        current.get().board(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        current.get().board(self.sock)
        super().request(*args, **options)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class MeteredAdapter(HTTPAdapter):
    """The transport of `requests`, on the connections above; a SOCKS proxy brings its own and keeps them."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Use the metered connections."""
        super().init_poolmanager(*args, blocksize=BLOCK_BYTES, socket_options=_SOCKET_OPTIONS, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        """Use the metered connections through an HTTP proxy, too."""
        manager: PoolManager = super().proxy_manager_for(
            proxy, blocksize=BLOCK_BYTES, socket_options=_SOCKET_OPTIONS, **options
        )
        if isinstance(manager, ProxyManager):  # pragma: no branch - the other kind is SOCKS, and needs PySocks
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager
