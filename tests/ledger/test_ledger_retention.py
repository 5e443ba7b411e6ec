"""The contract of forgetting: what is gone may go, nothing else does, and nobody waits for it."""

import time

import pytest
from support.clock import Clock
from support.ledger_engines import ROOT, Engine, claimed, found, name, recalled_body, state

from watcher.errors import FileError
from watcher.job import Outcome, Output, State
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import FinishedSource, PutResult

DAY = 86_400.0


def done(ledger: Ledger, file: str = "talk.wav") -> bytes:
    """Have a source done, with one output."""
    ledger.queue.put([found(file)])
    job = claimed(ledger)
    output = job.path.removesuffix(b".wav") + b".txt"
    assert ledger.outputs.enter(job, Output("txt", output, "ab" * 32))
    ledger.outputs.placed(output)
    ledger.queue.done(job, Outcome(audio_seconds=1.0, pieces=1))
    return job.path


def gone_at(ledger: Ledger) -> dict[bytes, float]:
    return {kept.path: kept.gone_at for kept in ledger.history.finished()}


def test_what_is_concluded_is_walked_through_and_nothing_else(ledger: Ledger) -> None:
    first = done(ledger, "a.wav")
    ledger.queue.put([found("b.wav")])
    ledger.queue.fail(claimed(ledger), FileError("broken", reason="undecodable"))
    ledger.queue.skip([found("c.wav")])
    ledger.queue.put([found("running.wav")])
    claimed(ledger)
    ledger.queue.put([found("ready.wav")])
    ledger.queue.put([found("delayed.wav")])

    assert [kept.path for kept in ledger.history.finished()] == [first, ROOT + b"/b.wav", ROOT + b"/c.wav"]
    assert next(ledger.history.finished()) == FinishedSource(first, ROOT, 0.0)


def test_the_walk_goes_on_while_what_it_gave_is_dropped(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.skip([found(f"{number:04}.wav") for number in range(1200)])
    ledger.history.note_gone([kept.path for kept in ledger.history.finished()], [])
    clock.advance(1)

    walked = 0
    for kept in ledger.history.finished():
        walked += 1
        ledger.history.retire([kept.path], gone_before=clock.wall)

    assert walked == 1200
    assert ledger.history.counts()[State.SKIPPED] == 0


def test_a_source_that_is_gone_long_enough_is_dropped(ledger: Ledger, clock: Clock) -> None:
    path = done(ledger)
    ledger.history.note_gone([path], [])
    clock.advance(29 * DAY)
    assert ledger.history.retire([path], gone_before=clock.wall - 30 * DAY) == []

    clock.advance(2 * DAY)
    assert ledger.history.retire([path], gone_before=clock.wall - 30 * DAY) == [path]

    assert ledger.history.lookup(path) is None
    assert ledger.history.counts()[State.DONE] == 0
    assert ledger.history.tally().audio_seconds == 1.0


def test_being_gone_counts_from_the_first_time_it_was_noted(ledger: Ledger, clock: Clock) -> None:
    path = done(ledger)
    ledger.history.note_gone([path], [])
    since = gone_at(ledger)[path]
    clock.advance(DAY)
    ledger.history.note_gone([path], [])

    assert since == pytest.approx(clock.wall - DAY)
    assert gone_at(ledger)[path] == since


def test_a_source_that_is_back_begins_anew(ledger: Ledger, clock: Clock) -> None:
    path = done(ledger)
    ledger.history.note_gone([path], [])
    clock.advance(40 * DAY)
    ledger.history.note_gone([], [path])

    assert gone_at(ledger)[path] == 0
    assert ledger.history.retire([path], gone_before=clock.wall) == []


def test_a_source_that_came_back_changed_is_not_gone(ledger: Ledger, clock: Clock) -> None:
    path = done(ledger)
    ledger.history.note_gone([path], [])
    clock.advance(40 * DAY)

    assert ledger.queue.put([found(size=2000)]) == [PutResult.CHANGED]
    assert ledger.history.retire([path], gone_before=clock.wall) == [], "it is queued"
    ledger.queue.done(claimed(ledger), Outcome(audio_seconds=1.0, pieces=1))
    assert ledger.history.retire([path], gone_before=clock.wall) == [], "and was seen"


def test_what_is_queued_is_never_noted_as_gone(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([found()])
    ledger.history.note_gone([ROOT + b"/talk.wav"], [])
    clock.advance(1)

    assert ledger.history.retire([ROOT + b"/talk.wav"], gone_before=clock.wall) == []
    assert state(ledger, "talk.wav") is State.READY


def test_what_was_dropped_is_new_work_whose_answer_is_still_known(ledger: Ledger, clock: Clock) -> None:
    path = done(ledger)
    ledger.answers.keep("ab" * 32, "12" * 32, b"{}", seconds=1.0, model="whisper-1")
    ledger.history.note_gone([path], [])
    clock.advance(1)
    ledger.history.retire([path], gone_before=clock.wall)

    assert ledger.queue.put([found()]) == [PutResult.QUEUED]
    assert name(claimed(ledger)) == "talk.wav"
    assert recalled_body(ledger, "ab" * 32, "12" * 32) == b"{}"


def test_outputs_are_orphans_once_their_source_is_dropped(ledger: Ledger, clock: Clock) -> None:
    path = done(ledger, "a.wav")
    done(ledger, "b.wav")
    assert list(ledger.outputs.orphans()) == []
    ledger.history.note_gone([path], [])
    clock.advance(1)
    ledger.history.retire([path], gone_before=clock.wall)

    assert list(ledger.outputs.orphans()) == [ROOT + b"/a.txt"]
    assert ledger.outputs.owner(ROOT + b"/a.txt") is not None
    ledger.outputs.disown_orphans(ledger.outputs.orphans())
    assert list(ledger.outputs.orphans()) == []
    assert ledger.outputs.owner(ROOT + b"/a.txt") is None
    assert ledger.outputs.owner(ROOT + b"/b.txt") is not None


def test_an_output_whose_source_is_back_is_no_orphan(ledger: Ledger) -> None:
    path = done(ledger)
    ledger.queue.forget(path)
    (orphan,) = ledger.outputs.orphans()
    ledger.queue.put([found()])

    ledger.outputs.disown_orphans([orphan])

    assert ledger.outputs.owner(orphan) is not None


def test_days_of_the_past_are_dropped_from_what_was_bought_but_for_those_of_the_month(
    ledger: Ledger, clock: Clock
) -> None:
    within_the_month = time.strftime("%Y-%m-%d", time.gmtime(clock.wall - 30 * DAY))
    for day in ("2026-01-01", within_the_month):
        ledger.purchases.buy("here", day, 60)

    ledger.answers.prune(answers_older_than=clock.wall - DAY)

    assert ledger.purchases.buy("here", "2026-01-01", 0) == 0
    assert ledger.purchases.buy("here", within_the_month, 0) == 60


def test_pruning_and_tidying_in_slices_come_to_an_end(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    for number in range(250):
        ledger.answers.keep(f"{number:064x}", "12" * 32, bytes(500), seconds=1.0, model="whisper-1")
    clock.advance(1)

    dropped = []
    while slice_ := ledger.answers.prune_some(answers_older_than=clock.wall):
        dropped.append(slice_)
    while ledger.history.tidy():
        pass

    assert sum(dropped) == 250
    assert max(dropped) <= 100, "nobody waits for long"
    assert ledger.history.tally().answers == 0
    ledger.close()
    assert engine.open().history.tally().answers == 0
