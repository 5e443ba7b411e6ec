"""Settings of one watched folder."""

import os
from dataclasses import dataclass

from watcher.settle import LONGEST, ROOM_FOR_A_NAME, Names, SettleRules


@dataclass(frozen=True, slots=True)
class Folder:
    """A watched folder's settings; in seconds and bytes."""

    name: str
    path: str
    recursive: bool = True
    #: Globs of files to take in addition to those with an audio suffix.
    include: tuple[str, ...] = ()
    #: Globs of files and directories to ignore; may contain the presets of `settle.PRESETS`.
    exclude: tuple[str, ...] = ()
    #: False: files that exist at the first start are not transcribed.
    backlog: bool = True
    quiet_seconds: float = 2.0
    #: auto, events or scan.
    detect: str = "auto"
    max_upload_bytes: int = 24_000_000
    piece_seconds: float = 600.0
    #: Directories that are never entered, as paths below this one: finished sources are moved to them.
    prune: tuple[str, ...] = ()
    incomplete_after: float = 600.0
    #: Bytes of the longest path that is taken, with the folder's own.
    longest_path: int = LONGEST
    #: Price of a minute of audio, for the log; 0: not known, or free.
    price_per_minute: float = 0.0

    def names(self) -> Names:
        """Compile the name rules; ValueError when a glob cannot be understood."""
        above = os.fsencode(os.path.abspath(self.path)).rstrip(b"/")  # noqa: PTH100  keeps symbolic links
        longest = max(0, self._longest_directory - len(above) - 1)
        return Names(include=self.include, exclude=self.exclude, prune=self.prune, longest=longest)

    def is_too_long(self, directory: bytes) -> bool:
        """Return whether the path of a directory leaves no room for the names of outputs in it."""
        return len(directory) > self._longest_directory

    @property
    def _longest_directory(self) -> int:
        """Bytes of the longest path of a directory whose files are taken."""
        # `after = "move:done/"` makes paths longer by a directory: subtract its length.
        moved = max((len(os.fsencode(path)) + 1 for path in self.prune), default=0)
        return self.longest_path - ROOM_FOR_A_NAME - moved

    def rules(self) -> SettleRules:
        """Return the rules that `settle` applies."""
        return SettleRules(
            quiet_seconds=self.quiet_seconds,
            incomplete_after=self.incomplete_after,
            max_upload_bytes=self.max_upload_bytes,
            piece_seconds=self.piece_seconds,
        )
