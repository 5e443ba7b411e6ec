"""The contract of looking: what `status` and the finder see."""

from dataclasses import replace

import pytest
from support.clock import START, Clock
from support.ledger_engines import LEASE, ROOT, Engine, claimed, crowded, found

from watcher.errors import FileError
from watcher.job import Fingerprint, Outcome, State
from watcher.ledger.ledger import Ledger


@pytest.fixture
def busy(ledger: Ledger, clock: Clock) -> Ledger:
    """Give a ledger with one source in each state, each a second younger than the one before."""
    ledger.queue.skip([found("skipped.wav")])
    for name in ("done.wav", "failed.wav", "delayed.wav", "running.wav", "ready.wav"):
        clock.advance(1)
        ledger.queue.put([found(name)])
    clock.advance(1)
    ledger.queue.done(claimed(ledger), Outcome(audio_seconds=60, language="en"))
    clock.advance(1)
    ledger.queue.fail(claimed(ledger), FileError("no sound in it"))
    clock.advance(1)
    ledger.queue.retry(claimed(ledger), crowded(), run_at=clock.wall + 60)
    clock.advance(1)
    claimed(ledger)
    return ledger


def names(ledger: Ledger, *states: State, limit: int = 10) -> list[str]:
    return [record.path.rpartition(b"/")[2].decode() for record in ledger.history.records(*states, limit=limit)]


def test_every_state_is_counted(ledger: Ledger, busy: Ledger) -> None:
    assert busy.history.counts() == dict.fromkeys(State, 1)


def test_an_empty_ledger_counts_every_state(ledger: Ledger) -> None:
    assert ledger.history.counts() == dict.fromkeys(State, 0)


def test_counts_follow_every_move(ledger: Ledger, busy: Ledger, clock: Clock) -> None:
    busy.queue.forget(ROOT + b"/done.wav")
    busy.queue.put([found("skipped.wav", size=2)])
    busy.queue.put_back()
    clock.advance(60)
    busy.queue.drop(claimed(busy))
    expected = dict.fromkeys(State, 0)
    for _, _, state in busy.history.known(ROOT):
        expected[state] += 1

    assert busy.history.counts() == expected


def test_records_come_newest_first(ledger: Ledger, busy: Ledger) -> None:
    assert names(busy, *State) == ["running.wav", "delayed.wav", "failed.wav", "done.wav", "ready.wav", "skipped.wav"]


@pytest.mark.parametrize("state", list(State))
def test_records_are_those_of_the_states_asked_for(ledger: Ledger, busy: Ledger, state: State) -> None:
    assert names(busy, state) == [f"{state.value}.wav"]


def test_no_more_records_than_asked_for(ledger: Ledger, clock: Clock) -> None:
    for number in range(8):
        ledger.queue.put([found(f"{number}.wav", small=number % 2 == 0, backlog=number % 4 == 0)])
        clock.advance(1)

    assert names(ledger, State.READY, limit=3) == ["7.wav", "6.wav", "5.wav"]
    assert names(ledger, State.READY, State.READY, limit=20) == [f"{number}.wav" for number in reversed(range(8))]
    assert names(ledger, limit=3) == []


