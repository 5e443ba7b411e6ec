"""Standing still while the ledger takes no changes, and going on afterwards."""

import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.waiting import eventually

from watcher.errors import LeaseLostError, StateBusyError, StateError
from watcher.job import Fingerprint, FoundRecording
from watcher.ledger import open_ledger
from watcher.ledger.part import LedgerPart
from watcher.ledger.retry import LedgerRetry, retrying
from watcher.ledger.sqlite import SqliteLedger
from watcher.ledger.values import PutResult

FOUND = FoundRecording(b"/in", b"/in/talk.wav", Fingerprint(1, 2, 3))


@pytest.fixture
def ledger_retry() -> LedgerRetry:
    return LedgerRetry()


def test_a_part_has_methods_and_no_properties(ledger: SqliteLedger) -> None:
    """`retrying` makes a callable of each attribute: a property would be true whatever it is."""
    parts = [type(part) for part in vars(ledger).values() if isinstance(part, LedgerPart)]
    properties = {
        f"{part.__name__}.{name}"
        for part in parts
        for name in dir(part)
        if not name.startswith("_") and not inspect.isroutine(inspect.getattr_static(part, name)) and not name.isupper()
    }

    assert len(parts) == 8
    assert properties == set()


class Full:
    """A ledger that has no room, for as long as a test wants: SQLite's own bound says what a full disk says."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        ledger.context.database.query("PRAGMA max_page_count = 1")

    def end(self) -> None:
        self._ledger.context.database.query("PRAGMA max_page_count = 100000")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = open_ledger(tmp_path)
    assert isinstance(opened, SqliteLedger)
    yield opened
    opened.close()


def refusing(times: int) -> tuple[Callable[[], str], list[int]]:
    """Give a call that does not pass so many times, and the list of its tries."""
    tries: list[int] = []

    def call() -> str:
        tries.append(len(tries))
        if len(tries) <= times:
            raise StateBusyError("the disk is full", hint="free some")
        return "passed"

    return call, tries


def test_what_passes_is_not_delayed(ledger_retry: LedgerRetry) -> None:
    call, tries = refusing(0)

    assert ledger_retry.until_it_passes(call, threading.Event()) == "passed"
    assert len(tries) == 1


def test_a_call_is_repeated_until_it_passes_and_both_ends_of_the_wait_are_reported_once(
    ledger_retry: LedgerRetry,
) -> None:
    call, tries = refusing(2)

    with capture_logs() as log:
        assert ledger_retry.until_it_passes(call, threading.Event()) == "passed"

    assert len(tries) == 3
    assert [line["event"] for line in log] == ["service.waiting", "service.resumed"]
    assert log[0]["hint"] == "free some"
    assert ledger_retry.trouble is None


def test_a_wait_that_is_given_up_ends_with_one_more_try_and_the_error(ledger_retry: LedgerRetry) -> None:
    call, tries = refusing(10)
    given_up = threading.Event()
    given_up.set()

    with pytest.raises(StateBusyError):
        ledger_retry.until_it_passes(call, given_up)

    assert len(tries) == 2
    assert ledger_retry.trouble is None


def test_a_wait_that_is_given_up_does_not_report_success(ledger_retry: LedgerRetry) -> None:
    call, _ = refusing(10)
    given_up = threading.Event()
    given_up.set()

    with capture_logs() as log, pytest.raises(StateBusyError):
        ledger_retry.until_it_passes(call, given_up)

    assert [line["event"] for line in log] == ["service.waiting"]


def test_a_ledger_that_refuses_a_job_after_the_wait_takes_changes_again(ledger_retry: LedgerRetry) -> None:
    busy, _ = refusing(1)

    def lost() -> None:
        busy()
        raise LeaseLostError("another host has it")

    with capture_logs() as log:
        with pytest.raises(LeaseLostError):
            ledger_retry.until_it_passes(lost, threading.Event())

    assert [line["event"] for line in log] == ["service.waiting", "service.resumed"]


def test_another_error_passes_at_once(ledger_retry: LedgerRetry) -> None:
    def broken() -> None:
        raise StateError("damaged")

    with pytest.raises(StateError, match="damaged"):
        ledger_retry.until_it_passes(broken, threading.Event())


def test_it_is_over_when_the_last_one_who_waited_goes_on(ledger_retry: LedgerRetry) -> None:
    given_up, results = threading.Event(), []
    call, _ = refusing(1)
    never, _ = refusing(1000)

    def wait() -> None:
        with pytest.raises(StateBusyError):
            ledger_retry.until_it_passes(never, given_up)
        results.append("gave up")

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: ledger_retry.trouble is not None)
    ledger_retry.until_it_passes(call, threading.Event())
    still = ledger_retry.trouble
    given_up.set()
    thread.join(60)

    assert still is not None
    assert results == ["gave up"]
    assert ledger_retry.trouble is None


def test_a_patient_ledger_gives_what_the_ledger_gives(ledger: SqliteLedger, ledger_retry: LedgerRetry) -> None:
    waiting = retrying(ledger, ledger_retry, threading.Event())

    assert waiting.queue.put([FOUND]) == [PutResult.QUEUED]
    assert [path for path, _, _ in waiting.history.known(b"/in")] == [FOUND.path]


def test_a_patient_ledger_outlasts_a_full_disk(ledger: SqliteLedger, ledger_retry: LedgerRetry) -> None:
    waiting = retrying(ledger, ledger_retry, threading.Event())
    many = [FoundRecording(b"/in", b"/in/%d.wav" % number, FOUND.fingerprint) for number in range(1000)]
    full, answers = Full(ledger), []
    thread = threading.Thread(target=lambda: answers.extend(waiting.queue.put(many)))
    thread.start()
    eventually(lambda: ledger_retry.trouble is not None)
    full.end()
    thread.join(60)

    assert answers == [PutResult.QUEUED] * len(many)
