"""Values for the parts of an answer as they were read, before their times are interpreted."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from watcher.text import UNSPACED

#: A character of a script without blanks between words, or of its punctuation.
UNSPACED_SIGN: Final = re.compile(rf"[{UNSPACED}\u3000-\u303f\uff00-\uff65]")

#: The characters at which `str.splitlines` ends a line.
LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class NoTranscriptError(Exception):
    """An answer with status 200 that has no transcript; `error`: the JSON object that says why, if there is one.

    `excess`: it has more text than the sound can have, if the known length is right.
    """

    def __init__(self, message: str, *, error: Mapping[str, Any] | None = None, excess: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.error = error
        self.excess = excess


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """A segment or a word of the server; missing times are None."""

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str = ""
    words: tuple["AnswerItem", ...] = ()
    #: The server's own object, which holds the metrics.
    entry: Mapping[str, Any] | None = None
    #: Its times are seconds, by their name or notation. Otherwise `timing.in_seconds` finds out their unit.
    exact: bool = False


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """The parts of an answer, in the answer's order; each may be missing."""

    text: str = ""
    segments: tuple[AnswerItem, ...] = ()
    #: Words in a list of their own, not inside the segments.
    words: tuple[AnswerItem, ...] = ()
    #: ISO code; "" if the answer names no known language.
    language: str = ""
    #: The audio's length as the answer states it, in the answer's unit; 0: not stated.
    duration: float = 0.0
    #: How sure the server is of the language, from 0 to 1; None: it does not say.
    language_probability: float | None = None


def spliced(before: str, after: str) -> str:
    """Join two texts, with a blank between them if their scripts use blanks."""
    return before + _between(before, after) + after


def together(texts: Iterable[str]) -> str:
    """Join several texts, as `spliced` does with two."""
    parts = [""]
    for text in filter(None, texts):
        parts += [_between(parts[-1], text), text]
    return "".join(parts)


def _between(before: str, after: str) -> str:
    if not before or not after or (UNSPACED_SIGN.match(before[-1]) and UNSPACED_SIGN.match(after[0])):
        return ""
    return " "