def test_lookup_gives_all_there_is(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([found("talk.wav", size=7, mtime_ns=8, inode=9)])
    clock.advance(2)
    job = claimed(ledger)
    clock.advance(3)
    ledger.queue.retry(job, crowded(), run_at=START + 100)
    record = ledger.history.lookup(ROOT + b"/talk.wav")

    assert record is not None
    assert (record.root, record.path, record.state) == (ROOT, ROOT + b"/talk.wav", State.DELAYED)
    assert (record.attempts, record.queued_at, record.updated_at, record.run_at) == (1, START, START + 5, START + 100)
    assert record.fingerprint == Fingerprint(7, 8, 9)
    assert (record.reason, record.message, record.hint) == ("busy", "the server is busy", "wait")
    assert record.outcome is None


def test_a_record_gives_the_job_of_its_last_claim(ledger: Ledger) -> None:
    ledger.queue.put([found("talk.wav")])
    job = claimed(ledger)
    ledger.queue.done(job, Outcome())
    record = ledger.history.lookup(job.path)

    assert record is not None
    assert record.job == job


def test_an_unknown_source_is_none(ledger: Ledger) -> None:
    assert ledger.history.lookup(b"/nowhere") is None


def test_known_gives_fingerprints_and_states(ledger: Ledger, busy: Ledger) -> None:
    known = {path: (fingerprint, state) for path, fingerprint, state in busy.history.known(ROOT)}

    assert len(known) == 6
    assert known[ROOT + b"/failed.wav"] == (Fingerprint(1000, 5), State.FAILED)


def test_known_gives_all_of_many_while_they_change(ledger: Ledger) -> None:
    ledger.queue.put([found(f"{number:05}.wav") for number in range(5000)])
    walked = set()
    for path, _, _ in ledger.history.known(ROOT):
        walked.add(path)
        if len(walked) % 1000 == 0:
            ledger.queue.put([found(f"{len(walked) - 1:05}.wav", size=2)])
            ledger.queue.claim("worker", lease=LEASE)
            ledger.queue.put([found(f"00000-{len(walked)}.wav")])

    assert {ROOT + b"/%05d.wav" % number for number in range(5000)} <= walked


def test_the_tally_counts_what_was_done(ledger: Ledger) -> None:
    for name in ("a.wav", "b.wav"):
        ledger.queue.put([found(name)])
        ledger.queue.done(claimed(ledger), Outcome(audio_seconds=30.5))

    assert ledger.history.tally().audio_seconds == 61


def test_a_file_that_was_only_touched_counts_once(ledger: Ledger) -> None:
    outcome = Outcome(audio_seconds=30, content="ab" * 32)
    for mtime_ns in range(3):
        ledger.queue.put([found(mtime_ns=mtime_ns)])
        ledger.queue.done(claimed(ledger), outcome)

    assert ledger.history.tally().audio_seconds == 30


def test_a_touched_file_counts_once_also_where_what_it_cost_is_reported_as_of_now(ledger: Ledger) -> None:
    outcome = Outcome(audio_seconds=30, paid_seconds=30, pieces=1, content="ab" * 32)
    for mtime_ns, paid in ((0, 30.0), (1, 0.0), (2, 0.0)):
        ledger.queue.put([found(mtime_ns=mtime_ns)])
        ledger.queue.done(claimed(ledger), replace(outcome, paid_seconds=paid))

    assert ledger.history.tally().audio_seconds == 30
    assert ledger.history.transcribed(START - 60) == 30


@pytest.mark.slow_if("postgres")
def test_what_was_bought_anew_of_the_same_content_counts_anew(ledger: Ledger) -> None:
    for mtime_ns in range(2):
        ledger.queue.put([found(mtime_ns=mtime_ns)])
        ledger.queue.done(claimed(ledger), Outcome(audio_seconds=30, paid_seconds=30, content="ab" * 32))

    assert ledger.history.tally().audio_seconds == 60


def test_the_last_hour_is_known_whichever_process_worked_in_it(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    for minutes in (0, 30, 50):
        clock.advance(minutes * 60)
        ledger.queue.put([found(f"{minutes}.wav")])
        ledger.queue.done(claimed(ledger), Outcome(audio_seconds=100))
    before = ledger.history.transcribed(clock.wall - 3600)
    ledger.close()
    later = engine.open()

    assert before == 200
    assert later.history.transcribed(clock.wall - 3600) == 200
    assert later.history.transcribed(clock.wall - 600) == 100
    later.answers.prune(answers_older_than=0.0)
    assert later.history.transcribed(0.0) == 200


def test_a_ledger_has_a_size(ledger: Ledger) -> None:
    assert ledger.history.size() > 0
