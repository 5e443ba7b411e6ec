"""Options that several commands share, and functions that read them."""

import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer

from watcher import reach
from watcher.config import Config, Surroundings, load, state_place
from watcher.errors import StateError, UsageError
from watcher.folding import fold
from watcher.log import unprinted
from watcher.report import ReportedError, Result, envelope
from watcher.spelling import on_disk
from watcher.text import printable

EndpointName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The endpoint, as in [endpoints.NAME]; without it: all.", show_default=False),
]
FixFirst = Annotated[
    bool,
    typer.Option(
        "--fix",
        help="First put right what is safe, and ask before each change: missing folders, the service's rights to them.",
    ),
]
ListenAddress = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="The address to listen at; 0.0.0.0: all, so that other machines or containers reach it. Give it a key then.",
    ),
]
ListenPort = Annotated[
    int, typer.Option(min=0, max=65535, metavar="PORT", help="The port to listen at; 0: any free one.")
]
OneModel = Annotated[
    str, typer.Option("--model", "-m", metavar="MODEL", help="The model to ask for, instead of that of the settings.")
]
OneLanguage = Annotated[
    str, typer.Option("--language", "-l", metavar="CODE", help="The code of the speech's language, for example de.")
]
OneEndpoint = Annotated[
    str, typer.Option("--endpoint", "-e", metavar="NAME", help="The endpoint to ask, of those that the folder allows.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The settings file.", show_default=False, dir_okay=False),
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="One setting, for example api.model=whisper-1.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Use the offline engine: no key, no server. Whisper, or pocketsphinx for trying out (English, poor).",
    ),
]

Unasked = Annotated[bool, typer.Option("--yes", help="Ask nothing at a terminal.")]


class ServiceKind(StrEnum):
    """The kinds of services that `setup` installs."""

    USER = "user"
    SYSTEM = "system"


def media_path(given: str) -> Path:
    """Read a path of the command line; its Unicode normalisation may differ from the disk's.

    It may also be a path printed by `status`, with escapes for unprintable characters. A path that does not exist, may not be
    read, or is on a mount that hangs is not refused here: the command reports that.
    """
    path = os.fsencode(given)
    try:
        return Path(os.fsdecode(reach.ask(path, lambda: _looked_up(path))))
    except reach.SilentError:
        return Path(given)


def _looked_up(path: bytes) -> bytes:
    """Return a path in the disk's spelling."""
    found = on_disk(path)
    if not os.path.lexists(found) and (meant := unprinted(os.fsdecode(path))):
        found = next((name for name in meant if os.path.lexists(name)), meant[0])
    return found


#: Paths of finished recordings.
Transcribed = Annotated[
    list[Path], typer.Argument(parser=media_path, metavar="PATH", help="Transcribed files, or folders with some.")
]

#: Exit code after Ctrl-C, as shells count it: 128 + SIGINT.
INTERRUPTED: Final = 130


class UnwritableError(StateError):
    """The standard output cannot be written: a full disk."""


class InterruptError(Exception):
    """Ctrl-C, in a form that the parser does not turn into an exit code."""


