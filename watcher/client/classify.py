"""Classify a refusal, and make the error for it; `rulings` has the table."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

from watcher.client.endpoint import Endpoint
from watcher.client.refusal import Refusal
from watcher.client.rulings import TABLE, ErrorClass
from watcher.client.wording import files_taken, is_unknown, named_field, offered_formats
from watcher.errors import AccountError, FileError, JobError, NoChannelError, PassingError, Remedy, RemedyError
from watcher.masking import masker


@dataclass(frozen=True, slots=True)
class Classification:
    """Meaning of a refusal, with the details needed to react to it."""

    error_class: ErrorClass
    reason: str
    refusal: Refusal
    hint: str = ""
    #: FIELD, PROMPT: the form's field to leave out.
    name: str = ""
    #: FIELD, PROMPT: True if the server does not know the field, False if it refuses only this value.
    unknown: bool = False
    #: SPLIT: the longest audio in seconds; PROMPT: the longest prompt in characters; SHRINK: the largest file in bytes.
    limit: float = 0.0
    #: FORMAT: response formats that the message offers instead; RECODE: file formats. Empty: it names none.
    offered: frozenset[str] = field(default=frozenset())
    #: Seconds in which no request may start; None: the caller decides.
    wait: float | None = None

    def error(self, *, secrets: Collection[str] = ()) -> JobError:
        """Return the error to raise; `secrets`: the key and what else was sent as one, which is removed from the server's text."""
        said = scrubbed(self.refusal.message, secrets)
        keyless = self.reason == "key" and not secrets
        sentence = "this server wants a key, and none is set" if keyless else _SENTENCES[self.error_class]
        message = f"{sentence}: {said or _NAMES.get(self.refusal.status, 'it gave no reason')}"
        if self.refusal.status:
            message += f" (HTTP {self.refusal.status})"
        options = {"reason": self.reason, "hint": self.hint}
        match self.error_class:
            case ErrorClass.ACCOUNT:
                return AccountError(message, **options)
            case ErrorClass.NO_CHANNEL:
                return NoChannelError(message, **options)
            case ErrorClass.PASSING | ErrorClass.CROWDED:
                crowded = self.error_class is ErrorClass.CROWDED
                asked = self.refusal.retry_after is not None
                return PassingError(message, retry_after=self.wait, crowded=crowded, asked=asked, **options)
            case ErrorClass.SHRINK | ErrorClass.SPLIT | ErrorClass.RECODE:
                remedy = Remedy(self.error_class.value)
                seconds = self.limit if remedy is Remedy.SPLIT else 0.0
                return RemedyError(message, remedy=remedy, seconds=seconds, reason=self.reason, hint=self.hint)
            case _:  # a field, a format or a prompt for which there is no simpler form
                return FileError(message, **options)


def classify(refusal: Refusal, *, station: bool) -> Classification:
    """Return the meaning of a refusal; `station`: the endpoint is known as a one-api or new-api relay."""
    row = next(row for row in TABLE if row.hits(refusal, station=station))  # the last row takes everything
    name = named_field(refusal) if row.error_class in {ErrorClass.FIELD, ErrorClass.PROMPT} else ""
    readers = {ErrorClass.FORMAT: offered_formats, ErrorClass.RECODE: files_taken}
    return Classification(
        row.error_class,
        row.reason,
        refusal,
        hint=row.hint,
        name=name,
        unknown=bool(name) and is_unknown(refusal, name),
        limit=_limit(row.error_class, refusal),
        offered=readers[row.error_class](refusal) if row.error_class in readers else frozenset(),
        wait=refusal.retry_after or row.wait or None,
    )


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a server's text without keys; some servers quote the refused key, whole or in part."""
    return _KEY.sub("sk-***", masker(secrets)(text))


_KEY: Final = re.compile(r"\bsk-[A-Za-z0-9_\-*]{4,}")


def _limit(error_class: ErrorClass, refusal: Refusal) -> float:
    pattern = _LIMITS.get(error_class)
    found = re.search(pattern, refusal.message, re.IGNORECASE) if pattern else None
    number = float(found[1]) if found else 0.0
    # Stay a little below the limit: client and server measure durations differently.
    return max(number - 10, number / 2) if error_class is ErrorClass.SPLIT else number


_LIMITS: Final = {
    ErrorClass.SPLIT: r"longer than (\d{1,6}(?:\.\d+)?) ?s",
    ErrorClass.SHRINK: r"size limit \((\d{4,12})\)",
    ErrorClass.PROMPT: r"(\d{2,6}) characters",
}

_SENTENCES: Final = {
    ErrorClass.ACCOUNT: "the server refuses every file",
    ErrorClass.NO_CHANNEL: "the relay has no upstream for this model right now",
    ErrorClass.FILE: "the server refuses this file",
    ErrorClass.PASSING: "the server failed",
    ErrorClass.CROWDED: "the server is busy",
    ErrorClass.SHRINK: "the server takes smaller files only",
    ErrorClass.SPLIT: "the server takes shorter recordings only",
    ErrorClass.RECODE: "the server does not take the file in this form",
    ErrorClass.FORMAT: "the server offers none of the formats that Watcher understands",
    ErrorClass.FIELD: "the server refuses a field of the form",
    ErrorClass.PROMPT: "the server refuses the prompt",
}
_NAMES: Final = {
    400: "bad request",
    401: "no valid key",
    402: "payment required",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    413: "request too large",
    415: "unsupported media type",
    429: "too many requests",
    500: "internal error",
    501: "not implemented",
    502: "bad gateway",
    503: "unavailable",
    504: "gateway timeout",
    524: "gateway timeout",
}


def redirect_error(meaning: Classification, endpoint: Endpoint) -> AccountError:
    """Return the error for a redirect. Redirects are never followed: the key would be sent to another server."""
    location = scrubbed(meaning.refusal.location, endpoint.secrets)
    try:
        target = urlsplit(urljoin(endpoint.transcriptions, location))
        place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
    except ValueError:
        return AccountError(
            f"the server redirects to {location!r}, which is no address (HTTP {meaning.refusal.status})",
            reason="redirect",
            hint="check api.url, and ask the server's operator",
        )
    return AccountError(
        f"the server redirects to {place} (HTTP {meaning.refusal.status})",
        reason="redirect",
        hint=f"if that is the right place, set api.url = {place}",
    )
