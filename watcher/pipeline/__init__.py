"""The straight line of one job: source -> pieces -> answers -> transcript -> captions -> files beside the source.

Everything a run needs comes in as arguments; nothing here knows threads (a callable runs requests beside each other
where several pieces can be asked for) or settings (a callable says what is wanted for a source). Each answer is durable
the moment it arrives, so whatever ends a run, the next one asks only for what is missing.
"""

from watcher.pipeline.line import render, run
from watcher.pipeline.remedies import Exhausted
from watcher.pipeline.tools import Beat, Progress, Submit, Tools, Wanted
from watcher.pipeline.turns import Turns

__all__ = ["Beat", "Exhausted", "Progress", "Submit", "Tools", "Turns", "Wanted", "render", "run"]
