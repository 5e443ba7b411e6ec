"""Run jobs, and find workers that are blocked by a mount that hangs."""

import contextvars
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from watcher import pipeline, reach, tree
from watcher.client import Client
from watcher.errors import (
    AccountError,
    ClosedError,
    ElsewhereError,
    GoneError,
    HeldError,
    JobError,
    NoChannelError,
    OutputError,
)
from watcher.folders import MountKind, Mounts
from watcher.heartbeat import Heartbeat
from watcher.job import TRIAL_MODEL, Job, Outcome
from watcher.kernel_calls import waits_for_file
from watcher.ledger import Ledger
from watcher.overrides import FOLDER, UNKNOWN, InvalidOverride, Sections
from watcher.pipeline import ExhaustedForms, Handovers, KeyedLocks, Tools
from watcher.service.clients import OtherClients
from watcher.service.endpoint_ticket import EndpointTicket
from watcher.service.job_places import JobPlaces
from watcher.service.snapshot import Snapshot
from watcher.text import printable
from watcher.worker import ClaimTicket

_log = structlog.get_logger()
_Result = TypeVar("_Result")

#: Most threads in which requests of long recordings wait at the gate; they are made when needed. The gate decides how
#: many requests are in flight, and each job has only a few pieces waiting.
_THREADS: Final = 512
#: Seconds of work on a job after which it is tested whether its mount answers, and whether it waits for a server that others do not need.
_LATE: Final = 1.0
#: Workers that hang in one watched folder from which on no more begin there: each takes a thread, and a mount may make any number hang.
_MOST_HUNG: Final = 4
#: Message about such a folder.
CROWDED: Final = (
    "several recordings there could not be read or written to their end: no more are begun until the mount answers"
)


