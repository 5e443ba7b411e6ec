"""Process one job: source -> pieces -> answers -> transcript -> captions -> files beside the source.

Everything a run needs is an argument; this package knows no threads (a callable runs requests in parallel)
and no settings (a callable returns the settings for a source). Each answer is durable
as soon as it arrives, so however a run ends, the next one asks only for what is missing.
"""

from watcher.pipeline.existing import has_outputs
from watcher.pipeline.growing import GrowingTranscription
from watcher.pipeline.handover import Handovers
from watcher.pipeline.heard import is_stored
from watcher.pipeline.identity import track_sketches
from watcher.pipeline.keyed_locks import KeyedLocks
from watcher.pipeline.remedies import ExhaustedForms
from watcher.pipeline.session import content_of, mix_of, output_name, recorder_of, run_session
from watcher.pipeline.stages import can_render, render, run
from watcher.pipeline.tools import HeartbeatCallback, JobSettings, Submit, Tools

__all__ = [
    "ExhaustedForms",
    "GrowingTranscription",
    "Handovers",
    "HeartbeatCallback",
    "JobSettings",
    "KeyedLocks",
    "Submit",
    "Tools",
    "can_render",
    "content_of",
    "has_outputs",
    "is_stored",
    "mix_of",
    "output_name",
    "recorder_of",
    "render",
    "run",
    "run_session",
    "track_sketches",
]
