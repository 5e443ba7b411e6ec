"""Leftovers of crashed hosts are reported and cleaned up."""

from pathlib import Path

import pytest
from support import postgres
from support.clock import Clock
from support.ledger_engines import LEASE, found

from watcher.errors import JobError, LeaseLostError
from watcher.job import Job, Outcome
from watcher.ledger import Ledger
from watcher.ledger.sqlite import SqliteLedger
from watcher.service.crash_cleanup import CrashCleanup


class Teller:
    """Concludes as told to, and keeps what it was asked to tell."""

    def __init__(self, ledger: Ledger) -> None:
        self.told: list[tuple[bytes, str]] = []
        self.late = False
        self._ledger = ledger

    def done(self, job: Job, outcome: Outcome, *, waited: float, elapsed: float) -> None:
        raise AssertionError(job)

    def failed(self, job: Job, error: JobError) -> None:
        if self.late:
            raise LeaseLostError("another host has told")
        self._ledger.queue.fail(job, error)
        self.told.append((job.path, error.reason))

    def dropped(self, job: Job, error: JobError) -> None:
        raise AssertionError(job)


def crashing(directory: Path, clock: Clock) -> SqliteLedger:
    """Give a ledger in which one file has just crashed once too often."""
    ledger = SqliteLedger(directory, clock=clock.time)
    ledger.queue.put([found("bad.wav")])
    for _ in range(3):
        clock.advance(3600)
        ledger.queue.claim("worker", lease=LEASE)
        ledger.close()
        ledger = SqliteLedger(directory, clock=clock.time)
    return ledger


def test_what_was_set_aside_is_reported_once_and_looked_for_now_and_then(tmp_path: Path) -> None:
    clock = Clock()
    ledger = crashing(tmp_path, clock)
    teller = Teller(ledger)
    crash_cleanup = CrashCleanup(ledger, teller, monotonic=clock.monotonic)
    teller.late = True
    crash_cleanup.step()
    teller.late = False
    crash_cleanup.step()
    early = list(teller.told)
    clock.advance(5)
    crash_cleanup.step()
    clock.advance(5)
    crash_cleanup.step()
    ledger.close()

    assert early == []
    assert teller.told == [(b"/srv/recordings/bad.wav", "crashed")]


def test_a_dead_hosts_temporaries_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    from watcher.ledger.postgres import PostgresLedger  # noqa: PLC0415 - where the extra is missing, nobody comes here

    share = tmp_path / "recordings"
    share.mkdir()
    with postgres.cluster().schema() as url:
        dead, living = (
            PostgresLedger(tmp_path / name, url, roots={"recordings": str(share)}, grace=0) for name in ("a", "b")
        )
        crash_cleanup = CrashCleanup(living, Teller(living))
        for host, name in ((dead, ".a.txt.0123abcd.tmp"), (living, ".b.txt.0123abcd.tmp")):
            host.hosts.beat()
            host.outputs.enter_temporary(bytes(share / name))
            (share / name).write_text("half")
        crash_cleanup.clean_up()
        before = sorted(path.name for path in share.iterdir())
        dead.memory.forget("service")
        dead.close()
        crash_cleanup.clean_up()
        left = living.outputs.abandoned()
        living.close()

    assert before == [".a.txt.0123abcd.tmp", ".b.txt.0123abcd.tmp"]
    assert [path.name for path in share.iterdir()] == [".b.txt.0123abcd.tmp"]
    assert left == ()
