"""For recordings that are not sent as they are: decode in a child process, cut at silences, and encode while reading."""

from typing import TYPE_CHECKING

from watcher.media.source import digest, has_long_hole, sketch
from watcher.media.values import (
    CODECS,
    LONGEST_SECONDS,
    MOST_TRACKS,
    SENT_WHOLE,
    SHORT_LIMITS,
    ChildLimits,
    Compared,
    CutAgainError,
    MeasuredTrack,
    MediaOptions,
    Opening,
    Piece,
    SoundChoice,
    Summary,
)

if TYPE_CHECKING:
    from watcher.media.cutting import Cutting
    from watcher.media.failures import invalid_message
    from watcher.media.measuring import measure
    from watcher.media.spool import clear_spool

__all__ = [
    "CODECS",
    "LONGEST_SECONDS",
    "MOST_TRACKS",
    "SENT_WHOLE",
    "SHORT_LIMITS",
    "ChildLimits",
    "Compared",
    "CutAgainError",
    "Cutting",
    "MeasuredTrack",
    "MediaOptions",
    "Opening",
    "Piece",
    "SoundChoice",
    "Summary",
    "clear_spool",
    "digest",
    "has_long_hole",
    "invalid_message",
    "measure",
    "sketch",
]


def __getattr__(name: str) -> object:
    """Load the modules that run the child only when they are used: the settings, and so all commands, need only the options."""
    if name in {"Cutting", "clear_spool", "measure", "invalid_message"}:
        from watcher.media import cutting, measuring, spool  # noqa: PLC0415 - see above

        return getattr({"measure": measuring, "clear_spool": spool}.get(name, cutting), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
