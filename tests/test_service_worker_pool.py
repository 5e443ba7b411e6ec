"""Workers that are hired and dismissed while they work."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from watcher.errors import JobError
from watcher.gate import Ticket
from watcher.heartbeat import Heartbeat
from watcher.job import Fingerprint, FoundRecording, Job, Outcome, State
from watcher.ledger import Ledger, open_ledger
from watcher.service.thread_group import ThreadGroup
from watcher.service.worker_pool import WorkerPool
from watcher.worker import ClaimTicket, Leases, Worker


class Office:
    """A ledger, a staff, and work that takes until it is let go."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.stop = threading.Event()
        self.thread_group = ThreadGroup(on_death=lambda: None)
        self.worker_pool = WorkerPool(self.thread_group, self.new_worker, wake=ledger.queue.wake)
        self.at_work: set[str] = set()
        self._ended: set[str] = set()
        self._all_end = False
        self._ends = threading.Condition()
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

    def work(self, job: Job, _ticket: ClaimTicket, beat: Heartbeat) -> Outcome:
        beat(60)
        self.at_work.add(threading.current_thread().name)
        with self._ends:
            assert self._ends.wait_for(lambda: self._all_end or os.fsdecode(job.path) in self._ended, 60)
        self.at_work.discard(threading.current_thread().name)
        return Outcome()

    def end(self, *paths: str) -> None:
        """Let the work on these recordings end, or all work from now on."""
        with self._ends:
            self._ended.update(paths)
            self._all_end = self._all_end or not paths
            self._ends.notify_all()

    def put(self, *names: str, root: str = "/in", small: bool = True) -> None:
        self.ledger.queue.put(
            [FoundRecording(root.encode(), f"{root}/{name}".encode(), Fingerprint(1, 2), small=small) for name in names]
        )

    def in_work(self) -> set[str]:
        return {os.fsdecode(record.path) for record in self.ledger.history.records(State.RUNNING, limit=99)}

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
    made.end()
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
    ("count", "folders", "limits"),
    [
        (1, 3, [(False, None)]),
        (2, 1, [(False, None), (True, None), (True, None)]),
        (2, 2, [(False, 1), (True, 2), (True, 2), (False, 1), (True, 2)]),
    ],
)
def test_where_several_folders_are_watched_two_more_are_hired_and_no_folder_may_have_all(
    office: Office, count: int, folders: int, limits: list[tuple[bool, int | None]]
) -> None:
    office.worker_pool.resize(count, folders=folders)

    assert [(worker.small, worker.limit and worker.limit.most) for worker in office.worker_pool.workers] == limits
    office.worker_pool.relieve(office.worker_pool.workers[:1])
    assert [(worker.small, worker.limit and worker.limit.most) for worker in office.worker_pool.workers] == limits


def test_those_that_only_probe_come_on_top_take_any_file_and_have_no_limit(office: Office) -> None:
    office.worker_pool.resize(2, folders=2, probers=1)

    assert [worker.only_probes for worker in office.worker_pool.workers] == [False] * 5 + [True]
    assert (office.worker_pool.workers[-1].small, office.worker_pool.workers[-1].limit) == (False, None)
    office.worker_pool.resize(1)
    assert [worker.only_probes for worker in office.worker_pool.workers] == [False]


def test_as_many_workers_that_wait_for_an_endpoint_are_replaced_as_there_are_workers(office: Office) -> None:
    office.worker_pool.resize(1)
    office.put("a", "b", "c")
    eventually(lambda: office.in_work() == {"/in/a"})

    (first,) = office.worker_pool.workers
    office.worker_pool.relieve([], waiting=[first.beat])
    eventually(lambda: office.in_work() == {"/in/a", "/in/b"})
    office.worker_pool.relieve([], waiting=[worker.beat for worker in office.worker_pool.workers])

    assert len(office.worker_pool.everybody) == 2


GREEDY, MODEST = "/greedy", "/modest"


def test_a_single_worker_takes_the_recordings_of_folders_by_turns(office: Office) -> None:
    office.worker_pool.resize(1, folders=2)
    office.put("0", root=GREEDY, small=False)
    eventually(lambda: office.in_work() == {"/greedy/0"})
    office.put("1", root=GREEDY, small=False)
    office.put("0", root=MODEST, small=False)

    office.end("/greedy/0")

    eventually(lambda: office.in_work() == {"/modest/0"})
    office.end("/modest/0")
    eventually(lambda: office.in_work() == {"/greedy/1"})


@pytest.mark.parametrize(("count", "greedy"), [(2, 3), (4, 5)])
def test_a_folder_alone_has_one_worker_of_each_kind_less_than_there_are(
    office: Office, count: int, greedy: int
) -> None:
    office.worker_pool.resize(count, folders=2)
    office.put(*(f"long{number}" for number in range(9)), root=GREEDY, small=False)
    office.put(*(f"short{number}" for number in range(9)), root=GREEDY)
    eventually(lambda: len(office.in_work()) == greedy)

    office.put("long", root=MODEST, small=False)
    office.put("short", root=MODEST)

    eventually(lambda: {"/modest/long", "/modest/short"} < office.in_work())
    assert len(office.in_work()) == greedy + 2


def test_a_job_that_hangs_takes_none_of_the_workers_that_a_folder_may_have(office: Office) -> None:
    office.worker_pool.resize(2, folders=2)
    office.put("0", "1", root=GREEDY, small=False)
    eventually(lambda: len(office.at_work) == 1)
    (hanging,) = (worker for worker in office.worker_pool.workers if worker.name in office.at_work)

    office.worker_pool.relieve([hanging])

    eventually(lambda: office.in_work() == {"/greedy/0", "/greedy/1"})


def test_a_folder_cannot_take_the_last_worker_when_another_folder_leaves_one(office: Office) -> None:
    office.worker_pool.resize(1, folders=2)
    office.put("0", root=MODEST, small=False)
    eventually(lambda: office.in_work() == {"/modest/0"})
    office.worker_pool.resize(2, folders=2)
    office.put("0", "1", root=GREEDY, small=False)
    eventually(lambda: office.in_work() == {"/modest/0", "/greedy/0"})

    office.end("/modest/0")
    eventually(lambda: office.concluded == [b"/modest/0"])
    office.put("1", root=MODEST, small=False)

    eventually(lambda: office.in_work() == {"/greedy/0", "/modest/1"})


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
    office.end()
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
    office.end()
    eventually(lambda: not office.at_work)
    eventually(lambda: all(worker.ended for worker in office.worker_pool._leaving))
    office.worker_pool.resize(4)
    assert office.names() == ["worker-1", "worker-4", "worker-5", "worker-2", "worker-3"]


def test_a_dismissed_worker_that_hangs_is_overdue_nevertheless(office: Office) -> None:
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
    office.end()
    eventually(lambda: hanging.ended)
    assert not office.worker_pool.workers[0].ended