def configured(
    file: Path | None,
    given: Sequence[str] | None,
    *,
    folders: Sequence[Path] = (),
    extra: dict[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    credential: Callable[[str], Path | None] | None = None,
    alone: bool = False,
) -> Config:
    """Load the settings, with those of the command line on top; `credential`: the file of each key, if it is elsewhere.

    `extra`: settings by section from other options; `options`: the option for each dotted key of them; `alone`: see `load`.
    """
    return _as_spelled(
        load(
            _assigned(given, extra),
            environ=os.environ,
            file=file,
            folders=[os.path.abspath(folder) for folder in folders],  # noqa: PTH100 - links stay
            credential=credential,
            options=options,
            alone=alone,
        )
    )


def state_without_settings(file: Path | None, given: Sequence[str] | None) -> tuple[Path, str] | None:
    """Return the state's directory and url if other settings are broken; None: not known."""
    return state_place(_assigned(given), environ=os.environ, file=file)


def _assigned(given: Sequence[str] | None, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return settings by section, of ``--set`` and of other options. Raises UsageError."""
    layer: dict[str, Any] = {section: dict(keys) for section, keys in (extra or {}).items()}
    for assignment in given or ():
        key, equals, text = assignment.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not section or (dot and not name):
            raise UsageError(
                f"--set {assignment} is no assignment", hint="write section.key=value, for example api.model=whisper-1"
            )
        if not dot:
            # `--set api=...` is invalid; let the settings report it.
            layer[section] = _value(text.strip())
            continue
        place = layer
        for part in (section, *(name.split(".")[:-1] if section == "endpoints" else ())):
            place = below if isinstance(below := place.setdefault(part, {}), dict) else {}
        place[name.rpartition(".")[2] if section == "endpoints" else name] = _value(text.strip())
    return layer


def _as_spelled(config: Config) -> Config:
    """Return the settings with the watched folders in the disk's spelling, if they exist."""
    named = [folder for folder in config.settings.folders if not folder.path.isascii()]
    if not named:
        return config
    found = reach.ask_all({(path := os.fsencode(folder.path)): partial(on_disk, path) for folder in named})
    spelled = {os.fsdecode(path): os.fsdecode(there) for path, there in found.items() if isinstance(there, bytes)}
    folders = tuple(
        folder.model_copy(update={"path": spelled.get(folder.path, folder.path)}) for folder in config.settings.folders
    )
    return replace(config, settings=config.settings.model_copy(update={"folders": folders}))


def surroundings() -> Surroundings:
    """Return the surroundings of this process: its environment and directories."""
    return Surroundings.of(os.environ)


def show(result: Result, *, as_json: bool) -> int:
    """Print a result and return its exit code; problems go to stderr, for people."""
    if as_json:
        write_document(result)
        return result.exit_code
    if result.text:
        write(sys.stdout, result.text.rstrip("\n"))
    for problem in _by_hint(result.errors):
        complain(problem)
    return result.exit_code


def _by_hint(problems: Sequence[ReportedError]) -> Iterator[ReportedError]:
    """Yield the problems; join those with the same hint, so that it is printed only once."""
    alike: dict[object, list[ReportedError]] = {}
    for number, problem in enumerate(problems):
        alike.setdefault(problem.hint or number, []).append(problem)
    for group in alike.values():
        yield replace(group[0], message="\n".join(problem.message for problem in group))


def write_document(result: Result) -> None:
    """Write the JSON document of a result to stdout, in any encoding."""
    utf_8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    _put(sys.stdout, envelope(result, ascii_only=not utf_8))


def write(stream: TextIO, text: str) -> None:
    """Write a text for people: folded at the width of a terminal, unchanged on a pipe; unprintable characters are escaped."""
    safe = "\n".join(printable(line) for line in text.split("\n"))
    _put(stream, fold(safe, shutil.get_terminal_size().columns) if stream.isatty() else safe)


def _put(stream: TextIO, text: str) -> None:
    """Write a text and a line end. Raises BrokenPipeError if the reader is gone, UnwritableError if it cannot be written."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        silence(stream)
        raise UnwritableError(
            f"the output cannot be written: {exc.strerror or exc}",
            hint="check the disk, or the program that it is sent to",
        ) from exc


def silence(stream: TextIO) -> None:
    """Discard unwritten and further output: otherwise the interpreter would try to write it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def complain(problem: ReportedError) -> None:
    """Write a problem and its hint to stderr; if stderr cannot be written, only the exit code shows the problem."""
    with suppress(BrokenPipeError, UnwritableError):
        for line in problem.message.split("\n"):
            write(sys.stderr, f"watcher: {line}")
        if problem.hint:
            write(sys.stderr, f"  -> {problem.hint}")


def _value(text: str) -> str:
    """Return a value; the quotes of TOML are optional, so that nobody has to quote twice."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else text
