"""Break lines for a terminal at blanks; file names are not broken, so that they can be copied."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from watcher.output_kinds import OUTPUT_EXTENSIONS
from watcher.text import columns


def fold(text: str, width: int) -> str:
    """Break lines that are longer than `width` columns at blanks; keep their indent."""
    return "\n".join(folded for line in text.split("\n") for folded in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    # A line with a backslash at its end is for a shell, which would not understand it in parts.
    if _width(line) <= width or line.endswith("\\"):
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    # Lines below an arrow or a grade are indented as far as its text.
    hang = indent + ("   " if line.lstrip().startswith("-> ") else "  ")
    folded, at = [""], 0
    for piece in _pieces(line):
        taken = _width(piece.rstrip())
        if at + taken > width and folded[-1].strip():
            folded[-1] = folded[-1].rstrip()
            folded.append(hang)
            at = _width(hang)
            piece = piece.lstrip()  # noqa: PLW2901 - the blank that the new line replaces
        folded[-1] += piece
        at += _width(piece)
    return [*folded[:-1], folded[-1].rstrip()]


def _width(text: str) -> int:
    """Return the columns of a text without its colours."""
    return columns(_COLOR.sub("", text))


def _pieces(line: str) -> Iterator[str]:
    """Yield the parts between which a line may be broken: words with their blanks; in text of full width, each character.

    A file's path is one part, with its blanks, so that a person can copy it. If the terminal has to break
    it, it still copies it as one line.
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
            if index > start and _width(character) > 1 and unicodedata.category(character) not in _CLOSING:
                yield word[start:index]
                start = index
        yield word[start:]


def _behind_name(words: Sequence[str], at: int) -> int:
    """Return the index after the path that starts at `at`, or after this word if that is the whole path or none."""
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
    return bool(dot) and (suffix.lower() in AUDIO_SUFFIXES or suffix.lower() in _TEXT_SUFFIXES)


#: Suffixes of outputs, notes and settings.
_TEXT_SUFFIXES: Final = frozenset({*OUTPUT_EXTENSIONS, "txt", "toml"})
#: Words of a path: a name has 255 bytes at most.
_MOST_WORDS: Final = 128
#: A word, with the blanks in front of it.
_WORD: Final = re.compile(r"\s*\S+")
#: Unicode categories of characters that no line begins with: closing brackets and quotes, full stops, commas.
_CLOSING: Final = frozenset({"Pe", "Pf", "Po"})
#: Sequences that set or reset a colour.
_COLOR: Final = re.compile(r"\x1b\[[0-9;]*m")
