"""State of a watched folder, for `status`."""

from dataclasses import dataclass
from enum import StrEnum

import structlog

from watcher.folders.remarks import Obstacle
from watcher.settle import GrowingFile, WaitingFile

_log = structlog.get_logger()


class WatchMode(StrEnum):
    """Ways to watch a folder."""

    EVENTS = "events"
    SCAN = "scan"
    #: The folder does not exist or cannot be read; it is tried again.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class FolderState:
    """State of a watched folder, for `status`."""

    name: str
    path: str
    how: WatchMode
    why: str
    filesystem: str
    directories: int
    known: int
    waiting: int
    #: Number of directories without a watch, which are checked every few seconds instead.
    unwatched: int
    #: What to do about a folder that is lost; else "".
    hint: str = ""
    #: The first of the paths below that cannot be read.
    obstacles: tuple[Obstacle, ...] = ()
    #: Some of the files that wait, with the reason.
    incoming: tuple[WaitingFile, ...] = ()
    #: Some of them that are growing.
    growing: tuple[GrowingFile, ...] = ()
    #: Files that look like recordings and are not taken.
    passed_over: int = 0

    def log(self) -> None:
        """Log how the folder is watched, if it exists."""
        if self.how is not WatchMode.LOST:
            _log.info(
                "folder.watching",
                folder=self.name,
                path=self.path,
                how=self.how,
                why=self.why,
                filesystem=self.filesystem,
            )
