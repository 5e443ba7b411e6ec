"""What the process was started with: the only place that reads the environment and the systemd credential."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from watcher.errors import ConfigError

PREFIX: Final = "WATCHER_"
_DELIMITER: Final = "__"
#: Variables with our prefix that are no settings.
_OTHERS: Final = frozenset({"WATCHER_CONFIG", "WATCHER_API_KEY", "WATCHER_COMPLETE"})
_CREDENTIAL: Final = "api_key"
_CREDENTIAL_LIMIT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process finds around it, apart from settings."""

    notify_socket: str = ""
    watchdog_usec: int = 0
    watchdog_pid: int = 0
    #: stderr goes to the journal.
    journal: bool = False
    no_color: bool = False
    #: Credentials were handed over by systemd.
    credentials: bool = False
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
            credentials=bool(environ.get("CREDENTIALS_DIRECTORY")),
            environment=dict(environ),
        )


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Give the settings that stand in the environment, nested, each value a string."""
    nested: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in _OTHERS:
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split(_DELIMITER)
        place = nested
        for section in sections:
            below = place.setdefault(section, {})
            if not isinstance(below, dict):
                raise ConfigError(f"{name} and {PREFIX}{section.upper()} contradict each other", hint="unset one")
            place = below
        place[key] = value
    if environ.get("WATCHER_API_KEY"):
        nested.setdefault("api", {}).setdefault("key", environ["WATCHER_API_KEY"])
    return nested


def from_credential(environ: Mapping[str, str]) -> dict[str, Any]:
    """Give the key that systemd handed over (LoadCredential=api_key:…), if it did."""
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    return from_key_file(Path(directory) / _CREDENTIAL if directory else None)


def from_key_file(path: Path | None) -> dict[str, Any]:
    """Give the key that stands in a file, if there is one."""
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            key = file.read(_CREDENTIAL_LIMIT).decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"the credential {path} cannot be read: {exc}", hint="check LoadCredential=api_key:… in the unit"
        ) from exc
    return {"api": {"key": key}} if key.strip() else {}


def config_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Give the TOML file to read: the one named on the command line or in WATCHER_CONFIG, else the first that exists."""
    if given is not None:
        return given
    if named := environ.get("WATCHER_CONFIG"):
        return Path(named)
    home = Path(environ.get("HOME") or "/")
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "watcher" / "watcher.toml"
    return next((path for path in (user, Path("/etc/watcher/watcher.toml")) if path.exists()), None)


def state_directory(environ: Mapping[str, str], config: Path | None) -> Path:
    """Give the directory of the ledger where the settings name none."""
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
