"""Process one job: source -> pieces -> answers -> transcript -> captions -> files beside the source.

Everything a run needs comes in as arguments; nothing here knows threads (a callable runs requests beside each other
where several pieces can be asked for) or settings (a callable says what is wanted for a source). Each answer is durable
the moment it arrives, so whatever ends a run, the next one asks only for what is missing.
"""

from watcher.pipeline.heard import is_stored
from watcher.pipeline.keyed_locks import KeyedLocks
from watcher.pipeline.remedies import ExhaustedForms
from watcher.pipeline.stages import can_render, render, run
from watcher.pipeline.tools import HeartbeatCallback, JobSettings, Submit, Tools

__all__ = [
    "ExhaustedForms",
    "HeartbeatCallback",
    "JobSettings",
    "KeyedLocks",
    "Submit",
    "Tools",
    "can_render",
    "is_stored",
    "render",
    "run",
]
