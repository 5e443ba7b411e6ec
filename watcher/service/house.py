"""Building the house: every room from its part of the settings, every thread with a name."""

import contextvars
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from watcher import hooks, media, pipeline, sidecar
from watcher.client import Client
from watcher.errors import FileError, StateError
from watcher.gate import Gate, Ticket
from watcher.job import Job, Outcome
from watcher.ledger import Ledger
from watcher.ledger.patience import Patience, patient
from watcher.ledger.salvage import open_or_salvage
from watcher.overrides import Overrides, Problem
from watcher.pipeline import Tools, Turns, Wanted
from watcher.service.conclude import Conclusions
from watcher.service.crew import Crew
from watcher.service.history import History
from watcher.service.plan import OVERRIDABLE, Plan
from watcher.worker import RENEW, Beat, Leases, Probes, Setbacks, Worker

_log = structlog.get_logger()
_Result = TypeVar("_Result")

#: How long a thread may take to end once nothing waits for the server any more.
_JOIN: Final = 10.0
_SPOOL: Final = "spool"
#: Requests of long recordings wait at the gate in threads of their own, made as they are needed; the gate decides how
#: many are in flight, and a few pieces per job is all there are.
_THREADS: Final = 512
#: What to do about a `.watcher.toml` that can't be used.
MEND_HINT: Final = "mend the file; until then the folder goes on with what it had"


