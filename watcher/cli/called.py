"""The command with which a person can call this program again."""

import os
import shutil
import sys
from pathlib import Path

from watcher.log import quoted


def called() -> str:
    """Return the program's name for a shell: the plain name if PATH finds it, else its path."""
    program = sys.argv[0]
    if not os.access(program, os.X_OK) or Path(program).name == "__main__.py":
        return f"{quoted(sys.executable)} -m watcher"
    found = shutil.which("watcher")
    if found is not None and Path(found).samefile(program):
        return "watcher"
    return quoted(program)
