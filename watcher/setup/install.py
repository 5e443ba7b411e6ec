"""The steps of a set-up: the settings, and the service. Each can be repeated, so that a set-up that failed can go on."""

import errno
import grp
import os
import pwd
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from watcher.errors import ConfigError
from watcher.setup import program, systemd, units
from watcher.setup.directories import opened
from watcher.setup.settings_file import unwritable
from watcher.setup.targets import LINK, PROGRAM, SYSTEM, USER, SetupTarget

#: New folders of the system's service: its group may write, and what is made in them belongs to it.
_SHARED: Final = 0o2775


def make_folder(path: str, *, owner: int | None = None, group: int | None = None) -> bool:
    """Make a folder, if nothing is there; return whether it was made. Raises ConfigError.

    `owner`, `group`: ids of a folder that the group `group` is to write into; None: this user's own.
    """
    try:
        folder = Path(path)
        if folder.is_dir():
            return False
        if os.path.lexists(path):
            raise ConfigError(f"{path} is a file, not a folder", hint="name another folder")
        with opened(path, make=True) as made:
            if group is not None:
                _share(made, path, 0 if owner is None else owner, group)
    except OSError as exc:
        raise unwritable(exc) from exc
    return True


def _share(made: int, path: str, owner: int, group: int) -> None:
    """Open a new folder to a group. Raises OSError where something else has taken its place."""
    # Its parent may be another user's, who could put another directory in its place meanwhile.
    if os.fstat(made).st_uid != os.geteuid() or os.listdir(made):
        raise FileExistsError(errno.EEXIST, "something else is there now", path)
    os.fchown(made, owner, group)
    os.fchmod(made, _SHARED)


def group_of_service() -> int:
    """Return the id of the service's group. Raises ConfigError."""
    try:
        return grp.getgrnam(USER).gr_gid
    except KeyError as exc:
        raise ConfigError(f"there is no group {USER}", hint="run setup again") from exc


def make_user() -> None:
    """Make the user of the system's service. Raises ConfigError and StateError."""
    systemd.make_user(units.source() / "sysusers.d" / "watcher.conf")


def write_drop_in(target: SetupTarget, folders: Sequence[str], own: Path | None = None) -> None:
    """Write what setup adds to the unit; `own`: the program of a user's service. Raises ConfigError."""
    text = units.system_drop_in(folders) if own is None else units.user_drop_in(own)
    try:
        target.drop_in.parent.mkdir(parents=True, exist_ok=True)
        target.drop_in.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise unwritable(exc) from exc


def require_no_other(target: SetupTarget) -> None:
    """Raise ConfigError if the unit's name is taken by another program."""
    try:
        if target.unit.is_file() and not units.is_ours(target.unit):
            raise ConfigError(
                f"{target.unit} is not Watcher's: it would be replaced",
                hint="move it away, or leave out --service and have watcher run started in another way",
            )
    except OSError as exc:
        raise unwritable(exc) from exc


def start_service(target: SetupTarget, folders: Sequence[str], own: Path, *, say: Callable[[str], None]) -> None:
    """Install the unit and start it. Raises ConfigError and StateError. `own`: as for `write_drop_in`."""
    made = None
    if target.system and not program.is_here(PROGRAM):
        say(f"Copying the program to {PROGRAM}")
        made = program.prepare(PROGRAM)
    source = units.source() / ("." if target.system else "user") / target.unit.name
    try:
        target.units.mkdir(parents=True, exist_ok=True)
        target.unit.write_bytes(source.read_bytes())
    except OSError as exc:
        raise unwritable(exc) from exc
    write_drop_in(target, folders, None if target.system else own)
    if made is not None:
        # A service that runs the former copy would import parts of the new one.
        systemd.systemctl(target, "stop", target.unit.name, check=False)
        program.install(made, PROGRAM)
    if target.system:
        _link()
    say("Starting the service")
    systemd.start(target)


def _link() -> None:
    """Have PATH lead to the program, unless something else has its name. Raises ConfigError."""
    try:
        LINK.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            LINK.symlink_to(PROGRAM / "bin" / "watcher")
    except OSError as exc:
        raise unwritable(exc) from exc


def is_linked() -> bool:
    """Return whether PATH leads to the program of the system's service."""
    return LINK.is_symlink() and LINK.readlink() == PROGRAM / "bin" / "watcher"


def is_systems_user(name: str) -> bool:
    """Return whether the service's user is there, and is the one that `make_user` makes: no person's."""
    with suppress(KeyError):
        found = pwd.getpwnam(name)
        return found.pw_dir == str(SYSTEM.state) and found.pw_uid != 0
    return False
