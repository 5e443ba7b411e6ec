"""From evidence to verdict: whether a file is whole, and nobody writes it any more.

`folders` finds paths and asks; nothing here watches or scans. Three questions are answered for an open descriptor (who
has it open for writing, does its container end where the file ends, was all of it written), and a file that leaves one
of them open must keep still for a while. What waits stands in a table with its reason and its next look.
"""

from watcher.settle.candidates import (
    UNREADABLE_HINT,
    Candidate,
    Candidates,
    Signature,
    Site,
    Waiting,
    abandoned,
    fingerprint,
)
from watcher.settle.lease import Writer, hollow, writer
from watcher.settle.names import (
    AUDIO_SUFFIXES,
    DEEPEST,
    LONGEST,
    PRESETS,
    SHARED_SUFFIXES,
    UNWATCHED,
    Names,
    Ruling,
    is_audio,
    is_placeholder,
    looks_like_audio,
    too_deep,
)
from watcher.settle.quota import Quota, Quotas
from watcher.settle.verdict import Decision, Evidence, Reason, Rules, decide, gather, sentence

__all__ = [
    "AUDIO_SUFFIXES",
    "DEEPEST",
    "LONGEST",
    "PRESETS",
    "SHARED_SUFFIXES",
    "UNREADABLE_HINT",
    "UNWATCHED",
    "Candidate",
    "Candidates",
    "Decision",
    "Evidence",
    "Names",
    "Quota",
    "Quotas",
    "Reason",
    "Rules",
    "Ruling",
    "Signature",
    "Site",
    "Waiting",
    "Writer",
    "abandoned",
    "decide",
    "fingerprint",
    "gather",
    "hollow",
    "is_audio",
    "is_placeholder",
    "looks_like_audio",
    "sentence",
    "too_deep",
    "writer",
]
