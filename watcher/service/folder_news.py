"""Notice which folders are lost and which are watched, for webhooks."""

from collections.abc import Callable, Mapping, Sequence

from watcher.folders import FolderState
from watcher.folders.folder_state import WatchMode
from watcher.text import printable


class FolderNews:
    """Compares the states of the folders with those of the last call."""

    def __init__(self, announce: Callable[[str, Mapping[str, object]], None]) -> None:
        """`announce` takes an event and its facts."""
        self._announce = announce
        #: How each folder is watched.
        self._known: dict[str, WatchMode] = {}

    def look(self, states: Sequence[FolderState]) -> None:
        """Announce ``folder.lost`` for each folder that is lost now and was not, and ``folder.watching`` for the others that changed."""
        # A folder without a reason is not watched yet, and not lost either.
        current = {folder.path: folder for folder in states if folder.how is not WatchMode.LOST or folder.why}
        for path, folder in current.items():
            if self._known.get(path) is folder.how:
                continue
            facts: dict[str, object] = {"folder": folder.name, "path": printable(path)}
            if folder.how is WatchMode.LOST:
                self._announce("folder.lost", {**facts, "reason": folder.why, "hint": folder.hint})
            else:
                watched = {"how": str(folder.how), "why": folder.why, "filesystem": folder.filesystem}
                self._announce("folder.watching", {**facts, **watched})
        self._known = {path: folder.how for path, folder in current.items()}
