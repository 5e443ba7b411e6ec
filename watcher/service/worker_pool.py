"""The application's workers, as many as the settings say: more or fewer of them after a reload."""

from collections.abc import Callable, Collection
from typing import Final, Protocol

from watcher.ledger.claims import RootLimit
from watcher.worker import Worker


class ThreadStarter(Protocol):
    """Starts threads for workers; `ThreadGroup` does."""

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a thread called `name`."""


class WorkerPool:
    """Starts and retires workers. Only one thread may call `resize`; any may read."""

    def __init__(
        self, thread_group: ThreadStarter, new_worker: Callable[[str], Worker], *, wake: Callable[[], None]
    ) -> None:
        """`new_worker` makes a worker of that name; `wake` ends the wait of those that wait for work."""
        self._thread_group = thread_group
        self._new_worker = new_worker
        self._wake = wake
        #: Those that work, in order of their rank; replaced whole.
        self.workers: tuple[Worker, ...] = ()
        #: Those that were dismissed, and finish what they have begun.
        self._leaving: tuple[Worker, ...] = ()
        self._count = self._folders = 0

    def resize(self, count: int, *, folders: int = 1) -> None:
        """Have `count` workers, and some more for short files where there are several. Nobody's job is interrupted.

        Where several `folders` are watched, there are two more, one of them for short files. No folder may have all workers for
        short files, nor all others: one of each is free for other folders, or has a file of one. This does not hold for a single worker.
        """
        self._count, self._folders = count, folders
        usual = count + _ahead(count)
        limited = count > 1 and folders > 1
        total = usual + (_FOR_OTHERS if limited else 0)
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
            # One of several is kept free for files of a single request, and those beyond their number are for them.
            worker.small = rank >= count > 1 and rank != usual + 1
        for small in (False, True):
            # The jobs of those that were dismissed do not count: one may hang for good.
            alike = [worker for worker in self.workers if worker.small == small]
            limit = RootLimit(frozenset(worker.name for worker in alike), most=len(alike) - 1)
            for worker in alike:
                worker.limit = limit if limited else None
        for worker in hired:
            self._thread_group.start(worker.name, worker.run)
        self._wake()

    def relieve(self, hung: Collection[Worker]) -> None:
        """Hire others for the workers that hang; these end after their job, should it ever go on."""
        stuck = [worker for worker in self.workers if worker in hung]
        if not stuck:
            return
        for worker in stuck:
            worker.retire()
        self._leaving = (*self._leaving, *stuck)
        self.workers = tuple(worker for worker in self.workers if worker not in stuck)
        self.resize(self._count, folders=self._folders)

    @property
    def everybody(self) -> list[Worker]:
        """Those that work, and those that were dismissed and have not ended."""
        return [*self.workers, *(worker for worker in self._leaving if not worker.ended)]

    @property
    def overdue(self) -> list[Worker]:
        """The workers that have been silent for longer than they said."""
        return [worker for worker in self.everybody if not worker.ended and worker.beat.overdue]


#: As many workers more as may have nothing to do while a single folder has files: one for any file, one for short ones.
_FOR_OTHERS: Final = 2


def _ahead(workers: int) -> int:
    """Return how many more take short files, so that the next request is ready before a place at the server is free.

    One that has its answer still writes the outputs, for some hundredths of a second; its place would stay empty. Where
    there is a single worker, files go one after the other.
    """
    return max(1, workers // 4) if workers > 1 else 0
