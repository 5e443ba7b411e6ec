"""The one JSON envelope around everything a command says."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from watcher.errors import WatcherError
from watcher.log import printable
from watcher.text import columns

#: Raised when a field changes its meaning or goes away; new fields may appear at any time.
VERSION: Final = 1


class Status(StrEnum):
    """How a command ended, all in all."""

    OK = "ok"
    #: It did its work, and some of it failed.
    PARTIAL = "partial"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong; `code` is stable, for scripts."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command yields: data for scripts, text for people."""

    command: str
    data: dict[str, Any] = field(default_factory=dict)
    #: What a person reads on stdout.
    text: str = ""
    errors: tuple[Problem, ...] = ()
    exit_code: int = 0

    @property
    def status(self) -> Status:
        """ok, partial (exit code 1) or error."""
        return {0: Status.OK, 1: Status.PARTIAL}.get(self.exit_code, Status.ERROR)


def envelope(result: Result, *, ascii_only: bool = False) -> str:
    """Return the JSON document of a result, one line, readable by any parser: names that are no UTF-8 are escaped.

    `ascii_only`: for a stream that takes nothing else.
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


def fold(text: str, width: int) -> str:
    """Break lines that a terminal of `width` columns would break in the middle of a word; their indent is kept."""
    return "\n".join(folded for line in text.split("\n") for folded in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    # What goes on behind a backslash is meant for a shell, which would not understand it in pieces.
    if columns(line) <= width or line.endswith("\\"):
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    # What hangs below an arrow or a grade is indented as far as its text.
    hang = indent + ("   " if line.lstrip().startswith("-> ") else "  ")
    folded, at = [""], 0
    for piece in _pieces(line):
        taken = columns(piece.rstrip())
        if at + taken > width and folded[-1].strip():
            folded[-1] = folded[-1].rstrip()
            folded.append(hang)
            at = columns(hang)
            piece = piece.lstrip()  # noqa: PLW2901 - the blank that the new line stands for
        folded[-1] += piece
        at += columns(piece)
    return [*folded[:-1], folded[-1].rstrip()]


def _pieces(line: str) -> Iterator[str]:
    """Yield what may stand on different lines: words with the blanks around them; of text in full width, each character.

    A file's name stays whole, and the path before it, blanks and all: whoever copies it wants all of it. The terminal breaks
    it where it must, and copies it in one piece.
    """
    words = _WORD.findall(line)
    at = 0
    while at < len(words):
        word = "".join(words[at : (behind := _behind_name(words, at))])
        at = behind
        if "/" in word or word.isascii() or _ends_name(word):
            yield word
            continue
        start = 0
        for index, character in enumerate(word):
            if index > start and columns(character) > 1 and unicodedata.category(character) not in _CLOSING:
                yield word[start:index]
                start = index
        yield word[start:]


def _behind_name(words: Sequence[str], at: int) -> int:
    """Return where the words go on behind the path that begins with one; behind that word, where it ends there or is none."""
    if "/" in words[at] and "://" not in words[at]:
        for index in range(at, min(at + _MOST_WORDS, len(words))):
            if index > at and (words[index].startswith("  ") or words[index - 1].endswith((":", ";"))):
                break
            if _ends_name(words[index]):
                return index + 1
    return at + 1


def _ends_name(word: str) -> bool:
    from watcher.settle import AUDIO_SUFFIXES  # noqa: PLC0415 - for a terminal alone, and `status` starts quickly

    _, dot, suffix = word.rstrip(".,:;)\"'").rpartition(".")
    return bool(dot) and (suffix.lower() in AUDIO_SUFFIXES or suffix.lower() in _TEXTS)


#: Suffixes of outputs, notes and settings.
_TEXTS: Final = frozenset({"srt", "txt", "vtt", "json", "toml"})
#: Words of a path: a name has 255 bytes at most.
_MOST_WORDS: Final = 128
#: A word, with the blanks in front of it.
_WORD: Final = re.compile(r"\s*\S+")
#: Categories of what no line begins with: closing brackets and quotes, full stops, commas.
_CLOSING: Final = frozenset({"Pe", "Pf", "Po"})


def problem_of(error: WatcherError) -> Problem:
    """Give an error as the envelope has it."""
    return Problem(error.code, error.message, error.hint)
