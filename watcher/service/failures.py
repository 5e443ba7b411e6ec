"""Failures of recordings that are gone: nobody can do anything about them, so they are forgotten, not listed for ever."""

import errno
import os
from collections.abc import Callable
from typing import Final

import structlog

from watcher import reach
from watcher.job import State
from watcher.ledger import Ledger

_log = structlog.get_logger()

#: Failures looked at in one go.
_MOST: Final = 1000


def forget_gone(ledger: Ledger, *, is_away: Callable[[bytes], bool]) -> list[bytes]:
    """Forget failed sources whose file is not there any more; return their paths.

    `is_away`: nothing can be said about this path, because the disk that it lay on may be elsewhere. Paths of other hosts,
    and those on a mount that hangs, stay known. Raises StateError.
    """
    forgotten = []
    for record in ledger.history.records(State.FAILED, limit=_MOST):
        path = record.path
        if path.startswith(b"/") and not _may_stand(record.root, path) and not is_away(path):
            ledger.queue.forget(path)
            forgotten.append(path)
            _log.info("service.tidied", path=os.fsdecode(path), reason="recording_deleted")
    return forgotten


def _may_stand(root: bytes, path: bytes) -> bool:
    try:
        return reach.ask(root, lambda: stands(path)) is not False
    except reach.SilentError:
        return True


def stands(path: bytes) -> bool | None:
    """Return whether something is at a path; None where that cannot be known now."""
    try:
        os.lstat(path)
    except OSError as error:
        return False if error.errno in _GONE else None
    return True


#: errno of a path at which no recording can be: ELOOP, as no link is followed on the way to one; ENAMETOOLONG, as none of so
#: long a path is taken (an earlier version did).
_GONE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG))
