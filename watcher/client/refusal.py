"""Read a server's refusal: all shapes of error bodies, and the wrappers that relays put around them.

A relay station (one-api, new-api) puts its upstream's answer into its own; LiteLLM and Portkey add prefixes. This module
returns the innermost error that can be read. Shapes and wrappers are taken from the servers' sources: one-api
relay/controller/audio.go and error.go, new-api types/error.go, LiteLLM 1.106, Portkey 1.15, FastAPI, whisper.cpp.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

from watcher.client.upload import HttpResponse
from watcher.masking import beginning
from watcher.text import quoted_line

#: The longest wait a server may ask for, in seconds.
LONGEST_WAIT: Final = 3600.0


class BodyShape(StrEnum):
    """Kinds of bodies of refusals."""

    #: An object or a string under `error`.
    ERROR = "error"
    #: FastAPI's `detail`, also problem+json.
    DETAIL = "detail"
    #: Portkey's own refusals: ``"status": "failure"``.
    FAILURE = "failure"
    #: Any other JSON.
    JSON = "json"
    HTML = "html"
    TEXT = "text"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal of a server, without wrappers. Missing texts are "", whatever the server wrote instead."""

    #: The status that counts: the upstream's, or 0 if unknown (an error inside a 200, or a status lost by a relay).
    status: int
    shape: BodyShape
    message: str = ""
    kind: str = ""
    code: str = ""
    param: str = ""
    #: Names of the form's fields that it mentions.
    fields: tuple[str, ...] = ()
    #: Those of them that the server says it does not know.
    unknown: tuple[str, ...] = ()
    #: Whether it says that a field is missing.
    missing: bool = False
    #: Whether it has signs of a relay station: its error types, or a request id at the end.
    marked: bool = False
    #: Whether a station passes on its upstream's words: keys and balances in it are the station's.
    relayed: bool = False
    #: Seconds that the server asks to wait; None: it did not say.
    retry_after: float | None = None
    #: Target of a redirect: one line of at most 1,000 characters, like all texts of a server.
    location: str = ""


def refusal_of(
    reply: HttpResponse, *, now: float, error: Mapping[str, Any] | None = None, secrets: Collection[str] = ()
) -> Refusal:
    """Read a refusal; `error`: the object found in an answer with status 200. `now`: Unix time, for dates in headers. Never raises.

    Text is never cut inside one of `secrets`, because masking finds only the whole key. An error inside a 200 gets the status that
    its text names, or 0 if it names none.
    """
    status = _status_said(error) if error is not None else reply.status
    try:
        found = _of_object(error, secrets) if error is not None else _of_body(reply.body, secrets)
    except RecursionError:
        # `json.dumps` can hit the recursion limit where `json.loads` did not.
        found = Refusal(
            0, BodyShape.JSON, message=_line(_head(reply.body, secrets).decode("utf-8", "replace"), secrets)
        )
    found = replace(
        found,
        status=status,
        retry_after=wait_asked(reply.headers, now=now),
        location=_line(reply.headers.get("location", ""), secrets) if 300 <= status < 400 else "",  # noqa: PLR2004 - redirects
    )
    return _unwrapped(found)


def _status_said(error: Mapping[str, Any]) -> int:
    """Return the status that belongs to an error object: a number in it, else the meaning of its type or code."""
    inner = error.get("error")
    places = [inner, error] if isinstance(inner, dict) else [error]
    for place in places:
        for key in ("status", "status_code", "statusCode", "http_status", "code"):
            if re.fullmatch(r"[45]\d\d", word := _word(place.get(key))):
                return int(word)
    words = " ".join(_word(place.get(key)) for place in places for key in ("type", "code")).lower()
    return next((status for mark, status in _STATUSES.items() if mark in words), 0)


#: Types of errors by OpenAI, Anthropic and those who imitate them.
_STATUSES: Final = {
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "invalid_request_error": 400,
    "bad_request": 400,
    "badrequest": 400,
    "server_error": 500,
    "api_error": 500,
    "upstream_error": 502,
}


def is_station(reply: HttpResponse) -> bool:
    """Return whether an answer's headers are those of one-api or new-api."""
    return "x-oneapi-request-id" in reply.headers or "x-new-api-version" in reply.headers


