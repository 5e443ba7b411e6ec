"""`once`: do one scan, and work until the queue is empty; for cron and batch."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, Final

from watcher import __version__, reach
from watcher.config import Config, Surroundings
from watcher.errors import AbsentError, JobError, StateError
from watcher.folders import MountKind, Mounts, NotTaken, ScanResult, collect
from watcher.gate import GateState, GateStatus
from watcher.job import State
from watcher.ledger.sessions import REASON as STEMS
from watcher.ledger.values import SourceRecord
from watcher.log import retrying
from watcher.service.advice import HoldAdvice, RunContext
from watcher.service.again import announce_trials_at, follow_moved, lacking
from watcher.service.application import SERVICE, Application
from watcher.service.batch import Batch, BatchProgress
from watcher.service.earlier import BatchScope, Concluded, known_below, queued_elsewhere
from watcher.service.failures import standing
from watcher.service.job_runner import lost
from watcher.service.plan import plan
from watcher.service.search_places import SearchPlaces, search_places
from watcher.service.signals import Signals
from watcher.service.thread_group import ShutdownDeadline, raise_crash
from watcher.sidecar import NOTE
from watcher.tree import is_below

#: Seconds between two checks of the queue, and updates of the progress bar.
_TICK: Final = 0.2
#: Seconds between two reports of a batch for `status`.
_TELL: Final = 1.0
#: Seconds without a running or concluded job after which a batch no longer waits for the server.
_PATIENCE: Final = 600.0
#: Seconds that the daily sweep may take in a batch.
_SWEEP: Final = 10.0
#: Tries to place a file's outputs.
_TRIES: Final = 3
#: Seconds of a scan after which it is checked why it takes so long.
_SLOW: Final = 2.0
#: Seconds after which the finder counts as hanging in a mount that does not answer; it notices itself one that hangs from the start.
_SILENT: Final = reach.PATIENT_SECONDS + 2.0
#: Most files to report of each kind: could not be placed, done before, failed before.
_SHOWN: Final = 1000
#: States of concluded recordings.
_CONCLUDED: Final = frozenset({State.DONE, State.FAILED})


def once(
    config: Config,
    paths: Sequence[str],
    *,
    show: Callable[[BatchProgress], None],
    surroundings: Surroundings,
    again: Sequence[bytes] = (),
) -> Batch:
    """Transcribe recordings at `paths` (absolute; if empty: in the configured folders), and queued ones.

    `again`: recordings queued to be transcribed again; then no others are searched for.

    Raises ConfigError and StateError; StateLockedError if a daemon uses the same state.
    """
    made = plan(config)
    made = replace(made, endpoints={name: one.of_batch(_PATIENCE) for name, one in made.endpoints.items()})
    places = SearchPlaces() if again else search_places(made, paths)
    with Signals() as signals:
        application = Application(
            made,
            stop=threading.Event(),
            on_death=signals.wake,
            environment=surroundings.environment,
            advice=HoldAdvice(RunContext.BATCH),
            # In a batch, a full disk is reported at once, not waited for.
            waits=False,
        )
        run = _BatchRun(
            application, show, named={*again, *(os.fsencode(path) for _, path in places.files)}, again=bool(again)
        )
        run.batch.again.extend(again)
        began = time.monotonic()
        try:
            run.work(places, signals)
            if not run.batch.interrupted and application.error is None:
                run.catch_up(signals)
        finally:
            run.end(config.settings.service.drain_seconds, signals)
            if run.batch.left_behind and (sys.exception() is not None or application.error is not None):
                # As in Service, a thread that hangs must not keep the batch from ending.
                os._exit(StateError.exit_code)
            counts = application.direct.history.counts()
            elsewhere = queued_elsewhere(application.direct, run.scope, limit=_SHOWN)
            application.close()
    raise_crash(application.error)
    # Do not report files twice that failed because their outputs cannot be placed.
    run.batch.queued = counts[State.READY] + counts[State.DELAYED] - run.batch.unplaced
    if run.batch.queued:
        run.batch.queued_earlier, run.batch.queued_earlier_count = elsewhere
    run.sum_up()
    run.batch.seconds = time.monotonic() - began
    return run.batch


class _BatchRun:
    """A running batch."""

    def __init__(
        self, application: Application, show: Callable[[BatchProgress], None], *, named: Collection[bytes], again: bool
    ) -> None:
        """`named`: files that a person named; `again`: only these are transcribed, once more."""
        self.batch = Batch()
        self._application = application
        self._named = named
        self._show = show
        self._found = threading.Event()
        self._mounts = Mounts()
        #: What the call is about.
        self.scope = BatchScope(recordings=frozenset(named))
        self._idle_since = time.monotonic()
        self._concluded = 0
        #: The signals that asked for the end.
        self._asked: Sequence[signal.Signals] = ()
        #: Facts about this process for `status`; those stored last, and when (monotonic).
        self._about: dict[str, Any] = {
            "pid": os.getpid(),
            "version": __version__,
            "started": time.time(),
            "command": "again" if again else "once",
            "endpoint": application.plan.endpoint.name,
            "model": application.plan.endpoint.model,
        }
        #: Files that were gone when their jobs began; and the paths found by this call.
        self._absent: list[NotTaken] = []
        self._queued: Collection[bytes] = ()
        self._told: dict[str, Any] = {}
        self._told_at = -math.inf
        application.conclusions.listen(self.batch.done.append, self.batch.failed.append, self._dropped)

    @property
    def is_complete(self) -> bool:
        """Whether everything was found, and no hook is left to run."""
        hooks, webhooks = self._application.plan.settings.hooks, self._application.plan.webhooks
        is_heard = self._application.hook_runner.over.is_set() or not (hooks.on_done or hooks.on_failed or webhooks)
        return self._found.is_set() and is_heard

    def sum_up(self) -> None:
        """Complete the result; all threads must have ended.

        This separates concluded recordings that the call is not about, and those that were processed again. Recordings that an
        earlier call had left in the queue, and that were renamed or removed since, are not reported.
        """
        application = self._application
        if self.is_complete and not self.batch.queued and not application.given_up:
            # It was asked to end after all its work was done.
            self.batch.interrupted = False
        # A session is one recording; its stems are not counted beside it.
        self.batch.done = [(job, outcome) for job, outcome in self.batch.done if not job.is_stem]
        self.batch.paid_seconds = application.endpoints.paid_seconds
        self.batch.given_up = application.given_up
        self.batch.unusable = tuple(application.problems)
        self.batch.left += [left for left in self._absent if left.path in self._queued]
        self.batch.again += [
            job.path for job, outcome in self.batch.done if outcome.restored and job.path not in self.batch.again
        ]
        self.scope = replace(self.scope, recordings=self.scope.recordings.union(self.batch.again))
        concluded = [*(job.path for job, _ in self.batch.done), *(path for path, _ in self.batch.failed)]
        self.batch.earlier.extend(path for path in concluded if path not in self.scope)

    def work(self, places: SearchPlaces, signals: Signals) -> None:
        """Find and process recordings until nothing is left to do, or nothing can be done."""
        application = self._application
        self.scope = replace(self.scope, folders=places.below)
        application.settings_notes.include(places.roots)
        application.start(inspect=lambda _path: None)
        self._start_finder(places)
        while application.error is None:
            if self._is_interrupted(signals, _TICK):
                return
            application.relieve()
            if not self._found.is_set() and self._finder_began < time.monotonic() - _SLOW:
                places = self._find_elsewhere(places)
            counts, state = application.ledger.history.counts(), self._state()
            self._show(self._progress(counts, state))
            self._tell()
            if self._found.is_set() and self._over(counts, state):
                break
        application.no_more_jobs()
        while application.error is None and not application.hook_runner.over.is_set():
            if self._is_interrupted(signals, _TICK / 4):
                return

    def catch_up(self, signals: Signals) -> None:
        """Run the daily sweep if it is due; do not wait for it if a mount hangs or a person ends the batch."""
        swept: Future[None] = Future()

        def sweep() -> None:
            try:
                self._application.history.catch_up(seconds=_SWEEP)
            except BaseException as error:  # noqa: BLE001 - the thread's boundary: it is raised below
                swept.set_exception(error)
            else:
                swept.set_result(None)

        reach.poke(b"history", sweep)
        until = time.monotonic() + 2 * _SWEEP
        while not swept.done():
            # All work is done, so this is no interruption.
            if signals.wait(_TICK / 4) or time.monotonic() > until:
                return
        swept.result()

    def _is_interrupted(self, signals: Signals, seconds: float) -> bool:
        self._asked = signals.wait(seconds)
        self.batch.interrupted = bool(self._asked)
        return self.batch.interrupted

    def end(self, seconds: float, signals: Signals) -> None:
        """Wait `seconds` for requests in flight, or until a second Ctrl-C, and end all threads."""
        application = self._application
        self._mounts.close()
        if self.batch.interrupted:
            sentence = application.report_stopping(seconds, by_hand=signal.SIGINT in self._asked)
            self._show(replace(self._progress(application.direct.history.counts(), self._state()), stopping=sentence))
            self._about["stopping"] = time.time() + seconds
            self._told_at = -math.inf
        ending = ShutdownDeadline(lambda: signal.SIGINT in signals.wait(0), meanwhile=self._follow_end)
        late = application.drain(seconds, ending)
        if late or application.left_hanging:
            application.let_go(in_haste=ending.in_haste)
        self.batch.left_behind = (*late, *application.left_hanging)
        self.batch.stuck = () if ending.in_haste else tuple(late)

    def _follow_end(self) -> None:
        """Show the progress of the last requests, and store it for `status`."""
        with suppress(StateError):
            self._show(self._progress(self._application.direct.history.counts(), self._state()))
        self._tell()

    def _tell(self) -> None:
        """Store the requests in flight for `status`, if they changed; not all the time."""
        facts, now = {**self._about, **self._application.at_the_server()}, time.monotonic()
        if facts == self._told or now - self._told_at < _TELL:
            return
        self._told, self._told_at = facts, now
        with suppress(reach.SilentError, StateError):
            reach.ask(b"telling", partial(self._application.direct.memory.remember, SERVICE, facts), seconds=_TICK)

    def _dropped(self, dropped: tuple[bytes, JobError]) -> None:
        """Note a file that changed or disappeared while it was processed; the next run finds it."""
        path, error = dropped
        left = NotTaken(path, error.reason, "while it was worked on", named=path in self._named)
        if isinstance(error, AbsentError) and not left.named:
            self._absent.append(left)
        else:
            self.batch.left.append(left)

    def _start_finder(self, places: SearchPlaces) -> None:
        self._finder_began = time.monotonic()
        self._finder = f"finder-{len(places.lost)}" if places.lost else "finder"
        self._application.thread_group.start(self._finder, partial(self._find, places, self._finder))

    def _find_elsewhere(self, places: SearchPlaces) -> SearchPlaces:
        """If the finder may hang in a mount, search the places whose mounts answer in another thread."""
        asked = [(root, place) for root in places.roots for place in (root, *self._network_mounts(root))]
        for _, place in asked:
            reach.poke(place, partial(os.path.lexists, place))
        silent = dict.fromkeys(root for root, place in asked if reach.is_silent(place, seconds=_SILENT))
        if not silent:
            return places
        self._application.left_hanging.append(self._finder)
        places = places.without(silent)
        self._start_finder(places)
        return places

    def _network_mounts(self, root: bytes) -> list[bytes]:
        """Return where network file systems are mounted below a root."""
        self._mounts.changed()
        real = self._mounts.locate(root)
        below = (mount for mount in self._mounts.concerning(real) if is_below(mount.point, real))
        return [mount.point for mount in below if mount.kind is MountKind.NETWORK]

    def _find(self, places: SearchPlaces, finder: str) -> None:
        ledger = self._application.ledger
        self._application.crash_cleanup.clean_up()
        files = [os.fsencode(path) for _, path in places.files]
        follow_moved(ledger, self._application.plan, files, stop=self._application.stop)
        unfinished = {path for path, state in known_below(ledger, places.below) if state not in _CONCLUDED}
        # Do this before the scan: it queues touched files, and work on them begins at once.
        trials = announce_trials_at(ledger, self._application.plan, places)
        collected = collect(
            places.folders,
            places.files,
            ledger,
            stop=self._application.stop,
            parts=places.parts,
            assign=self._application.sessions.at_once,
        )
        if finder != self._finder:
            # It hung until now, and another thread has searched the other places meanwhile.
            return
        # Sessions that a daemon has left may wait for further stems, as may those whose stems are gone.
        ledger.queue.end_delays(STEMS)
        # Do this after the scan, so that changed files are queued with their new stamp.
        ledger.queue.queue_again(sorted(set(trials).difference(collected.queued)))
        again = {*trials, *self._queue_lacking(places)}
        before = self._concluded_before(places, {*unfinished, *collected.queued, *collected.known, *again})
        if finder != self._finder:
            return
        self._queued = {*collected.queued, *again}
        self._report(places, collected, before, again)
        found = (self.scope.recordings, unfinished, collected.queued, again, +before.count)
        seen = (self.batch.left, collected.unwatched)
        self.batch.nothing_there = not any((*found, *seen)) and not self._application.stop.is_set()
        self._found.set()

    def _report(self, places: SearchPlaces, collected: ScanResult, before: Concluded, again: Collection[bytes]) -> None:
        """Add what was found to the result."""
        self.batch.again.extend(sorted(again))
        self.batch.left.extend((*places.barred, *collected.left))
        self.batch.unwatched.extend(collected.unwatched)
        self.batch.left.extend(NotTaken(root, "lost", reach.SILENT) for root in places.lost)
        for path in collected.known:
            record = self._application.ledger.history.lookup(path)
            if record is not None and record.state is State.FAILED:
                hint = _then_retry(record.hint, path)
                self.batch.failed.append((path, JobError(record.message, hint=hint, reason=record.reason)))
            elif record is not None and record.state is State.DONE and path not in again:
                self.batch.known.append(path)
        self.batch.known_count = len(self.batch.known) + before.count[State.DONE]
        self.batch.known += before.some[State.DONE]
        self.batch.failed_before_count = before.count[State.FAILED]
        self.batch.failed_before = before.some[State.FAILED]

    def _concluded_before(self, places: SearchPlaces, now: Collection[bytes]) -> Concluded:
        """Return existing recordings below the folders that were concluded before; `now`: processed or reported by this call."""
        before = Concluded()
        for path, state in known_below(self._application.ledger, places.below):
            if self._application.stop.is_set():
                break
            if state in _CONCLUDED and path not in now and standing([path], places.roots)[path] is not False:
                before.count[state] += 1
                before.some[state] += [path] if len(before.some[state]) < _SHOWN else []
        return before

    def _queue_lacking(self, places: SearchPlaces) -> list[bytes]:
        """Queue done recordings that have lost outputs; return their paths."""
        ledger = self._application.ledger
        rows = chain(
            chain.from_iterable(map(ledger.outputs.below, places.below)),
            chain.from_iterable(ledger.outputs.owned(os.fsencode(path)) for _, path in places.files),
        )
        found = lacking(
            ledger, (row for row in rows if row.kind != NOTE), self._application.snapshot.wanted, places.roots
        )
        return ledger.queue.queue_again(sorted(found))

    def _over(self, counts: dict[State, int], state: GateState) -> bool:
        """Return whether the batch ends: all is concluded, or the rest waits for the server for too long."""
        concluded = len(self.batch.done) + len(self.batch.failed)
        hung = self._application.hung_jobs()
        queued, running = counts[State.READY] + counts[State.DELAYED], counts[State.RUNNING] - len(hung)
        stuck = self._application.output_failures.stuck(_TRIES)
        # There may be so many that one of them is always in work.
        if stuck >= queued + running - (sum(map(self._waits_for_stems, self._waiting())) if stuck else 0):
            self._give_up_unplaced()
            self.batch.failed.extend((job.path, lost(job)) for job in hung)
            return True
        # Recordings that cannot be placed, or that no endpoint may get now, are tried again and again: that is no progress.
        is_working = running and state.status in {GateStatus.OPEN, GateStatus.PROBING}
        if is_working or self._application.endpoints.in_flight or concluded != self._concluded:
            self._idle_since, self._concluded = time.monotonic(), concluded
            return False
        # Wait for a probe that is running or due; do not wait for a dead server, a wrong key or an empty account.
        hopeless = state.status is GateStatus.HELD and not state.due
        if not running and (hopeless or time.monotonic() - self._idle_since > _PATIENCE):
            self.batch.held = state
            self._give_up_unplaced()
            return True
        return False

    def _give_up_unplaced(self) -> None:
        """Report recordings whose outputs cannot be placed: during a batch, nobody will free the disk, open the folder or repair the mount."""
        unplaced = [record for record in self._waiting() if self._is_stuck(record)]
        self.batch.unplaced = len(unplaced)
        self.batch.failed += [(one.path, JobError(one.message, hint=one.hint, reason=one.reason)) for one in unplaced]

    def _waiting(self) -> list[SourceRecord]:
        return self._application.direct.history.records(State.READY, State.DELAYED, limit=_SHOWN)

    def _waits_for_stems(self, record: SourceRecord) -> bool:
        """Return whether it is a session with stems that are queued: it waits for whatever they wait for."""
        history = self._application.direct.history
        return record.job.is_session and any(one.state not in _CONCLUDED for one in history.stems(record.path))

    def _is_stuck(self, record: SourceRecord) -> bool:
        return self._application.output_failures.is_stuck(record.id, _TRIES)

    def _state(self) -> GateState:
        """Return the state of the endpoints that may get what is queued."""
        endpoints = self._application.endpoints
        if len(endpoints.gates) == 1 and not self._application.direct.history.counts()[State.DELAYED]:
            return endpoints.state()
        queued = [one for one in self._waiting() if not (self._is_stuck(one) or self._waits_for_stems(one))]
        closed = [record for record in queued if record.reason == "closed"]
        if closed and len(closed) == len(queued):
            # Others of their folders may go elsewhere, these may not.
            return GateState(GateStatus.HELD, time.time(), "closed", closed[0].message, closed[0].hint)
        return endpoints.state({record.root for record in queued if record.reason != "closed"})

    def _progress(self, counts: dict[State, int], state: GateState) -> BatchProgress:
        finished = sum(outcome.audio_seconds for _, outcome in self.batch.done)
        heard = sum(record.seconds_done for record in self._application.ledger.history.records(State.RUNNING, limit=64))
        done, failed = len(self.batch.done), len(self.batch.failed)
        now, asking = time.time(), self._application.endpoints.asking()
        due = self._application.ledger.queue.next_due() if counts[State.DELAYED] and not counts[State.RUNNING] else None
        return BatchProgress(
            files=done + failed + counts[State.READY] + counts[State.DELAYED] + counts[State.RUNNING],
            done=done,
            failed=failed,
            heard_seconds=finished + heard,
            held="" if state.status is GateStatus.OPEN else state.sentence,
            asked_seconds=max(0.0, now - min(asking.values())) if asking else None,
            next_try=None if due is None else max(0.0, due - now),
        )


def _then_retry(hint: str, path: bytes) -> str:
    """Return a hint in one sentence with the command that tries a recording again."""
    if "watcher retry" not in hint:
        hint = f"{hint.rstrip('.')}, then: watcher retry" if hint else "try it again: watcher retry"
    return retrying(hint, path)
