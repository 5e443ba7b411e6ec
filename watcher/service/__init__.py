"""The running house: `Service` is the daemon, `once` the same walk with one scan and a drained ledger."""

from watcher.service.once import Batch, Progress, once
from watcher.service.plan import Plan, plan
from watcher.service.service import Service

__all__ = ["Batch", "Plan", "Progress", "Service", "once", "plan"]
