"""The environment of the process: the only place that reads environment variables and the systemd credential."""

import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from watcher.config import files
from watcher.config.settings import API
from watcher.errors import ConfigError
from watcher.text import printable

PREFIX: Final = "WATCHER_"
_DELIMITER: Final = "__"
#: Variables with our prefix that are no settings.
_OTHERS: Final = frozenset({"WATCHER_CONFIG", "WATCHER_API_KEY", "WATCHER_COMPLETE"})
_CREDENTIAL: Final = "api_key"
#: Of a folder's number.
_DIGITS: Final = 4


#: Of several, one is used.
_MOST_SOCKETS: Final = 16


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts about the process and its environment, apart from settings."""

    notify_socket: str = ""
    watchdog_usec: int = 0
    watchdog_pid: int = 0
    #: stderr goes to the journal.
    journal: bool = False
    no_color: bool = False
    #: Sockets that systemd has opened for this process.
    sockets: tuple[int, ...] = ()
    #: Credentials were handed over by systemd.
    credentials: bool = False
    #: This program, as it was called.
    program: str = "watcher"
    #: All of it, for the programs that are run as hooks; a secret may be in it.
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Surroundings":
        """Read them; see sd_notify(3), systemd.exec(5) and no-color.org for the names."""
        return cls(
            notify_socket=environ.get("NOTIFY_SOCKET", ""),
            watchdog_usec=_number(environ.get("WATCHDOG_USEC", "")),
            watchdog_pid=_number(environ.get("WATCHDOG_PID", "")),
            journal=_is_journal(environ.get("JOURNAL_STREAM", "")),
            no_color=bool(environ.get("NO_COLOR")),
            sockets=_sockets(environ),
            credentials=bool(environ.get("CREDENTIALS_DIRECTORY")),
            program=sys.argv[0] or "watcher",
            environment=dict(environ),
        )


def _sockets(environ: Mapping[str, str]) -> tuple[int, ...]:
    """Return the descriptors that were handed over (sd_listen_fds(3)): from 3 on, if they are meant for this process."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return ()
    return tuple(range(3, 3 + min(_number(environ.get("LISTEN_FDS", "")), _MOST_SOCKETS)))


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that are in the environment, nested, each value a text; folders by their numbers, as a list.

    Raises ConfigError for variables that contradict each other.
    """
    nested: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in _OTHERS:
            continue
        *sections, key = _parts(name)
        place = nested
        for section in sections:
            below = place.setdefault(section, {})
            if not isinstance(below, dict):
                raise ConfigError(f"{name} and {PREFIX}{section.upper()} contradict each other", hint="unset one")
            place = below
        if isinstance(place.get(key), dict):
            raise ConfigError(f"{name} and {name}{_DELIMITER}… contradict each other", hint="unset one")
        place[key] = value
    if environ.get("WATCHER_API_KEY") and isinstance(api := nested.setdefault("api", {}), dict):
        api.setdefault("key", environ["WATCHER_API_KEY"])
    for section in _LISTS:
        if isinstance(tables := nested.get(section), dict):
            nested[section] = _by_number(section, tables)
    return nested


def _parts(variable: str) -> list[str]:
    return variable.removeprefix(PREFIX).lower().split(_DELIMITER)


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variable of a setting, by its dotted key: ``api.url``, and ``folders.1.path`` from 0."""
    found = {"api.url": "OPENAI_BASE_URL", "api.key": "OPENAI_API_KEY"}
    for name in (f"{PREFIX}API__KEY_FILE", f"{PREFIX}API_KEY"):
        if environ.get(name):
            found["api.key"] = name
    parts = {name: _parts(name) for name in environ if name.startswith(PREFIX) and name not in _OTHERS}
    numbers = {(part[0], part[1]) for part in parts.values() if part[0] in _LISTS and part[1:] and part[1].isdecimal()}
    places = {
        (section, number): str(place)
        for section in _LISTS
        for place, number in enumerate(sorted((number for of, number in numbers if of == section), key=int))
    }
    for name, part in parts.items():
        if part[0] in _LISTS and part[1:]:
            part[1] = places.get((part[0], part[1]), part[1])
        found[".".join(part)] = printable(name)
    return found


def example(section: str) -> str:
    """Return how a section is given in the environment."""
    if section in _LISTS:
        noun, sample = _LISTS[section]
        return f"{sample}, and so on for each key and each {noun}"
    if section == "endpoints":
        return "WATCHER_ENDPOINTS__STUDIO__URL=http://192.168.1.5:8000, and so on for each key and each endpoint"
    return f"one variable for each key: {PREFIX}{section.upper()}{_DELIMITER}…"


#: Sections that are lists of tables: what one table is, and how its first key is given.
_LISTS: Final[Mapping[str, tuple[str, str]]] = {
    "folders": ("folder", "WATCHER_FOLDERS__0__PATH=/srv/recordings"),
    "webhooks": ("webhook", "WATCHER_WEBHOOKS__0__URL=https://n8n.example.org/webhook/watcher"),
}