def wait_asked(headers: Mapping[str, str], *, now: float, most: float = LONGEST_WAIT) -> float | None:
    """Return the seconds a server asks to wait, at most `most`: ``retry-after-ms``, a number, or a date; `headers` in small letters."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) * unit
        except ValueError:
            continue
        if seconds > 0 and math.isfinite(seconds):
            return min(seconds, most)
    # Use the server's clock, if it sends its time: ours may be wrong.
    until, today = _date(headers.get("retry-after", "")), _date(headers.get("date", ""))
    if until is None or (seconds := until - (today if today is not None else now)) <= 0:
        return None
    return min(seconds, most)


def _date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _of_body(body: bytes, secrets: Collection[str]) -> Refusal:
    text = _head(body, secrets).decode("utf-8-sig", "replace").strip()
    if not text:
        return Refusal(0, BodyShape.EMPTY)
    if text[0] == "<":
        return Refusal(0, BodyShape.HTML, message=_line(_title_of(text), secrets))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Refusal(0, BodyShape.TEXT, message=_line(text, secrets))
    if isinstance(value, dict):
        return _of_object(value, secrets)
    return Refusal(0, BodyShape.TEXT if isinstance(value, str) else BodyShape.JSON, message=_line(str(value), secrets))


def _title_of(page: str) -> str:
    begin = _TITLE.search(page)
    end = _TITLE_END.search(page, begin.end()) if begin else None
    return page[begin.end() : end.start()] if begin and end else ""


def _of_object(value: Mapping[str, Any], secrets: Collection[str]) -> Refusal:
    error = value.get("error")
    if error is None:
        error = next((value[key] for key in _ERRORS if value.get(key)), None)
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, dict):
        return Refusal(
            0,
            BodyShape.ERROR,
            message=_line(error.get("message") or error.get("msg") or "", secrets),
            kind=_word(error.get("type")),
            code=_word(error.get("code")),
            param=_word(error.get("param")),
        )
    if isinstance(error, str) and error:
        return Refusal(
            0, BodyShape.ERROR, message=_line(value.get("message") or error, secrets), code=_word(value.get("code"))
        )
    page = value.get("html-message")
    if isinstance(page, str):
        return _of_body(page.encode("utf-8", "replace"), secrets)
    message = _line(value.get("message") or value.get("msg") or value.get("title") or "", secrets)
    if value.get("status") == "failure":
        return Refusal(0, BodyShape.FAILURE, message=message)
    if "detail" in value:
        return _of_detail(value["detail"], message, secrets)
    return Refusal(
        0, BodyShape.JSON, message=message or _line(json.dumps(value), secrets), code=_word(value.get("code"))
    )


#: Other names of the error.
_ERRORS: Final = ("errors", "err", "error_message", "errorMessage", "error_msg", "err_msg", "fault")


def _of_detail(detail: object, message: str, secrets: Collection[str]) -> Refusal:
    if isinstance(detail, dict):
        return replace(_of_object(detail if "error" in detail else {"error": detail}, secrets), shape=BodyShape.DETAIL)
    if not isinstance(detail, list):
        return Refusal(0, BodyShape.DETAIL, message=_line(detail, secrets) or message)
    entries = [entry for entry in detail if isinstance(entry, dict)]
    places = [[_word(part) for part in entry["loc"]] if isinstance(entry.get("loc"), list) else [] for entry in entries]
    names = [place[-1].removesuffix("[]") if place else "" for place in places]
    return Refusal(
        0,
        BodyShape.DETAIL,
        message=_line(
            "; ".join(f"{' '.join(place)}: {entry.get('msg')}" for entry, place in zip(entries, places, strict=True)),
            secrets,
        ),
        fields=tuple(name for name in names if name),
        # Pydantic's error types for a field that the model does not have, in version 2 and 1.
        unknown=tuple(
            name
            for entry, name in zip(entries, names, strict=True)
            if name and _word(entry.get("type")) in {"extra_forbidden", "value_error.extra"}
        ),
        missing=any(_word(entry.get("type")) == "missing" for entry in entries),
    )


def _unwrapped(found: Refusal) -> Refusal:
    marked = bool(_STATION_KIND.search(found.kind) or _REQUEST_ID.search(found.message))
    message = _REQUEST_ID.sub("", found.message).strip()
    message = _LITELLM_TAIL.sub("", _PREFIX.sub("", message)).strip()
    found = replace(found, message=message, marked=marked)
    if found.code == "request_error" and (inner := _INNER.match(message)):
        # one-api sends 500 whatever its upstream sent: the text decides.
        return replace(
            found,
            status=0,
            kind=_word(inner["kind"]),
            code=_word(inner["code"]),
            message=inner["message"].strip(),
            relayed=True,
        )
    if found.code == "bad_response_status_code":
        real = re.search(r"\b[1-5]\d\d\b", found.param) or re.search(r"\b[1-5]\d\d\b", message)
        return replace(found, status=int(real[0]) if real else found.status, code="", param="", relayed=True)
    return found


_BODY_BYTES: Final = 64 * 1024
_MESSAGE_CHARACTERS: Final = 1000
_TITLE: Final = re.compile(r"<title[^<>]*>", re.IGNORECASE)
_TITLE_END: Final = re.compile(r"</title>", re.IGNORECASE)
_STATION_KIND: Final = re.compile(r"(one|new)_api_(error|panic)")
_REQUEST_ID: Final = re.compile(r" ?\(request id: [^()]*\)")
_PREFIX: Final = re.compile(r"^(?:litellm\.\w+: (?:\w+: )?(?:\w+Exception - )?|openai error: )+")
_LITELLM_TAIL: Final = re.compile(r"\.? ?(?:Received Model Group=|Available Model Group Fallbacks=).*$")
_INNER: Final = re.compile(r"(?>type (?P<kind>.*?), code )(?>(?P<code>.*?), message )(?P<message>.*)$")


def _word(value: object) -> str:
    """Read a value that may be a string, a number, null, or the name of null in some language."""
    text = "" if value is None or isinstance(value, dict | list) else str(value).strip()
    return "" if text in {"null", "None", "<nil>", "nil"} else text[:100]


def encoded(secrets: Iterable[str]) -> list[bytes]:
    """Return secrets as a server's bytes may have them."""
    return [secret.encode(errors="replace") for secret in secrets]


def _head(body: bytes, secrets: Collection[str]) -> bytes:
    return beginning(body, _BODY_BYTES, encoded(secrets))


def _line(value: object, secrets: Collection[str]) -> str:
    """Return one printable line of bounded length: a server's text ends up in logs and notes."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    text = beginning(text, 4 * _MESSAGE_CHARACTERS, secrets)
    text = quoted_line(text)
    return text if len(text) <= _MESSAGE_CHARACTERS else beginning(text, _MESSAGE_CHARACTERS - 1, secrets) + "…"
