"""Inspect a file: what its container proves about its end, by its first and last few KiB.

A container is recognised by its first bytes, never by its name. Every number in a file is a claim: no memory is allocated by
it, no walk is longer than its bound, and a claim that cannot be true means INCOMPLETE. The rules and their sources are
beside each family of containers.

This proves nothing about writers: the file of a recorder that rewrites a valid header at each flush is COMPLETE for
moments during the recording. The caller combines the result with a lease and a quiet time.
"""

from watcher.container.finished import FinishedHeader, finished_header
from watcher.container.growing import open_header
from watcher.container.inspection import Completeness, Inspection
from watcher.container.magic import inspect
from watcher.container.parts import FilePart, has_timecode, is_chained, parts
from watcher.container.upload import ACCEPTED, upload_name

__all__ = [
    "ACCEPTED",
    "Completeness",
    "FilePart",
    "FinishedHeader",
    "Inspection",
    "finished_header",
    "has_timecode",
    "inspect",
    "is_chained",
    "open_header",
    "parts",
    "upload_name",
]