def _by_number(section: str, tables: Mapping[str, Any]) -> list[Any]:
    """Return the tables of ``WATCHER_FOLDERS__0__PATH`` and its like, in the order of their numbers."""
    noun, sample = _LISTS[section]
    for number in tables:
        if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS):
            name = printable(f"{PREFIX}{section.upper()}{_DELIMITER}{number.upper()}")
            raise ConfigError(
                f"{name} has no number of a {noun}",
                hint=f"write {sample}, with 1 for the next {noun}, and so on",
            )
    return [tables[number] for number in sorted(tables, key=int)]


def from_credential(environ: Mapping[str, str], endpoints: Collection[str] = ()) -> dict[str, Any]:
    """Return the keys that systemd handed over (LoadCredential=api_key:…, api_key.NAME:… for an endpoint). Raises ConfigError."""
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    return from_credential_files(beside(Path(directory) / _CREDENTIAL), endpoints) if directory else {}


def beside(path: Path) -> Callable[[str], Path | None]:
    """Return a function that returns the file of an endpoint's key: beside that of [api], with the endpoint's name at its end."""
    return lambda name: path if name == API else path.with_name(f"{path.name}.{name}")


def from_credential_files(file_of: Callable[[str], Path | None], endpoints: Collection[str] = ()) -> dict[str, Any]:
    """Return the keys of [api] and of the endpoints in credentials' files, as far as they exist. Raises ConfigError."""
    keys = {name: _credential(file) if (file := file_of(name)) else "" for name in (API, *endpoints)}
    found: dict[str, Any] = {"api": {"key": key}} if (key := keys.pop(API)) else {}
    if tables := {name: {"key": key} for name, key in keys.items() if key}:
        found["endpoints"] = tables
    return found


def webhook_secret(environ: Mapping[str, str], name: str) -> str:
    """Return the secret that systemd handed over for a webhook (LoadCredential=webhook_secret.NAME:…); "": none. Raises ConfigError."""
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    return _credential(Path(directory) / f"webhook_secret.{name}") if directory and "/" not in name else ""


def secrets_in(path: Path, *, name: str, source: str) -> str:
    """Return the secrets in the file that the setting `name` gives. Raises ConfigError, also for an empty one; `source`: see `key_in`."""
    try:
        secrets = _read_key(path)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"{name} = {printable(str(path))} cannot be read: {_reason(exc)} ({source})",
            hint="name a file that holds the secret and nothing else, and that this user may read",
        ) from exc
    if not secrets.strip():
        message = f"{name} = {printable(str(path))} holds no secret ({source})"
        raise ConfigError(message, hint="put the secret into that file")
    return secrets


def _credential(path: Path) -> str:
    """Return the key in a credential's file; "" if there is none. Raises ConfigError."""
    try:
        key = _read_key(path)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"the credential {path} cannot be read: {_reason(exc)}",
            hint=f"check LoadCredential={path.name}:… in the unit",
        ) from exc
    return key if key.strip() else ""


def key_in(path: Path, *, name: str, source: str) -> str:
    """Return the key in the file that the setting `name` gives, ``api.key_file``. Raises ConfigError, also for an empty one.

    `source`: where the file was named, for the message: ``from the variable WATCHER_API__KEY_FILE``.
    """
    try:
        key = _read_key(path)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"{name} = {printable(str(path))} cannot be read: {_reason(exc)} ({source})",
            hint="name a file that holds the key and nothing else, and that this user may read",
        ) from exc
    if not key.strip():
        raise ConfigError(f"{name} = {printable(str(path))} holds no key ({source})", hint="put the key into that file")
    word = key.strip().lower().removeprefix("bearer").strip()
    if not word.isascii() or not word.isprintable() or " " in word:
        message = f"{name} = {printable(str(path))} holds more than a key ({source})"
        raise ConfigError(message, hint="a key is one word of letters, digits and signs, without anything beside it")
    return key


def _read_key(path: Path) -> str:
    return files.regular(path, files.LARGEST_KEY).decode()


def _reason(exc: OSError | ValueError) -> str:
    return (exc.strerror or str(exc)) if isinstance(exc, OSError) else "it is no text"


def config_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the TOML file to read: the one named on the command line or in WATCHER_CONFIG, else the first that exists."""
    if given is not None:
        return given
    if named := environ.get("WATCHER_CONFIG"):
        return Path(named)
    home = Path(environ.get("HOME") or "/")
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "watcher" / "watcher.toml"
    # HOME may be another user's, after sudo -u for example: a file there that cannot be looked up does not exist for this user.
    return next((path for path in (user, Path("/etc/watcher/watcher.toml")) if os.path.exists(path)), None)  # noqa: PTH110


def state_directory(environ: Mapping[str, str], config: Path | None) -> Path:
    """Return the directory of the ledger where the settings name none."""
    # Several state directories come separated by colons; the first is ours.
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if config is not None and config.is_absolute() and config.parts[:2] == ("/", "etc"):
        return Path("/var/lib/watcher")
    home = Path(environ.get("HOME") or "/")
    return Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "watcher"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _is_journal(stream: str) -> bool:
    # JOURNAL_STREAM names device and inode of the stream that leads to the journal; stderr may have been redirected since.
    device, _, inode = stream.partition(":")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return (str(status.st_dev), str(status.st_ino)) == (device, inode)
