"""The unit as systemd knows it: where its key is, and how to run a command in its place.

For root, who looks after a service and is not the service: what root may read and write says nothing about it, and the key
is handed to the service alone.
"""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watcher.client.endpoint import API

UNIT: Final = "watcher.service"
#: The name of the credential for [api]; those of endpoints begin with it.
KEY: Final = "api_key"
#: Where systemd shows a running service its credentials (systemd.exec(5)); root can read them.
_RUNNING: Final = Path("/run/credentials")
#: Directives that decide the user of the service, what it can read and what it can write.
_WALLS: Final = (
    *("User", "Group", "SupplementaryGroups", "AmbientCapabilities", "Environment", "StateDirectory"),
    *("LoadCredential", "LoadCredentialEncrypted", "ProtectSystem", "ProtectHome", "PrivateTmp"),
    *("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths", "BindReadOnlyPaths"),
    *("IPAddressDeny", "IPAddressAllow", "RestrictAddressFamilies", "NoNewPrivileges"),
)
_SECONDS: Final = 10.0
#: Where settings in /etc have the ledger.
STATE: Final = Path("/var/lib/watcher")


@dataclass(frozen=True, slots=True)
class SystemdUnit:
    """The [Service] section with all drop-ins: every assignment, in order."""

    lines: tuple[tuple[str, str], ...]
    running: Path = _RUNNING / UNIT

    def key(self, endpoint: str) -> Path | None:
        """Return where the key of an endpoint can be read: the running service's, else the file that the unit names; None: nowhere."""
        name = credential(endpoint)
        found = [self.running / name, *self._credentials("LoadCredential", name)[-1:]]
        return next((path for path in found if path.is_file()), None)

    def encrypted(self, endpoint: str) -> Path | None:
        """Return the encrypted key of an endpoint that the unit names."""
        return next(reversed(self._credentials("LoadCredentialEncrypted", credential(endpoint))), None)

    def recipe(self, argv: Sequence[str]) -> str:
        """Return a command that runs `argv` as the service's user in its sandbox; on several lines, for a shell."""
        parts = ["systemd-run --quiet --pipe --wait --collect"]
        parts += [f"-p {shlex.quote(f'{key}={value}')}" for key, value in self.assigned() if key in _WALLS]
        return " \\\n  ".join([*parts, shlex.join(argv)])

    def assigned(self) -> list[tuple[str, str]]:
        """Return the assignments in force: an empty value resets those before it (systemd.syntax(7))."""
        said: list[tuple[str, str]] = []
        for key, value in self.lines:
            if value:
                said.append((key, value))
            else:
                said = [(other, former) for other, former in said if other != key]
        return said

    def by_key(self) -> dict[str, list[str]]:
        """Return the assignments in force, by key."""
        found: dict[str, list[str]] = {}
        for key, value in self.assigned():
            found.setdefault(key, []).append(value)
        return found

    def _credentials(self, kind: str, wanted: str) -> list[Path]:
        found = [value.partition(":") for key, value in self.assigned() if key == kind]
        return [Path(path) for name, _, path in found if name == wanted and path.startswith("/")]


def credential(endpoint: str) -> str:
    """Return the name of the credential that has the key of an endpoint."""
    return KEY if endpoint == API else f"{KEY}.{endpoint}"


def installed() -> SystemdUnit | None:
    """Return the unit of this machine; None where there is none, or no systemd to ask."""
    try:
        done = subprocess.run(
            ["systemctl", "cat", "--no-pager", UNIT],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else parsed(done.stdout)


def parsed(text: str) -> SystemdUnit:
    """Read what `systemctl cat` prints: the unit and its drop-ins, one after the other."""
    lines: list[tuple[str, str]] = []
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped
        elif section == "[Service]" and "=" in stripped and not stripped.startswith(("#", ";")):
            key, _, value = stripped.partition("=")
            lines.append((key.strip(), value.strip()))
    return SystemdUnit(tuple(lines))
