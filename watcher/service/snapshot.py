"""What follows from one set of settings, as one value: a reload replaces it as a whole, so nobody works with half of it."""

import os
from dataclasses import dataclass

from watcher.client import Client
from watcher.gate import Gate
from watcher.job import Job
from watcher.overrides import Overrides
from watcher.pipeline import JobSettings
from watcher.service.plan import Plan


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The plan, and the parts that were built from it. A worker reads it once, at the beginning of a job."""

    plan: Plan
    client: Client
    #: Of the endpoint, and so the same one for as long as that does not change.
    gate: Gate
    overrides: Overrides

    def wanted(self, job: Job) -> JobSettings:
        """Return what is to be made of a source."""
        folder = os.path.dirname(job.path)  # noqa: PTH120 - bytes
        return self.plan.wanted(job, self.overrides.effective(job.root, folder))
