"""From a transcript to captions: what fits on a screen, can be read in time and is broken where a reader would breathe.

`layout` is the whole of it: text comes from the segments, times from the words where the server gave them.
"""

from watcher.cues.compose import layout
from watcher.cues.rules import Limits, Rules
from watcher.cues.values import Broken, Cue, Layout

__all__ = ["Broken", "Cue", "Layout", "Limits", "Rules", "layout"]
