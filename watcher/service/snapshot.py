"""Everything that follows from one set of settings, in one value: a reload replaces it as a whole, so it is never half old."""

import os
from dataclasses import dataclass

from watcher.job import Job
from watcher.overrides import Overrides, Sections
from watcher.pipeline import JobSettings
from watcher.service.endpoints import Endpoints
from watcher.service.plan import Plan


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The plan, and the parts built from it. A worker reads it once, at the beginning of a job."""

    plan: Plan
    endpoints: Endpoints
    overrides: Overrides

    def wanted(self, job: Job) -> JobSettings:
        """Return the settings of a source."""
        return self.plan.wanted(job, self.overrides_of(job))

    def order(self, job: Job, overrides: Sections) -> tuple[str, ...]:
        """Return the endpoints that may get a source, the preferred first; `overrides`: from `overrides_of`."""
        order = self.plan.order(job.path, overrides)
        if job.again is None or not job.again.endpoint:
            return order
        return tuple(name for name in order if name == job.again.endpoint)

    def overrides_of(self, job: Job) -> Sections:
        """Return the values of the `.watcher.toml` files above a source. It accesses their folders."""
        folder = os.path.dirname(job.path)  # noqa: PTH120 - bytes
        return self.overrides.effective(job.root, folder)
