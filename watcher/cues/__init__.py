"""Lay out a transcript as captions that fit on a screen, can be read in time and are broken where a reader would breathe.

`layout` is the whole of it: text comes from the segments, times from the words where the server gave them.
"""

from typing import TYPE_CHECKING

from watcher.cues.rules import CaptionLimits, CaptionRules
from watcher.cues.values import BrokenRule, Cue, Layout

if TYPE_CHECKING:
    from watcher.cues.compose import layout

__all__ = ["BrokenRule", "CaptionLimits", "CaptionRules", "Cue", "Layout", "layout"]


def __getattr__(name: str) -> object:
    """Load the layout where it is used: the settings, and so every command, need no more than the rules."""
    if name == "layout":
        from watcher.cues.compose import layout  # noqa: PLC0415 - see above

        globals()[name] = layout
        return layout
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
