"""Questions to a person at a terminal; without a terminal, no question is asked."""

import os
import sys
from typing import Final

from watcher.cli.options import write

_YES: Final = frozenset({"y", "yes"})


def is_person() -> bool:
    """Return whether a person can be asked: stdin and stderr are a terminal, and this is its foreground process.

    The kernel would stop a background process that reads from the terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        # It is not the terminal of this process.
        return False


def ask(question: str) -> str:
    """Print a question, and return the line that a person types, without blanks around it; "" at the end of the input."""
    # On stderr: stdout is data.
    write(sys.stderr, question)
    sys.stderr.write("> ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def agreed(question: str, *, usual: bool = False) -> bool:
    """Return whether a person answers yes; `usual`: the answer for Enter alone."""
    answer = ask(f"{question} {'[Y/n]' if usual else '[y/N]'}").lower()
    return answer in _YES if answer else usual
