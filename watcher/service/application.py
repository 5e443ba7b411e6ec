"""Build the application: all its parts from the settings, and its named threads."""

import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, Final

import structlog

from watcher import reach
from watcher.errors import JobError, LeaseLostError, StateBusyError, StateError
from watcher.gate import Gate, facts
from watcher.gate.statistics import RequestCounts
from watcher.job import Job
from watcher.ledger.values import HOOKS
from watcher.output_failures import OutputFailures
from watcher.overrides import InvalidOverride, Overrides
from watcher.service.accesses import EndpointAccesses
from watcher.service.advice import HoldAdvice, RunContext
from watcher.service.again import announce_trials
from watcher.service.announcements import Announcements
from watcher.service.conclude import JobConclusions
from watcher.service.crash_cleanup import CrashCleanup
from watcher.service.endpoints import EndpointAccess, Endpoints
from watcher.service.folder_notes import FIX_HINT, PauseNotes, SettingsNotes
from watcher.service.job_places import JobPlaces
from watcher.service.job_runner import JobRunner
from watcher.service.open_state import OpenState
from watcher.service.plan import OVERRIDABLE, Plan
from watcher.service.sessions import SessionAssignment
from watcher.service.snapshot import Snapshot
from watcher.service.sweep import JOIN as HISTORY_SECONDS
from watcher.service.sweep import DailySweep
from watcher.service.thread_group import ShutdownDeadline, ThreadGroup
from watcher.service.worker_pool import WorkerPool
from watcher.settle import Quota
from watcher.text import printable
from watcher.worker import RENEW, ClaimTicket, FailedProbes, Leases, Worker

_log = structlog.get_logger()

#: Seconds for the workers to end once no request is in flight, and seconds after the drain in which all
#: threads must have ended. (A hook has 5 s from the stop on, see `watcher.hooks`.)
_JOIN: Final = 5.0
ALL_ENDED: Final = 8.0
#: Seconds for the ledger to put back the jobs of threads that did not end; the second value: after a second Ctrl-C.
_PUT_BACK: Final = 1.0
_PUT_BACK_NOW: Final = 0.5
#: Seconds that other workers get to make a probe before one that only probes.
_HEAD_START: Final = 0.5
#: Memory key of a service's facts about itself, for `status` and other hosts; it deletes them when it ends.
SERVICE: Final = "service"
#: Most failed hooks to report at the end.
_PROBLEMS: Final = 20
#: Seconds between two checks of the notes in the folders.
_NOTICES: Final = 1.0
#: Message: what Ctrl-C does while a stop waits.
ASK_AGAIN: Final = "press Ctrl-C again to end now: answers that came are kept, requests in flight are given up"


