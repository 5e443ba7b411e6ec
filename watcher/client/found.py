"""Parts of an answer before their times are interpreted: the values between the readers and the transcript."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from watcher.text import UNSPACED

#: A character of a script without blanks between words, or of its punctuation.
UNSPACED_SIGN: Final = re.compile(rf"[{UNSPACED}\u3000-\u303f\uff00-\uff65]")

#: Where `str.splitlines` ends a line.
LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class NoTranscriptError(Exception):
    """A 200 that holds no transcript; `error` is the JSON object that says why, if there is one.

    `excess`: it holds more than the sound can, as far as is known how long that is.
    """

    def __init__(self, message: str, *, error: Mapping[str, Any] | None = None, excess: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.error = error
        self.excess = excess


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """A segment or a word as the server gave it; a time that is missing is None."""

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str = ""
    words: tuple["AnswerItem", ...] = ()
    #: The server's own object, which holds the metrics.
    entry: Mapping[str, Any] | None = None
    #: Its times are seconds: their name or notation says so. Else `timing.in_seconds` finds their unit out.
    exact: bool = False


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """The parts of an answer in the order they are in it; each may be missing."""

    text: str = ""
    segments: tuple[AnswerItem, ...] = ()
    #: Words that are beside the segments, not inside of them.
    words: tuple[AnswerItem, ...] = ()
    #: ISO code; "" where the answer names none that is known.
    language: str = ""
    #: The answer's own word about the length of its audio, in the answer's unit; 0: none.
    duration: float = 0.0
    #: How sure the server is of the language, from 0 to 1; None: it does not say.
    language_probability: float | None = None


def spliced(before: str, after: str) -> str:
    """Return two texts as one, with a blank between them where their scripts have one."""
    return before + _between(before, after) + after


def together(texts: Iterable[str]) -> str:
    """Return several texts as one, as `spliced` does with two."""
    parts = [""]
    for text in filter(None, texts):
        parts += [_between(parts[-1], text), text]
    return "".join(parts)


def _between(before: str, after: str) -> str:
    if not before or not after or (UNSPACED_SIGN.match(before[-1]) and UNSPACED_SIGN.match(after[0])):
        return ""
    return " "
