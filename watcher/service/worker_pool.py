"""The application's workers; their number follows the settings, also after a reload."""

from collections.abc import Callable, Collection
from typing import Final, Protocol

from watcher.heartbeat import Heartbeat
from watcher.ledger.claims import RootLimit
from watcher.worker import Worker


class ThreadStarter(Protocol):
    """Starts threads for workers; `ThreadGroup` does."""

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a thread called `name`."""


class WorkerPool:
    """Starts and dismisses workers. Only one thread may call `resize`; any thread may read."""

    def __init__(
        self, thread_group: ThreadStarter, new_worker: Callable[[str], Worker], *, wake: Callable[[], None]
    ) -> None:
        """`new_worker` makes a worker with a name; `wake` ends the wait of workers that wait for work."""
        self._thread_group = thread_group
        self._new_worker = new_worker
        self._wake = wake
        #: Active workers, in the order of their rank; replaced as a whole.
        self.workers: tuple[Worker, ...] = ()
        #: Dismissed workers, which finish their job.
        self._leaving: tuple[Worker, ...] = ()
        self._count = self._folders = self._probers = 0
        self._groups: tuple[frozenset[bytes], ...] = ()

    def resize(
        self, count: int, *, folders: int = 1, probers: int = 0, groups: tuple[frozenset[bytes], ...] = ()
    ) -> None:
        """Set the number of workers to `count`, and, if it is more than one, some more for short files. No job is interrupted.

        `probers` more only probe endpoints that are closed: all others may wait for one that does not answer.

        With several `folders`, there are two more, one of them for short files. No folder may occupy all workers for short files, or
        all others: one of each kind is free for other folders, or has a file of another folder. Nor may those of one of the `groups`, which
        wait for the same endpoint. This does not apply to a single worker.
        """
        self._count, self._folders, self._probers, self._groups = count, folders, probers, groups
        usual = count + _ahead(count)
        limited = count > 1 and folders > 1
        working = usual + (_FOR_OTHERS if limited else 0)
        total = working + probers
        self._leaving = tuple(worker for worker in (*self._leaving, *self.workers[total:]) if not worker.ended)
        for worker in self.workers[total:]:
            worker.retire()
        staying = list(self.workers[:total])
        hired: list[Worker] = []
        for _ in range(total - len(staying)):
            taken = {worker.name for worker in (*staying, *hired, *self._leaving)}
            name = next(name for number in range(1, len(taken) + 2) if (name := f"worker-{number}") not in taken)
            hired.append(self._new_worker(name))
        self.workers = (*staying, *hired)
        for rank, worker in enumerate(self.workers, 1):
            # One of several workers is reserved for files of a single request, and so are the additional ones.
            worker.only_probes = rank > working
            worker.small = rank >= count > 1 and rank != usual + 1 and not worker.only_probes
        for small in (False, True):
            # The jobs of dismissed workers do not count: one may hang forever.
            alike = [worker for worker in self.workers[:working] if worker.small == small]
            limit = RootLimit(frozenset(worker.name for worker in alike), most=len(alike) - 1, groups=groups)
            for worker in alike:
                worker.limit = limit if limited else None
        for worker in self.workers[working:]:
            worker.limit = None
        for worker in hired:
            self._thread_group.start(worker.name, worker.run)
        self._wake()

    def relieve(self, hung: Collection[Worker], *, waiting: Collection[Heartbeat] = ()) -> None:
        """Start other workers for those that hang, and for those whose heartbeats are in `waiting`; these end after their job.

        Those that wait for an endpoint may do so for hours, so at most as many of them are replaced as there are workers.
        """
        most = 2 * len(self.workers) - len(self.everybody)
        late = [worker for worker in self.workers if worker.beat in waiting][: max(0, most)]
        stuck = [worker for worker in self.workers if worker in hung or worker in late]
        if not stuck:
            return
        for worker in stuck:
            worker.retire()
        self._leaving = (*self._leaving, *stuck)
        self.workers = tuple(worker for worker in self.workers if worker not in stuck)
        self.resize(self._count, folders=self._folders, probers=self._probers, groups=self._groups)

    @property
    def everybody(self) -> list[Worker]:
        """Active workers, and dismissed ones that have not ended."""
        return [*self.workers, *(worker for worker in self._leaving if not worker.ended)]

    @property
    def overdue(self) -> list[Worker]:
        """The workers that have been silent for longer than announced."""
        return [worker for worker in self.everybody if not worker.ended and worker.beat.overdue]


#: Additional workers, which may have no work while only one folder has files: one for any file, one for short ones.
_FOR_OTHERS: Final = 2


def _ahead(workers: int) -> int:
    """Return the number of additional workers for short files, so that the next request is ready before a place is free.

    A worker that has its answer still writes the outputs, for some hundredths of a second; meanwhile its place would be unused. With
    a single worker, files are processed one after the other.
    """
    return max(1, workers // 4) if workers > 1 else 0
