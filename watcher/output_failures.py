"""Count how often jobs could not place their outputs, because of a folder or a disk."""

import sys
from typing import Final

from watcher.errors import JobError, OutputError, SourceError
from watcher.job import Job

#: Most messages that are remembered, of which the oldest are forgotten; and most jobs, after which no more are remembered.
_MESSAGES: Final = 1000
_JOBS: Final = 100_000
#: Failures after which the wait does not get longer.
_MANY: Final = 16


class OutputFailures:
    """Counts for each job how often in a row it could not place its outputs. All workers share it; it ends with the process.

    Such a run costs no attempt, so the ledger has no count that could make the next wait longer: on a full disk, every
    recording would be read again every second.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._messages: dict[str, None] = {}

    def __getitem__(self, job: Job) -> int:
        """Return the number for a job; that of one which is not remembered leads to the longest wait."""
        return self._counts.get(job.id, 0 if len(self._counts) < _JOBS else _MANY)

    def is_news(self, message: str) -> bool:
        """Return whether this problem is new since the last time that there was none."""
        known = message in self._messages
        self._messages[message] = None
        if len(self._messages) > _MESSAGES:
            self._messages.pop(next(iter(self._messages)), None)
        return not known

    def is_stuck(self, job_id: int, times: int) -> bool:
        """Return whether a job has had at least `times` such failures in a row."""
        return self._counts.get(job_id, 0) >= times

    def stuck(self, times: int) -> int:
        """Return the number of jobs with at least `times` such failures in a row.

        If these are as many as are remembered, others are assumed to have failed as well.
        """
        stuck = sum(count >= times for count in list(self._counts.values()))
        return stuck if stuck < _JOBS else sys.maxsize

    def note(self, job: Job, error: JobError | None) -> None:
        """Count the end of a run."""
        if isinstance(error, OutputError) or (isinstance(error, SourceError) and error.uncounted):
            if job.id in self._counts or len(self._counts) < _JOBS:
                self._counts[job.id] = self._counts.get(job.id, 0) + 1
        else:
            self._counts.pop(job.id, None)
            if not self._counts:
                self._messages.clear()
