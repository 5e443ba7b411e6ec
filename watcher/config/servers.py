"""Kinds of values that only settings of an endpoint have: its name, headers, and parameters of the address."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, SecretStr

from watcher.text import printable

#: What a header's name consists of (RFC 9110, 5.1 and 5.6.2).
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: A name of an endpoint: "__" ends it in the name of a variable.
_NAME: Final = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
#: Headers that a request has anyway, and those that say how it is sent.
_OURS: Final = frozenset(
    {
        *("accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type"),
        *("expect", "host", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
#: Headers of each delivery to a webhook.
_OF_DELIVERIES: Final = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature", "user-agent"})
#: Characters of a name that are shown.
_LONGEST: Final = 40
#: The name that [api] alone has.
_RESERVED: Final = "api"


def _headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    return _checked(value, _OURS)


def _headers_of_webhooks(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    return _checked(value, (_OURS - {"authorization"}) | _OF_DELIVERIES)


def _checked(value: dict[str, SecretStr], ours: Collection[str]) -> dict[str, SecretStr]:
    for name, secret in value.items():
        text = secret.get_secret_value()
        if not _TOKEN.fullmatch(name):
            message = f"{_shown(name)} is no name of a header"
            raise ValueError(message)
        if name.lower() in ours:
            right = "give the key as `key`" if name.lower() == "authorization" else "Watcher sets it"
            message = f"the header {_shown(name)} cannot be set: {right}"
            raise ValueError(message)
        if not text.isascii() or not text.isprintable() or text != text.strip():
            message = f"the value of {_shown(name)} has to be one line of ASCII, without blanks around it"
            raise ValueError(message)
    return value


def _query(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not name or not name.isprintable() or not text.isprintable():
            message = f"{_shown(name)} has to be a printable name, with a printable text"
            raise ValueError(message)
    return value


Headers: TypeAlias = Annotated[dict[str, SecretStr], AfterValidator(_headers)]
WebhookHeaders: TypeAlias = Annotated[dict[str, SecretStr], AfterValidator(_headers_of_webhooks)]
Query: TypeAlias = Annotated[dict[str, str], AfterValidator(_query)]


def check_names(endpoints: Mapping[str, object]) -> None:
    """Raise ValueError if the name of an endpoint cannot be used."""
    for name in endpoints:
        if not _NAME.fullmatch(name):
            message = f"{_shown(name)} is no name of an endpoint: use a-z and 0-9, with single _ between them, as in [endpoints.relay_2]"
            raise ValueError(message)
        if name == _RESERVED:
            message = (
                "an endpoint cannot be called api: give it another name; [api] has what all endpoints have in common"
            )
            raise ValueError(message)


def check_order(order: Collection[str], known: Collection[str]) -> None:
    """Raise ValueError if a folder's list names an endpoint twice, or one that is not `known`."""
    for name in order:
        if name not in known:
            near = difflib.get_close_matches(name[:_LONGEST], known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
            message = f"there is no endpoint {_shown(name)}; {meant}"
            raise ValueError(message)
    if len(set(order)) < len(order):
        message = f"an endpoint is named twice: {', '.join(order)}"
        raise ValueError(message)


def _shown(name: str) -> str:
    return printable(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…")
