"""The contract of sessions in the queue: a session is due once its last stem is concluded and nothing new has come for its seconds."""

import itertools
from dataclasses import replace

import pytest
from support.clock import START, Clock
from support.ledger_engines import LEASE, ROOT, Engine, found

from watcher.errors import FileError, LeaseLostError
from watcher.job import FoundRecording, Job, Outcome, SessionPlace, State, session_path
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import Content, ContentPart, PutResult

FOLDER = ROOT + b"/Episode 12"
SESSION = session_path(FOLDER, "Episode 12")
QUIET = 10.0
REFUSED = FileError("no sound in it")


def stem(name: str, size: int = 100) -> FoundRecording:
    one = found(name, size=size)
    path = FOLDER + b"/" + name.encode()
    return replace(one, path=path, session=SessionPlace(SESSION, QUIET))


def claim(ledger: Ledger, clock: Clock | None = None) -> Job | None:
    """Claim a job; with `clock`: a second later, as a shared ledger does not look at each claim for what is due."""
    if clock is not None:
        clock.advance(1)
    return ledger.queue.claim("worker", lease=LEASE)


def claim_all(ledger: Ledger) -> list[Job]:
    return list(iter(lambda: claim(ledger), None))


def test_a_stem_knows_its_session(ledger: Ledger) -> None:
    ledger.queue.put([stem("anna.wav")])
    (job,) = claim_all(ledger)

    assert job.session == SESSION
    assert job.is_stem
    assert not job.is_session


def test_a_recording_of_its_own_has_no_session(ledger: Ledger) -> None:
    ledger.queue.put([found("talk.wav")])
    (job,) = claim_all(ledger)

    assert job.session == b""
    assert not job.is_stem
    assert not job.is_session


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_session_is_due_when_its_last_stem_is_done_in_whatever_order(
    ledger: Ledger, clock: Clock, order: tuple[int, ...]
) -> None:
    ledger.queue.put([stem(name) for name in ("anna.wav", "ben.wav", "cleo.wav")])
    stems = claim_all(ledger)
    clock.advance(QUIET + 1)
    for index in order[:-1]:
        ledger.queue.done(stems[index], Outcome(content="a"))
        assert claim(ledger) is None
    ledger.queue.done(stems[order[-1]], Outcome(content="b"))
    session = claim(ledger, clock)

    assert session is not None
    assert session.is_session
    assert (session.path, session.root) == (SESSION, ROOT)


