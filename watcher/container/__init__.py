"""Is this file whole? What its container proves about its end, told from its first and last few KiB.

A container is known by its magic, never by its name. Every number in a file is taken for a claim: nothing is allocated
by it, no walk is longer than its bound, and a claim that cannot hold means INCOMPLETE. The rules and their sources stand
beside each family of containers.

This proves nothing about writers: a recorder that rewrites a valid header at each flush is COMPLETE for moments while
it records. Whoever asks combines the verdict with a lease and a quiet time.
"""

from watcher.container.inspection import Inspection, Verdict
from watcher.container.magic import inspect
from watcher.container.parts import Part, has_timecode, is_chained, parts
from watcher.container.upload import ACCEPTED, upload_name

__all__ = ["ACCEPTED", "Inspection", "Part", "Verdict", "has_timecode", "inspect", "is_chained", "parts", "upload_name"]
