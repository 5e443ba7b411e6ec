"""At which endpoint each job is in work, and where it began."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from watcher.errors import GarbledError, PassingError
from watcher.job import Job
from watcher.service.endpoints import Endpoints, EndpointTicket
from watcher.worker import ClaimTicket

#: Most jobs of which it is remembered where they began.
_MOST: Final = 10_000
#: Failures of an endpoint at a recording after which another one is tried.
_SEVERAL: Final = 2


class JobPlaces:
    """Where jobs are sent. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        #: Job id -> the endpoint that it was sent to last, until it is done; and how often each has failed at it.
        self._began: dict[int, str] = {}
        self._failed: dict[int, Counter[str]] = {}

    def busy(self, name: str) -> int:
        """Return how many jobs are in work at an endpoint; `name`: its name in the ledger."""
        return self._busy[name]

    def first(self, job: Job, order: Sequence[str], ticket: ClaimTicket, endpoints: Endpoints) -> str:
        """Return the endpoint for a job that was claimed with `ticket`. Raises ClosedError and HeldError: none is open.

        It stays where it began, if that endpoint is open; else it probes the one that the ticket names. An endpoint that failed at it
        several times, without refusing it, is used only if no other is open: one file alone never shows that a server is down.
        """
        began, failures = self._began.get(job.id, ""), self._failed.get(job.id, Counter())
        fresh = [name for name in order if failures[name] < _SEVERAL]
        name = endpoints.choose(fresh, began=began) or endpoints.choose(order, began=began)
        if isinstance(ticket, EndpointTicket):
            if ticket.endpoint in order and (name != began or not name):
                return ticket.endpoint
            # This job does not probe: let the next one do it.
            ticket.close()
        if not name:
            raise endpoints.closed_error(order, job.path)
        return name

    @contextmanager
    def at(self, name: str, job: Job) -> Iterator[None]:
        """Count a job as in work at an endpoint within the block; an error means that it may come back there."""
        with self._lock:
            self._busy[name] += 1
            self._began[job.id] = name
            if len(self._began) > _MOST:
                self._forget(next(iter(self._began)))
        try:
            yield
            with self._lock:
                self._forget(job.id)
        except PassingError as error:
            if not isinstance(error, GarbledError):
                with self._lock:
                    self._failed.setdefault(job.id, Counter())[name] += 1
            raise
        finally:
            with self._lock:
                self._busy[name] -= 1

    def _forget(self, id_: int) -> None:
        self._began.pop(id_, None)
        self._failed.pop(id_, None)