def test_it_waits_until_nothing_new_has_come_for_its_seconds(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([stem("anna.wav")])
    (job,) = claim_all(ledger)
    ledger.queue.done(job, Outcome())
    clock.wall = START + QUIET - 1
    before = claim(ledger)
    clock.wall = START + QUIET + 1

    assert before is None
    assert claim(ledger, clock) is not None


def test_a_stem_that_comes_later_makes_it_wait_again(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([stem("anna.wav")])
    (anna,) = claim_all(ledger)
    ledger.queue.done(anna, Outcome())
    clock.wall = START + QUIET - 1
    ledger.queue.put([stem("ben.wav")])
    (ben,) = claim_all(ledger)
    clock.advance(2 * QUIET)
    waiting = claim(ledger)
    ledger.queue.done(ben, Outcome())

    assert waiting is None
    assert (session := claim(ledger, clock)) is not None
    assert session.is_session


@pytest.mark.parametrize("conclusion", ["fail", "drop", "forget", "renamed"])
def test_a_last_stem_that_fails_or_is_gone_makes_it_due_too(ledger: Ledger, clock: Clock, conclusion: str) -> None:
    ledger.queue.put([stem("anna.wav"), stem("ben.wav"), found("elsewhere.wav")])
    anna, ben, other = sorted(claim_all(ledger), key=lambda job: job.path)
    ledger.queue.done(anna, Outcome())
    clock.advance(2 * QUIET)
    if conclusion == "fail":
        ledger.queue.fail(ben, REFUSED)
    elif conclusion == "drop":
        ledger.queue.drop(ben)
    elif conclusion == "forget":
        ledger.queue.forget(ben.path)
    else:
        ledger.queue.release(ben, run_at=clock.wall + 100)
        ledger.queue.done(other, Outcome(renamed_from=ben.path))

    assert (session := claim(ledger, clock)) is not None
    assert session.is_session


def made(ledger: Ledger, clock: Clock, *names: str) -> Job:
    """Conclude a session of these stems; return its job."""
    ledger.queue.put([stem(name) for name in names])
    for job in claim_all(ledger):
        ledger.queue.done(job, Outcome(content="a", audio_seconds=5.0))
    clock.advance(2 * QUIET)
    session = claim(ledger, clock)
    assert session is not None
    ledger.queue.done(session, Outcome(content="s", audio_seconds=5.0))
    return session


def test_a_changed_stem_makes_a_finished_session_due_again(ledger: Ledger, clock: Clock) -> None:
    made(ledger, clock, "anna.wav", "ben.wav")
    ledger.queue.put([stem("ben.wav", size=200)])
    (ben,) = claim_all(ledger)
    clock.advance(2 * QUIET)
    ledger.queue.done(ben, Outcome())

    assert (session := claim(ledger, clock)) is not None
    assert session.is_session
    assert session.attempts == 1


def test_a_failed_stem_that_is_tried_again_makes_it_due_again(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([stem("anna.wav"), stem("ben.wav")])
    anna, ben = claim_all(ledger)
    ledger.queue.done(anna, Outcome())
    ledger.queue.fail(ben, REFUSED)
    clock.advance(2 * QUIET)
    session = claim(ledger, clock)
    assert session is not None
    ledger.queue.done(session, Outcome(missing_stems=1))
    ledger.queue.put_back([ben.path])
    again = claim(ledger)
    assert again is not None
    ledger.queue.done(again, Outcome())

    assert (later := claim(ledger, clock)) is not None
    assert later.path == SESSION


def test_a_session_that_is_being_made_loses_its_lease_to_a_new_stem(ledger: Ledger, clock: Clock) -> None:
    ledger.queue.put([stem("anna.wav")])
    (anna,) = claim_all(ledger)
    ledger.queue.done(anna, Outcome())
    clock.advance(2 * QUIET)
    session = claim(ledger, clock)
    assert session is not None
    ledger.queue.put([stem("ben.wav")])

    assert not ledger.queue.holds(session)
    with pytest.raises(LeaseLostError):
        ledger.queue.done(session, Outcome())


def test_a_stem_that_is_only_looked_at_again_leaves_a_finished_session_as_it_is(ledger: Ledger, clock: Clock) -> None:
    """A session that is moved away queues its stems, so that they follow; one that stays began it all again, without end."""
    made(ledger, clock, "anna.wav")
    ledger.queue.queue_again([FOLDER + b"/anna.wav"])
    again = claim(ledger, clock)
    assert again is not None
    ledger.queue.done(again, Outcome(content="a", audio_seconds=5.0, unchanged=True))

    assert claim(ledger, clock) is None


def test_a_known_stem_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    session = made(ledger, clock, "anna.wav", "ben.wav")
    ledger.queue.put([stem("anna.wav"), stem("ben.wav")])

    assert ledger.queue.holds(session)
    assert claim(ledger) is None


def test_its_seconds_do_not_count_beside_those_of_its_stems(ledger: Ledger, clock: Clock) -> None:
    made(ledger, clock, "anna.wav", "ben.wav")

    assert ledger.history.tally().audio_seconds == 10.0


def test_the_stems_of_a_session_are_known_by_it(ledger: Ledger, clock: Clock) -> None:
    made(ledger, clock, "ben.wav", "anna.wav")
    ledger.queue.put([found("talk.wav")])

    assert [one.path for one in ledger.history.stems(SESSION)] == [FOLDER + b"/anna.wav", FOLDER + b"/ben.wav"]
    assert ledger.history.stem_counts()[State.DONE] == 2
    assert [one.path for one in ledger.history.records(State.DONE)] == [SESSION]


def test_a_crash_between_the_last_stems_leaves_a_session_that_is_made_after_it(engine: Engine, clock: Clock) -> None:
    ledger = engine.open()
    ledger.queue.put([stem("anna.wav"), stem("ben.wav")])
    anna, _ben = claim_all(ledger)
    ledger.queue.done(anna, Outcome())
    ledger.close()
    clock.advance(100)
    ledger = engine.open()
    ledger.queue.recover()
    (ben,) = claim_all(ledger)
    ledger.queue.done(ben, Outcome())

    assert (session := claim(ledger, clock)) is not None
    assert session.is_session


def test_stems_that_were_gone_make_a_session_when_they_are_found_again(ledger: Ledger, clock: Clock) -> None:
    anna, ben = stem("anna.wav"), stem("ben.wav")
    ledger.queue.put([anna, ben])
    for job in claim_all(ledger):
        ledger.queue.done(job, Outcome(content="a"))
    clock.advance(QUIET + 1)
    session = claim(ledger, clock)
    assert session is not None
    ledger.queue.await_stems(SESSION)
    ledger.queue.drop(session)
    idle = claim(ledger, clock)
    again = ledger.queue.put([anna, ben])
    for job in claim_all(ledger):
        ledger.queue.done(job, Outcome(content="a"))
    clock.advance(QUIET + 1)

    assert idle is None
    assert PutResult.KNOWN not in again
    assert (back := claim(ledger, clock)) is not None
    assert back.is_session


def test_the_tracks_of_a_content_come_back(ledger: Ledger) -> None:
    parts = (ContentPart("aa", "Anna", "1-anna.flac", 0.5, START), ContentPart("bb", "Ben \udcff", "2-ben.flac"))
    content = Content(digest="d" * 64, sketch="s" * 64, parameters="p", seconds=10.0, cuts=(), parts=parts)
    ledger.answers.keep_content(content)

    assert ledger.answers.content(digest=content.digest) == content


def test_erasing_a_session_erases_the_answers_about_its_tracks(ledger: Ledger) -> None:
    ledger.answers.keep("aa", "p", b"{}", seconds=5.0, model="m")
    ledger.answers.keep_content(Content(digest="aa", sketch="sa", parameters="p", seconds=5.0, cuts=()))
    session = Content(
        digest="d" * 64, sketch="s", parameters="p", seconds=5.0, cuts=(), parts=(ContentPart("aa", "Anna", "a.wav"),)
    )
    ledger.answers.keep_content(session)

    assert ledger.answers.erase(session.digest) == 1
    assert ledger.answers.content(digest="aa") is None


def test_a_session_is_forgotten_with_the_last_of_its_stems(ledger: Ledger, clock: Clock) -> None:
    names = ("anna.wav", "ben.wav")
    ledger.queue.put([stem(name) for name in names])
    for job in claim_all(ledger):
        ledger.queue.done(job, Outcome(content=job.path.decode()))
    clock.advance(2 * QUIET)
    session = claim(ledger, clock)
    assert session is not None
    ledger.queue.done(session, Outcome())
    known = []
    for name in names:
        ledger.history.note_gone([stem(name).path], [])
        clock.advance(1)
        ledger.history.retire([stem(name).path], gone_before=clock.wall)
        known.append(ledger.history.lookup(SESSION) is not None)

    assert known == [True, False]
