"""The program of the system service: a copy, owned by root, of the environment that runs setup.

Nothing is fetched, so that root asks no package index for a name; and nothing of it lies in a home, which services do not
see and other users may write.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

import watcher
from watcher.errors import ConfigError
from watcher.setup import units
from watcher.setup.settings_file import unwritable
from watcher.setup.targets import AGAIN

_PACKAGE: Final = "transcription-watcher"
#: The extra of those who develop it; the others come along where they are installed.
_DEVELOPMENT: Final = "dev"
_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA: Final = re.compile(r"\bextra\s*==\s*['\"]([^'\"]+)['\"]")
_SCRIPT: Final = """\
#!{python}
import sys

from watcher.cli import main

sys.exit(main())
"""


def is_here(program: Path) -> bool:
    """Return whether this process runs the copy itself."""
    return Path(sys.prefix).resolve() == program.resolve()


def prepare(program: Path) -> Path:
    """Make the copy beside its place, and return where it is: `install` puts it there. Raises ConfigError."""
    made = new(program)
    if program.exists() and not (program / "pyvenv.cfg").is_file():
        raise ConfigError(f"{program} is there, and is no virtual environment", hint="move it away")
    python = _python()
    former = os.umask(0o022)
    try:
        clear(made)
        made.parent.mkdir(parents=True, exist_ok=True)
        _called(str(python), "-I", "-m", "venv", "--without-pip", str(made))
        packages = next((made / "lib").glob("python3.*/site-packages"))
        for distribution in _needed():
            _copy(distribution, packages)
        _copy_own(packages)
        shutil.copytree(units.source(), made / units.SHARE)
        script = made / "bin" / "watcher"
        script.write_text(_SCRIPT.format(python=program / "bin" / "python"))
        script.chmod(0o755)
        # The service may not write there, and would compile everything at each start.
        _called(
            *(str(made / "bin" / "python"), "-I", "-m", "compileall", "-qq"),
            *("-s", str(made), "-p", str(program), str(packages)),
        )
    except OSError as exc:
        raise unwritable(exc) from exc
    finally:
        os.umask(former)
    return made


def install(made: Path, program: Path) -> None:
    """Put a copy that `prepare` made into its place; a former one is removed. Raises ConfigError."""
    former = old(program)
    try:
        clear(former)
        with suppress(FileNotFoundError):
            program.rename(former)
        made.rename(program)
        clear(former)
    except OSError as exc:
        raise unwritable(exc) from exc


def new(program: Path) -> Path:
    """Return where a copy is made."""
    return program.with_name(f"{program.name}.new")


def old(program: Path) -> Path:
    """Return where a former copy is while it is replaced."""
    return program.with_name(f"{program.name}.old")


def clear(place: Path) -> bool:
    """Remove what lies at `new` or `old`, whole or not; return whether there was anything. Raises OSError."""
    if not place.is_dir() or place.is_symlink():
        return False
    shutil.rmtree(place)
    return True


def remove(program: Path) -> bool:
    """Remove a virtual environment, if it is there; return whether it was. Raises OSError."""
    return (program / "pyvenv.cfg").is_file() and clear(program)


def _python() -> Path:
    """Return the interpreter for the copy: root's, and of the version that runs this. Raises ConfigError."""
    version = f"python3.{sys.version_info.minor}"
    own = Path(sys.base_prefix, "bin", version)
    found = [path for path in (own, Path("/usr/bin", version)) if path.exists()]
    for path in found:
        library = Path(sysconfig.get_path("stdlib")) if path == own else path
        if _is_fit(path.resolve()) and _is_fit(library.resolve()):
            return path
    raise ConfigError(
        f"this environment is of {own}, which lies in a home, or can be changed by others than root: a system service must not run it",
        hint="install Watcher with the system's own Python: /usr/bin/python3 -m venv DIR && DIR/bin/pip install .",
    )


def _is_fit(path: Path) -> bool:
    """Return whether a service may run what lies at a path: it can get there, and nobody but root can change anything of it."""
    if units.is_hidden(str(path)):
        return False
    for place in (path, *path.parents):
        status = place.stat()
        others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
        if status.st_uid != 0 or others or not status.st_mode & stat.S_IXOTH:
            return False
    return True


def _needed() -> Iterator[metadata.Distribution]:
    """Yield the distributions that Watcher needs, and those of its extras that are installed. Raises ConfigError."""
    seen: set[tuple[str, frozenset[str]]] = set()
    given: set[str] = set()
    wanted: list[tuple[str, frozenset[str]]] = [(_PACKAGE, frozenset())]
    while wanted:
        name, extras = wanted.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            # It is of an extra, or of another system or version of Python: pip left it out, too.
            if name == _PACKAGE:
                raise ConfigError(
                    f"the package {_PACKAGE} is not installed here", hint="install it: pip install ."
                ) from None
            continue
        if name == _PACKAGE:
            extras = frozenset(distribution.metadata.get_all("Provides-Extra", [])) - {_DEVELOPMENT}
        wanted += _required(distribution, extras)
        if name not in given and name != _PACKAGE:
            given.add(name)
            yield distribution


def _required(distribution: metadata.Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what a distribution requires, with some extras: name and extras of each."""
    for requirement in distribution.requires or ():
        text, _, marker = requirement.partition(";")
        extra = _EXTRA.search(marker)
        parts = _REQUIREMENT.match(text)
        if parts is None or (extra is not None and extra[1] not in extras):
            continue
        own = frozenset(word.strip() for word in (parts[2] or "").split(",") if word.strip())
        yield re.sub(r"[-_.]+", "-", parts[1]).lower(), own


def _copy(distribution: metadata.Distribution, packages: Path) -> None:
    """Copy the modules of a distribution. Raises ConfigError and OSError."""
    if distribution.files is None:
        raise ConfigError(
            f"{distribution.name} came with the system, and cannot be copied",
            hint="install Watcher into a virtual environment without the system's packages",
        )
    for file in distribution.files:
        # Scripts and data lie elsewhere, and are not needed.
        if file.is_absolute() or ".." in file.parts or file.suffix == ".pyc":
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(distribution.locate_file(file)), target)


def _copy_own(packages: Path) -> None:
    """Copy Watcher itself, from a checkout or an installation. Raises OSError."""
    shutil.copytree(Path(watcher.__file__).parent, packages / "watcher", ignore=shutil.ignore_patterns("__pycache__"))
    distribution = metadata.distribution(_PACKAGE)
    name = f"{_PACKAGE.replace('-', '_')}-{distribution.version}.dist-info"
    (packages / name).mkdir()
    for file in ("METADATA", "entry_points.txt"):
        (packages / name / file).write_text(distribution.read_text(file) or "")


def _called(*argv: str) -> None:
    """Run a program to its end. Raises ConfigError where it fails.

    A Python gets ``-I``: with ``-m`` alone it imports from the working directory first, where others may write.
    """
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise ConfigError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}", hint=AGAIN)