class JobRunner:
    """Runs jobs for the workers. Any thread may use it."""

    def __init__(
        self,
        ledger: Ledger,
        snapshot: Callable[[], Snapshot],
        others: OtherClients,
        places: JobPlaces,
        *,
        spool: Path,
        stop: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
        mounts: Mounts | None = None,
    ) -> None:
        """`others`: the clients of models requested for single recordings; `places`: where jobs are sent; `mounts`: the mount table."""
        self._ledger = ledger
        self._snapshot = snapshot
        self._others = others
        self._spool = spool
        self._stop = stop
        self._monotonic = monotonic
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="request")
        self._sound_locks = KeyedLocks()
        self._handovers = Handovers()
        self._exhausted: defaultdict[str, ExhaustedForms] = defaultdict(ExhaustedForms)
        self._places = places
        #: Only for the main thread.
        self._mounts = mounts or Mounts()
        #: A worker's heartbeat -> the job that it began last, and when (monotonic).
        self._at_work: dict[Heartbeat, tuple[Job, float]] = {}
        #: Watched folders in which so many workers hang that no more should begin there. Any thread may read it.
        self.crowded: frozenset[bytes] = frozenset()
        #: The heartbeat of a worker with a job -> the endpoints that may get it, the one where it is, and since when (monotonic).
        self._sent: dict[Heartbeat, tuple[tuple[str, ...], str, float]] = {}
        #: The heartbeats of workers whose job only waits for its last answers.
        self._ending: set[Heartbeat] = set()

    @property
    def clients(self) -> list[Client]:
        """All clients that may have requests in flight."""
        endpoints = self._snapshot().endpoints
        return [*self._others, *(endpoints[name].client for name in endpoints)]

    def close(self, *, wait: bool) -> None:
        """Close the clients. `wait=False`: threads that did not end may still use them."""
        self._pool.shutdown(wait=wait)
        self._mounts.close()
        for client in self.clients:
            client.close()

    def run(self, job: Job, ticket: ClaimTicket, beat: Heartbeat) -> Outcome:
        """Run a job, and return its outcome. Raises what `pipeline.run` raises, OutputError if its mount hangs, and ClosedError.

        If the endpoint that it was sent to closes meanwhile, it goes on at the next one that is open. While it waits for a place and
        nothing of it was sent, it goes to a better one as soon as there is one.
        """
        self._at_work[beat] = (job, self._monotonic())
        _require_answer(job)
        try:
            with ExitStack() as permissions:
                permissions.callback(ticket.close)
                return self._run(job, ticket, beat, permissions)
        finally:
            self._sent.pop(beat, None)
            self._ending.discard(beat)

    def _run(self, job: Job, ticket: ClaimTicket, beat: Heartbeat, permissions: ExitStack) -> Outcome:
        """Run a job at one endpoint after the other; `permissions`: closes the ticket, and gets further ones to probe an endpoint."""
        snapshot = self._snapshot()
        overrides = snapshot.overrides_of(job)
        endpoints, order = snapshot.endpoints, snapshot.order(job, overrides)
        if not order and isinstance(unread := overrides[FOLDER].get(UNKNOWN), InvalidOverride):
            raise _not_allowed(job, unread)
        tried: list[str] = []
        why: JobError
        name = self._places.first(job, order, ticket, endpoints, permissions)
        while True:
            self._sent[beat] = (order, name, self._monotonic())
            try:
                with self._places.at(name, job):
                    return pipeline.run(job, self.tools(job, snapshot, name, order, overrides, beat=beat), beat)
            except ElsewhereError as error:
                # Nothing has failed here, so it may come back; and it does not probe this one any more.
                permissions.pop_all().close()
                former, why = name, error
                name = self._places.other(job, order, name, endpoints, permissions)
            except (HeldError, AccountError, NoChannelError) as error:
                former, why = name, error
                tried.append(name)
                others = [one for one in order if one not in tried]
                if endpoints.is_open(name) or not (name := endpoints.choose(others)):
                    raise
                if isinstance(ticket, EndpointTicket) and ticket.only_probes:
                    # Another worker takes it there.
                    raise HeldError(error.message, hint=error.hint, reason=error.reason) from error
            if name != former:
                _log.info("job.rerouted", endpoint=name, former=former, reason=why.reason, message=why.message)

    def tools(
        self, job: Job, snapshot: Snapshot, name: str, order: tuple[str, ...], overrides: Sections, *, beat: Heartbeat
    ) -> Tools:
        """Return the tools for a job at the endpoint `name` of `order`; `beat`: that of its thread."""
        access = snapshot.endpoints[name]
        models = [snapshot.endpoints[other].plan.endpoint.model for other in order]
        # The texts of a trial are poor, and are no reason to leave a recording to it.
        others = {model: None for model in models if model not in {access.plan.endpoint.model, TRIAL_MODEL}}
        return Tools(
            ledger=self._ledger,
            client=self._others.asking(job.again.model if job.again is not None else "", access.client),
            gate=access.gate,
            media=snapshot.plan.settings.media,
            spool=self._spool,
            stop=self._stop,
            submit=self._submit,
            wanted=partial(snapshot.plan.wanted, overrides=overrides),
            sound_locks=self._sound_locks,
            handovers=self._handovers,
            exhausted=self._exhausted[access.plan.endpoint.name],
            order=order,
            other_models=tuple(others),
            leaves=partial(self._places.leaves, job, order, name, snapshot.endpoints),
            answered=partial(self._places.answered, job, name),
            # A short file has one request: nothing is won.
            all_cut=partial(self._ending.add, beat) if not job.small else lambda: None,
        )

    def ending(self) -> list[Heartbeat]:
        """Return the heartbeats of workers whose job is cut to its end, and only waits for its last answers.

        A single worker makes one recording after the other, as the settings say.
        """
        return list(self._ending) if self._snapshot().plan.settings.state.workers > 1 else []

    def misplaced(self) -> list[Heartbeat]:
        """Return the heartbeats of workers that have waited for an endpoint for a while, when a better one is open."""
        late = self._monotonic() - _LATE
        sent = [(beat, order, name) for beat, (order, name, since) in list(self._sent.items()) if since < late]
        return [beat for beat, order, name in sent if self._snapshot().endpoints.is_misplaced(order, name)]

    def hung(self, beats: Collection[Heartbeat], *, seconds: float = reach.ANSWER_SECONDS) -> list[Heartbeat]:
        """Return the heartbeats of workers whose job is on a mount that hangs, without access to the mount. For the main thread.

        A mount hangs if it has not answered for `seconds`; or if the worker is overdue and it is a network mount, which may answer a
        test, and hang in the middle of a file; or if the kernel tells that the worker waits for a file: such a mount may be gone from
        its place (`umount -l`), and a restart would not help.
        """
        # Workers begin jobs meanwhile: they change the table while it is read here.
        for ended in set(self._at_work).difference(beats):
            del self._at_work[ended]
        return [
            beat
            for beat, (job, _) in list(self._at_work.items())
            if reach.is_silent(job.root, seconds=seconds)
            or (beat.overdue and (self._is_remote(job) or waits_for_file(beat.thread)))
        ]

    def note_hung(self, hung: Collection[Heartbeat]) -> None:
        """Find the watched folders in which so many workers hang that no more should begin there; for the main thread."""
        roots = Counter(job.root for beat in hung if (job := self.job_of(beat)) is not None)
        crowded = frozenset(root for root, count in roots.items() if count >= _MOST_HUNG)
        for root in crowded - self.crowded:
            _log.error("folder.degraded", path=root, reason="workers_hang", message=CROWDED, hint=reach.SILENT_HINT)
        self.crowded = crowded

    def _is_remote(self, job: Job) -> bool:
        self._mounts.changed()
        return self._mounts.of(self._mounts.locate(job.path)).kind is MountKind.NETWORK

    def job_of(self, beat: Heartbeat) -> Job | None:
        """Return the job that a worker began last."""
        work = self._at_work.get(beat)
        return None if work is None else work[0]

    def ask_where_work_goes_on(self) -> None:
        """Start helper threads that test whether the mounts of longer running jobs answer."""
        late = self._monotonic() - _LATE
        for job, since in list(self._at_work.values()):
            if since < late:
                reach.poke(job.root, partial(tree.stands, job.root, job.path))

    def _submit(self, call: Callable[[], _Result]) -> "Future[_Result]":
        # The pool's threads are older than the job: pass its name and path along, for the log.
        return self._pool.submit(contextvars.copy_context().run, call)


def lost(job: Job) -> OutputError:
    """Return the error of a job whose folder is on a mount that hangs."""
    return OutputError(f"{printable(job.root)}: {reach.SILENT}", hint=reach.SILENT_HINT, reason="lost")


def _not_allowed(job: Job, unread: InvalidOverride) -> JobError:
    """Return the error of a job below a `.watcher.toml` whose list of endpoints cannot be read, or whose folder is gone."""
    parent = os.path.dirname(job.path)  # noqa: PTH120 - bytes
    try:
        with tree.directory(job.root, parent):
            pass
    except FileNotFoundError:
        return GoneError(f"the folder {printable(parent)} is not there any more")
    except OSError:
        # It cannot be opened now.
        pass
    return ClosedError(
        f"{printable(unread.path)} cannot be read, so it is not known which endpoints may get this recording: {unread.message}",
        hint="let the user that Watcher runs as read that file, correct it or remove it; it goes on by itself",
        reason="closed",
    )


def _require_answer(job: Job) -> None:
    """Raise OutputError if the source's mount hangs, since the worker would hang, too."""
    try:
        reach.ask(job.root, partial(tree.stands, job.root, job.path))
    except reach.SilentError as exc:
        raise lost(job) from exc
