"""The units of the package, and what setup adds to them."""

import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import watcher
from watcher.errors import ConfigError
from watcher.setup.settings_file import MARK
from watcher.setup.targets import UNIT

#: Below the prefix of an installation (pyproject.toml), and in a checkout.
SHARE: Final = "share/transcription-watcher/systemd"
_HIDDEN: Final = ("/home/", "/root/", "/run/user/")
_PRIVATE: Final = ("/tmp/", "/var/tmp/")  # noqa: S108 - these are what is refused


#: The first words of both units of the package, by which they are known.
_FIRST: Final = b"# Watcher "


def is_ours(unit: Path) -> bool:
    """Return whether a unit is Watcher's: other programs have this name, too. Raises OSError."""
    with unit.open("rb") as file:
        return file.read(len(_FIRST)) == _FIRST


def source() -> Path:
    """Return the directory of the units that came with this program. Raises ConfigError."""
    prefixes = [sysconfig.get_path("data"), sysconfig.get_path("data", "posix_user")]
    places = [Path(watcher.__file__).parents[1] / "systemd", *(Path(prefix, SHARE) for prefix in prefixes)]
    found = next((place for place in places if (place / UNIT).is_file()), None)
    if found is None:
        raise ConfigError("the systemd units of this installation are missing", hint="install the package again")
    return found


def system_drop_in(folders: Sequence[str]) -> str:
    """Return the drop-in that lets the system's service write into its folders.

    A folder that is not there, a disk for example, keeps the service from starting no more. Raises ConfigError for a folder
    that the service cannot see.
    """
    lines = list(_folder_lines([folder.rstrip("/") or "/" for folder in folders]))
    about = f"{MARK}: the folders of the settings. After a change of these: watcher check --fix."
    return "\n".join([about, "[Service]", *lines, ""])


def is_hidden(path: str) -> bool:
    """Return whether a path lies in a home, which the system's service does not see."""
    return f"{path}/".startswith(_HIDDEN)


def _folder_lines(folders: Sequence[str]) -> Iterator[str]:
    if any(map(is_hidden, folders)):
        # All homes stay hidden but for these folders.
        yield "ProtectHome=tmpfs"
    for folder in folders:
        if not folder.isprintable():
            raise ConfigError(f"{folder!r} cannot be named in a unit", hint="rename it without special characters")
        if f"{folder}/".startswith(_PRIVATE):
            raise ConfigError(
                f"{folder}: the service has a /tmp of its own, and does not see this folder",
                hint="watch a folder elsewhere, such as /srv/recordings",
            )
        kind = "BindPaths" if is_hidden(folder) else "ReadWritePaths"
        yield f"{kind}={word(f'-{folder}')}"


def user_drop_in(program: Path) -> str:
    """Return the drop-in that has a user's service run this program."""
    path = word(str(program))
    return "\n".join(
        [
            f"{MARK}: the program that was set up.",
            "[Service]",
            "ExecStart=",
            f"ExecStart={path} run",
            "ExecReload=",
            "ExecReload=/bin/kill -HUP $MAINPID",
            # $$ is a dollar; the shell's $0 is the program.
            f"ExecReload=/bin/sh -c 'exec \"$$0\" config >/dev/null' {path}",
            "",
        ]
    )


def word(text: str) -> str:
    r"""Return a text as one word of a unit: ``"/srv/100 %%"`` (systemd.syntax(7), systemd.unit(5) about specifiers)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