class Application:
    """All parts of one running daemon (or of one `once`), except the finder and the signals."""

    def __init__(
        self,
        plan: Plan,
        *,
        stop: threading.Event,
        on_death: Callable[[], None],
        environment: Mapping[str, str],
        advice: HoldAdvice | None = None,
        waits: bool = True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the ledger, and clean up after a crash. Raises StateError and ConfigError.

        `environment`: for hooks, which get it without private variables. `advice`: hints about a hold. `waits`: while the ledger takes
        no changes (a full disk), the threads wait instead of ending. `clock`: for stored times; `monotonic`: for the gate's waits.
        """
        self._clock = clock
        self._monotonic = monotonic
        self._advice = advice or HoldAdvice(RunContext.TERMINAL)
        self.stop = stop
        #: Worker threads; and helper threads (leases, hooks, notes), which run until the last worker has ended.
        self.thread_group = ThreadGroup(on_death=on_death)
        self._servants = ThreadGroup(on_death=on_death)
        self._over = threading.Event()
        self._attended: set[Gate] = set()
        #: Jobs whose outputs could not be placed.
        self.output_failures = OutputFailures()
        state = OpenState(plan, waits=waits, clock=clock)
        #: The ledger that fails instead of waiting, and a function that returns one that waits; see OpenState.
        self.direct, self.waiting, self.ledger_retry = state.direct, state.waiting, state.retry
        self._given_up = threading.Event()
        #: The ledger for callers that have a paid answer: they wait as long as the application runs.
        self.ledger = self.waiting(self._given_up)
        #: The current settings and the parts built from them. A reload replaces it: to use two parts, read it once into a variable.
        self.announcements = Announcements(
            self.waiting(stop),
            lambda: self.snapshot,
            environment=environment,
            stop=stop,
            clock=clock,
            monotonic=monotonic,
        )
        self.hook_runner = self.announcements.runner
        self._accesses = EndpointAccesses(
            self.direct,
            stop=stop,
            clock=clock,
            monotonic=monotonic,
            on_held=self.announcements.held,
            on_resumed=self.announcements.resumed,
            advise=self._advise,
        )
        self._places = JobPlaces()
        self.snapshot = self._snapshot_of(plan, self._accesses.make(plan), None)
        #: Deletes rows of files that are gone; the caller starts it, or calls `catch_up`.
        self.history = DailySweep(
            self.waiting(stop),
            settings=lambda: self.plan.settings.state,
            roots=lambda: [root for root, _ in self.plan.roots],
            stop=stop,
            clock=clock,
            amnesia=state.amnesia,
        )
        self.job_runner = JobRunner(
            self.ledger,
            lambda: self.snapshot,
            self._accesses.others,
            self._places,
            spool=state.spool,
            stop=stop,
            monotonic=monotonic,
        )
        self.leases = Leases(self.ledger)
        self._failed_probes = FailedProbes()
        self._idle = self.waiting(stop)
        self.worker_pool = WorkerPool(self.thread_group, self._new_worker, wake=self.ledger.queue.wake)
        #: Names of threads that hang in a mount, and of others that `drain` could not end: only the end of the process ends them.
        self.left_hanging: list[str] = []
        self._left_behind = False
        self._works = True
        self._pause_notes: PauseNotes | None = None
        #: Called for every `.watcher.toml` that is found.
        self.settings_notes = SettingsNotes(
            self.direct, lambda: self.snapshot, on_look=self._places.settings_changed, monotonic=monotonic
        )
        #: Which found recordings are stems of which session.
        self.sessions = SessionAssignment(lambda: self.snapshot)
        self._complaints = Quota(60, per=60.0, monotonic=monotonic)
        self._lost: Callable[[], Collection[bytes]] = tuple
        self._inspect: Callable[[bytes], None] = lambda _path: None
        self.conclusions = JobConclusions(
            self.ledger,
            inspect=self._look_again,
            on_done=lambda: bool(self.plan.settings.hooks.on_done),
            on_failed=lambda: bool(self.plan.settings.hooks.on_failed),
            notes=lambda: self.plan.settings.service.error_notes,
            hooked=self.hook_runner.poke,
            webhooks=self.announcements.webhooks.calls,
        )
        self.crash_cleanup = CrashCleanup(
            self.direct,
            self.conclusions,
            roots=lambda: [root for root, _ in self.plan.roots],
            monotonic=monotonic,
        )

    @property
    def plan(self) -> Plan:
        """The plan of the current settings."""
        return self.snapshot.plan

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of the current settings."""
        return self.snapshot.endpoints

    def start(
        self,
        *,
        inspect: Callable[[bytes], None],
        works: bool = True,
        lost: Callable[[], Collection[bytes]] | None = None,
    ) -> None:
        """Start the threads; `inspect` requests another look at a path. `works=False`: only other hosts run jobs.

        `lost` returns the roots that are away; if it is given, the other roots get a note during a long hold.
        """
        self._inspect, self._works = inspect, works
        if lost is not None:
            self._lost = lost
            self._pause_notes = PauseNotes(self.direct, clock=self._clock, monotonic=self._monotonic)
        self._beat()
        if works:
            self._resize(self.plan)
        self._servants.start("leases", self._keep_leases)
        self._attend_gates()
        self._servants.start("hooks", self.hook_runner.run)
        self._servants.start("notices", self._keep_notices)

    def queue_trials(self) -> None:
        """Queue recordings below the watched folders that only the trial engine has transcribed, if a server is used now.

        Raises StateError.
        """
        plan = self.plan
        found = chain.from_iterable(self.direct.history.trials(root) for root, _ in plan.roots)
        price = self.endpoints.first.plan.price_per_minute
        self.direct.queue.queue_again(announce_trials(found, model=plan.endpoint.model, price_per_minute=price))

    @property
    def error(self) -> BaseException | None:
        """The error that ended a thread; None: there is none."""
        return self.thread_group.error or self._servants.error or self.history.error

    def no_more_jobs(self) -> None:
        """Announce that no more jobs will be concluded: `hook_runner.over` is set once every hook was run."""
        self.hook_runner.no_more_jobs()

    def request_counts(self) -> dict[str, RequestCounts]:
        """Return what was counted of the requests at each endpoint of the current settings, by its name."""
        return self.endpoints.request_counts()

    def at_the_server(self) -> dict[str, Any]:
        """Return the facts about the server for `status`: whether requests are made, and the recordings in flight since when."""
        state, files = self.endpoints.state_and_asking()
        asking = [{"path": printable(path), "since": files[path]} for path in files]
        return {"gate": facts(state), "asking": asking, "endpoints": self.endpoints.described()}

    def report_stopping(self, seconds: float, *, by_hand: bool) -> str:
        """Log what a stop waits for, and how long; return this as a sentence. `by_hand`: the stop was requested with Ctrl-C."""
        requests = self.endpoints.in_flight
        noun = "request" if requests == 1 else "requests"
        message = (
            f"waiting for {requests} {noun} in flight, up to {seconds:g} s" if requests else "nothing is in flight"
        )
        if requests and not seconds:
            message = f"giving up {requests} {noun} in flight"
        hint = ASK_AGAIN if by_hand and requests and seconds else ""
        _log.info("service.stopping", drain_seconds=seconds, requests=requests, message=message, hint=hint)
        return f"{message}. {hint[0].upper()}{hint[1:]}." if hint else message

    def drain(self, seconds: float, ending: ShutdownDeadline | None = None) -> list[str]:
        """Wait `seconds` for requests in flight, then cancel them; return the names of threads that did not end.

        Threads that hang in a mount are not waited for; they are added to `left_hanging`. Returns within `seconds` + ALL_ENDED, and
        within two seconds once `ending` is in haste.
        """
        ending = ending or ShutdownDeadline()
        deadline = time.monotonic() + seconds + ALL_ENDED
        self.stop.set()
        self.hook_runner.no_more_jobs()
        self.ledger.queue.wake()
        hanging = list(self.left_hanging)
        but = [*hanging, *(worker.name for worker in self.hung())]
        if ending.join(self.thread_group, seconds, but=but, patient=True):
            for client in self.job_runner.clients:
                client.cancel()
        self._given_up.set()
        self.left_hanging = [*hanging, *(worker.name for worker in self.hung() if not worker.ended)]
        late = ending.join(self.thread_group, _JOIN, but=self.left_hanging)
        self._over.set()
        self.history.join(ending.left(HISTORY_SECONDS))
        late += ending.join(self._servants, max(1.0, deadline - time.monotonic()))
        self._left_behind = bool(late or self.left_hanging)
        return late

    @property
    def given_up(self) -> int:
        """Return how many requests were cancelled before their answer was complete; the server may charge for them."""
        return sum(client.given_up for client in self.job_runner.clients)

    def let_go(self, *, in_haste: bool = False) -> None:
        """Put back the jobs of threads that did not end. The process must end right after this.

        Without this, the next start would count a crash for these jobs. Do not wait for a ledger that takes too long.
        """
        with suppress(reach.SilentError, StateError):
            reach.ask(b"ledger", self._put_back, seconds=_PUT_BACK_NOW if in_haste else _PUT_BACK)

    def _put_back(self) -> None:
        for job in self.leases.held:
            with suppress(LeaseLostError):
                self.direct.queue.release(job)
                _log.info("job.released", job=job.id, path=job.path, reason="stopped", message="the service stops")
        self._sign_off()

    def _sign_off(self) -> None:
        """Store failed hooks, so that `status` shows them after the end. Raises StateError."""
        # In a fleet, other hosts take over this host's hooks.
        later = "the next start runs it again when it is due"
        if problems := [] if self.direct.hosts.all() else self.hook_runner.problems(_PROBLEMS, later=later):
            self.direct.memory.remember(HOOKS, {"problems": problems})
        else:
            self.direct.memory.forget(HOOKS)
        # Other hosts see that this host has ended.
        self.direct.memory.forget(SERVICE)

    def close(self) -> None:
        """Close everything; all threads must have ended, except those in `left_hanging`."""
        self.job_runner.close(wait=not self._left_behind)
        with suppress(StateError):
            self._sign_off()
        self.ledger.close()

    def swap(self, new: Plan) -> None:
        """Use other settings from the next job on; the state directory does not change."""
        old = self.snapshot
        self.direct.mount(new.settings.roots)
        self.snapshot = self._snapshot_of(new, self._accesses.remake(old.endpoints, new), old.overrides)
        self._places.settings_changed()
        self._attend_gates()
        if self._works:
            self._resize(new)
        self.hook_runner.poke()

    @property
    def problems(self) -> Sequence[InvalidOverride]:
        """Override files that could not be used at the last check."""
        return self.settings_notes.problems

    @property
    def overdue(self) -> list[str]:
        """Names of the workers that have been silent for longer than announced, and do not hang in a mount."""
        hung = self.hung()
        return [worker.name for worker in self.worker_pool.overdue if worker not in hung]

    def _new_worker(self, name: str) -> Worker:
        return Worker(
            name,
            self._idle,
            self.job_runner.run,
            leases=self.leases,
            admit=self._admit,
            conclude=self.conclusions,
            stop=self.stop,
            attempts=lambda: self.plan.settings.api.attempts,
            jitter=random.random,
            output_failures=self.output_failures,
            avoided=lambda: self.job_runner.crowded,
            failed_probes=self._failed_probes,
            clock=self._clock,
        )

    def _admit(self, *, timeout: float, only_probes: bool) -> ClaimTicket | None:
        """See Endpoints.admit."""
        if not only_probes:
            return self.endpoints.admit(timeout=timeout)
        # A worker that is free makes the probe, and goes on at another endpoint if it fails.
        self.stop.wait(_HEAD_START)
        return self.endpoints.admit(timeout=0, only_probes=True)

    def hung(self, *, seconds: float = reach.ANSWER_SECONDS) -> list[Worker]:
        """Return the workers, including dismissed ones, whose job is on a mount that hangs; do not access the mount.

        A mount hangs if it has not answered for `seconds`.
        """
        employed = {worker.beat: worker for worker in self.worker_pool.everybody}
        return [employed[beat] for beat in self.job_runner.hung(employed, seconds=seconds)]

    def hung_jobs(self) -> list[Job]:
        """Return the jobs of workers that hang in a mount, for longer than a sleeping disk needs to start."""
        jobs = [self.job_runner.job_of(worker.beat) for worker in self.hung(seconds=reach.PATIENT_SECONDS)]
        return [job for job in jobs if job is not None and job in self.leases.held]

    def relieve(self) -> None:
        """Replace workers that hang in a mount, or only wait (see `JobRunner`: `misplaced`, `ending`); for the main thread."""
        if self._works:
            hung = self.hung()
            # First, or those that are started now would hang there as well.
            self.job_runner.note_hung([worker.beat for worker in hung])
            self.worker_pool.relieve(hung, waiting=[*self.job_runner.misplaced(), *self.job_runner.ending()])

    def _resize(self, plan: Plan) -> None:
        # While all endpoints are closed, every worker probes; else at least one is open.
        probers = len(plan.endpoints) - 1
        workers = plan.settings.state.workers
        self.worker_pool.resize(workers, folders=len(plan.folders), probers=probers, groups=plan.folders_by_endpoint)

    def _snapshot_of(self, plan: Plan, accesses: Mapping[str, EndpointAccess], former: Overrides | None) -> Snapshot:
        endpoints = Endpoints(plan, accesses, busy=self._places.busy, stop=self.stop, monotonic=self._monotonic)
        return Snapshot(plan, endpoints, self._overrides_for(plan, former))

    def _overrides_for(self, plan: Plan, former: Overrides | None) -> Overrides:
        return Overrides(OVERRIDABLE, validate=plan.check_overrides, report=self._note_problem, former=former)

    def _note_problem(self, problem: InvalidOverride) -> None:
        self.settings_notes.look(problem.path)
        # Anybody who can write into a folder can make any number of them.
        say = _log.warning if self._complaints.spend() else _log.debug
        say("folder.degraded", path=problem.path, reason="overrides", message=problem.message, hint=FIX_HINT)

    def _attend_gates(self) -> None:
        """Exchange with the fleet for every gate until the application ends, even if a reload replaces the gate."""
        for gate in self._accesses.gates:
            if gate.shared and gate not in self._attended:
                self._attended.add(gate)
                self._servants.start("fleet", partial(self._attend, gate))

    def _attend(self, gate: Gate) -> None:
        while not self._over.is_set():
            gate.attend(1.0)
            if gate.trouble is not None:
                self.ledger_retry.note(gate.trouble)
        gate.leave()

    def _look_again(self, path: bytes) -> None:
        self._inspect(path)

    def _keep_leases(self) -> None:
        while not self._over.wait(RENEW):
            self.leases.step()
            self._beat()

    def _beat(self) -> None:
        with suppress(StateBusyError):
            self.direct.hosts.beat()

    def _keep_notices(self) -> None:
        over = False
        while True:
            snapshot = self.snapshot
            wanted, lost = snapshot.plan.settings.service.error_notes, self._lost()
            self.job_runner.ask_where_work_goes_on()
            try:
                self.crash_cleanup.step()
                self._places.end_delays(snapshot.endpoints, self.direct.queue)
                if self._pause_notes is not None and not over:
                    roots = [root for root, _ in snapshot.plan.roots]
                    states = {root: snapshot.endpoints.state([root]) for root in roots}
                    self._pause_notes.step(states, lost=lost, wanted=wanted)
                self.settings_notes.step(lost=lost, wanted=wanted)
            except StateBusyError as busy:
                # It goes in the next round.
                self.ledger_retry.note(busy)
            if over:
                return
            over = self._over.wait(_NOTICES)

    def _advise(self, endpoint: str, error: JobError) -> str:
        return self._advice.about(error.reason, error.hint, self.plan.config, endpoint=endpoint)
