"""Transcribe recordings while they are being recorded: which of them, each in a thread of its own, and how far they are."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from watcher import pipeline, reach, tree
from watcher.errors import ElsewhereError, FileError, GarbledError, HeldError, JobError, StateError, StoppedError
from watcher.gate import GateStatus, is_maybe_paid
from watcher.heartbeat import Heartbeat
from watcher.job import Fingerprint, Job, State
from watcher.ledger import Ledger
from watcher.overrides import Sections
from watcher.pipeline import GrowingTranscription, JobSettings, Tools
from watcher.service.snapshot import Snapshot
from watcher.settle import GrowingFile

_log = structlog.get_logger()

#: Seconds between two looks at what grows.
_TICK: Final = 1.0
#: Seconds that a host has the right to follow a recording; it is renewed after a third of them.
_LEASE: Final = 20.0
#: Seconds until a recording that could not be followed is tried again, from its start: the first and the longest wait.
_REST: Final = (30.0, 600.0)
#: Failures at one place after which a recording is left until it is whole if the last one may be paid for.
_MOST_PAID: Final = 3
#: Seconds for which a place must have been free to be used while whole recordings are ready.
_UNUSED: Final = 2.0
#: The rules of the lease, which is one of a scan by its name: no scan has them.
_RULES: Final = "while_recording"


@dataclass(frozen=True, slots=True)
class RecordingProgress:
    """How far a growing recording is, in seconds. It is not read further than is needed to transcribe it."""

    recorded_seconds: float = 0.0
    transcribed_seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """The progress for people."""
        return (
            f"recording, {self.recorded_seconds // 60:.0f} min read, {self.transcribed_seconds // 60:.0f} transcribed"
        )


class _Follow:
    """One growing recording, as the supervising thread sees it."""

    def __init__(self, file: GrowingFile) -> None:
        self.file = file
        #: Set to end the run that is under way: it is whole, its settings changed, or work ends.
        self.stop = threading.Event()
        self.is_running = False
        #: It will not be tried again before it is whole; or not before this time (monotonic), after so many failures.
        self.is_left = False
        self.next_try = float("-inf")
        self.failures = 0
        #: Seconds that were transcribed at most; what fails further on is another piece.
        self.reached = 0.0
        #: When this host's right to it was renewed last, and since when a place at the server has been free (monotonic; None: it is not).
        self.renewed = float("-inf")
        self.free_since: float | None = None
        self.progress: RecordingProgress | None = None


class GrowingRecordings:
    """The recordings that are transcribed while they grow. Its own thread calls `step`; any thread may call `progress`."""

    def __init__(
        self,
        ledger: Ledger,
        snapshot: Callable[[], Snapshot],
        tools: Callable[..., Tools],
        *,
        start: Callable[[str, Callable[[], None]], None],
        most: int,
        stop: threading.Event,
        is_shared: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tools`: see `JobRunner.tools`; `start` runs a callable in a thread of a name; `most`: recordings at the same time.

        `is_shared` returns whether there are several watched folders: then one place is left for the others.
        """
        self._ledger = ledger
        self._snapshot = snapshot
        self._tools = tools
        self._start = start
        self._most = most
        self._stop = stop
        self._is_shared = is_shared
        self._monotonic = monotonic
        self._follows: dict[bytes, _Follow] = {}
        self._number = 0

    def run(self, growing: Callable[[], Sequence[GrowingFile]]) -> None:
        """Follow what grows until the end; `growing` returns the files that grow."""
        while not self._stop.wait(_TICK):
            self.step(growing())
        self.step(())

    def step(self, growing: Sequence[GrowingFile]) -> None:
        """Begin to follow recordings that grow now, and end with those that do not any more."""
        found = {one.path: one for one in growing}
        for path, follow in list(self._follows.items()):
            # Another file may have its name now: then it begins from the start.
            if found.get(path) != follow.file:
                follow.stop.set()
                if not follow.is_running:
                    del self._follows[path]
        now = self._monotonic()
        for path, file in found.items():
            follow = self._follows.setdefault(path, _Follow(file))
            if follow.is_running or follow.is_left or follow.next_try > now or not self._has_place(file.root):
                continue
            follow.is_running = True
            follow.stop = threading.Event()
            self._number += 1
            self._start(f"recording-{self._number}", partial(self._follow, follow))

    def _has_place(self, root: bytes) -> bool:
        """Return whether one more recording of a watched folder may be followed; those whose mount hangs do not count."""
        running = [one.file for one in self._follows.values() if one.is_running]
        for file in running:
            reach.poke(file.root, partial(tree.stands, file.root, file.path))
        roots = [file.root for file in running if not reach.is_silent(file.root)]
        # A file that grows without end keeps its place.
        own = self._most - 1 if self._is_shared() else self._most
        return len(roots) < self._most and roots.count(root) < max(1, own)

    def progress(self) -> Mapping[bytes, RecordingProgress]:
        """Return how far each recording is that is being followed."""
        return {
            path: one.progress
            for path, one in list(self._follows.items())
            if one.progress is not None and not one.stop.is_set()
        }

    # The thread of one recording.

    def _follow(self, follow: _Follow) -> None:
        file = follow.file
        with structlog.contextvars.bound_contextvars(path=file.path):
            try:
                self._transcribe(follow)
            except (StoppedError, ElsewhereError):
                follow.progress = None
            except HeldError:
                follow.progress = None
                follow.next_try = self._monotonic() + _REST[0]
            except (JobError, OSError, StateError) as error:
                self._rest(follow, error)
            except Exception as error:  # noqa: BLE001 - the recording's boundary: it is transcribed when it is whole
                follow.is_left, follow.progress = True, None
                _log.error("job.crashed", reason="internal", message=f"{type(error).__name__}: {error}", exc_info=error)
            finally:
                follow.is_running = False

    def _rest(self, follow: _Follow, error: Exception) -> None:
        follow.failures += 1
        follow.progress = None
        reason = error.reason if isinstance(error, JobError) else "internal"
        # The same would fail again, and what the server cannot answer may be paid for each time.
        is_vain = isinstance(error, FileError | GarbledError)
        follow.is_left = is_vain or (follow.failures >= _MOST_PAID and is_maybe_paid(error))
        first, longest = _REST
        follow.next_try = self._monotonic() + min(longest, first * 2.0 ** (follow.failures - 1))
        _log.info("file.postponed", reason=reason, message=str(error))

    def _transcribe(self, follow: _Follow) -> None:
        file, job = follow.file, self._job_of(follow.file)
        reach.ask(file.root, partial(tree.stands, file.root, file.path))
        snapshot = self._snapshot()
        overrides = snapshot.overrides_of(job)
        wanted, order = snapshot.plan.wanted(job, overrides), snapshot.order(job, overrides)
        # The settings may change, those of the folder too.
        name = snapshot.endpoints.choose(order) if self._is_wanted(job, wanted) else ""
        if not name or not self._has_lease(file):
            follow.next_try = self._monotonic() + _REST[0]
            return
        beat = Heartbeat(self._monotonic)
        tools = self._tools(job, snapshot, name, order, overrides, beat=beat)
        _log.info("file.recording", endpoint=name)
        descriptor = tree.open_file(file.root, file.path)
        try:
            GrowingTranscription(
                job,
                descriptor,
                replace(wanted, as_track=wanted.session.tracks == "folder"),
                replace(tools, leaves=lambda: False, answered=lambda: None, all_cut=lambda: None),
                beat,
                stop=follow.stop,
                has_turn=partial(self._has_turn, follow, snapshot, tools, name),
                told=partial(self._told, follow, lambda: self._is_current(job, snapshot, overrides)),
            ).follow()
            follow.is_left = True
        finally:
            os.close(descriptor)
            # Else it lapses.
            with suppress(StateError):
                self._ledger.hosts.release_scan(file.path, _RULES)

    def _job_of(self, file: GrowingFile) -> Job:
        """Return a job for a recording that has none yet; the ledger may know what was under its path before."""
        known = self._ledger.history.lookup(file.path)
        return Job(
            id=0,
            root=file.root,
            path=file.path,
            fingerprint=Fingerprint(0, 0),
            attempts=1,
            fence=0,
            queued_at=time.time(),
            content="" if known is None else known.content,
        )

    def _told(self, follow: _Follow, is_current: Callable[[], bool], recorded: float, transcribed: float) -> None:
        follow.progress = RecordingProgress(recorded, transcribed)
        if transcribed > follow.reached:
            follow.reached, follow.failures = transcribed, 0
        now = self._monotonic()
        if now >= follow.renewed + _LEASE / 3:
            follow.renewed = now
            if not self._has_lease(follow.file) or not is_current():
                follow.stop.set()
        if self._stop.is_set():
            follow.stop.set()

    def _is_current(self, job: Job, snapshot: Snapshot, overrides: Sections) -> bool:
        """Return whether these are still the settings of a recording; if its folder does not answer, they are."""
        now = overrides
        with suppress(reach.SilentError):
            now = reach.ask(job.root, partial(snapshot.overrides_of, job))
        return self._snapshot() is snapshot and now == overrides

    def _has_turn(self, follow: _Follow, snapshot: Snapshot, tools: Tools, name: str) -> bool:
        """Return whether a place is free that no whole recording needs. Raises ElsewhereError if another endpoint should be asked."""
        state, now = tools.gate.state(), self._monotonic()
        is_open = state.status is GateStatus.OPEN
        if not is_open and snapshot.endpoints.choose(tools.order) not in {"", name}:
            raise ElsewhereError("another endpoint is open", reason="closed")
        if not is_open or state.in_flight >= tools.gate.places():
            follow.free_since = None
            return False
        if follow.free_since is None:
            follow.free_since = now
        # Those that are ready may be for another endpoint, or wait for a worker.
        return now - follow.free_since >= _UNUSED or not self._ledger.history.counts()[State.READY]

    def _is_wanted(self, job: Job, wanted: JobSettings) -> bool:
        """Return whether the recording will be transcribed when it is whole, and before."""
        if not wanted.ahead or wanted.is_split:
            return False
        if wanted.session.tracks == "folder":
            return pipeline.mix_of(job) is None
        return not wanted.formats or not pipeline.has_outputs(job.root, job.path, wanted, self._ledger)

    def _has_lease(self, file: GrowingFile) -> bool:
        """Return whether this host follows the recording: the one that began, as long as it lives."""
        return self._ledger.hosts.claim_scan(file.path, _RULES, lease=_LEASE) == 0
