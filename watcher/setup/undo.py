"""Take a set-up away again: the service, and what was written for it; on request the state, too."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from watcher.errors import StateError
from watcher.ledger import holder, is_state
from watcher.setup import install, program, settings_file, systemd, units
from watcher.setup.settings_file import unwritable
from watcher.setup.targets import LINK, PROGRAM, USER, SetupTarget


def is_anything_here(target: SetupTarget) -> bool:
    """Return whether there is anything that setup may have written. Raises ConfigError."""
    places = [target.key, target.drop_in.parent, target.unit]
    if target.system:
        places += [LINK, PROGRAM, program.new(PROGRAM), program.old(PROGRAM)]
    try:
        settings = any(target.settings_directory.glob(f"{target.settings.name}*"))
        return settings or any(place.exists() for place in places)
    except OSError as exc:
        raise unwritable(exc) from exc


def undo(target: SetupTarget, *, purge: bool) -> Iterator[str]:
    """Undo a set-up, and yield what was done, and what stays. `purge`: remove the state and the system's user, too.

    Raises ConfigError and StateError; it can be repeated.
    """
    if systemd.is_here() and _is_ours(target.unit):
        systemd.require(target)
        systemd.stop(target)
        yield "Stopped: the service"
    try:
        yield from (f"Removed: {path}" for path in _unit_files(target))
        if target.system:
            yield from (f"Removed: {path}" for path in _program_files())
    except OSError as exc:
        raise unwritable(exc) from exc
    if systemd.is_here():
        systemd.systemctl(target, "daemon-reload", check=False)
    removed, stay = settings_file.remove(target)
    yield from (f"Removed: {path}" for path in removed)
    others = sorted(target.drop_in.parent.iterdir()) if target.drop_in.parent.is_dir() else []
    others += [target.unit] if target.unit.is_file() else []
    yield from (f"Stays: {path}, which setup did not write" for path in (*others, *stay))
    if purge:
        yield from _purge(target)
    elif target.state.exists():
        yield f"Stays: {target.state}, the queue and the answers that were paid for (--purge removes it)"
    yield "Recordings and outputs stay where they are"


def _is_ours(unit: Path) -> bool:
    """Return whether there is a unit, and it is Watcher's. Raises ConfigError."""
    try:
        return unit.is_file() and units.is_ours(unit)
    except OSError as exc:
        raise unwritable(exc) from exc


def _unit_files(target: SetupTarget) -> Iterator[Path]:
    """Remove the unit and what setup added to it; yield the files. Raises OSError."""
    for path in (target.drop_in, target.unit):
        if path.is_file() if path == target.drop_in else _is_ours(path):
            path.unlink()
            yield path
    directories = [target.drop_in.parent]
    if not target.system:
        directories += [target.units / "default.target.wants", target.units, target.units.parent]
    for directory in directories:
        with suppress(OSError):
            # A person's own drop-ins, and other units, stay.
            directory.rmdir()


def _program_files() -> Iterator[Path]:
    """Remove the copy of the program; yield what was removed. Raises OSError."""
    if install.is_linked():
        LINK.unlink()
        yield LINK
    if program.remove(PROGRAM):
        yield PROGRAM
    for path in (program.new(PROGRAM), program.old(PROGRAM)):
        # What a set-up that was killed left.
        if program.clear(path):
            yield path


def _purge(target: SetupTarget) -> Iterator[str]:
    if not is_state(target.state):
        yield f"Stays: {target.state}, which is another program's"
        return
    if target.state.is_dir():
        if (pid := holder(target.state)) is not None:
            raise StateError(f"a daemon works on {target.state} (pid {pid})", hint="stop it, and run this again")
        try:
            shutil.rmtree(target.state)
        except OSError as exc:
            raise unwritable(exc) from exc
        yield f"Removed: {target.state}"
    if target.system and install.is_systems_user(USER):
        systemd.remove_user(USER)
        yield f"Removed: the user {USER}"
