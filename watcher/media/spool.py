"""The files of pieces that are cut and not sent yet: each cutting has a directory of its own."""

import contextlib
import os
import shutil
import tempfile
from itertools import islice
from pathlib import Path
from typing import Final

from watcher.media.failures import unwritable

_PREFIX: Final = "job-"
#: Most files that are looked at in a job's directory: more than there are requests in flight (`api.concurrency`).
_MOST_FILES: Final = 1000


def clear_spool(spool: Path) -> None:
    """Remove files that a crashed daemon left in the spool; call it before any job runs."""
    for left in spool.glob(_PREFIX + "*"):
        shutil.rmtree(left, ignore_errors=True)


def new_directory(spool: Path) -> Path:
    """Make a directory for the pieces of a recording. Raises OutputError."""
    try:
        spool.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=spool))
    except OSError as exc:
        raise unwritable(spool, exc) from exc


def empty(path: Path) -> None:
    """Empty a file; do not remove it.

    An attacker who controls the child may still have it open, and could write unseen into a file without a name. The name is removed
    with the directory. Raises nothing: the caller may have a paid answer.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))


def sizes(directory: Path) -> list[int]:
    """Return the sizes of the files in a directory, without files that are gone meanwhile; of too many, only the first ones.

    If others are made as quickly as they are looked at, a directory has no end. Raises OSError.
    """
    found = []
    with os.scandir(directory) as entries:
        for entry in islice(entries, _MOST_FILES):
            with contextlib.suppress(FileNotFoundError):
                found.append(entry.stat(follow_symlinks=False).st_size)
    return found
