"""Convert errors of the transport to this package's errors."""

import errno
import http.client
import socket
import ssl
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import requests
import structlog
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    LocationParseError,
    MaxRetryError,
    ProxySchemeUnknown,
    ReadTimeoutError,
)

from watcher.client.classify import scrubbed
from watcher.client.connections import AnswerTooLongError, Exchange, HeadTooLongError
from watcher.errors import AccountError, JobError, PassingError, SourceError, StoppedError
from watcher.text import quoted_line

_log = structlog.get_logger()


def transport_error(
    exc: Exception, *, exchange: Exchange, server: str, secrets: Collection[str], ca_file: str = ""
) -> JobError:
    """Return our error for one of the transport; specific cases are checked before general ones.

    `server`: its host, and its port where the address has one. `secrets` are not quoted.
    `ca_file`: the file of certificates that the settings name.
    """
    if exchange.cancelled:
        return StoppedError("the daemon stops", in_flight=True)
    chain = list(_chain(exc))
    ours = next((link for link in chain if isinstance(link, OSError) and link.errno in _NOTHING_LEFT), None)
    if ours is not None:
        return SourceError.of(ours)
    words = " ".join(str(link) for link in chain)
    for mark, reason, message, hint in (*(_OWN_CERTIFICATES if ca_file else ()), *_OPERATOR):
        if mark in words if isinstance(mark, str) else any(isinstance(link, mark) for link in chain):
            text = message.format(server=server, why=_distrust(chain), ca_file=ca_file)
            return AccountError(text, reason=reason, hint=hint)
    kinds = [
        AnswerTooLongError,
        HeadTooLongError,
        requests.exceptions.ProxyError,
        TimeoutError,
        ReadTimeoutError,
        IncompleteRead,
    ]
    kind = next((kind for kind in kinds if any(isinstance(link, kind) for link in chain)), None)
    if kind is requests.exceptions.ProxyError:
        hint = "check https_proxy and the proxy itself"
        return PassingError("the proxy cannot be reached, or cannot reach the server", reason="unreachable", hint=hint)
    if not exchange.connected:
        why, hint = _unreached(chain)
        return PassingError(f"{server} cannot be reached: {why}", reason="unreachable", hint=hint)
    message, reason = _BROKEN.get(kind, ("the connection broke before the answer was complete", "connection"))
    if kind is None and not isinstance(exc, _FORESEEN):
        _log.debug("api.response", exc_info=exc)
        text = scrubbed(quoted_line(f"{type(exc).__name__}: {exc}"), secrets)[:_SHOWN_CHARACTERS]
        message = f"the server's answer is not HTTP as it should be ({text})"
    return PassingError(message, reason=reason)


def _distrust(chain: Sequence[BaseException]) -> str:
    """Return why the server's certificate is not trusted, in the words of TLS; "" if it is not about that."""
    return next((f": {link.verify_message}" for link in chain if isinstance(link, ssl.SSLCertVerificationError)), "")


def _unreached(chain: Sequence[BaseException]) -> tuple[str, str]:
    """Return why there is no connection to the server, and what to do."""
    for kind, why, hint in _NO_CONNECTION:
        if any(isinstance(link, kind) for link in chain):
            return why, hint
    for link in chain:
        if isinstance(link, socket.gaierror):
            return _NO_NAME_SERVER if link.errno == socket.EAI_AGAIN else _NO_NAME
        if isinstance(link, ssl.SSLError):
            return (
                f"TLS failed ({link.reason or link})",
                "check http or https and the port in api.url, and the server's TLS",
            )
        if isinstance(link, OSError) and link.errno and link.strerror:
            return quoted_line(link.strerror.lower()), "check the network, and the address in api.url"
    return "no connection", "check the network, the name in api.url and whether the server runs"


#: Why there is no connection, by the exception, and what to do.
_NO_CONNECTION: Final[Sequence[tuple[type[Exception] | tuple[type[Exception], ...], str, str]]] = (
    (ConnectionRefusedError, "connection refused", "start the server, or correct the port in api.url"),
    (
        (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError),
        "it ends the connection at once",
        "check http or https and the port in api.url; the server's own log may say why",
    ),
    (
        TimeoutError,
        "no answer in time",
        "see whether the server runs, and whether a firewall is between; or correct api.url",
    ),
)
_NO_NAME: Final = ("name not found", "check the network, or the name in api.url")
_NO_NAME_SERVER: Final = ("no name server answers", "check the network and the name server of this machine")

#: errno values for a lack of descriptors or memory on this machine, which is not the server's fault.
_NOTHING_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

#: Characters shown of an error that the libraries did not expect either.
_SHOWN_CHARACTERS: Final = 200
#: Exceptions of the libraries. A ValueError or an OverflowError means an unexpected number from the server, such as
#: a chunk of -5 bytes. There are others: Python's header parser raises a TypeError for parameters that are only partly numbered.
_FORESEEN: Final = (
    requests.RequestException,
    HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    OverflowError,
    AnswerTooLongError,
    HeadTooLongError,
)

_BROKEN: Final[Mapping[type[Exception] | None, tuple[str, str]]] = {
    AnswerTooLongError: ("the server sent more than any transcript can be", "oversized_answer"),
    HeadTooLongError: ("the server sent more headers than any answer needs", "oversized_answer"),
    TimeoutError: ("the server did not answer in time", "timeout"),
    ReadTimeoutError: ("the server did not answer in time", "timeout"),
    IncompleteRead: ("the answer was cut off", "truncated"),
}

_NOT_TRUSTED: Final = "the certificate of {server} is not trusted{why}"
#: requests' OSError for a missing CA bundle or client certificate.
_NO_BUNDLE: Final = "invalid path: "
#: Errors like those of `_OPERATOR`, and before them, if the settings name the certificates to trust.
_OWN_CERTIFICATES: Final[Sequence[tuple[type[Exception] | str, str, str, str]]] = (
    (
        ssl.SSLCertVerificationError,
        "certificate",
        _NOT_TRUSTED,
        "check api.url, the clock, and the certificates in api.ca_file",
    ),
    (_NO_BUNDLE, "ca", "{ca_file}, the file of CA certificates, cannot be found", "correct api.ca_file"),
)
#: Errors that only the operator can fix, by type or text: all files would fail. Messages may have the fields `server`, `why` and
#: `ca_file`.
_OPERATOR: Final[Sequence[tuple[type[Exception] | str, str, str, str]]] = (
    (
        ssl.SSLCertVerificationError,
        "certificate",
        _NOT_TRUSTED,
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
        _NO_BUNDLE,
        "ca",
        "the CA certificates named in the environment cannot be found",
        "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE",
    ),
    ("failed: 407", "proxy", "the proxy asks for a login", "put user and password into https_proxy"),
    ("WRONG_VERSION_NUMBER", "url", "{server} does not speak https at this port", "check http or https in api.url"),
)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that led to it: causes, reasons, and errors passed as arguments.

    Contexts are left out: they may be an error that a caller was handling when it made this request.
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
