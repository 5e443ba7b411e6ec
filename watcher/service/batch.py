"""The values of a batch: how far it is, and what came of it."""

from dataclasses import dataclass, field

from watcher.errors import JobError
from watcher.folders import NotTaken
from watcher.gate import GateState
from watcher.job import Job, Outcome
from watcher.sidecar import Displaced


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Progress of a batch: files, and seconds of audio as far as they are known."""

    files: int
    done: int
    failed: int
    heard_seconds: float
    held: str = ""
    #: It was asked to stop: what it waits for, how long, and how to end it now.
    stopping: str = ""
    #: Seconds since when the server has been asked without an answer; None: it is not asked now.
    asked_seconds: float | None = None
    #: Seconds until the next try, where nothing else is left to do; None: something is done.
    next_try: float | None = None


@dataclass(slots=True)
class Batch:
    """Result of a batch."""

    done: list[tuple[Job, Outcome]] = field(default_factory=list)
    failed: list[tuple[bytes, JobError]] = field(default_factory=list)
    #: How many of `failed` are still in the queue, as their folder or disk does not take outputs now: the next start tries them.
    unplaced: int = 0
    #: Found and not taken: still being written, empty, unreadable.
    left: list[NotTaken] = field(default_factory=list)
    #: Named files, and some of those below named folders, whose transcript was there before; and how many there are.
    known: list[bytes] = field(default_factory=list)
    known_count: int = 0
    #: Some of the recordings below named folders that failed before, and were not tried again; and how many there are.
    failed_before: list[bytes] = field(default_factory=list)
    failed_before_count: int = 0
    #: There is no recording at the places that were named, as far as could be seen.
    nothing_there: bool = False
    #: Concluded ones that lie elsewhere: earlier calls had left them in the queue.
    earlier: list[bytes] = field(default_factory=list)
    #: Some of the files that look like recordings and are not taken; see `settle.UNWATCHED` for the reasons.
    unwatched: list[NotTaken] = field(default_factory=list)
    #: Worked on once more although they were done: on request, after a trial, or because their outputs were deleted.
    again: list[bytes] = field(default_factory=list)
    #: Those of them whose new outputs are beside files that are a person's.
    displaced: list[Displaced] = field(default_factory=list)
    #: Still queued at the end; some of those among them that earlier calls had left there, and how many these are.
    queued: int = 0
    queued_earlier: list[bytes] = field(default_factory=list)
    queued_earlier_count: int = 0
    #: Why the queue was left, if the server holds everything up.
    held: GateState | None = None
    interrupted: bool = False
    #: Requests that were cut off before their answer was complete.
    given_up: int = 0
    #: Names of threads that did not end: only the end of the process ends them, see `os._exit`. And of those among them that
    #: neither hang in a mount nor were left in haste.
    left_behind: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    #: Seconds of audio that were sent, also for files that failed or are still queued, and with requests that were given up.
    paid_seconds: float = 0.0
    seconds: float = 0.0
