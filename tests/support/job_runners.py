"""A job runner whose jobs are not run."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.folders import Mounts
from watcher.ledger import Ledger
from watcher.service.clients import OtherClients
from watcher.service.job_places import JobPlaces
from watcher.service.job_runner import JobRunner
from watcher.service.snapshot import Snapshot


def idle_runner(
    ledger: Ledger, spool: Path, monotonic: Callable[[], float], *, mounts: Mounts | None = None
) -> JobRunner:
    """Return one that fails the test if it is to run a job."""

    def no_snapshot() -> Snapshot:
        pytest.fail("no job is run here")

    return JobRunner(
        ledger,
        no_snapshot,
        OtherClients(ledger.memory),
        JobPlaces(),
        spool=spool,
        stop=threading.Event(),
        monotonic=monotonic,
        mounts=mounts,
    )
