"""Log lines about files and directories that are left out: each once, and not many per minute."""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from watcher.folders.directories import MOST
from watcher.folders.known import MOST as MOST_FILES
from watcher.folders.root_location import RootLocation, child
from watcher.folders.unwatched import UnwatchedFiles
from watcher.settle import DEEPEST, NameRuling, PathTable, Quota, is_audio
from watcher.text import printable

_log = structlog.get_logger()

#: Number of ignored paths that are remembered, so that each is logged once.
_IGNORED: Final = 10_000
#: Bytes of the directories that could not be listed, some 10,000 with paths of usual length. Each scan tries all of them.
_CLOSED_BYTES: Final = 8_000_000
_SPLIT: Final = (
    "watch some of the folders below it as folders of their own ([[folders]] path = …), or leave some out (exclude)"
)
#: Messages about a root with more directories than are remembered, and about one in which more wait for a scan than can; and
#: what to do about it.
CROWDED: Final = (
    f"it has more folders than the {MOST:,} or so that are remembered",
    f"what the kernel does not tell of is found in the others every ten minutes: {_SPLIT}",
)
OVERCROWDED: Final = ("it has more folders than can be looked into", f"some are left out: {_SPLIT}")
#: And about one with more recordings than are remembered.
FILLED: Final = (
    f"it has more recordings than the {MOST_FILES:,} that are remembered",
    f"each scan looks at the others once more, and takes longer: {_SPLIT}",
)
#: From the least to the worst; the worst is a directory that is endless.
_RANKS: Final = (None, FILLED, CROWDED, OVERCROWDED)
#: What to do about a directory that cannot be listed.
CLOSED_HINT: Final = (
    "let the user that Watcher runs as list it: chmod g+rx where the user is in its group, else chmod o+rx"
)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A file or directory that cannot be read, with the reason and what to do about it."""

    path: bytes
    why: str
    hint: str


class Remarks:
    """Logs what is left out of one root. Owned by the finder's thread."""

    def __init__(self, location: RootLocation, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._location = location
        #: Directories that could not be listed, with the reason.
        self.closed = PathTable[str]()
        self.closed.most = _CLOSED_BYTES
        #: Why not all files and directories are remembered or scanned, and what to do about it; None: all are.
        self.crowded: tuple[str, str] | None = None
        self._ignored: set[int] = set()
        self._quota = Quota(60, per=60.0, monotonic=monotonic)

    def ignore(self, relative: str, reason: str, *, quiet: bool = False) -> None:
        """Log that a file is ignored. `quiet`: at debug level."""
        if not self._first_time(relative, reason):
            return
        path = os.fsdecode(child(self._location.path, relative))
        if quiet or not self._quota.spend():
            _log.debug("file.ignored", path=path, reason=reason)
        else:
            _log.info("file.ignored", path=path, reason=reason)

    def not_regular(
        self, parent: bytes, name: str, status: os.stat_result, unwatched: UnwatchedFiles | None = None
    ) -> None:
        """Log a thing that is named like a recording and is no file; count a link."""
        relative = self._location.relative(child(parent, name))
        if not is_audio(name) or self._location.names.file(relative) is not NameRuling.TAKE:
            return
        self.ignore(relative, kind_of(status.st_mode))
        if unwatched is not None and stat.S_ISLNK(status.st_mode):
            unwatched.add(name, "symlink")

    def unreadable(self, path: bytes, error: OSError) -> None:
        """Log a directory that could not be listed, once per reason."""
        reason = error.strerror or str(error)
        told = self.closed.get(path) == reason
        if path == self._location.path:  # the monitor reports the root itself
            return
        if path in self.closed or not self.closed.full:
            self.closed[path] = reason
        if not told and self._quota.spend():
            _log.warning(
                "folder.degraded",
                folder=self._location.folder.name,
                path=os.fsdecode(path),
                reason="unreadable",
                error=reason,
                hint=CLOSED_HINT,
            )

    def too_deep(self, path: bytes) -> None:
        """Log that a directory is nested too deeply to be listed."""
        if not self._first_time(self._location.relative(path), "too_deep") or not self._quota.spend():
            return
        _log.warning(
            "folder.degraded",
            folder=self._location.folder.name,
            path=os.fsdecode(path),
            reason="too_deep",
            hint=f"recordings are looked for in {DEEPEST} levels of folders, and where no path, that of an output or a note "
            f"included, can have more than {self._location.folder.longest_path:,} bytes: move what lies deeper up, or give "
            "its folders shorter names",
        )

    def too_many(self, why: tuple[str, str]) -> None:
        """Log that there are too many files or directories; once until there is room.

        `why`: FILLED, CROWDED, OVERCROWDED, or what `endless` returns; of several, the worst counts.
        """
        if _rank(why) > _rank(self.crowded):
            self.crowded = why
            message, hint = why
            _log.warning(
                "folder.degraded",
                folder=self._location.folder.name,
                path=os.fsdecode(self._location.path),
                reason="too_many",
                message=message,
                hint=hint,
            )

    def has_room(self) -> None:
        """Note that all files and directories are remembered."""
        self.crowded = None

    def _first_time(self, relative: str, reason: str) -> bool:
        key = hash((relative, reason))
        if key in self._ignored:
            return False
        if len(self._ignored) >= _IGNORED:
            self._ignored.clear()
        self._ignored.add(key)
        return True


def endless(path: bytes, names: int) -> tuple[str, str]:
    """Return the message about a directory with more than so many names, and what to do about it."""
    return (
        f"{printable(path)} has more than {names:,} names, and those beyond are left out",
        "move some of its files into other folders; if it does not have so many, its file system is broken: leave it out (exclude)",
    )


def _rank(why: tuple[str, str] | None) -> int:
    return _RANKS.index(why) if why in _RANKS else len(_RANKS)


def kind_of(mode: int) -> str:
    """Return the kind of a thing that is no regular file."""
    for test, kind in (
        (stat.S_ISDIR, "directory"),
        (stat.S_ISLNK, "symlink"),
        (stat.S_ISFIFO, "fifo"),
        (stat.S_ISSOCK, "socket"),
    ):
        if test(mode):
            return kind
    return "device"
