"""The settings that setup writes, and the copies of those that were there before."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watcher.config.example import toml
from watcher.errors import ConfigError
from watcher.setup.targets import AGAIN, SetupTarget

#: The first line of each file that setup wrote, by which `--undo` knows it.
MARK: Final = "# Written by `watcher setup`"
_HEAD: Final = f"{MARK}. Change what you like: `watcher config --example` shows every setting.\n"
#: Modes of the settings and of the key.
_PRIVATE: Final = 0o600
_OF_GROUP: Final = 0o640


@dataclass(frozen=True, slots=True)
class ChosenSettings:
    """What a person chose."""

    folders: tuple[str, ...]
    url: str
    model: str
    #: "": no key.
    key: str = ""

    def text(self, target: SetupTarget) -> str:
        """Return the settings file."""
        api = {"url": self.url, "model": self.model}
        if self.key and not target.system:
            # The system's service gets it as a credential alone; a person's commands need it, too.
            api["key_file"] = str(target.key)
        lines = ["[api]", *(f"{key} = {toml(value)}" for key, value in api.items())]
        for folder in self.folders:
            lines += ["", "[[folders]]", f"path = {toml(folder)}"]
        return "\n".join([_HEAD, *lines, ""])


def is_changed(target: SetupTarget, chosen: ChosenSettings) -> bool:
    """Return whether files are there already that `write` would replace with others. Raises ConfigError."""
    return _differs(target.settings, chosen.text(target)) or _differs(target.key, _key_text(chosen))


def write(target: SetupTarget, chosen: ChosenSettings, *, group: int | None = None) -> list[Path]:
    """Write settings and key, and return the copies of those that were there and are different.

    `group`: id of the group that may read the settings; None: nobody but their owner. Raises ConfigError.
    """
    text = chosen.text(target)
    try:
        target.settings_directory.mkdir(parents=True, exist_ok=True, mode=0o755 if target.system else 0o700)
        copies = _set_aside(target, chosen)
        _write(target.settings, text, group=group)
        if chosen.key:
            _write(target.key, _key_text(chosen))
    except OSError as exc:
        raise unwritable(exc) from exc
    return copies


def remove(target: SetupTarget) -> tuple[list[Path], list[Path]]:
    """Remove the settings that setup wrote, with their keys and their copies; return what was removed, and what stays.

    Settings that a person wrote stay. Raises ConfigError.
    """
    removed, stay = [], []
    try:
        found = target.settings_directory.glob(f"{target.settings.name}*")
        for settings in sorted(path for path in found if path.is_file()):
            key = target.key.with_name(target.key.name + settings.name.removeprefix(target.settings.name))
            files = [path for path in (settings, key) if path.is_file()]
            if not is_ours(settings):
                stay += files
                continue
            for path in files:
                path.unlink()
            removed += files
        for path in (target.settings, target.key):
            # What a set-up that was killed left.
            _new(path).unlink(missing_ok=True)
        with suppress(OSError):
            # It holds what somebody else put there.
            target.settings_directory.rmdir()
    except OSError as exc:
        raise unwritable(exc) from exc
    return removed, stay


def is_ours(path: Path) -> bool:
    """Return whether setup wrote a file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()


def unwritable(exc: OSError) -> ConfigError:
    """Return the error of a file that could not be written or removed."""
    what = f"{exc.filename} cannot be changed" if exc.filename else "a file cannot be changed"
    return ConfigError(f"{what}: {exc.strerror or exc}", hint=AGAIN)


def _key_text(chosen: ChosenSettings) -> str:
    return f"{chosen.key}\n" if chosen.key else ""


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() != text.encode()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror or exc}", hint="let this user read it") from exc


def _set_aside(target: SetupTarget, chosen: ChosenSettings) -> list[Path]:
    """Rename what would be replaced to the next number that is free; return the new names. Raises OSError.

    A copy of a key has the number of a copy of settings, so that `remove` knows whose it is.
    """
    if not is_changed(target, chosen):
        return []
    keys = [target.key] if _differs(target.key, _key_text(chosen)) else []
    number = 1
    while any(path.with_name(f"{path.name}.{number}").exists() for path in (target.settings, target.key)):
        number += 1
    files = [path for path in (target.settings, *keys) if path.exists()]
    return [path.rename(path.with_name(f"{path.name}.{number}")) for path in files]


def _write(path: Path, text: str, *, group: int | None = None) -> None:
    """Write a file whole or not at all; nobody else can read it at any moment. Raises OSError."""
    made = _new(path)
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if group is not None:
            os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, _OF_GROUP)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    made.replace(path)


def _new(path: Path) -> Path:
    """Return the name under which a file is written, before it takes the place of another one."""
    return path.with_name(f".{path.name}.new")


def folders_of(folders: Sequence[str]) -> tuple[str, ...]:
    """Return folders as whole paths, each once; links stay. Raises ConfigError for what no settings file can hold."""
    paths = []
    for folder in folders:
        path = os.path.abspath(os.path.expanduser(folder))  # noqa: PTH100, PTH111 - links stay
        if not path.isprintable():
            raise ConfigError(f"{path!r} is no name for a watched folder", hint="use one without special characters")
        paths.append(path)
    return tuple(dict.fromkeys(paths))
