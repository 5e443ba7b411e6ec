"""Settings of one watched folder."""

import os
from dataclasses import dataclass

from watcher.settle import LONGEST_DIRECTORY, Names, SettleRules


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to watch, as the settings have it; seconds and bytes."""

    name: str
    path: str
    recursive: bool = True
    #: Globs of files taken beside those with an audio suffix.
    include: tuple[str, ...] = ()
    #: Globs of files and directories left alone; may hold the presets of `settle.PRESETS`.
    exclude: tuple[str, ...] = ()
    #: False: what is there at the first start is left alone.
    backlog: bool = True
    quiet_seconds: float = 2.0
    #: auto, events or scan.
    detect: str = "auto"
    max_upload_bytes: int = 24_000_000
    piece_seconds: float = 600.0
    #: Directories never entered, as paths below this one: where finished sources are moved to.
    prune: tuple[str, ...] = ()
    incomplete_after: float = 600.0
    #: What a minute of audio costs, for the log; 0: not known, or nothing.
    price_per_minute: float = 0.0

    def names(self) -> Names:
        """Compile the name rules; ValueError when a glob cannot be understood."""
        above = os.fsencode(os.path.abspath(self.path)).rstrip(b"/")  # noqa: PTH100  keeps symbolic links
        # `after = "move:done/"` puts a directory into the path: its length is subtracted.
        moved = max((len(os.fsencode(path)) + 1 for path in self.prune), default=0)
        longest = max(0, LONGEST_DIRECTORY - len(above) - 1 - moved)
        return Names(include=self.include, exclude=self.exclude, prune=self.prune, longest=longest)

    def rules(self) -> SettleRules:
        """Return the rules that `settle` applies."""
        return SettleRules(
            quiet_seconds=self.quiet_seconds,
            incomplete_after=self.incomplete_after,
            max_upload_bytes=self.max_upload_bytes,
            piece_seconds=self.piece_seconds,
        )
