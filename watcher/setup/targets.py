"""Where `watcher setup` writes: for one person, or for the machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The user and group of the system service, and the unit of both services.
USER: Final = "watcher"
UNIT: Final = "watcher.service"
#: What to do about a step that failed.
AGAIN: Final = "correct that, and run setup again: it goes on"
#: The program of the system service, and what leads PATH to it.
PROGRAM: Final = Path("/opt/watcher")
LINK: Final = Path("/usr/local/bin/watcher")


@dataclass(frozen=True, slots=True)
class SetupTarget:
    """The files of one set-up."""

    #: The service is the machine's; else it is of the user who runs this.
    system: bool
    #: Directories of the settings, of systemd's units, and of the state.
    settings_directory: Path
    units: Path
    state: Path

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.settings_directory / "watcher.toml"

    @property
    def key(self) -> Path:
        """The file of the key, which both units hand to the service as a credential."""
        return self.settings_directory / "api_key"

    @property
    def unit(self) -> Path:
        """The unit."""
        return self.units / UNIT

    @property
    def drop_in(self) -> Path:
        """What setup adds to the unit."""
        return self.units / f"{UNIT}.d" / "setup.conf"


SYSTEM: Final = SetupTarget(
    system=True,
    settings_directory=Path("/etc/watcher"),
    units=Path("/etc/systemd/system"),
    state=Path("/var/lib/watcher"),
)


def of_user(environ: Mapping[str, str]) -> SetupTarget:
    """Return the files of the user with this environment."""
    home = Path(environ.get("HOME") or "/")
    settings = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    state = Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    return SetupTarget(
        system=False,
        settings_directory=settings / "watcher",
        units=settings / "systemd" / "user",
        state=state / "watcher",
    )
