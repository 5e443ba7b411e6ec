"""The running house: `Service` is the daemon, `once` the same walk with one scan and a drained ledger."""

from watcher.service.house import House, plan
from watcher.service.once import Tally, once
from watcher.service.service import Service

__all__ = ["House", "Service", "Tally", "once", "plan"]
