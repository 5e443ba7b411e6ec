"""Decide which stems belong together, what their session is called, who speaks on which track, and when each track begins.

A session is one conversation of which each speaker has a recording, a channel or an audio stream of their own. All is
decided from names and from what recorders wrote (`watcher.container.recorder`): nothing here looks at a file. The same files give
the same results in whatever order they come.
"""

from watcher.sessions.mixes import is_mix, is_mixed_track
from watcher.sessions.offsets import Offsets, offsets, track_offsets
from watcher.sessions.sets import SessionKey, key_of
from watcher.sessions.speakers import speaker_names, track_names

__all__ = [
    "Offsets",
    "SessionKey",
    "is_mix",
    "is_mixed_track",
    "key_of",
    "offsets",
    "speaker_names",
    "track_names",
    "track_offsets",
]
