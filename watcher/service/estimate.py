"""Estimate what a run would send to the server, from headers and the ledger, without any request or change."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from watcher import container, tree
from watcher.errors import JobError
from watcher.folders import unknown_recordings
from watcher.job import TRIAL_MODEL, FoundRecording, Job, State
from watcher.ledger import Ledger
from watcher.pipeline import JobSettings, has_outputs, is_stored
from watcher.service.earlier import BatchScope, known_below
from watcher.service.failures import standing
from watcher.service.plan import Plan, wanted_by_folder
from watcher.service.search_places import SearchPlaces
from watcher.service.speed import SHORTEST

#: Most queued recordings to count.
_QUEUED: Final = 100_000
#: States of recordings that are not finished.
_UNFINISHED: Final = (State.READY, State.DELAYED, State.RUNNING)
#: Bytes per second assumed for a recording whose header has no length: 64 kbit/s, a low value.
_BYTES_PER_SECOND: Final = 8_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """The recordings to transcribe, and those that will cost nothing; lengths are those of the headers."""

    #: Number of recordings to transcribe, and the seconds of those whose header has the length.
    files: int = 0
    seconds: float = 0.0
    #: The same for the offline engine's time, in which short recordings count for more; see `speed.SHORTEST`.
    heard_seconds: float = 0.0
    #: Number of those without a length, and their bytes.
    untimed: int = 0
    untimed_bytes: int = 0
    #: New recordings whose answers are stored already, and those that already have all outputs, from another program.
    stored: int = 0
    complete: int = 0
    #: Recordings at these places that were done before.
    done: int = 0

    @property
    def guessed_seconds(self) -> float:
        """All seconds, with a guess for files without a length; it decides whether to ask a person first."""
        return self.seconds + self.untimed_bytes / _BYTES_PER_SECOND


def estimate(made: Plan, ledger: Ledger, places: SearchPlaces) -> Estimate:
    """Count what `once` would send for these places, the queue included. Raises StateError."""
    scope = BatchScope(places.below, frozenset(os.fsencode(path) for _, path in places.files))
    wanted_of = wanted_by_folder(made)
    found = list(unknown_recordings(places.folders, places.files, ledger, parts=places.parts))
    adopted = {one.path for one in found if _is_complete(one, ledger, wanted_of)}
    # Of an archive of many thousands of files each would be read at 16 places, for nothing where no answer is stored.
    looked = found if ledger.history.tally().answers else []
    stored = {one.path for one in looked if one.path not in adopted and _is_stored(one, made, ledger, wanted_of)}
    free = adopted | stored
    rest = [one for one in found if one.path not in free]
    trials = _trials(made, ledger, places, scope)
    sent = chain(rest, _queued(ledger))
    lengths = [*((_seconds(one, wanted_of), one.fingerprint.size) for one in sent), *trials]
    return Estimate(
        files=len(lengths),
        seconds=sum(seconds or 0.0 for seconds, _ in lengths),
        heard_seconds=sum(max(seconds, SHORTEST) for seconds, _ in lengths if seconds is not None),
        untimed=sum(seconds is None for seconds, _ in lengths),
        untimed_bytes=sum(size for seconds, size in lengths if seconds is None),
        stored=len(stored),
        complete=len(adopted),
        done=_done(ledger, places) - len(trials),
    )


def _seconds(found: FoundRecording, wanted_of: Callable[[Job], JobSettings]) -> float | None:
    """Return the seconds to pay for at most: of channels or streams that are different speakers, those of each."""
    if found.seconds is None:
        return None
    with suppress(JobError):
        tracks = wanted_of(_job(found)).session.tracks
        if tracks in {"channels", "streams"}:
            inspection = _inspected(found.root, found.path, found.fingerprint.size)
            # Where the header is not read so far, there are two channels, and one stream, at most nearly always.
            counts = {"channels": inspection.channels or 2, "streams": inspection.tracks or 1} if inspection else {}
            return found.seconds * counts.get(tracks, 1)
    return found.seconds


def _inspected(root: bytes, path: bytes, size: int) -> container.Inspection | None:
    """Return what a recording's header says; None if it cannot be read."""
    with suppress(OSError, ValueError):
        descriptor = tree.open_file(root, path)
        try:
            return container.inspect(descriptor, size, quick=True)
        finally:
            os.close(descriptor)
    return None


def _queued(ledger: Ledger) -> Iterable[FoundRecording]:
    """Yield the recordings that earlier calls have left in the queue."""
    for record in ledger.history.records(*_UNFINISHED, limit=_QUEUED):
        inspection = _inspected(record.root, record.path, record.fingerprint.size)
        seconds = inspection.seconds if inspection is not None else None
        yield FoundRecording(record.root, record.path, record.fingerprint, seconds=seconds)


def _trials(made: Plan, ledger: Ledger, places: SearchPlaces, scope: BatchScope) -> Sequence[tuple[float, int]]:
    """Return the lengths of recordings that only the trial engine has transcribed: they are transcribed again."""
    if made.endpoint.model == TRIAL_MODEL:
        return ()
    found = dict(chain.from_iterable(map(ledger.history.trials, places.roots)))
    stand = standing(filter(scope.__contains__, found), places.roots)
    return [(found[path], 0) for path, there in stand.items() if there is not False]


def _done(ledger: Ledger, places: SearchPlaces) -> int:
    """Count the recordings that were done before and still exist."""
    named = filter(None, (ledger.history.lookup(os.fsencode(path)) for _, path in places.files))
    done = {path for path, state in known_below(ledger, places.below) if state is State.DONE}
    done |= {record.path for record in named if record.state is State.DONE}
    return sum(there is not False for there in standing(done, places.roots).values())


def _subtitles(found: FoundRecording) -> int:
    """Return how many subtitle tracks a recording has by its header."""
    inspection = _inspected(found.root, found.path, found.fingerprint.size)
    return 0 if inspection is None else inspection.subtitles


def _is_complete(found: FoundRecording, ledger: Ledger, wanted_of: Callable[[Job], JobSettings]) -> bool:
    """Return whether a recording has all its outputs, and Watcher wrote none of them."""
    with suppress(JobError):
        wanted = wanted_of(_job(found))
        return has_outputs(found.root, found.path, wanted, ledger, inside=partial(_subtitles, found))
    return False


def _is_stored(found: FoundRecording, made: Plan, ledger: Ledger, wanted_of: Callable[[Job], JobSettings]) -> bool:
    """Return whether the answers about a recording are stored, because it was copied, moved or renamed."""
    with suppress(OSError, ValueError, JobError):
        descriptor = tree.open_file(found.root, found.path)
        try:
            models = [made.endpoints[name].endpoint.model for name in made.order(found.path)]
            return is_stored(descriptor, wanted_of(_job(found)), ledger, models=models)
        finally:
            os.close(descriptor)
    return False


def _job(found: FoundRecording) -> Job:
    """Return a recording as an unclaimed job."""
    return Job(
        id=0, root=found.root, path=found.path, fingerprint=found.fingerprint, attempts=0, fence=0, queued_at=0.0
    )
