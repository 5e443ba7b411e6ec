"""The progress and the result of a batch."""

from dataclasses import dataclass, field

from watcher.errors import JobError
from watcher.folders import NotTaken
from watcher.gate import GateState
from watcher.job import Job, Outcome
from watcher.overrides import InvalidOverride
from watcher.sidecar import Displaced


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Progress of a batch: files, and seconds of audio as far as they are known."""

    files: int
    done: int
    failed: int
    heard_seconds: float
    held: str = ""
    #: After a request to stop: what it waits for, how long, and how to end it now.
    stopping: str = ""
    #: Seconds since the start of the oldest request in flight; None: there is none.
    asked_seconds: float | None = None
    #: Seconds until the next try, if there is nothing else to do until then; None: work is going on.
    next_try: float | None = None


@dataclass(slots=True)
class Batch:
    """Result of a batch."""

    done: list[tuple[Job, Outcome]] = field(default_factory=list)
    failed: list[tuple[bytes, JobError]] = field(default_factory=list)
    #: How many of `failed` are still in the queue, because their folder or disk takes no outputs now: the next start tries them again.
    unplaced: int = 0
    #: Found and not taken: still being written, empty, unreadable.
    left: list[NotTaken] = field(default_factory=list)
    #: Named files, and some of those below named folders, that already had a transcript; and their number.
    known: list[bytes] = field(default_factory=list)
    known_count: int = 0
    #: Some of the recordings below named folders that failed before, and were not tried again; and their number.
    failed_before: list[bytes] = field(default_factory=list)
    failed_before_count: int = 0
    #: Whether there is no recording at the named places, as far as could be seen.
    nothing_there: bool = False
    #: Concluded recordings at other places: earlier calls had left them in the queue.
    earlier: list[bytes] = field(default_factory=list)
    #: Some of the files that look like recordings and are not taken; see `settle.UNWATCHED` for the reasons.
    unwatched: list[NotTaken] = field(default_factory=list)
    #: Processed again although they were done: on request, after a trial, or because their outputs were deleted.
    again: list[bytes] = field(default_factory=list)
    #: Those of them whose new outputs have other names because a person's files have the usual ones.
    displaced: list[Displaced] = field(default_factory=list)
    #: Number still queued at the end; some of those that earlier calls had left there, and their number.
    queued: int = 0
    queued_earlier: list[bytes] = field(default_factory=list)
    queued_earlier_count: int = 0
    #: The hold or pause because of which the batch ended with a queue; None: there is none.
    held: GateState | None = None
    interrupted: bool = False
    #: Settings files in folders that cannot be used: what they say does not count.
    unusable: tuple[InvalidOverride, ...] = ()
    #: Number of requests that were cancelled before their answer was complete.
    given_up: int = 0
    #: Names of threads that did not end: only the end of the process ends them, see `os._exit`. And of those that
    #: neither hang in a mount nor were left because of haste.
    left_behind: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    #: Seconds of audio sent, including files that failed or are still queued, and cancelled requests.
    paid_seconds: float = 0.0
    seconds: float = 0.0
