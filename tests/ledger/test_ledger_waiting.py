"""The contract of waiting: nobody misses work, and nobody asks for it all the time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from support.clock import Clock
from support.ledger_engines import LEASE, Engine, claimed, crowded, found

from watcher.errors import FileError
from watcher.job import Job, Outcome
from watcher.ledger.claims import RootLimit
from watcher.ledger.ledger import Ledger

#: Seconds. A wait that nobody wakes lasts for ever on SQLite; on PostgreSQL the listener looks by itself after 30 s. What does
#: not end sooner was not woken.
FOREVER = 3600.0
SOON = 20.0


@contextmanager
def waiting(ledger: Ledger, *, threads: int = 1, limit: RootLimit | None = None) -> Iterator[Callable[[], None]]:
    """Let threads wait that have claimed in vain; what is given joins them, and fails when one is not woken."""
    idle = threading.Barrier(threads + 1)

    def wait() -> None:
        while ledger.queue.claim("idle", lease=LEASE, limit=limit) is not None:
            pass
        idle.wait()
        ledger.queue.wait(FOREVER)

    waiters = [threading.Thread(target=wait, name=f"waiter-{number}") for number in range(threads)]
    for waiter in waiters:
        waiter.start()
    idle.wait()

    def woken() -> None:
        for waiter in waiters:
            waiter.join(SOON)
            assert not waiter.is_alive()

    try:
        yield woken
    finally:
        ledger.queue.wake()
        for waiter in waiters:
            waiter.join()


def test_a_wait_ends_after_its_seconds(ledger: Ledger) -> None:
    began = time.monotonic()
    ledger.queue.wait(0.05)

    assert time.monotonic() - began >= 0.05


def test_a_wait_of_no_seconds_returns(ledger: Ledger) -> None:
    ledger.queue.wait(0)


def test_wake_ends_every_wait(ledger: Ledger) -> None:
    with waiting(ledger, threads=4) as woken:
        ledger.queue.wake()
        woken()


def test_a_found_file_ends_every_wait(ledger: Ledger) -> None:
    with waiting(ledger, threads=4) as woken:
        ledger.queue.put([found()])
        woken()


def test_work_that_came_between_claim_and_wait_is_not_missed(ledger: Ledger) -> None:
    missed, came = [], threading.Event()

    def claim_and_wait() -> None:
        missed.append(ledger.queue.claim("worker", lease=LEASE))
        ledger.queue.put([found()])
        ledger.queue.wait(FOREVER)
        came.set()

    waiter = threading.Thread(target=claim_and_wait)
    waiter.start()
    woken = came.wait(SOON)
    ledger.queue.wake()
    waiter.join()

    assert missed == [None]
    assert woken


def test_what_came_before_the_claim_ends_no_wait(ledger: Ledger) -> None:
    """A worker for small files must not spin while only long ones are queued."""
    ledger.queue.put([found(small=False)])
    missed = ledger.queue.claim("worker", lease=LEASE, small=True)
    began = time.monotonic()
    ledger.queue.wait(0.05)

    assert missed is None
    assert time.monotonic() - began >= 0.05


def test_a_known_file_ends_no_wait(ledger: Ledger) -> None:
    ledger.queue.put([found()])
    claimed(ledger)
    missed = ledger.queue.claim("worker", lease=LEASE)
    ledger.queue.put([found()])
    began = time.monotonic()
    ledger.queue.wait(0.05)

    assert missed is None
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("back", ["release", "retry"])
def test_a_job_that_is_put_back_ends_a_wait(ledger: Ledger, back: str) -> None:
    ledger.queue.put([found()])
    job = claimed(ledger)
    with waiting(ledger) as woken:
        if back == "release":
            ledger.queue.release(job)
        else:
            ledger.queue.retry(job, crowded(), run_at=0)
        woken()


def test_a_delayed_job_ends_a_wait_when_it_falls_due(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([found()])
    ledger.queue.retry(claimed(ledger), crowded(), run_at=clock.wall + 300)
    with waiting(ledger) as woken:
        clock.advance(300)
        woken()

    assert ledger.queue.claim("worker", lease=LEASE) is not None


def test_a_clock_that_was_set_ends_a_wait(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([found()])
    ledger.queue.retry(claimed(ledger), crowded(), run_at=clock.wall + 300)
    with waiting(ledger) as woken:
        clock.wall -= 10 * 365 * 86_400
        woken()


#: Ways in which a job may end so that it is not put back.
CONCLUSIONS: dict[str, Callable[[Ledger, Job], object]] = {
    "done": lambda ledger, job: ledger.queue.done(job, Outcome()),
    "fail": lambda ledger, job: ledger.queue.fail(job, FileError("no sound in it")),
    "drop": lambda ledger, job: ledger.queue.drop(job),
    "forget": lambda ledger, job: ledger.queue.forget(job.path),
    "changed": lambda ledger, job: ledger.queue.put([replace(found(size=3), path=job.path)]),
}


@pytest.mark.parametrize("conclusion", CONCLUSIONS)
def test_the_end_of_the_last_job_lets_a_suspect_begin(engine: Engine, ledger: Ledger, conclusion: str) -> None:
    ledger.queue.put([found("a.wav", backlog=True), found("b.wav", backlog=True)])
    claimed(ledger)
    claimed(ledger)
    ledger.close()
    ledger = engine.open()
    ledger.queue.put([found("c.wav")])
    running = claimed(ledger)
    with waiting(ledger) as woken:
        CONCLUSIONS[conclusion](ledger, running)
        woken()


@pytest.mark.parametrize("conclusion", CONCLUSIONS)
def test_the_end_of_a_job_of_a_root_at_its_limit_ends_a_wait(ledger: Ledger, conclusion: str) -> None:
    ledger.queue.put([found(f"{number}.wav", size=2) for number in range(2)])
    running = claimed(ledger)
    with waiting(ledger, threads=2, limit=RootLimit(frozenset({"worker", "idle"}), most=1)) as woken:
        CONCLUSIONS[conclusion](ledger, running)
        woken()


def test_a_root_at_its_limit_lets_no_claim_run_in_circles(ledger: Ledger) -> None:
    ledger.queue.put([found(f"{number}.wav") for number in range(2)])
    claimed(ledger)
    missed = ledger.queue.claim("idle", lease=LEASE, limit=RootLimit(frozenset({"worker", "idle"}), most=1))
    began = time.monotonic()
    ledger.queue.wait(0.05)

    assert missed is None
    assert time.monotonic() - began >= 0.05


def test_a_suspect_that_gets_further_lets_others_begin(engine: Engine, ledger: Ledger) -> None:
    ledger.queue.put([found("a.wav")])
    claimed(ledger)
    ledger.close()
    ledger = engine.open()
    ledger.queue.put([found("b.wav")])
    suspect = claimed(ledger)
    with waiting(ledger) as woken:
        ledger.queue.progress(suspect, piece=1, pieces=2, seconds_done=0)
        woken()


def test_a_hook_ends_a_wait(ledger: Ledger) -> None:
    ledger.queue.put([found()])
    job = claimed(ledger)
    with waiting(ledger) as woken:
        ledger.queue.done(job, Outcome(), hook="{}")
        woken()


def test_another_process_ends_a_wait(engine: Engine, ledger: Ledger) -> None:
    ledger.queue.put([found()])
    ledger.queue.fail(claimed(ledger), FileError("no sound in it"))
    looker = engine.open(exclusive=False)
    with waiting(ledger, threads=3) as woken:
        looker.queue.put_back()
        woken()


def test_a_looker_waits_for_the_daemon(engine: Engine, ledger: Ledger) -> None:
    ledger.queue.put([found()])
    looker = engine.open(exclusive=False)
    waiter = threading.Thread(target=looker.queue.wait, args=(FOREVER,))
    waiter.start()

    ledger.queue.done(claimed(ledger), Outcome())

    waiter.join(SOON)
    assert not waiter.is_alive()


def test_another_thread_looks_when_the_one_that_looked_has_left(engine: Engine, ledger: Ledger) -> None:
    ledger.queue.put([found()])
    ledger.queue.fail(claimed(ledger), FileError("no sound in it"))
    looker = engine.open(exclusive=False)
    first = threading.Thread(target=ledger.queue.wait, args=(0.3,))
    first.start()
    with waiting(ledger) as woken:
        first.join()
        looker.queue.put_back()
        woken()
