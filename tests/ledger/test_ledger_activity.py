"""The contract of what was done in a stretch of time, for the plots of `status`."""

import threading
from dataclasses import replace

import pytest
from support.clock import START, Clock
from support.ledger_engines import DIGEST, ROOT, Engine, claimed, found

from watcher.errors import FileError, LeaseLostError
from watcher.job import Outcome, SessionPlace, session_path
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import Activity

HOUR, DAY = 3600.0, 86_400.0
#: A whole hour; the clock begins with it.
assert START % HOUR == 0


def hours(ledger: Ledger, count: int) -> list[Activity]:
    """Return what was done in each of some hours, the first of which begins with the clock."""
    return ledger.history.activity([START + number * HOUR for number in range(count + 1)])


def test_results_count_in_the_hour_in_which_they_came(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([found("a.wav"), found("b.wav"), found("c.wav")])
    clock.advance(90)
    ledger.queue.done(claimed(ledger), Outcome(content=DIGEST, audio_seconds=60.0))
    ledger.queue.fail(claimed(ledger), FileError("no sound in it"))
    clock.advance(HOUR)
    ledger.queue.done(claimed(ledger), Outcome(content="cd" * 32, audio_seconds=30.0))

    first, second, third = hours(ledger, 3)

    assert first == Activity(done=1, failed=1, audio_seconds=60.0, waited_seconds=90.0)
    assert second == Activity(done=1, audio_seconds=30.0, waited_seconds=90.0 + HOUR)
    assert third == Activity()


def test_purchases_count_by_endpoint_and_what_is_taken_back_too(ledger: Ledger, clock: Clock) -> None:
    for endpoint, seconds in (("api", 60.0), ("relay", 5.0), ("api", 10.0), ("api", -20.0)):
        ledger.purchases.buy(endpoint, "2027-01-15", seconds)
    clock.advance(HOUR)
    ledger.purchases.buy("api", "2027-01-15", 1.0)

    assert [one.bought for one in hours(ledger, 3)] == [{"api": 50.0, "relay": 5.0}, {"api": 1.0}, {}]


def test_a_result_under_a_lost_claim_does_not_count(ledger: Ledger) -> None:
    ledger.queue.put([found("a.wav")])
    job = claimed(ledger)
    ledger.queue.put([found("a.wav", mtime_ns=9)])

    with pytest.raises(LeaseLostError):
        ledger.queue.done(job, Outcome(content=DIGEST, audio_seconds=60.0))
    with pytest.raises(LeaseLostError):
        ledger.queue.fail(job, FileError("no sound in it"))

    assert hours(ledger, 1) == [Activity()]


def test_what_was_there_already_or_was_only_touched_does_not_count(ledger: Ledger) -> None:
    ledger.queue.put([found("a.wav")])
    ledger.queue.done(claimed(ledger), Outcome(adopted=True))
    ledger.queue.put([found("b.wav")])
    ledger.queue.done(claimed(ledger), Outcome(content=DIGEST, audio_seconds=60.0))
    ledger.queue.put([found("b.wav", mtime_ns=9)])
    ledger.queue.done(claimed(ledger), Outcome(content=DIGEST, audio_seconds=60.0))

    assert hours(ledger, 1) == [Activity(done=1, audio_seconds=60.0)]


def test_a_session_is_one_recording_and_its_stems_have_the_sound(ledger: Ledger, clock: Clock) -> None:
    folder = ROOT + b"/Episode 12"
    place = SessionPlace(session_path(folder, "Episode 12"), 10.0)
    ledger.queue.put(
        [replace(found(name), path=folder + b"/" + name.encode(), session=place) for name in ("anna.wav", "ben.wav")]
    )
    for digest in (DIGEST, "cd" * 32):
        ledger.queue.done(claimed(ledger), Outcome(content=digest, audio_seconds=60.0))
    clock.advance(15)
    session = claimed(ledger)
    assert session.is_session
    ledger.queue.done(session, Outcome(content="ef" * 32, audio_seconds=60.0))

    assert hours(ledger, 1) == [Activity(done=1, audio_seconds=120.0, waited_seconds=15.0)]


def test_it_is_there_after_a_restart_and_forgotten_after_a_month(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([found("a.wav"), found("b.wav"), found("c.wav")])
    ledger.queue.done(claimed(ledger), Outcome(content=DIGEST, audio_seconds=60.0))
    since = ledger.history.counted_since()
    ledger.close()
    ledger = engine.open()
    assert (hours(ledger, 1)[0].done, ledger.history.counted_since()) == (1, since)

    clock.advance(DAY)
    ledger.queue.done(claimed(ledger), Outcome(content="cd" * 32, audio_seconds=60.0))
    clock.advance(31.5 * DAY)
    ledger.queue.done(claimed(ledger), Outcome(content="ef" * 32, audio_seconds=60.0))
    ledger.answers.prune(answers_older_than=clock.wall)

    # The newest old row stays: it says that counting began before what is shown.
    assert ledger.history.counted_since() == START
    assert [one.done for one in ledger.history.activity([START + number * DAY for number in (0, 1, 2, 33)])] == [
        1,
        1,
        1,
    ]
    clock.advance(DAY)
    ledger.answers.prune(answers_older_than=clock.wall)
    assert ledger.history.counted_since() == START + DAY


def test_no_result_is_lost_between_threads(ledger: Ledger) -> None:
    ledger.queue.put(found(f"{number}.wav") for number in range(40))

    def work() -> None:
        while job := ledger.queue.claim(threading.current_thread().name, lease=30):
            ledger.queue.done(job, Outcome(content=f"{job.id:064x}", audio_seconds=1.0))
            ledger.purchases.buy("api", "2027-01-15", 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert hours(ledger, 1) == [Activity(done=40, audio_seconds=40.0, bought={"api": 40.0})]


def test_a_ledger_that_is_not_there_has_done_nothing(engine: Engine) -> None:
    ledger = engine.open()
    assert hours(ledger, 2) == [Activity(), Activity()]
    assert 0 < ledger.history.counted_since() <= START
