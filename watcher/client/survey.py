"""Looking at a server without buying anything: name, connection, certificate, key, models, clock.

Nothing here decides about the queue: ``GET /models`` may pass with a key that transcription refuses, and may be missing on
servers that transcribe well (whisper.cpp). It is for `watcher check` alone.
"""

import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import requests

from watcher.client.endpoint import Endpoint

_SECONDS: Final = 10.0
_DAY: Final = 86_400.0
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen; an empty string or None: not found out."""

    host: str
    addresses: tuple[str, ...] = ()
    #: Why the server cannot be reached, in words.
    unreachable: str = ""
    #: Days until the certificate ends; None without TLS.
    certificate_days: float | None = None
    #: HTTP status of ``GET /models``.
    status: int | None = None
    #: What the server said of a refusal, at most 200 characters.
    message: str = ""
    models: tuple[str, ...] = ()
    #: Seconds our clock is ahead of the server's.
    clock_ahead: float | None = None


def survey(endpoint: Endpoint) -> Survey:
    """Look at the endpoint, for some 10 s at most per step. Raises nothing for what is found."""
    address = urlsplit(endpoint.transcriptions)
    host = address.hostname or ""
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        return Survey(host, unreachable=f"the name {host} is not known: {exc.strerror or exc}")
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    days: float | None = None
    if address.scheme == "https" and not requests.utils.get_environ_proxies(endpoint.transcriptions):
        try:
            days = _certificate_days(host, port)
        except ssl.SSLError as exc:
            return Survey(host, addresses, unreachable=f"its certificate is not accepted: {exc.reason or exc}")
        except OSError as exc:
            return Survey(host, addresses, unreachable=f"no connection to port {port}: {exc.strerror or exc}")
    return _models(endpoint, Survey(host, addresses, certificate_days=days))


def _certificate_days(host: str, port: int) -> float | None:
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    ends = certificate.get("notAfter")
    return (ssl.cert_time_to_seconds(ends) - time.time()) / _DAY if isinstance(ends, str) else None


def _models(endpoint: Endpoint, seen: Survey) -> Survey:
    base = endpoint.transcriptions.rpartition("/audio/")[0]
    headers = {"Authorization": f"Bearer {endpoint.secret}"} if endpoint.secret else {}
    try:
        # A session of our own, so that no .netrc can replace the key; redirects would carry it elsewhere.
        with requests.Session() as session:
            session.auth = lambda request: _authorised(request, headers)
            began = time.time()
            reply = session.get(f"{base}/models", timeout=_SECONDS, allow_redirects=False)
            ahead = _ahead(reply.headers.get("Date"), (began + time.time()) / 2)
    except requests.RequestException as exc:
        return Survey(
            seen.host,
            seen.addresses,
            unreachable=f"it does not answer: {_reason(exc)}",
            certificate_days=seen.certificate_days,
        )
    return Survey(
        seen.host,
        seen.addresses,
        certificate_days=seen.certificate_days,
        status=reply.status_code,
        message="" if reply.ok else " ".join(reply.text[:_SHOWN].split()),
        models=_names(reply) if reply.ok else (),
        clock_ahead=ahead,
    )


def _authorised(request: requests.PreparedRequest, headers: dict[str, str]) -> requests.PreparedRequest:
    request.headers.update(headers)
    return request


def _ahead(date: str | None, now: float) -> float | None:
    if date is None:
        return None
    try:
        return now - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _names(reply: requests.Response) -> tuple[str, ...]:
    try:
        listed = reply.json()
    except ValueError:
        return ()
    entries = listed.get("data") if isinstance(listed, dict) else None
    return tuple(str(entry.get("id", "")) for entry in entries or () if isinstance(entry, dict))


def _reason(error: requests.RequestException) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    return str(getattr(cause, "strerror", None) or cause)
