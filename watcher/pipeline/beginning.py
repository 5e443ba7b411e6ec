"""When a recording began: what its header says, read once and kept with its content, and what the settings say."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from watcher import tree
from watcher.container.start import recorded_start
from watcher.errors import JobError
from watcher.formats.document import is_picture_name
from watcher.job import Job, ResultWarning
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import Content, ContentPart
from watcher.output_kinds import TIMECODE_KINDS
from watcher.pipeline.source import unchanged
from watcher.pipeline.tools import JobSettings
from watcher.timecode import RecordedStart, Timecode

_REMEDY: Final = "start_timecode and frame_rate, of [transcript] or of the folder, say it instead"


def with_start(content: Content, descriptor: int, ledger: Ledger) -> Content:
    """Return the content of an open recording with what its header says about its start; it is kept for `watcher render`."""
    if content.start is not None:
        return content
    try:
        start = recorded_start(descriptor, os.fstat(descriptor).st_size)
    except OSError:
        return content
    ledger.answers.keep_start(content.digest, start)
    return replace(content, start=start)


def with_start_of_file(content: Content, job: Job, ledger: Ledger) -> Content:
    """Do as `with_start` does, for stored answers of a version that did not read it, if the recording is there, unchanged."""
    if content.start is not None or job.is_session:
        return content
    with suppress(OSError, ValueError, JobError):
        descriptor = tree.open_file(job.root, job.path)
        try:
            unchanged(job, descriptor)
            return with_start(content, descriptor, ledger)
        finally:
            os.close(descriptor)
    return content


def start_of_session(parts: Sequence[ContentPart], contents: Sequence[Content]) -> RecordedStart | None:
    """Return the start of the stem that begins first, of several the first that knows one; None if no header was read."""
    first = min(part.offset for part in parts)
    starts = [content.start for part, content in zip(parts, contents, strict=True) if part.offset == first]
    known = [start for start in starts if start is not None]
    return next((start for start in known if start.source), known[0] if known else None)


def timecode_of(content: Content, wanted: JobSettings) -> Timecode:
    """Return the timecode of a recording, by the settings and its header."""
    return wanted.timecode.timecode(content.start or RecordedStart())[0]


def is_film(name: bytes, content: Content) -> bool:
    """Return whether a recording of this name has a picture, as far as its header says: a sound recorder may write a frame rate, too."""
    start = content.start
    return start is not None and start.frame_rate is not None and is_picture_name(name)


def timecode_doubts(content: Content, wanted: JobSettings) -> tuple[ResultWarning, ...]:
    """Return warnings about the timecode, if an output has it."""
    recorded = content.start or RecordedStart()
    timecode, problem = wanted.timecode.timecode(recorded)
    as_timecode = wanted.text.times == "timecode"
    if not (as_timecode or TIMECODE_KINDS.intersection(wanted.formats)):
        return ()
    said = [problem] if problem else []
    said += recorded.doubts if timecode.source != "setting" else ()
    if as_timecode and timecode.start is None:
        said.append("nothing says when the recording began, so times count from its start")
    return tuple(ResultWarning("timecode", sentence, _REMEDY) for sentence in said)
