"""From the finder to the ledger."""

import os
import threading

import pytest
import structlog
from support.finding import Log

from watcher.folders.handover import Handover
from watcher.folders.known import KnownFiles, directory_key, file_key, mark_of
from watcher.job import Fingerprint, FoundRecording, State
from watcher.ledger import Ledger
from watcher.ledger.values import PutResult


@pytest.fixture
def log() -> Log:
    return Log()


def found(name: str = "a.wav", size: int = 100) -> FoundRecording:
    return FoundRecording(b"/in", b"/in/" + os.fsencode(name), Fingerprint(size, 1, 2), seconds=3.0)


def test_files_are_queued_known_and_said_with_their_wait(ledger: Ledger, log: Log) -> None:
    known = KnownFiles()
    handover = Handover(ledger, known)
    handover.take(found(), waited=1.23456, urgent=True)

    assert handover.flush() == 1

    [event] = log.seen("file.queued")
    assert (event["path"], event["bytes"], event["seconds"], event["waited"]) == ("/in/a.wav", 100, 3.0, 1.235)
    assert known.get(file_key(directory_key(b"/in"), "a.wav")) == mark_of(Fingerprint(100, 1, 2))
    assert handover.flush() == 0


def test_what_the_ledger_knew_is_not_said_again(ledger: Ledger, log: Log) -> None:
    answers: list[PutResult] = []
    for _ in range(2):
        handover = Handover(ledger, KnownFiles(), lambda _, answer: answers.append(answer))
        handover.take(found(), waited=0.0, urgent=True)
        handover.flush()

    assert answers == [PutResult.QUEUED, PutResult.KNOWN]
    assert len(log.seen("file.queued")) == 1


def test_a_change_is_said_to_be_one(ledger: Ledger, log: Log) -> None:
    handover = Handover(ledger, KnownFiles())
    for size in (100, 200):
        handover.take(found(size=size), waited=0.0, urgent=True)
        handover.flush()

    assert [event["event"] for event in log.events] == ["file.queued", "file.changed", "file.queued"]


def test_the_last_look_at_a_path_is_the_one_that_counts(ledger: Ledger, log: Log) -> None:
    handover = Handover(ledger, KnownFiles())
    for size in (100, 200):
        handover.take(found(size=size), waited=0.0, urgent=True)

    assert handover.is_pending(b"/in/a.wav", Fingerprint(200, 1, 2))
    assert not handover.is_pending(b"/in/a.wav", Fingerprint(100, 1, 2))
    assert not handover.is_pending(b"/in/b.wav", Fingerprint(100, 1, 2))
    assert handover.flush() == 1
    assert [event["bytes"] for event in log.seen("file.queued")] == [200]


def test_what_a_scan_digs_up_waits_for_company_and_arrivals_do_not(ledger: Ledger, log: Log) -> None:
    handover = Handover(ledger, KnownFiles())
    handover.take(found("a.wav"), waited=0.0, urgent=False)
    handover.skip(found("b.wav"))
    assert handover.flush(bulk=True) == 0
    assert ledger.history.counts()[State.SKIPPED] == 0

    handover.take(found("c.wav"), waited=0.0, urgent=True)

    assert handover.flush(bulk=True) == 2
    assert ledger.history.counts()[State.SKIPPED] == 1


def test_there_is_enough_company_at_some_time(ledger: Ledger, log: Log) -> None:
    handover = Handover(ledger, KnownFiles())
    for number in range(600):
        handover.take(found(f"{number}.wav"), waited=0.0, urgent=False)

    assert handover.flush(bulk=True) == 600


def test_what_is_left_alone_is_known(ledger: Ledger, log: Log) -> None:
    known = KnownFiles()
    handover = Handover(ledger, known)
    handover.skip(found())
    handover.flush()

    assert len(known) == 1
    assert ledger.history.counts()[State.SKIPPED] == 1
    assert log.events == []


def test_no_file_is_worked_on_before_it_was_said_to_be_queued(ledger: Ledger) -> None:
    """Claims wait, as the log is what people read: "working on" would stand before "queued"."""
    order: list[str] = []
    claimed = threading.Event()

    def work() -> None:
        ledger.queue.claim("worker-1", lease=30.0)
        order.append("claimed")
        claimed.set()

    worker = threading.Thread(target=work, name="worker-1")

    def hear(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        if event["event"] == "file.queued":
            worker.start()
            # Where claims do not wait, it is over at once.
            claimed.wait(0.3)
            order.append("said")
        raise structlog.DropEvent

    structlog.configure(processors=[hear])
    handover = Handover(ledger, KnownFiles())
    handover.take(found(), waited=0.0, urgent=True)
    handover.flush()
    worker.join()

    assert order == ["said", "claimed"]
