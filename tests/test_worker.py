"""Verdicts as a table of cases; steps of a worker and of the lease keeper on a real ledger."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.memory import Memory

from watcher.errors import (
    AccountError,
    ChangedError,
    ClosedError,
    FileError,
    GarbledError,
    GoneError,
    HeldError,
    JobError,
    LeaseLostError,
    NoChannelError,
    OutputError,
    PassingError,
    Remedy,
    RemedyError,
    SourceError,
    StateBusyError,
    StateDamagedError,
    StateError,
    StoppedError,
)
from watcher.gate import Gate, GateOptions, GateStatus, Ticket
from watcher.heartbeat import Heartbeat
from watcher.job import Fingerprint, FoundRecording, Job, Outcome, State
from watcher.ledger import open_ledger
from watcher.ledger.claims import RootLimit
from watcher.ledger.ledger import Ledger
from watcher.ledger.retry import LedgerRetry, retrying
from watcher.worker import Abandon, Drop, Fail, Leases, NextStep, Release, Retry, Worker, verdict

PATH = b"/in/talk.wav"


@pytest.mark.parametrize(
    ("error", "attempts", "expected"),
    [
        (PassingError("x"), 1, Retry(1.0)),
        (PassingError("x"), 2, Retry(2.0)),
        (PassingError("x"), 9, Retry(256.0)),
        (PassingError("x", retry_after=77.0), 1, Retry(77.0)),
        (PassingError("x", retry_after=1e9), 1, Retry(3600.0)),
        (PassingError("x"), 10, Fail()),
        (FileError("x"), 1, Fail()),
        (RemedyError("x", remedy=Remedy.SHRINK), 1, Fail()),
        (AccountError("x"), 10, Release()),
        (NoChannelError("x"), 10, Release()),
        (HeldError("x"), 10, Release()),
        (HeldError("x", retry_after=60.0), 10, Release(60.0)),
        (StoppedError("x"), 10, Release()),
        (OutputError("x"), 10, Retry(1.0, uncounted=True)),
        (SourceError("x", reason="unreadable"), 2, Retry(2.0)),
        (SourceError("x", reason="unreadable"), 10, Fail()),
        (SourceError("x", reason="away"), 10, Retry(1.0, uncounted=True)),
        (ClosedError("x"), 10, Retry(10.0, uncounted=True)),
        (ChangedError("x"), 1, Drop()),
        (GoneError("x"), 1, Drop()),
        (LeaseLostError("x"), 1, Abandon()),
    ],
)
def test_an_error_decides_what_becomes_of_the_job(error: JobError, attempts: int, expected: NextStep) -> None:
    assert verdict(error, attempts=attempts, limit=10, jitter=lambda: 0.0) == expected


def test_a_wait_never_exceeds_five_minutes_and_a_quarter() -> None:
    waits = [verdict(PassingError("x"), attempts=n, limit=10_000, jitter=lambda: 1.0) for n in range(1, 2000)]

    assert max(wait.seconds for wait in waits if isinstance(wait, Retry)) == 375.0


@dataclass
class Conclusions:
    """What a worker concluded."""

    ledger: Ledger
    told: list[str] = field(default_factory=list)

    def done(self, job: Job, outcome: Outcome, *, waited: float, elapsed: float) -> None:
        self.ledger.queue.done(job, outcome)
        self.told.append("done")

    def failed(self, job: Job, error: JobError) -> None:
        self.ledger.queue.fail(job, error)
        self.told.append("failed")

    def dropped(self, job: Job, error: JobError) -> None:
        self.told.append("dropped")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    opened.queue.put([FoundRecording(b"/in", PATH, Fingerprint(1, 2, 3), small=True)])
    yield opened
    opened.close()


def worker(
    ledger: Ledger,
    work: Callable[[Job, Heartbeat], Outcome],
    *,
    small: bool = False,
    attempts: int = 10,
    clock: Callable[[], float] = time.time,
    admit: Callable[..., object] = lambda **_: Ticket(),
    avoided: Callable[[], frozenset[bytes]] = frozenset,
) -> tuple[Worker, Conclusions]:
    conclusions = Conclusions(ledger)
    made = Worker(
        "worker-1",
        ledger,
        lambda job, _ticket, beat: work(job, beat),
        leases=Leases(ledger),
        admit=admit,  # type: ignore[arg-type] # a lambda has no named signature
        conclude=conclusions,
        stop=threading.Event(),
        attempts=lambda: attempts,
        jitter=lambda: 0.0,
        small=small,
        avoided=avoided,
        clock=clock,
    )
    return made, conclusions


def raising(error: JobError) -> Callable[[Job, Heartbeat], Outcome]:
    def work(_job: Job, _beat: Heartbeat) -> Outcome:
        raise error

    return work


def test_a_step_does_one_job(ledger: Ledger) -> None:
    made, conclusions = worker(ledger, lambda _job, _beat: Outcome())

    assert made.step()
    assert conclusions.told == ["done"]
    assert ledger.history.counts()[State.DONE] == 1


@pytest.mark.parametrize(
    ("error", "state", "attempts"),
    [
        (PassingError("x"), State.DELAYED, 1),
        (FileError("x"), State.FAILED, 1),
        (StoppedError("x"), State.READY, 0),
        (OutputError("x"), State.DELAYED, 0),
    ],
)
def test_a_step_puts_the_job_where_its_error_belongs(
    ledger: Ledger, error: JobError, state: State, attempts: int
) -> None:
    made, _ = worker(ledger, raising(error))

    made.step()

    record = ledger.history.lookup(PATH)
    assert record is not None
    assert (record.state, record.attempts) == (state, attempts)


def test_a_folder_that_takes_no_outputs_is_tried_ever_less_often_and_no_attempt_is_lost(tmp_path: Path) -> None:
    now = [1e9]
    ledger = open_ledger(tmp_path, clock=lambda: now[0])
    ledger.queue.put([FoundRecording(b"/in", PATH, Fingerprint(1, 2, 3), small=True)])
    made, _ = worker(ledger, raising(OutputError("x")), clock=lambda: now[0])
    waits = []
    for _ in range(8):
        assert made.step()
        record = ledger.history.lookup(PATH)
        assert record is not None
        assert record.attempts == 0
        waits.append(record.run_at - now[0])
        now[0] = record.run_at
    ledger.close()

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


@pytest.mark.parametrize(("delayed", "wait"), [(20, 10.0), (300, 150.0), (5000, 2500.0), (100_000, 3600.0)])
def test_the_more_files_wait_for_an_endpoint_the_less_often_each_is_tried(delayed: int, wait: float) -> None:
    step = verdict(ClosedError("x"), attempts=1, limit=10, jitter=lambda: 0.0, delayed=delayed)

    assert step == Retry(wait, uncounted=True)


@pytest.mark.parametrize(("delayed", "wait"), [(0, 60.0), (1_000, 60.0), (20_000, 1_000.0), (1_000_000, 3_600.0)])
def test_the_more_files_cannot_be_written_the_less_often_each_is_tried(delayed: int, wait: float) -> None:
    """20,000 of them, tried every minute, kept a processor busy."""
    step = verdict(OutputError("x"), attempts=1, limit=10, jitter=lambda: 0.0, output_failures=9, delayed=delayed)

    assert step == Retry(wait, uncounted=True)


def test_files_that_wait_for_an_endpoint_give_no_warnings_and_wait_for_each_other(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, clock=lambda: 1e9)
    ledger.queue.put([FoundRecording(b"/in", b"/in/%d.wav" % n, Fingerprint(n, 2, 3), small=True) for n in range(30)])
    made, _ = worker(ledger, raising(ClosedError("studio is held")), clock=lambda: 1e9)

    with capture_logs() as lines:
        for _ in range(30):
            assert made.step()

    assert {line["log_level"] for line in lines if line["event"] == "job.retry"} == {"info"}
    waits = {record.run_at - 1e9 for record in ledger.history.records(State.DELAYED, limit=30)}
    assert (min(waits), max(waits)) == (10.0, 14.5)
    ledger.close()


@pytest.mark.slow
def test_a_worker_takes_no_job_of_a_folder_in_which_too_many_hang(tmp_path: Path) -> None:
    ledger, avoided = open_ledger(tmp_path), [frozenset({b"/bad"})]
    for root in (b"/bad", b"/good"):
        ledger.queue.put([FoundRecording(root, root + b"/talk.wav", Fingerprint(1, 2, 3), small=True)])
    done: list[bytes] = []

    def work(job: Job, _beat: Heartbeat) -> Outcome:
        done.append(job.path)
        return Outcome()

    made, _ = worker(ledger, work, avoided=lambda: avoided[0])
    made.step()
    made.step()
    while_it_hangs = [*done]
    avoided[0] = frozenset()
    made.step()

    assert while_it_hangs == [b"/good/talk.wav"]
    assert done[1:] == [b"/bad/talk.wav"]
    ledger.close()


def test_every_file_gets_its_turn_to_probe_though_the_first_ones_always_fail(tmp_path: Path) -> None:
    now = [1e9]
    ledger = open_ledger(tmp_path, clock=lambda: now[0])
    paths = [b"/in/%d.wav" % number for number in range(4)]
    ledger.queue.put([FoundRecording(b"/in", path, Fingerprint(1, 2, 3), small=True) for path in paths])
    probes = []

    def work(job: Job, _beat: Heartbeat) -> Outcome:
        probes.append(job.path)
        raise HeldError("x", retry_after=60.0)

    made, _ = worker(ledger, work, clock=lambda: now[0])
    for _ in range(8):
        assert made.step()
        # The next probe is due in half an hour: all that were put aside are due again.
        now[0] += 1800
    counts = ledger.history.counts()
    ledger.close()

    assert sorted(probes[:4]) == paths
    assert sorted(probes[4:]) == paths
    assert counts[State.READY] + counts[State.DELAYED] == 4


def test_a_file_that_has_not_failed_makes_the_probe_at_once_before_those_that_came_first(tmp_path: Path) -> None:
    now = [1e9]
    ledger = open_ledger(tmp_path, clock=lambda: now[0])
    memory, stop = Memory(lambda: now[0]), threading.Event()
    gate = Gate(
        GateOptions(),
        endpoint_name="h",
        memory=memory,
        buy=memory.buy,
        stop=stop,
        clock=lambda: now[0],
        monotonic=lambda: now[0],
    )
    bad = [b"/in/bad %d.wav" % number for number in range(3)]
    ledger.queue.put([FoundRecording(b"/in", path, Fingerprint(1, 2, 3), small=True) for path in bad])
    asked = []

    def work(job: Job, _beat: Heartbeat) -> Outcome:
        with gate.enter(seconds=1.0, small=True, path=job.path):
            asked.append(job.path)
            if job.path in bad:
                raise PassingError("no speech", reason="server")
        return Outcome()

    made, conclusions = worker(
        ledger, work, attempts=100, clock=lambda: now[0], admit=lambda timeout, **_: gate.admit(timeout=timeout)
    )
    while gate.state().status is GateStatus.OPEN:
        now[0] += 1.0
        assert made.step()
    asked.clear()
    ledger.queue.put([FoundRecording(b"/in", b"/in/good.wav", Fingerprint(1, 2, 3), small=True)])
    assert made.step()

    assert (asked, conclusions.told, gate.state().status) == ([b"/in/good.wav"], ["done"], GateStatus.OPEN)
    ledger.close()


def test_a_probe_is_made_with_a_file_that_did_not_fail_before_also_after_a_restart(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.queue.put(
        [FoundRecording(b"/in", b"/in/%d.wav" % number, Fingerprint(1, 2, 3), small=True) for number in range(3)]
    )
    first = ledger.queue.claim("former", lease=60)
    assert first is not None
    # The server failed on it, in a former life.
    ledger.queue.retry(first, PassingError("no speech"), run_at=0.0)
    probes = []

    def work(job: Job, _beat: Heartbeat) -> Outcome:
        probes.append(job.path)
        raise HeldError("x", retry_after=60.0)

    made, _ = worker(ledger, work, admit=lambda **_: Ticket(lambda _: None))

    while len(probes) < 3:
        made.step()

    ledger.close()
    assert sorted(probes) == [b"/in/0.wav", b"/in/1.wav", b"/in/2.wav"]
    assert probes[-1] == first.path


def test_a_file_without_others_makes_every_probe(ledger: Ledger) -> None:
    made, _ = worker(ledger, raising(HeldError("x", retry_after=60.0)))

    made.step()

    record = ledger.history.lookup(PATH)
    assert record is not None
    assert (record.state, record.attempts) == (State.READY, 0)


def test_a_file_that_is_given_up_says_what_to_do_even_if_the_server_said_nothing(ledger: Ledger) -> None:
    made, _ = worker(ledger, raising(GarbledError("the server answered nonsense", body=b"")), attempts=1)

    made.step()

    (record,) = ledger.history.records(State.FAILED, limit=10)
    assert (record.message, record.reason) == ("the server answered nonsense", "garbled")
    assert "watcher retry" in record.hint


def test_a_changed_source_is_forgotten_and_reported(ledger: Ledger) -> None:
    made, conclusions = worker(ledger, raising(ChangedError("x")))

    made.step()

    assert ledger.history.lookup(PATH) is None
    assert conclusions.told == ["dropped"]


def test_a_result_whose_lease_is_gone_is_dropped(ledger: Ledger) -> None:
    def work(_job: Job, _beat: Heartbeat) -> Outcome:
        ledger.queue.put([FoundRecording(b"/in", PATH, Fingerprint(9, 9, 9), small=True)])
        return Outcome(language="xx")

    made, _ = worker(ledger, work)

    made.step()

    record = ledger.history.lookup(PATH)
    assert record is not None
    assert (record.state, record.outcome) == (State.READY, None)


def dividing(_job: Job, _beat: Heartbeat) -> Outcome:
    raise ZeroDivisionError("division by zero")


def test_an_unexpected_error_costs_its_job_an_attempt_and_leaves_a_traceback(ledger: Ledger) -> None:
    ledger.queue.put([FoundRecording(b"/in", b"/in/other.wav", Fingerprint(1, 2, 3), small=True)])
    made, conclusions = worker(ledger, lambda job, beat: dividing(job, beat) if job.path == PATH else Outcome())

    with capture_logs() as logs:
        assert made.step()
        assert made.step()

    record = ledger.history.lookup(PATH)
    assert record is not None
    assert (record.state, record.attempts, record.reason) == (State.DELAYED, 1, "internal")
    assert conclusions.told == ["done"]
    [crashed] = [line for line in logs if line["event"] == "job.crashed"]
    assert (crashed["reason"], crashed["log_level"]) == ("internal", "error")
    assert isinstance(crashed["exc_info"], ZeroDivisionError)


def test_an_unexpected_error_fails_its_job_once_no_attempt_is_left(ledger: Ledger) -> None:
    made, conclusions = worker(ledger, dividing, attempts=1)

    made.step()

    (record,) = ledger.history.records(State.FAILED, limit=10)
    assert record.reason == "internal"
    assert "ZeroDivisionError" in record.message
    assert "report" in record.hint
    assert conclusions.told == ["failed"]


@pytest.mark.slow_if("failed")
@pytest.mark.parametrize("at", ["done", "failed"])
def test_an_unexpected_error_while_a_result_is_concluded_is_the_jobs_own_too(at: str, ledger: Ledger) -> None:
    made, conclusions = worker(ledger, (lambda _job, _beat: Outcome()) if at == "done" else dividing, attempts=1)
    setattr(conclusions, at, dividing)

    assert made.step()

    assert ledger.history.counts()[State.FAILED] == 1


@pytest.mark.parametrize("error", [StateError("x"), StateDamagedError("x"), StateBusyError("x")])
def test_a_broken_ledger_does_not_fail_the_job(error: StateError, ledger: Ledger) -> None:
    def work(_job: Job, _beat: Heartbeat) -> Outcome:
        raise error

    made, _ = worker(ledger, work)

    with pytest.raises(type(error)):
        made.step()


def test_an_unexpected_error_of_the_loop_itself_escapes(ledger: Ledger) -> None:
    def admit(**_: float) -> None:
        raise ZeroDivisionError

    made, _ = worker(ledger, dividing, admit=admit)

    with pytest.raises(ZeroDivisionError):
        made.step()


def test_a_ticket_for_which_a_job_has_to_wait_is_not_one_without_a_job(ledger: Ledger) -> None:
    no_job: list[bool] = []

    def take_back(ticket: Ticket) -> None:
        no_job.append(ticket.no_job)
        ledger.queue.wake()

    ledger.queue.put([FoundRecording(b"/in", b"/in/other.wav", Fingerprint(1, 2, 3), small=True)])
    # As workers have it in the application.
    patient = retrying(ledger, LedgerRetry(), threading.Event())
    made, _ = worker(patient, lambda _job, _beat: Outcome(), admit=lambda **_: Ticket(take_back))
    made.limit = RootLimit(frozenset({"worker-1", "another"}), most=1)
    for _ in range(2):
        ledger.queue.claim("another", lease=30.0)
        assert not made.step()

    assert no_job == [False, True]


def test_nothing_is_claimed_without_a_ticket(ledger: Ledger) -> None:
    made, conclusions = worker(ledger, lambda _job, _beat: Outcome(), admit=lambda **_: None)

    assert not made.step()
    assert conclusions.told == []
    assert ledger.history.counts()[State.READY] == 1


def test_a_beat_is_overdue_only_after_the_time_it_asked_for() -> None:
    now = [0.0]
    beat = Heartbeat(lambda: now[0])
    beat(100.0)
    now[0] = 99.0
    early = beat.overdue
    now[0] = 101.0

    assert (early, beat.overdue) == (False, True)


def test_a_beat_is_overdue_while_that_of_a_thread_which_works_for_it_is() -> None:
    now = [0.0]
    beat = Heartbeat(lambda: now[0])
    with beat.beside() as other:
        other(100.0)
        now[0] = 101.0
        beat()
        meanwhile = beat.overdue

    assert (meanwhile, beat.overdue) == (True, False)


def test_leases_that_are_held_are_renewed_and_a_lost_one_is_let_go(tmp_path: Path) -> None:
    now = [1000.0]
    ledger = open_ledger(tmp_path, clock=lambda: now[0])
    ledger.queue.put([FoundRecording(b"/in", PATH, Fingerprint(1, 2, 3), small=True)])
    leases = Leases(ledger, lease=30.0)
    job = ledger.queue.claim("worker-1", lease=30.0)
    assert job is not None
    leases.add(job)
    for _ in range(6):
        now[0] += 10.0
        leases.step()
    held = ledger.queue.holds(job)
    ledger.queue.put([FoundRecording(b"/in", PATH, Fingerprint(9, 9, 9), small=True)])
    leases.step()
    leases.step()

    assert (held, ledger.queue.holds(job)) == (True, False)
    ledger.close()
