"""Workers that are hired and dismissed while they work."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from watcher.errors import JobError
from watcher.gate import Ticket
from watcher.heartbeat import Heartbeat
from watcher.job import Fingerprint, FoundRecording, Job, Outcome
from watcher.ledger import Ledger, open_ledger
from watcher.service.thread_group import ThreadGroup
from watcher.service.worker_pool import WorkerPool
from watcher.worker import Leases, Worker


class Office:
    """A ledger, a staff, and work that takes until it is let go."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.stop = threading.Event()
        self.thread_group = ThreadGroup(on_death=lambda: None)
        self.worker_pool = WorkerPool(self.thread_group, self.new_worker, wake=ledger.queue.wake)
        self.at_work: set[str] = set()
        self.go_on = threading.Event()
        self.concluded: list[bytes] = []

    def new_worker(self, name: str) -> Worker:
        return Worker(
            name,
            self.ledger,
            self.work,
            leases=Leases(self.ledger),
            admit=lambda **_: Ticket(),
            conclude=self,
            stop=self.stop,
            attempts=lambda: 1,
            jitter=lambda: 0.0,
        )

    def work(self, job: Job, beat: Heartbeat) -> Outcome:
        beat(60)
        self.at_work.add(threading.current_thread().name)
        assert self.go_on.wait(60)
        self.at_work.discard(threading.current_thread().name)
        return Outcome()

    def put(self, *names: str) -> None:
        self.ledger.queue.put(
            [FoundRecording(b"/in", f"/in/{name}".encode(), Fingerprint(1, 2), small=True) for name in names]
        )

    def names(self) -> list[str]:
        return [worker.name for worker in self.worker_pool.workers]

    # What follows from a result.

    def done(self, job: Job, outcome: Outcome, *, waited: float, elapsed: float) -> None:
        self.ledger.queue.done(job, outcome)
        self.concluded.append(job.path)

    def failed(self, job: Job, error: JobError) -> None:
        raise AssertionError("nothing fails here") from error

    def dropped(self, job: Job, error: JobError) -> None:
        raise AssertionError("nothing fails here") from error


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    ledger = open_ledger(tmp_path / "state")
    made = Office(ledger)
    yield made
    made.go_on.set()
    made.stop.set()
    ledger.queue.wake()
    assert made.thread_group.join(30) == []
    assert made.thread_group.error is None
    ledger.close()


@pytest.mark.parametrize(
    ("count", "small"),
    [(1, [False]), (2, [False, True, True]), (4, [False, False, False, True, True]), (8, [*[False] * 7, *[True] * 3])],
)
def test_one_of_several_and_some_more_are_for_short_files(office: Office, count: int, small: list[bool]) -> None:
    office.worker_pool.resize(count)

    assert [worker.small for worker in office.worker_pool.workers] == small
    assert len(set(office.names())) == len(small)


@pytest.mark.parametrize(
    ("count", "folders", "reserved"),
    [
        (1, 3, [(False, False)]),
        (2, 1, [(False, False), (True, False), (True, False)]),
        (2, 2, [(False, False), (True, False), (True, False), (False, True), (True, True)]),
    ],
)
def test_where_several_folders_are_watched_one_of_each_kind_is_kept_for_those_that_have_nothing_in_work(
    office: Office, count: int, folders: int, reserved: list[tuple[bool, bool]]
) -> None:
    office.worker_pool.resize(count, folders=folders)

    assert [(worker.small, worker.reserved) for worker in office.worker_pool.workers] == reserved
    office.worker_pool.relieve(office.worker_pool.workers[:1])
    assert [(worker.small, worker.reserved) for worker in office.worker_pool.workers] == reserved


def test_more_are_hired_and_roles_change_with_the_number(office: Office) -> None:
    office.worker_pool.resize(1)
    office.worker_pool.resize(4)

    assert office.names() == ["worker-1", "worker-2", "worker-3", "worker-4", "worker-5"]
    assert [worker.small for worker in office.worker_pool.workers] == [False, False, False, True, True]
    office.worker_pool.resize(1)
    assert [worker.small for worker in office.worker_pool.workers] == [False]


def test_who_is_dismissed_finishes_his_job_and_takes_no_other(office: Office) -> None:
    office.worker_pool.resize(3)
    office.put(*"abcd")
    eventually(lambda: len(office.at_work) == 4)
    dismissed = office.worker_pool.workers[1:]

    office.worker_pool.resize(1)
    assert [worker.ended for worker in dismissed] == [False] * 3
    assert len(office.at_work) == 4
    office.go_on.set()
    eventually(lambda: all(worker.ended for worker in dismissed))
    assert office.names() == ["worker-1"]
    office.put("e")
    eventually(lambda: len(office.concluded) == 5)


def test_idle_workers_end_at_once_when_they_are_dismissed(office: Office) -> None:
    office.worker_pool.resize(4)
    dismissed = office.worker_pool.workers[1:]

    office.worker_pool.resize(1)

    eventually(lambda: all(worker.ended for worker in dismissed))


def test_a_name_is_free_again_only_when_its_worker_has_ended(office: Office) -> None:
    office.worker_pool.resize(2)
    office.put(*"abc")
    eventually(lambda: len(office.at_work) == 3)
    office.worker_pool.resize(1)

    office.worker_pool.resize(2)
    assert office.names() == ["worker-1", "worker-4", "worker-5"]
    office.go_on.set()
    eventually(lambda: not office.at_work)
    eventually(lambda: all(worker.ended for worker in office.worker_pool._leaving))
    office.worker_pool.resize(4)
    assert office.names() == ["worker-1", "worker-4", "worker-5", "worker-2", "worker-3"]


def test_a_dismissed_worker_that_hangs_is_overdue_all_the_same(office: Office) -> None:
    office.worker_pool.resize(2)
    office.put(*"abc")
    eventually(lambda: len(office.at_work) == 3)
    hanging = office.worker_pool.workers[2]
    office.worker_pool.resize(1)

    hanging.beat(-1)

    assert office.worker_pool.overdue == [hanging]


def test_who_hangs_is_relieved_and_ends_after_his_job(office: Office) -> None:
    office.worker_pool.resize(1)
    office.put("a")
    eventually(lambda: len(office.at_work) == 1)
    (hanging,) = office.worker_pool.workers

    office.worker_pool.relieve([hanging])
    office.worker_pool.relieve([hanging])

    assert office.names() == ["worker-2"]
    office.put("b")
    eventually(lambda: len(office.at_work) == 2)
    office.go_on.set()
    eventually(lambda: hanging.ended)
    assert not office.worker_pool.workers[0].ended
