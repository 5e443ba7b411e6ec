"""[[webhooks]]: receivers of events."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator

from watcher.config.section import Section
from watcher.config.servers import WebhookHeaders
from watcher.config.values import check_absolute
from watcher.masking import secrets_of
from watcher.webhooks.message import PREFIX, key_of

#: Most secrets of a webhook: the new one and those that it replaces.
_MOST_SECRETS: Final = 4
#: Most webhooks.
MOST: Final = 16
_NAME: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_HOW: Final = "make one with: echo whsec_$(openssl rand -base64 32)"


def _split(value: object) -> object:
    """Return the secrets of a text, which may have several, with blanks between them."""
    return value.split() if isinstance(value, str) else value


def _secrets(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if len(value) > _MOST_SECRETS:
        message = f"it has more than {_MOST_SECRETS} secrets"
        raise ValueError(message)
    for secret in value:
        try:
            key_of(secret.get_secret_value())
        except ValueError as exc:
            message = f"a secret has to be {PREFIX} and 24 to 64 bytes in base64, and this one {exc}; {_HOW}"
            raise ValueError(message) from exc
    return value


Secrets: TypeAlias = Annotated[tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_secrets)]
Event: TypeAlias = Literal["job.done", "job.failed", "gate.held", "gate.resumed", "folder.lost", "folder.watching"]
Events: TypeAlias = Annotated[
    tuple[Event, ...], Field(min_length=1), AfterValidator(lambda value: tuple(dict.fromkeys(value)))
]


class WebhookSettings(Section):
    """[[webhooks]]: a server that gets a signed request about each event."""

    url: str = Field(description="where events are sent, whole: http:// or https://")
    name: str = Field("", description="what log and status call it; empty: the host of its url")
    secret: Secrets = Field(
        (),
        description="whsec_ and 24 to 64 bytes in base64, which sign; several while it is changed, the new one first; "
        "better given as a systemd credential webhook_secret.NAME",
    )
    secret_file: str = Field("", description="a file that holds the secret, or several, a whole path")
    events: Events = Field(
        ("job.done", "job.failed"),
        description="which: job.done, job.failed, gate.held, gate.resumed, folder.lost, folder.watching",
    )
    headers: WebhookHeaders = Field(
        {}, description='further HTTP headers, such as {Authorization = "Bearer …"}; their values are masked'
    )
    ca_file: str = Field("", description="certificates to trust there (PEM), a whole path; empty: the usual ones")

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_whole = False
        if not is_whole or not value.isascii() or not value.isprintable() or " " in value or "#" in value:
            message = "it has to be a whole address, such as https://n8n.example.org/webhook/watcher"
            raise ValueError(message)
        if "@" in parts.netloc:
            message = "it must not contain a user or password: give them as `headers`"
            raise ValueError(message)
        return value

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if value and not _NAME.fullmatch(value):
            message = "it has to be a name of a-z and 0-9, with single . _ - between them"
            raise ValueError(message)
        return value

    @field_validator("secret_file", "ca_file")
    @classmethod
    def _absolute_file(cls, value: str) -> str:
        return check_absolute(value) if value else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is shown to nobody."""
        keys = [secret.get_secret_value() for secret in self.secret]
        headers = secrets_of(value.get_secret_value() for value in self.headers.values())
        return (*keys, *(key.removeprefix(PREFIX) for key in keys), *headers)


def named(webhooks: tuple[WebhookSettings, ...]) -> tuple[WebhookSettings, ...]:
    """Return the webhooks, each with its name. Raises ValueError where two have the same one."""
    if len(webhooks) > MOST:
        message = f"there are more than {MOST}"
        raise ValueError(message)
    found: dict[str, WebhookSettings] = {}
    for webhook in webhooks:
        name = webhook.name or name_of({"url": webhook.url})
        if name in found:
            message = f"two webhooks are called {name!r}; give each a name of its own"
            raise ValueError(message)
        found[name] = webhook.model_copy(update={"name": name})
    return tuple(found.values())


def name_of(table: Mapping[str, Any]) -> str:
    """Return the name of a webhook that may be wrong yet: as given, else the host of its url; "" if it has none, or no valid one."""
    if name := str(table.get("name") or ""):
        return name if _NAME.fullmatch(name) else ""
    try:
        host = urlsplit(str(table.get("url", ""))).hostname or ""
    except ValueError:
        return ""
    return "-".join(re.findall(r"[a-z0-9]+(?:\.[a-z0-9]+)*", host))
