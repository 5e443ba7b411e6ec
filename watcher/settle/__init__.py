"""Decide by evidence whether a file is whole, and no longer being written.

`folders` finds paths; `settle` judges one open file at a time. It asks three questions: is the file open for writing,
does its container end at the end of the file, was all of it written? If one of them has no certain answer, the file must not
change for some time. Waiting files are kept in a table, with the reason and the time of the next look.
"""

from watcher.settle.candidate import Candidate, FileSite, GrowingFile, Signature, WaitingFile, abandoned, fingerprint
from watcher.settle.candidates import UNREADABLE_HINT, Candidates
from watcher.settle.decision import Decision, Evidence, SettleRules, WaitReason, decide, gather, sentence
from watcher.settle.lease import WriterState, hollow, writer
from watcher.settle.names import (
    AUDIO_SUFFIXES,
    DEEPEST,
    LONGEST,
    PRESETS,
    ROOM_FOR_A_NAME,
    SHARED_SUFFIXES,
    UNWATCHED,
    NameRuling,
    Names,
    is_audio,
    is_placeholder,
    looks_like_audio,
)
from watcher.settle.quota import Quota, Quotas
from watcher.settle.table import PathTable

__all__ = [
    "AUDIO_SUFFIXES",
    "DEEPEST",
    "LONGEST",
    "PRESETS",
    "ROOM_FOR_A_NAME",
    "SHARED_SUFFIXES",
    "UNREADABLE_HINT",
    "UNWATCHED",
    "Candidate",
    "Candidates",
    "Decision",
    "Evidence",
    "FileSite",
    "GrowingFile",
    "NameRuling",
    "Names",
    "PathTable",
    "Quota",
    "Quotas",
    "SettleRules",
    "Signature",
    "WaitReason",
    "WaitingFile",
    "WriterState",
    "abandoned",
    "decide",
    "fingerprint",
    "gather",
    "hollow",
    "is_audio",
    "is_placeholder",
    "looks_like_audio",
    "sentence",
    "writer",
]
