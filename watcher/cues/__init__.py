"""Lay out a transcript as captions that fit on a screen, can be read in time, and have line breaks at natural points.

`layout` does all of it: the text is that of the segments, the times are those of the words if the server gave them.
"""

from typing import TYPE_CHECKING

from watcher.cues.rules import CaptionLimits, CaptionRules
from watcher.cues.values import BrokenRule, Cue, Layout

if TYPE_CHECKING:
    from watcher.cues.compose import layout

__all__ = ["BrokenRule", "CaptionLimits", "CaptionRules", "Cue", "Layout", "layout"]


def __getattr__(name: str) -> object:
    """Load the layout only when it is used: the settings, and so all commands, need only the rules."""
    if name == "layout":
        from watcher.cues.compose import layout  # noqa: PLC0415 - see above

        globals()[name] = layout
        return layout
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
