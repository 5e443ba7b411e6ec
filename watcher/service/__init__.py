"""The running application: `Service` is the daemon; `once` does one scan and works until the queue is empty."""

from watcher.service.batch import Batch, BatchProgress
from watcher.service.once import once
from watcher.service.plan import Plan, plan
from watcher.service.service import Service

__all__ = ["Batch", "BatchProgress", "Plan", "Service", "once", "plan"]
