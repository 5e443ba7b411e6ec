"""Results of commands, and their common JSON envelope. A command returns a value, which only this module turns into output."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from watcher.errors import WatcherError
from watcher.text import printable

#: Version of the envelope: it is raised when a field changes its meaning or is removed; new fields may appear at any time.
VERSION: Final = 1


class CommandStatus(StrEnum):
    """Overall result of a command."""

    OK = "ok"
    #: It did its work, and some of it failed.
    PARTIAL = "partial"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ReportedError:
    """One error; `code` is stable, for scripts."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a command: data for scripts, text for people."""

    command: str
    data: dict[str, Any] = field(default_factory=dict)
    #: Text for people, on stdout.
    text: str = ""
    errors: tuple[ReportedError, ...] = ()
    exit_code: int = 0

    @property
    def status(self) -> CommandStatus:
        """ok, partial (exit code 1) or error."""
        return {0: CommandStatus.OK, 1: CommandStatus.PARTIAL}.get(self.exit_code, CommandStatus.ERROR)


def envelope(result: Result, *, ascii_only: bool = False) -> str:
    """Return the JSON document of a result, one line, readable by any parser: names that are no UTF-8 are escaped.

    `ascii_only`: for a stream that accepts only ASCII.
    """
    document = {
        "version": VERSION,
        "command": result.command,
        "status": result.status,
        "exit_code": result.exit_code,
        "data": result.data,
        "errors": [asdict(problem) for problem in result.errors],
    }
    return json.dumps(_unicode(document), ensure_ascii=ascii_only)


def _unicode(value: Any) -> Any:
    """Return a value of JSON in which every text, keys too, is proper Unicode."""
    match value:
        case str():
            return value if value.isascii() or _is_unicode(value) else printable(value)
        case dict():
            return {_unicode(key): _unicode(one) for key, one in value.items()}
        case list() | tuple():
            return [_unicode(one) for one in value]
        case _:
            return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def problem_of(error: WatcherError) -> ReportedError:
    """Return an error in the form of the envelope."""
    return ReportedError(error.code, error.message, error.hint)
