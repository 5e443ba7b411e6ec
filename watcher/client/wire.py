"""HTTP requests: stream a file with its length, read an answer of bounded size, and allow any thread to cancel.

This adds what `requests` lacks: a deadline for the whole exchange (its timeout is per read), a limit on what the
server may send (including headers, chunk marks and decompressed bytes), and `cancel`, which ends requests in flight from
another thread. No request goes through a `requests.Session`: for redirects it reads answers without a limit, and its ``.netrc``
replaces our key. A session is used only once, to read the proxy and CA variables of the environment.
"""

import contextlib
import http.client
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

import requests
from requests_toolbelt.multipart.encoder import MultipartEncoder

from watcher import __version__
from watcher.client.connections import (
    ANSWER_BYTES,
    BLOCK_BYTES,
    AnswerTooLongError,
    Exchange,
    FileBody,
    MeteredAdapter,
    current,
)
from watcher.client.endpoint import Endpoint
from watcher.client.transport import transport_error
from watcher.client.upload import HttpResponse, Upload
from watcher.errors import JobError, PassingError, StoppedError
from watcher.masking import answer_masker

CONNECT_SECONDS: Final = 10.0
#: Connections kept alive; more than any sensible `api.concurrency`.
_CONNECTIONS: Final = 64


class Wire:
    """The connections to one endpoint; every method may be called from any thread."""

    def __init__(self, endpoint: Endpoint, *, monotonic: Callable[[], float]) -> None:
        """Read proxy and CA settings of the environment, once; make no connection yet."""
        self._secret = endpoint.secret
        self._server = urlsplit(endpoint.transcriptions).netloc
        self._headers = dict(endpoint.headers)
        self._query = list(endpoint.query)
        self._secrets = endpoint.secrets
        self._maskers = [answer_masker(secret) for secret in self._secrets]
        self._monotonic = monotonic
        self._adapter = MeteredAdapter(pool_maxsize=_CONNECTIONS)
        self._lock = threading.Lock()
        self._exchanges: set[Exchange] = set()
        self._cancelled = False
        #: Number of requests that `cancel` ended before their answer was complete.
        self.given_up = 0
        with requests.Session() as session:
            settings = session.merge_environment_settings(endpoint.transcriptions, {}, True, None, None)  # noqa: FBT003 - positional in its signature
        # No proxy can reach our loopback, although the environment's rules rarely exclude it.
        self._proxies: dict[str, str] = {} if endpoint.loopback else dict(settings["proxies"])
        self._ca_file = endpoint.ca_file
        self._verify: bool | str = endpoint.ca_file or (True if settings["verify"] is None else settings["verify"])

    def post(self, url: str, fields: Sequence[tuple[str, str]], upload: Upload, *, seconds: float) -> HttpResponse:
        """Send the form and read the whole answer within `seconds`.

        Raises AccountError (address, certificate, proxy login), PassingError (transport), StoppedError (`cancel`),
        ChangedError and SourceError (the file shrank or has other bytes, or cannot be read).
        """
        exchange = Exchange(self._monotonic, seconds)
        file = FileBody(upload, exchange)
        encoder = MultipartEncoder(fields=[*fields, ("file", (upload.name, file, upload.mime))])
        request = requests.Request("POST", url, headers={"Content-Type": encoder.content_type}, data=encoder)
        try:
            reply = self._send(request, exchange, seconds)
        except PassingError as error:
            if error.reason == "connection" and file.len:
                raise PassingError("the connection broke while the file was sent", reason="reset_sending") from error
            raise
        file.check()
        return reply

    def get(self, url: str, *, seconds: float) -> tuple[HttpResponse, float | None]:
        """Request a page, with the key; return it, and the Unix time at which the server's certificate ends (None: no TLS).

        Raises like `post`.
        """
        exchange = Exchange(self._monotonic, seconds)
        reply = self._send(requests.Request("GET", url), exchange, seconds)
        return reply, exchange.certificate_ends

    def cancel(self) -> None:
        """End the requests in flight with StoppedError, and all later ones before they begin."""
        with self._lock:
            self._cancelled = True
            exchanges = list(self._exchanges)
        for exchange in exchanges:
            exchange.cancel()

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    @contextlib.contextmanager
    def _registered(self, exchange: "Exchange") -> Iterator[None]:
        with self._lock:
            if self._cancelled:
                raise StoppedError("the daemon stops")
            self._exchanges.add(exchange)
        token = current.set(exchange)
        try:
            yield
        finally:
            current.reset(token)
            with self._lock:
                self._exchanges.discard(exchange)

    def _send(self, request: requests.Request, exchange: "Exchange", seconds: float) -> HttpResponse:
        request.headers = {
            "User-Agent": f"watcher/{__version__}",
            "Accept": "*/*",
            # Transcripts are small, and a compressed answer would need two limits.
            "Accept-Encoding": "identity",
            **self._headers,
            **request.headers,
        }
        request.params = self._query
        request.auth = self._authorise
        with self._registered(exchange):
            try:
                response = self._adapter.send(
                    request.prepare(),
                    stream=True,
                    timeout=(min(CONNECT_SECONDS, seconds), seconds),
                    verify=self._verify,
                    proxies=self._proxies,
                )
                try:
                    return HttpResponse(
                        status=response.status_code,
                        headers={name.lower(): value for name, value in response.headers.items()},
                        # Remove the key before anything else: a server may quote it in a transcript, which others read.
                        body=self._masked(_body(response)),
                    )
                finally:
                    response.close()
            except JobError:
                raise
            except (
                Exception
            ) as exc:  # the edge: any exception of the libraries about a server's bytes becomes a passing error
                if exchange.cancelled:
                    with self._lock:
                        self.given_up += 1
                raise transport_error(
                    exc, exchange=exchange, server=self._server, secrets=self._secrets, ca_file=self._ca_file
                ) from exc

    def _masked(self, body: bytes) -> bytes:
        for masked in self._maskers:
            body = masked(body)
        return body

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret:
            request.headers["Authorization"] = f"Bearer {self._secret}"
        return request


