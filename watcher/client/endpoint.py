"""Address and key of an endpoint: correct what people paste.

For addresses see `watcher.address`. Keys are pasted with blanks, line ends or a ``Bearer`` in front.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from watcher.address import Routes, is_private, routes
from watcher.errors import ConfigError
from watcher.masking import secrets_of

#: OpenAI refuses requests above 26,214,400 bytes; the form around the file needs a little of that.
MAX_UPLOAD_BYTES: Final = 24 * 1024 * 1024
#: The title of the endpoint that `[api]` alone is.
API: Final = "api"
#: Keys of [api] that hints name, and that an endpoint may have, too.
_OF_API: Final = re.compile(r"\bapi\.(?=(?:url|key|key_file|model|max_upload_mb|ca_file|headers)\b)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and a model. The constructor normalises the values, and raises ConfigError for invalid ones.

    `url` may be the host, the host with ``/v1``, or the full route. With an empty key, no Authorization header
    is sent. The repr does not show the key.
    """

    url: str
    model: str = "whisper-1"
    key: SecretStr | str | None = field(default=None, repr=False)
    #: The largest file to send, in bytes.
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    #: Its name in the settings; `[api]` alone is called "api".
    title: str = API
    #: Headers and parameters of the address that every request has. The headers' values are secrets.
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query: tuple[tuple[str, str], ...] = ()
    #: File of the certificates to trust; "": the usual ones.
    ca_file: str = ""
    #: Seconds that an answer may take for each second of sound.
    deadline_factor: float = 6.0
    #: Full addresses of the two tasks.
    transcriptions: str = field(init=False, repr=False)
    translations: str = field(init=False, repr=False)
    #: Host, port and the path before the route.
    server: str = field(init=False, repr=False)
    #: The path was not a known one, so ``/v1/audio/transcriptions`` was added to it.
    assumed: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Normalise the address, clean the key, and raise ConfigError for invalid values."""
        if not self.model.strip() or not self.model.isprintable():
            hint = f'set {self.section}.model = "whisper-1"'
            raise ConfigError(f"{self.section}.model is empty or has unprintable characters", hint=hint)
        if self.max_upload_bytes <= 0:
            hint = f"set {self.section}.max_upload_mb = 24"
            raise ConfigError(f"{self.section}.max_upload_mb must be more than 0", hint=hint)
        found = _routes(self.url, self.section)
        for name, value in (
            ("model", self.model.strip()),
            ("key", _cleaned(self.key, self.section)),
            ("transcriptions", found.transcriptions),
            ("translations", found.translations),
            ("server", found.name),
            ("assumed", found.assumed),
        ):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """Its name in the ledger and in the log. `[api]` alone has the server's, which has no name in the settings."""
        return self.server if self.title == API else self.title

    @property
    def profile_name(self) -> str:
        """The name under which facts about the server are stored: a title may get another server."""
        return self.server if self.title == API else f"{self.title} {self.server}"

    @property
    def section(self) -> str:
        """Its section of the settings: "api", or "endpoints.relay"."""
        return self.title if self.title == API else f"endpoints.{self.title}"

    def with_own_keys(self, text: str) -> str:
        """Return a hint in which the settings of [api] have become those of this endpoint."""
        if self.title == API:
            return text
        text = text.replace("WATCHER_API__", f"WATCHER_ENDPOINTS__{self.title.upper()}__")
        text = text.replace("the credential api_key", f"the credential api_key.{self.title}")
        return _OF_API.sub(f"{self.section}.", text)

    @property
    def party(self) -> str:
        """Return some hex digits that are the same for the same server, key and model, and do not reveal the key."""
        # The name of [api] alone is its server's; another name may stand for a server of each host's own.
        server = "" if self.title == API else f"\0{self.server}"
        return sha256(f"{self.model}\0{self.secret}{server}".encode(errors="surrogatepass")).hexdigest()[:8]

    @property
    def secret(self) -> str:
        """The key; "" if there is none. Only for the Authorization header."""
        return self.key.get_secret_value() if isinstance(self.key, SecretStr) else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key and the values of the headers, as far as there are any: to be removed from texts."""
        return tuple(filter(None, (self.secret, *secrets_of(value for _, value in self.headers))))

    @property
    def host(self) -> str:
        """The server's name or address, without its port."""
        return urlsplit(self.transcriptions).hostname or ""

    @property
    def public(self) -> bool:
        """Whether the server is neither on this machine nor, by its name or address, in a private network."""
        return not is_private(self.host)

    @property
    def loopback(self) -> bool:
        """Whether the server runs on this machine: then no proxy of the environment is used, and http is safe."""
        return _is_loopback(self.host)

    def warnings(self) -> tuple[str, ...]:
        """Return warnings for the log at the start: a key that is sent unencrypted, an address that had to be guessed."""
        found = []
        if (self.secret or self.headers) and self.transcriptions.startswith("http:") and not self.loopback:
            found.append(f"the api key is sent unencrypted to {self.server}: use https, or a server on this machine")
        if self.assumed:
            found.append(f"{self.section}.url has an unusual path: requests go to {self.transcriptions}")
        return tuple(found)


def _routes(url: str, section: str) -> Routes:
    try:
        return routes(url)
    except ValueError as exc:
        hint = (
            f"put the key into {section}.key" if "password" in str(exc) else "write it like https://api.openai.com/v1"
        )
        raise ConfigError(f"{section}.url {exc}", hint=hint) from exc


def _cleaned(given: SecretStr | str | None, section: str) -> SecretStr | None:
    raw = given.get_secret_value() if isinstance(given, SecretStr) else given
    if not raw:
        return None
    hint = "copy it again; a key is one word of letters, digits and signs"
    key = re.sub(r"^bearer(\s+|$)", "", raw.strip(), flags=re.IGNORECASE)
    if not key:
        raise ConfigError(f"{section}.key is blank", hint=hint)
    # A line end would forge a header, and http.client encodes only Latin-1: both would fail only at the first request.
    if not key.isascii() or not key.isprintable() or any(character.isspace() for character in key):
        message = f"{section}.key contains blanks, line ends or characters that are not ASCII"
        raise ConfigError(message, hint=hint)
    return SecretStr(key)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
