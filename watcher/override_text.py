"""Read and parse the text of a `.watcher.toml`, which may have been written to take long."""

import os
import stat
import tomllib
from typing import Final

from watcher import tree

#: Bytes that are read.
_LIMIT: Final = 64 * 1024
#: Most dots in a file. tomllib's time grows with the square of a dotted key's length: 10 s for 32 KiB, 0.04 s for this many
#: (measured, 3.11).
_MOST_DOTS: Final = 1000
#: Most dots times lines. tomllib walks a table's dotted name again for each key below it: 3 s for 1,000 dots and 11,000 lines,
#: 0.03 s for this product.
_MOST_DOTS_BY_LINES: Final = 100_000
#: Characters between the parts of a file, and how many of them it may have: of 64 KiB of empty tables, tomllib needed 0.3 s, of so
#: many 0.05 s. A useful file has some hundred.
_BETWEEN_PARTS: Final = "\n,=[\\"
_MOST_PARTS: Final = 4000
#: Most characters of a problem.
_LONGEST_PROBLEM: Final = 1000
_NO_FILE: Final = "it is no regular file"


class UnusableError(Exception):
    """The error for a file that cannot be used."""


def read(directory: int, name: bytes, found: os.stat_result | None) -> bytes:
    """Return the content of a file in an open directory; `found`: its stat, None if that failed.

    Raises UnusableError, and FileNotFoundError if it is not there any more.
    """
    if found is not None and stat.S_ISLNK(found.st_mode):
        raise UnusableError("it is a symbolic link, which is not followed")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise UnusableError(_NO_FILE)
    try:
        descriptor = tree.open_below(directory, name)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnusableError(_NO_FILE)
            content = b""
            while len(content) <= _LIMIT and (more := os.read(descriptor, _LIMIT + 1 - len(content))):
                content += more
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise UnusableError(f"it can't be read: {exc.strerror or exc}") from exc
    if len(content) > _LIMIT:
        raise UnusableError(f"it is longer than {_LIMIT // 1024} KiB")
    return content


def text_of(content: bytes) -> str:
    """Return the text of a file. Raises UnusableError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UnusableError("it is not UTF-8 text") from exc


def parsed(text: str) -> dict[str, object]:
    """Parse a file. Raises UnusableError, also for one that would take long."""
    if text.count(".") > _MOST_DOTS:
        raise UnusableError(f"it has more than {_MOST_DOTS} dots, which no such file needs")
    if text.count(".") * text.count("\n") > _MOST_DOTS_BY_LINES:
        raise UnusableError("it has more lines and dots than any such file needs")
    if sum(map(text.count, _BETWEEN_PARTS)) > _MOST_PARTS:
        raise UnusableError("it has more lines, keys and items than any such file needs")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise UnusableError("it is nested too deeply") from None
    except Exception as exc:  # any error of the parser about untrusted text is that text's problem
        raise UnusableError(f"it is not TOML: {brief(exc)}") from exc


def brief(exc: Exception) -> str:
    """Return an exception's message, as one line for a note."""
    words = " ".join(str(exc).split()) or type(exc).__name__
    return words if len(words) <= _LONGEST_PROBLEM else f"{words[:_LONGEST_PROBLEM]}…"