class House:
    """All rooms of one running daemon (or one `once`), without the finder and without signals."""

    def __init__(
        self,
        plan: Plan,
        *,
        stop: threading.Event,
        on_death: Callable[[], None],
        environment: Mapping[str, str],
        waits: bool = True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the ledger and clear what a crash left. Raises StateError and ConfigError.

        `environment` is what hooks get, less what is not meant for them. `waits`: while the ledger takes no changes (a full
        disk), the threads wait for it instead of ending. `clock` dates what is stored, `monotonic` times the gate's waits.
        """
        self.plan = plan
        self._clock = clock
        self._monotonic = monotonic
        self._environment = environment
        self._overrides = self._overrides_for(plan)
        self.stop = stop
        #: Those that work on jobs, and those that serve them until the last one has ended.
        self.crew = Crew(on_death=on_death)
        self._servants = Crew(on_death=on_death)
        self._over = threading.Event()
        self._last_call = threading.Event()
        self.hooks_over = threading.Event()
        #: Jobs whose outputs could not be placed.
        self.setbacks = Setbacks()
        directory = plan.config.state_directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            spool = directory / _SPOOL
            spool.mkdir(exist_ok=True, mode=0o700)
        except OSError as exc:
            raise StateError(
                f"the state directory {directory} cannot be made: {exc.strerror}",
                hint="make it writable for this user, or name another one: state.dir",
            ) from exc
        #: The ledger that fails rather than waits: for the main thread, which has to see signals.
        self.direct, salvage = open_or_salvage(
            directory, plan.settings.state.url, roots=plan.settings.places, clock=clock
        )
        if salvage is not None:
            _log.error(
                "service.salvaged",
                message="the ledger was damaged: what could be read of it was taken over into a new one",
                backup=str(salvage.backup),
                rows=dict(salvage.rows),
                hint="look at the disk it is on (dmesg); files that have their outputs are not paid for a second time",
            )
        media.clear_spool(spool)
        sidecar.clear_temporaries(self.direct)
        self.patience = Patience()
        self._waits = waits
        self._given_up = threading.Event()
        #: The ledger of those who hold something that was paid for: they wait as long as the house does.
        self.ledger = self.waiting(self._given_up)
        #: Forgets what is gone; whoever runs the house starts it, or has it catch up.
        self.history = History(
            self.waiting(stop),
            settings=lambda: self.plan.settings.state,
            roots=lambda: [root for root, _ in self.plan.roots],
            stop=stop,
            clock=clock,
        )
        self.client = Client(plan.endpoint, memory=self.direct)
        self._retired: list[Client] = []
        self.gate = self._gate_for(plan)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="request")
        self._turns = Turns()
        self.leases = Leases(self.ledger)
        self.workers: list[Worker] = []
        self._inspect: Callable[[bytes], None] = lambda _path: None
        self.conclusions = Conclusions(
            self.ledger,
            inspect=self._look_again,
            on_done=lambda: bool(self.plan.settings.hooks.on_done),
            on_failed=lambda: bool(self.plan.settings.hooks.on_failed),
            notes=lambda: self.plan.settings.service.error_notes,
        )
        self._spool = spool

    def waiting(self, given_up: threading.Event) -> Ledger:
        """Give the ledger for a thread that waits, if need be, until `given_up`."""
        return patient(self.direct, self.patience, given_up) if self._waits else self.direct

    def start(self, *, inspect: Callable[[bytes], None], works: bool = True) -> None:
        """Start the threads that work; `inspect` has a path looked at again. Not `works`: other hosts work on jobs."""
        self._inspect = inspect
        for record in self.ledger.quarantined():
            # The opening of the ledger has failed them, because of their crashes: nobody has told yet.
            error = FileError(record.message, hint=record.hint, reason=record.reason)
            self.conclusions.failed(record.job, error)
        count = self.plan.settings.state.workers if works else 0
        probes, idle = Probes(), self.waiting(self.stop)
        for number in range(1, count + _ahead(count) + 1):
            worker = Worker(
                f"worker-{number}",
                idle,
                self._work,
                leases=self.leases,
                admit=self._admit,
                conclude=self.conclusions,
                stop=self.stop,
                attempts=lambda: self.plan.settings.api.attempts,
                jitter=random.random,
                setbacks=self.setbacks,
                probes=probes,
                clock=self._clock,
                # One of several is kept free for files of a single request, and those beyond their number are for them.
                small=number >= count > 1,
            )
            self.workers.append(worker)
            self.crew.start(worker.name, worker.run)
        self._servants.start("leases", self._keep_leases)
        self._servants.start("hooks", self._run_hooks)

    @property
    def error(self) -> BaseException | None:
        """What ended one of the threads, if anything did."""
        return self.crew.error or self._servants.error or self.history.error

    def last_call(self) -> None:
        """Say that no job will be concluded any more: `hooks_over` is set once every hook was run."""
        self._last_call.set()

    def drain(self, seconds: float) -> list[str]:
        """Let what is in flight finish for `seconds`, then cut it off; give the names of threads that did not end."""
        self.stop.set()
        self._last_call.set()
        self.ledger.wake()
        if self.crew.join(seconds):
            for client in (*self._retired, self.client):
                client.cancel()
        self._given_up.set()
        late = self.crew.join(_JOIN)
        self._over.set()
        self.history.join()
        return [*late, *self._servants.join(_JOIN)]

    def close(self) -> None:
        """Let go of everything; the threads must have ended."""
        self._pool.shutdown(wait=True)
        for client in (*self._retired, self.client):
            client.close()
        self.ledger.close()

    def swap(self, new: Plan) -> None:
        """Go on with other settings, from the next job on; the state stays where it is."""
        if new.endpoint != self.plan.endpoint:
            # What is in flight goes on with the former client; it is closed with the house.
            self._retired.append(self.client)
            self.client = Client(new.endpoint, memory=self.direct)
        if new.endpoint.name != self.plan.endpoint.name:
            self.gate = self._gate_for(new)
        else:
            self.gate.reload(new.gate)
            if new.endpoint != self.plan.endpoint:
                # Another key or model: whatever held the queue may be over.
                self.gate.resume()
        self._overrides = self._overrides_for(new)
        self.direct.mount(new.settings.places)
        self.plan = new

    def wanted(self, job: Job) -> Wanted:
        """Say what is to be made of a source."""
        folder = os.path.dirname(job.path)  # noqa: PTH120 - bytes
        return self.plan.wanted(job, self._overrides.effective(job.root, folder))

    @property
    def problems(self) -> list[Problem]:
        """Override files that can't be used."""
        return self._overrides.problems()

    @property
    def overdue(self) -> list[str]:
        """Names of the workers that have been silent for longer than they said."""
        return [worker.name for worker in self.workers if worker.beat.overdue]

    def _work(self, job: Job, beat: Beat) -> Outcome:
        settings = self.plan.settings
        tools = Tools(
            ledger=self.ledger,
            client=self.client,
            gate=self.gate,
            media=settings.media,
            spool=self._spool,
            stop=self.stop,
            submit=self._submit,
            wanted=self.wanted,
            turns=self._turns,
        )
        return pipeline.run(job, tools, beat)

    def _submit(self, call: Callable[[], _Result]) -> "Future[_Result]":
        # The pool's threads are older than the job: its name and path have to travel along, for the log.
        return self._pool.submit(contextvars.copy_context().run, call)

    def _overrides_for(self, plan: Plan) -> Overrides:
        return Overrides(OVERRIDABLE, validate=plan.check_overrides, report=self._note_problem)

    def _note_problem(self, problem: Problem) -> None:
        _log.warning(
            "folder.degraded",
            path=problem.path,
            reason="overrides",
            message=problem.message,
            hint=MEND_HINT,
        )

    def _gate_for(self, plan: Plan) -> Gate:
        return Gate(
            plan.gate,
            endpoint_name=plan.endpoint.name,
            # It writes under its lock, which the main thread takes, too, and makes up later for what is not taken.
            memory=self.direct,
            buy=self.direct.buy,
            stop=self.stop,
            shared=bool(plan.settings.state.url),
            clock=self._clock,
            monotonic=self._monotonic,
        )

    def _admit(self, *, timeout: float) -> Ticket | None:
        return self.gate.admit(timeout=timeout)

    def _look_again(self, path: bytes) -> None:
        self._inspect(path)

    def _keep_leases(self) -> None:
        while not self._over.wait(RENEW):
            self.leases.step()

    def _run_hooks(self) -> None:
        ledger = self.waiting(self.stop)
        while not self.stop.is_set():
            last = self._last_call.is_set()
            due = ledger.hooks_due(1)
            for call in due:
                options = self.plan.settings.hooks
                argv = options.on_done if call.kind == "on_done" else options.on_failed
                if argv:
                    ran = hooks.run(
                        argv,
                        call.payload,
                        environment=self._environment,
                        timeout=options.timeout_seconds,
                        kind=call.kind,
                        secrets=[self.plan.endpoint.secret],
                        stop=self.stop,
                    )
                    if ran.reason == "stopped":
                        # It stays in the ledger, and is run again at the next start.
                        return
                ledger.hook_done(call)
            if not due:
                if last:
                    self.hooks_over.set()
                    return
                self._last_call.wait(1.0)


def _ahead(workers: int) -> int:
    """Give how many more take short files, so that the next request is ready before a place at the server is free.

    One that has its answer still writes the outputs, for some hundredths of a second; its place would stand empty. Where
    there is a single worker, files go one after the other.
    """
    return max(1, workers // 4) if workers > 1 else 0