def _body(response: requests.Response) -> bytes:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        raise http.client.HTTPException(f"the answer is encoded as {encoding!r:.40}, which was not asked for")
    inflater = _Inflater() if encoding not in {"", "identity"} else None
    # One buffer: many chunks of two bytes, stored separately, would take twenty times the memory.
    body = bytearray()
    # For a body shorter than its Content-Length, urllib3 raises: from version 2 on it checks the length itself.
    for chunk in response.raw.stream(BLOCK_BYTES, decode_content=False):
        body += inflater.inflated(chunk) if inflater else chunk
        if len(body) > ANSWER_BYTES:
            raise AnswerTooLongError
    if inflater and not inflater.is_whole:
        # Its beginning may look like a whole answer: text, or captions.
        raise http.client.HTTPException("the compressed answer is cut off")
    return bytes(body)


class _Inflater:
    """A decoder for gzip and zlib that stops after ANSWER_BYTES: it protects against zip bombs.

    A gzip answer may have several members (RFC 1952), one after the other; other bytes after the end are no part of the answer.
    """

    def __init__(self) -> None:
        self._inflater = _member()
        self._members = 1
        self._left = ANSWER_BYTES + 1
        self._begun = False
        #: Bytes after the last member that may begin another one; None: something else follows.
        self._rest: bytes | None = b""

    def inflated(self, chunk: bytes) -> bytes:
        """Decompress the next bytes."""
        self._begun = True
        found = bytearray()
        while chunk and self._left > 0:
            if self._inflater.eof:
                chunk = self._next_member(chunk)
                continue
            try:
                part = self._inflater.decompress(chunk, self._left)
            except zlib.error as exc:
                raise http.client.HTTPException("the compressed answer is broken") from exc
            self._left -= len(part)
            found += part
            # What follows the end; nothing before that.
            chunk = self._inflater.unused_data
        return bytes(found)

    def _next_member(self, chunk: bytes) -> bytes:
        """Begin another member if one follows; return the bytes that are to be decompressed."""
        if self._rest is None:
            # zlib would copy all of them for each further chunk.
            return b""
        self._rest += chunk
        if not self._rest.startswith(_MEMBER):
            self._rest = self._rest if _MEMBER.startswith(self._rest) else None
            return b""
        if self._members == _MEMBERS:
            raise http.client.HTTPException("the compressed answer has too many members")
        begun, self._rest = self._rest, b""
        self._inflater = _member()
        self._members += 1
        return begun

    @property
    def is_whole(self) -> bool:
        """Whether all of it has come; nothing at all is an empty answer."""
        return self._inflater.eof or not self._begun


def _member() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)


#: The beginning of a gzip member (RFC 1952, 2.3.1).
_MEMBER: Final = b"\x1f\x8b"
#: Members that an answer may have: what follows a member in a chunk is copied, which a thousand times takes some 10 ms.
_MEMBERS: Final = 1000
