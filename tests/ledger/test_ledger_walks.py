"""The contract of walks: a page that could not be read is read later, and no row comes twice or is missed."""

import threading
from collections.abc import Callable, Iterator
from types import GeneratorType

import pytest
from support.ledger_engines import ROOT, claimed, found

from watcher.errors import FileError, StateBusyError
from watcher.job import Outcome, Output
from watcher.ledger.ledger import Ledger
from watcher.ledger.part import Row, Values
from watcher.ledger.retry import LedgerRetry, retrying

COUNT = 7
WALKS: dict[str, Callable[[Ledger], Iterator[object]]] = {
    "known": lambda ledger: ledger.history.known(ROOT),
    "finished": lambda ledger: ledger.history.finished(),
    "notes": lambda ledger: ledger.outputs.notes(),
    "orphans": lambda ledger: ledger.outputs.orphans(),
}
walks = pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())


@pytest.fixture
def busy(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Fill the ledger and let its pages be short; each is refused once, and all are while the event is set."""
    for module in ("lookups", "outputs", "history"):
        monkeypatch.setattr(f"watcher.ledger.{module}._PAGE", 2)
    for number in range(COUNT):
        ledger.queue.put([found(f"{number}.wav")])
        job = claimed(ledger)
        for kind in ("note", "txt"):
            ledger.outputs.enter(job, Output(kind, job.path + b"." + kind.encode(), "00" * 32))
        ledger.queue.done(job, Outcome())
        # The other outputs' sources are known no more.
        ledger.queue.put([found(f"gone-{number}.wav")])
        gone = claimed(ledger)
        ledger.outputs.enter(gone, Output("srt", gone.path + b".srt", "00" * 32))
        ledger.queue.fail(gone, FileError("no sound in it"))
        ledger.queue.forget(gone.path)
    database = ledger.context.database
    query, refused = database.query, set()
    away = threading.Event()

    def refuse_first(statement: str, values: Values = (), **named: object) -> list[Row]:
        key = (statement, str(values))
        if " LIMIT " in statement and (away.is_set() or key not in refused):
            refused.add(key)
            raise StateBusyError("the database is away", hint="wait")
        rows: list[Row] = query(statement, values, **named)
        return rows

    monkeypatch.setattr(database, "query", refuse_first)
    return away


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.ledger.retry._PAUSE", 0.01)


@walks
@pytest.mark.usefixtures("busy")
def test_a_walk_waits_for_each_of_its_pages(ledger: Ledger, walk: Callable[[Ledger], Iterator[object]]) -> None:
    patience = LedgerRetry()

    walked = list(walk(retrying(ledger, patience, threading.Event())))

    assert len(walked) == len({str(one) for one in walked}) == COUNT
    assert patience.trouble is None


@walks
@pytest.mark.usefixtures("busy")
def test_a_walk_without_patience_may_be_asked_for_the_next_row_again(
    ledger: Ledger, walk: Callable[[Ledger], Iterator[object]]
) -> None:
    walked, refusals, rows = [], 0, walk(ledger)
    assert not isinstance(rows, GeneratorType)
    while True:
        try:
            walked.append(next(rows))
        except StateBusyError:
            refusals += 1
        except StopIteration:
            break

    assert len(walked) == len({str(one) for one in walked}) == COUNT
    assert refusals > COUNT / 2


@pytest.mark.slow_if("postgres-finished")
@walks
def test_a_walk_is_given_up_at_a_stop(
    ledger: Ledger, busy: threading.Event, walk: Callable[[Ledger], Iterator[object]]
) -> None:
    stop, patience = threading.Event(), LedgerRetry()
    rows = walk(retrying(ledger, patience, stop))
    first = next(rows)
    busy.set()
    ended: list[object] = []

    def go_on() -> None:
        try:
            ended.extend(rows)
        except StateBusyError as error:
            ended.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    while patience.trouble is None:
        assert thread.is_alive()
    stop.set()
    thread.join(60)

    assert first
    assert not thread.is_alive()
    assert isinstance(ended[-1], StateBusyError)
