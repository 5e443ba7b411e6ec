"""Everything that follows from one set of settings, in one value: a reload replaces it as a whole, so it is never half old."""

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
    """The plan, and the parts built from it. A worker reads it once, at the beginning of a job."""

    plan: Plan
    client: Client
    #: The endpoint's gate, which stays the same as long as the endpoint does.
    gate: Gate
    overrides: Overrides

    def wanted(self, job: Job) -> JobSettings:
        """Return the settings of a source."""
        folder = os.path.dirname(job.path)  # noqa: PTH120 - bytes
        return self.plan.wanted(job, self.overrides.effective(job.root, folder))
