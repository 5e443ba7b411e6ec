"""Recordings that don't go as they are: decoded in a child process, cut at silences, encoded while they are read."""

from typing import TYPE_CHECKING

from watcher.media.source import digest, sketch
from watcher.media.values import (
    CODECS,
    LONGEST_SECONDS,
    SHORT_LIMITS,
    ChildLimits,
    MediaOptions,
    Opening,
    Piece,
    SoundChoice,
    Summary,
)

if TYPE_CHECKING:
    from watcher.media.cutting import Cutting, clear_spool, measure
    from watcher.media.failures import invalid_message

__all__ = [
    "CODECS",
    "LONGEST_SECONDS",
    "SHORT_LIMITS",
    "ChildLimits",
    "Cutting",
    "MediaOptions",
    "Opening",
    "Piece",
    "SoundChoice",
    "Summary",
    "clear_spool",
    "digest",
    "invalid_message",
    "measure",
    "sketch",
]


def __getattr__(name: str) -> object:
    """Load what runs the child where it is used: the settings, and so every command, need no more than the options."""
    if name in {"Cutting", "clear_spool", "measure", "invalid_message"}:
        from watcher.media import cutting  # noqa: PLC0415 - see above

        return getattr(cutting, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
