"""How often jobs met a folder or a disk that takes no outputs."""

from typing import Final

from watcher.errors import JobError, OutputError, SourceError
from watcher.job import Job

#: Messages, and jobs, that are remembered: of more of them, those that were met first are forgotten.
_MESSAGES: Final = 1000
_JOBS: Final = 100_000


class OutputFailures:
    """Counts how often in a row each job met a folder or disk in trouble; shared by all workers, forgotten with the process.

    Such a run costs no attempt, so nothing in the ledger could make the next one wait longer: on a full disk every
    recording would be read again every second.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._messages: dict[str, None] = {}

    def __getitem__(self, job: Job) -> int:
        """Return the number."""
        return self._counts.get(job.id, 0)

    def is_news(self, message: str) -> bool:
        """Return whether no job has met this trouble since the last time that none was in any."""
        known = message in self._messages
        self._messages[message] = None
        if len(self._messages) > _MESSAGES:
            self._messages.pop(next(iter(self._messages)), None)
        return not known

    def stuck(self, times: int) -> int:
        """Return the number of jobs that met this at least so often."""
        return sum(count >= times for count in list(self._counts.values()))

    def note(self, job: Job, error: JobError | None) -> None:
        """Take a run's end into account."""
        if isinstance(error, OutputError) or (isinstance(error, SourceError) and error.uncounted):
            self._counts[job.id] = self[job] + 1
            if len(self._counts) > _JOBS:
                self._counts.pop(next(iter(self._counts)), None)
        else:
            self._counts.pop(job.id, None)
            if not self._counts:
                self._messages.clear()
