"""Forget failures of recordings that are gone: nobody can do anything about them, so they should not be listed forever."""

import errno
import os
from collections.abc import Callable, Collection, Iterable
from typing import Final

import structlog

from watcher import reach, tree
from watcher.job import State, is_session
from watcher.ledger import Ledger

_log = structlog.get_logger()

#: Failures checked at a time.
_MOST: Final = 1000


def forget_gone(ledger: Ledger, *, away: Callable[[Collection[bytes]], Collection[bytes]]) -> list[bytes]:
    """Forget failed sources whose file is gone; return their paths.

    `away`: returns those of some paths that may come back, because their disk may be unmounted; it is called once. Sources of
    other hosts, and those on a mount that hangs, stay known. Raises StateError.
    """
    failed = {record.path: record.root for record in ledger.history.records(State.FAILED, limit=_MOST)}
    roots = frozenset(failed.values())
    gone = _gone((path for path in failed if path.startswith(b"/")), roots)
    if gone:
        kept = frozenset(away(gone))
        # Look once more: a disk may have been mounted meanwhile.
        gone = _gone((path for path in gone if path not in kept), roots)
    for path in gone:
        ledger.queue.forget(path)
        _log.info("service.tidied", path=os.fsdecode(path), reason="recording_deleted")
    return gone


def _gone(paths: Iterable[bytes], roots: Collection[bytes]) -> list[bytes]:
    return [path for path, there in standing(paths, roots).items() if there is False]


def standing(paths: Iterable[bytes], roots: Collection[bytes]) -> dict[bytes, bool | None]:
    """Return of each path whether something is there, as `stands` does; None also where its root does not answer.

    Each path is looked at from the nearest of `roots` above it, or else from ``/``, in helper threads.
    """
    below: dict[bytes, list[bytes]] = {}
    found: dict[bytes, bool | None] = {}
    for path in paths:
        below.setdefault(root_above(path, roots), []).append(path)
    for root, those in below.items():
        for first in range(0, len(those), _TOGETHER):
            found |= _looked_at(root, those[first : first + _TOGETHER])
    return found


def root_above(path: bytes, roots: Collection[bytes]) -> bytes:
    """Return the nearest of `roots` above a path, or else ``/``."""
    above = os.path.dirname(path)  # noqa: PTH120 - bytes
    while above not in roots and above not in {b"/", b""}:
        above = os.path.dirname(above)  # noqa: PTH120 - bytes
    return above or b"/"


def _looked_at(root: bytes, paths: list[bytes]) -> dict[bytes, bool | None]:
    try:
        return reach.ask(root, lambda: {path: stands(root, path) for path in paths})
    except reach.SilentError:
        return dict.fromkeys(paths)


def stands(root: bytes, path: bytes) -> bool | None:
    """Return whether something is at a path below a root, with no link on the way; None where that cannot be known now.

    A session is there while its folder is. May hang where something is mounted below the root.
    """
    try:
        tree.status(root, os.path.dirname(path) if is_session(path) else path)  # noqa: PTH120 - bytes
    except OSError as error:
        return False if error.errno in _GONE else None
    except ValueError:  # not below the root, or no plain path
        return None
    return True


#: Paths that one question is about: few, as others who ask about the root wait for its answer, and a slow server takes a while for each.
_TOGETHER: Final = 20
#: errno of a path at which no recording can be: ENOTDIR and ELOOP, as no link is followed on the way to one; ENAMETOOLONG, as
#: none of so long a name is taken.
_GONE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG))
