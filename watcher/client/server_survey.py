"""Survey a server without buying anything: name, connection, certificate, key, models, clock.

Nothing here decides about the queue: ``GET /models`` may pass with a key that transcription refuses, and may be missing on
servers that transcribe well (whisper.cpp). It is for `watcher check` alone, and goes the way transcriptions go: through
the same proxies, with the same certificates, deadline and cap.
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
#: A list of models may have as many parts as an answer about so much sound (seconds): some three thousand models.
_LISTED: Final = 600.0
#: Statuses from here on are refusals, or point elsewhere.
_REFUSED: Final = 300


@dataclass(frozen=True, slots=True)
class ServerSurvey:
    """Result of a survey; an empty string or None: not found out."""

    host: str
    addresses: tuple[str, ...] = ()
    #: Why the server cannot be reached, in words, and what to do about it.
    unreachable: str = ""
    hint: str = ""
    #: Days until the certificate ends; None without TLS.
    certificate_days: float | None = None
    #: HTTP status of ``GET /models``.
    status: int | None = None
    #: What the server said of a refusal, at most 200 characters, without the key.
    message: str = ""
    #: None where it gave no list of models.
    models: tuple[str, ...] | None = None
    #: It gave a web page instead.
    is_page: bool = False
    #: Seconds our clock is ahead of the server's.
    clock_ahead: float | None = None


def survey(endpoint: Endpoint, *, clock: Callable[[], float] = time.time) -> ServerSurvey:
    """Look at the endpoint, for some 15 s at most. Raises nothing for what is found."""
    address = urlsplit(endpoint.transcriptions)
    host = address.hostname or ""
    # Behind a proxy the name need not be known here: what counts is whether the request arrives.
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
    message = refusal_of(reply, now=now, secret=endpoint.secret).message if refused else ""
    return replace(
        seen,
        certificate_days=None if certificate_ends is None else (certificate_ends - now) / _DAY,
        status=reply.status,
        message=scrubbed(message, endpoint.secret)[:_SHOWN],
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
    # They are shown to a person: what has line ends or thousands of letters is no name.
    return tuple(name for name in names if name.isprintable() and len(name) <= _SHOWN)
