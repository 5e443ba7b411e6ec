"""Check a server without buying anything: name, connection, certificate, key, models, clock.

The results do not affect the queue: ``GET /models`` may pass with a key that transcription refuses, and may be missing on
servers that transcribe well (whisper.cpp). They are only for `watcher check`. The requests use the same
proxies, certificates, deadline and limits as transcriptions.
"""

import json
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from watcher.client.bounds import PartBudget
from watcher.client.classify import scrubbed
from watcher.client.endpoint import Endpoint
from watcher.client.found import NoTranscriptError
from watcher.client.parse import is_page
from watcher.client.refusal import refusal_of
from watcher.client.wire import Wire
from watcher.errors import JobError

_SECONDS: Final = 15.0
_DAY: Final = 86_400.0
_SHOWN: Final = 200
#: A list of models may have as many parts as an answer about this much sound (seconds): some three thousand models.
_LISTED: Final = 600.0
#: Statuses from this one on are redirects and refusals.
_REFUSED: Final = 300


@dataclass(frozen=True, slots=True)
class ServerSurvey:
    """Result of a survey; an empty string or None: not known."""

    host: str
    addresses: tuple[str, ...] = ()
    #: Why the server cannot be reached; and what to do about it.
    unreachable: str = ""
    hint: str = ""
    #: Days until the certificate ends; None without TLS.
    certificate_days: float | None = None
    #: HTTP status of ``GET /models``.
    status: int | None = None
    #: The server's text about a refusal, at most 200 characters, without the key.
    message: str = ""
    #: The names of its models; None: it sent no list.
    models: tuple[str, ...] | None = None
    #: Whether it sent a web page instead.
    is_page: bool = False
    #: Seconds by which our clock is ahead of the server's.
    clock_ahead: float | None = None


def survey(endpoint: Endpoint, *, clock: Callable[[], float] = time.time) -> ServerSurvey:
    """Check the endpoint, for about 15 s at most. Problems are in the result; they raise no error."""
    address = urlsplit(endpoint.transcriptions)
    host = address.hostname or ""
    # With a proxy, this machine need not be able to look up the name: what counts is whether the request arrives.
    seen = ServerSurvey(host, _addresses(host, address.port))
    base = endpoint.transcriptions.removesuffix("/audio/transcriptions").removesuffix("/inference")
    with closing(Wire(endpoint, monotonic=time.monotonic)) as wire:
        began = clock()
        try:
            reply, certificate_ends = wire.get(f"{base}/models", seconds=_SECONDS)
        except JobError as error:
            return replace(seen, unreachable=error.message, hint=error.hint)
        now = (began + clock()) / 2
    refused = reply.status >= _REFUSED
    message = refusal_of(reply, now=now, secrets=endpoint.secrets).message if refused else ""
    return replace(
        seen,
        certificate_days=None if certificate_ends is None else (certificate_ends - now) / _DAY,
        status=reply.status,
        message=scrubbed(message, endpoint.secrets)[:_SHOWN],
        models=None if refused else _names(reply.body),
        is_page=not refused and is_page(reply.body.decode("utf-8", "replace").lstrip()),
        clock_ahead=_ahead(reply.headers.get("date", ""), now),
    )


def _addresses(host: str, port: int | None) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _ahead(date: str, now: float) -> float | None:
    try:
        return now - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _names(body: bytes) -> tuple[str, ...] | None:
    try:
        text = body.decode("utf-8-sig")
        PartBudget(_LISTED).take(text)
        listed = json.loads(text)
    except (ValueError, RecursionError, NoTranscriptError):
        return None
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list):
        return None
    names = (entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))
    # The names are shown to a person: a text with line ends or thousands of letters is no name.
    return tuple(name for name in names if name.isprintable() and len(name) <= _SHOWN)
