"""At which endpoint each job is in work, and where it began."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Final

from watcher.errors import ClosedError, GarbledError, HeldError, PassingError, StateBusyError
from watcher.job import Job
from watcher.ledger.queue import Queue
from watcher.service.endpoint_ticket import EndpointTicket
from watcher.service.endpoints import Endpoints
from watcher.worker import ClaimTicket

#: Most jobs of which it is remembered where they began, or where they failed.
_MOST: Final = 10_000
#: Failures of an endpoint at a recording after which another one is tried.
_SEVERAL: Final = 2
#: Seconds by which a recording is delayed that may not go to the endpoint that is to be probed.
_ASIDE: Final = 5.0


class JobPlaces:
    """Where jobs are sent. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        #: Job id -> the endpoint that answered about it last, until it is done; and how often each has failed at it.
        self._began: dict[int, str] = {}
        self._failed: dict[int, Counter[str]] = {}
        #: The endpoints that were open at the last call of `end_delays`, and that no job has found closed since.
        self._open: set[str] = set()

    def busy(self, name: str) -> int:
        """Return how many jobs are in work at an endpoint."""
        return self._busy[name]

    def first(
        self, job: Job, order: Sequence[str], ticket: ClaimTicket, endpoints: Endpoints, probes: ExitStack
    ) -> str:
        """Return the endpoint for a job that was claimed with `ticket`. Raises ClosedError and HeldError: none is open.

        It stays where it began, if that endpoint is open; else it probes the one that the ticket names. An endpoint that failed at it
        several times, without refusing it, is used only if no other is open: one file alone never shows that a server is down.
        If a probe of the endpoint is due, its permission is added to `probes`.
        """
        began, failures = self._began.get(job.id, ""), self._failed.get(job.id, Counter())
        fresh = [name for name in order if failures[name] < _SEVERAL]
        name = endpoints.choose(fresh, began=began) or endpoints.choose(order, began=began)
        if isinstance(ticket, EndpointTicket):
            if ticket.endpoint in order and (ticket.only_probes or name != began or not name):
                return ticket.endpoint
            # This job does not probe: let the next one do it.
            ticket.close()
            if ticket.only_probes:
                raise HeldError(f"it cannot probe {ticket.endpoint}", reason="held", retry_after=_ASIDE)
        if name := name or _probed(job, order, endpoints, probes):
            return name
        with self._lock:
            # They may be open again before the next call of `end_delays`.
            self._open = self._open.difference(order)
        raise endpoints.closed_error(order, job.path)

    def other(self, job: Job, order: Sequence[str], name: str, endpoints: Endpoints, probes: ExitStack) -> str:
        """Return the endpoint for a job that waits for a place at `name`, while another one is better; `probes`: see `first`."""
        better = [one] if (one := self._better(job, order, name, endpoints)) else []
        return endpoints.choose(better) or _probed(job, better, endpoints, probes) or name

    def leaves(self, job: Job, order: Sequence[str], name: str, endpoints: Endpoints) -> bool:
        """Return whether a job that waits for a place at `name`, where nothing of it was answered, should go elsewhere."""
        return self._began.get(job.id) != name and bool(self._better(job, order, name, endpoints))

    def _better(self, job: Job, order: Sequence[str], name: str, endpoints: Endpoints) -> str:
        """See Endpoints.better; none that has failed at the job several times."""
        failures = self._failed.get(job.id, Counter())
        return endpoints.better([one for one in order if one == name or failures[one] < _SEVERAL], name, job.path)

    def answered(self, job: Job, name: str) -> None:
        """Note that an endpoint has answered about a job: so it comes back there."""
        with self._lock:
            self._began[job.id] = name
            if len(self._began) > _MOST:
                self._forget(next(iter(self._began)))

    def end_delays(self, endpoints: Endpoints, queue: Queue) -> None:
        """Make jobs due for which no endpoint was open, if one has opened since, or other settings count. Raises StateBusyError."""
        with self._lock:
            before, self._open = self._open, endpoints.open_names()
            have_opened = self._open - before
        if have_opened:
            try:
                queue.end_delays(ClosedError.code)
            except StateBusyError:
                self.settings_changed()
                raise

    def settings_changed(self) -> None:
        """Note that jobs may go to other endpoints now: the next call of `end_delays` makes them due."""
        with self._lock:
            self._open = set()

    @contextmanager
    def at(self, name: str, job: Job) -> Iterator[None]:
        """Count a job as in work at an endpoint within the block."""
        with self._lock:
            self._busy[name] += 1
        try:
            yield
            with self._lock:
                self._forget(job.id)
        except PassingError as error:
            if not isinstance(error, GarbledError):
                with self._lock:
                    self._failed.setdefault(job.id, Counter())[name] += 1
                    if len(self._failed) > _MOST:
                        self._forget(next(iter(self._failed)))
            raise
        finally:
            with self._lock:
                self._busy[name] -= 1

    def _forget(self, id_: int) -> None:
        self._began.pop(id_, None)
        self._failed.pop(id_, None)


def _probed(job: Job, order: Sequence[str], endpoints: Endpoints, probes: ExitStack) -> str:
    """Return the closed endpoint of `order` that this job probes, with the permission in `probes`; "": a probe of none is due."""
    found = endpoints.probe(order, job.path, attempts=job.attempts)
    if found is None:
        return ""
    name, permission = found
    probes.enter_context(closing(permission))
    return name
