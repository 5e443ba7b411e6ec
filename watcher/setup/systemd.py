"""Asking systemd to start, stop and know the service."""

import subprocess
from pathlib import Path
from typing import Final

from watcher.errors import ConfigError, StateError
from watcher.setup.targets import AGAIN, UNIT, SetupTarget

#: Seconds: the unit allows ten minutes for a start, and two for a stop.
_LONGEST: Final = 720.0
#: Lines of the journal that are shown of a start that failed.
_LINES: Final = 10


def is_here() -> bool:
    """Return whether systemd runs this machine (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def require(target: SetupTarget) -> None:
    """Raise ConfigError where there is no systemd to ask, or nobody who may ask it."""
    if not is_here():
        raise ConfigError(
            "systemd does not run here", hint="leave out --service, and have watcher run started in another way"
        )
    if not target.system:
        asked = _run("systemctl", "--user", "show-environment")
        if asked.returncode:
            raise ConfigError(
                f"your systemd (systemctl --user) cannot be reached: {asked.stderr.strip()}",
                hint="log in as this user, at the machine or by ssh (su and sudo do not make a session), and run it there",
            )


def start(target: SetupTarget) -> None:
    """Have systemd read the units, and start the service, now and at each boot. Raises StateError with the journal's lines."""
    systemctl(target, "daemon-reload")
    systemctl(target, "enable", "--quiet", UNIT)
    try:
        systemctl(target, "restart", UNIT)
    except StateError as error:
        scope = () if target.system else ("--user",)
        said = _run("journalctl", *scope, f"--unit={UNIT}", "--lines", str(_LINES), "--output=cat", "--quiet").stdout
        raise StateError(f"the service does not start:\n{said.strip() or error.message}", hint=AGAIN) from error


def stop(target: SetupTarget) -> None:
    """Stop the service, and have it start no more. Raises StateError."""
    systemctl(target, "disable", "--quiet", "--now", UNIT)
    systemctl(target, "reset-failed", UNIT, check=False)


def systemctl(target: SetupTarget, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run systemctl for this service's systemd; with `check`, a refusal raises StateError."""
    done = _run("systemctl", *(() if target.system else ("--user",)), *arguments)
    if check and done.returncode:
        raise StateError(f"systemctl {arguments[0]}: {done.stderr.strip()}", hint=AGAIN)
    return done


def make_user(definition: Path) -> None:
    """Make the service's user and group, if they are not there. Raises StateError."""
    done = _run("systemd-sysusers", str(definition))
    if done.returncode:
        raise StateError(f"the user watcher cannot be made: {done.stderr.strip()}", hint=AGAIN)


def remove_user(name: str) -> None:
    """Remove a user and its group of the same name. Raises StateError."""
    for command in (("userdel", name), ("groupdel", name)):
        done = _run(*command)
        # 6: there is none; userdel removes an empty group as well.
        if done.returncode not in {0, 6}:
            raise StateError(f"{' '.join(command)}: {done.stderr.strip()}", hint=AGAIN)


def _run(*argv: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST,
            check=False,
        )
    except FileNotFoundError as exc:
        raise StateError(f"there is no program {argv[0]}", hint="install it, and run setup again: it goes on") from exc
    except subprocess.TimeoutExpired as exc:
        raise StateError(f"{' '.join(argv)} did not end within {_LONGEST:.0f} s", hint=AGAIN) from exc
