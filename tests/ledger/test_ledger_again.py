"""The contract of what is done once more: requests of a person, trials, renamed sources, and what is erased."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import START
from support.ledger_engines import ROOT, Engine, claimed, found, recalled_body, state

from watcher.errors import FileError, JobError, LeaseLostError
from watcher.job import TRIAL_MODEL, AgainRequest, Cut, Fingerprint, Job, Outcome, Output, State
from watcher.ledger.ledger import Ledger
from watcher.ledger.schema import STEPS, migrate
from watcher.ledger.sqlite import NAME, SqliteLedger
from watcher.ledger.values import Content, PutResult, SourceRecord, unreadable

TALK = ROOT + b"/talk.wav"
SOUND, PIECE, ASKED, OTHERWISE = "ab" * 32, "cd" * 32, "12" * 32, "34" * 32
WISH = AgainRequest("t1", model="large", language="de")


def done(
    ledger: Ledger, name: str = "talk.wav", *, model: str = "whisper-1", inode: int = 0, seconds: float = 9.0
) -> Job:
    ledger.queue.put([found(name, inode=inode)])
    job = claimed(ledger)
    ledger.queue.done(job, Outcome(content=SOUND, audio_seconds=seconds, model=model))
    return job


def content(*, parameters: str = ASKED) -> Content:
    return Content(SOUND, "sketch", parameters, 9.0, (Cut(0, 0, 144_000, PIECE),))


def keep(ledger: Ledger, body: bytes, *, digest: str = PIECE, parameters: str = ASKED) -> None:
    ledger.answers.keep(digest, parameters, body, seconds=9.0, model="whisper-1")


def claimed_nothing(ledger: Ledger) -> bool:
    return ledger.queue.claim("worker", lease=30) is None


def known(ledger: Ledger, path: bytes = TALK) -> SourceRecord:
    record = ledger.history.lookup(path)
    assert record is not None
    return record


class TestQueueAgain:
    def test_a_request_comes_with_every_claim_until_it_is_carried_out(self, engine: Engine, ledger: Ledger) -> None:
        done(ledger)
        queued = ledger.queue.queue_again([TALK, ROOT + b"/unknown.wav"], WISH)
        first = claimed(ledger)
        ledger.close()

        again = engine.open()
        second = claimed(again)
        again.queue.fail(second, FileError("no"))
        again.queue.put_back([TALK])
        third = claimed(again)
        again.queue.done(third, Outcome(content=SOUND))
        again.queue.queue_again([TALK])
        fourth = claimed(again)

        assert queued == [TALK]
        assert [job.again for job in (first, second, third, fourth)] == [WISH, WISH, WISH, None]
        assert (first.attempts, first.content) == (1, SOUND)

    def test_a_request_that_waits_keeps_its_token_whatever_else_is_requested(self, ledger: Ledger) -> None:
        done(ledger)
        ledger.queue.queue_again([TALK], WISH)

        queued = ledger.queue.queue_again([TALK], AgainRequest("t2", model="small"))

        assert queued == [TALK]
        assert claimed(ledger).again == AgainRequest("t1", model="small")

    @pytest.mark.parametrize(("fails", "left"), [(False, WISH), (True, None)])
    def test_a_request_survives_a_change_of_the_file_unless_it_had_failed(
        self,
        ledger: Ledger,
        fails: bool,  # noqa: FBT001 - a parameter of the test
        left: AgainRequest | None,
    ) -> None:
        done(ledger)
        ledger.queue.queue_again([TALK], WISH)
        if fails:
            ledger.queue.fail(claimed(ledger), FileError("there is no such model"))

        ledger.queue.put([found("talk.wav", mtime_ns=99)])

        assert claimed(ledger).again == left

    def test_what_runs_or_was_moved_away_is_left_alone(self, ledger: Ledger) -> None:
        ledger.queue.put([found("talk.wav"), found("moved.wav")])
        ledger.queue.done(claimed(ledger), Outcome(moved_to=ROOT + b"/done/talk.wav"))
        running = claimed(ledger)

        assert ledger.queue.queue_again([TALK, running.path], WISH) == []
        assert ledger.queue.queue_again([TALK, running.path]) == []
        assert ledger.queue.holds(running)

    def test_without_a_wish_only_what_is_done_is_queued(self, ledger: Ledger) -> None:
        done(ledger)
        ledger.queue.put([found("bad.wav")])
        ledger.queue.fail(claimed(ledger), FileError("no"))

        assert ledger.queue.queue_again([ROOT + b"/bad.wav", TALK]) == [TALK]
        assert (state(ledger, "bad.wav"), state(ledger, "talk.wav")) == (State.FAILED, State.READY)
        assert known(ledger).outcome is not None

    def test_what_was_done_before_adds_nothing_to_the_tally(self, ledger: Ledger) -> None:
        done(ledger)
        ledger.queue.queue_again([TALK])
        ledger.queue.done(claimed(ledger), Outcome(content=SOUND, audio_seconds=9.0, unchanged=True, restored=("srt",)))

        outcome = known(ledger).outcome
        assert ledger.history.tally().audio_seconds == 9.0
        assert outcome is not None
        assert (outcome.unchanged, outcome.restored) == (True, ("srt",))


class TestSupersede:
    def test_new_answers_take_the_place_of_the_old_ones_all_at_once(self, ledger: Ledger) -> None:
        done(ledger)
        keep(ledger, b"old")
        keep(ledger, b"of another question", parameters=OTHERWISE)
        ledger.answers.keep_content(content())
        ledger.queue.queue_again([TALK], WISH)
        job = claimed(ledger)
        keep(ledger, b"new", parameters=f"{ASKED}.t1")
        keep(ledger, b"unreadable", digest=unreadable(PIECE), parameters=f"{ASKED}.t1")
        ledger.answers.keep_cut("sketch", f"{ASKED}.t1", Cut(0, 0, 144_000, PIECE))
        before = recalled_body(ledger, PIECE, ASKED)

        ledger.answers.supersede(job, replace(content(), seconds=8.0), cut=[f"{ASKED}.t1"])

        kept = ledger.answers.content(digest=SOUND)
        assert (before, recalled_body(ledger, PIECE, ASKED)) == (b"old", b"new")
        assert recalled_body(ledger, PIECE, f"{ASKED}.t1") is None
        assert recalled_body(ledger, PIECE, OTHERWISE) == b"of another question"
        assert recalled_body(ledger, unreadable(PIECE), ASKED) == b"unreadable"
        assert kept is not None
        assert kept.seconds == 8.0
        assert ledger.answers.cuts("sketch", f"{ASKED}.t1") == ()
        assert ledger.history.tally().answers == 3
        ledger.queue.release(job)
        assert claimed(ledger).again == replace(WISH, token="")

    def test_a_content_that_is_not_to_be_kept_leaves_the_former_one(self, ledger: Ledger) -> None:
        done(ledger)
        ledger.answers.keep_content(content())
        ledger.queue.queue_again([TALK], WISH)
        keep(ledger, b"new", parameters=f"{ASKED}.t1")

        ledger.answers.supersede(claimed(ledger), replace(content(), seconds=8.0), keep=False)

        assert recalled_body(ledger, PIECE, ASKED) == b"new"
        assert ledger.answers.content(digest=SOUND) == content()

    def test_who_lost_the_job_changes_nothing(self, ledger: Ledger) -> None:
        done(ledger)
        keep(ledger, b"old")
        ledger.queue.queue_again([TALK], WISH)
        job = claimed(ledger)
        keep(ledger, b"new", parameters=f"{ASKED}.t1")
        ledger.queue.put([found("talk.wav", mtime_ns=99)])

        with pytest.raises(LeaseLostError):
            ledger.answers.supersede(job, content())

        assert recalled_body(ledger, PIECE, ASKED) == b"old"
        assert ledger.answers.content(digest=SOUND) is None
        assert claimed(ledger).again == WISH


class TestTrials:
    def test_they_are_what_the_trial_engine_alone_has_done(self, ledger: Ledger) -> None:
        done(ledger, "a/talk.wav", model=TRIAL_MODEL, seconds=7.0)
        done(ledger, "a/heard.wav")
        done(ledger, "b/talk.wav", model=TRIAL_MODEL)
        ledger.queue.put([found("a/queued.wav")])

        assert list(ledger.history.trials(ROOT + b"/a")) == [(ROOT + b"/a/talk.wav", 7.0)]
        assert len(list(ledger.history.trials(ROOT))) == 2
        ledger.queue.done(claimed(ledger), Outcome(model=TRIAL_MODEL))
        ledger.queue.queue_again([ROOT + b"/a/talk.wav", ROOT + b"/a/queued.wav"])
        assert [path for path, _ in ledger.history.trials(ROOT)] == [ROOT + b"/b/talk.wav"]

    def test_those_of_an_earlier_version_are_recognised_by_their_answers(self, tmp_path: Path) -> None:
        older = sqlite3.connect(tmp_path / NAME, isolation_level=None)
        migrate(older, tmp_path / NAME, STEPS[:5])
        for name, digest in (("tried", "d1"), ("both", "d2"), ("heard", "d3")):
            older.execute(
                """
                INSERT INTO sources (
                    path, root, size, mtime_ns, inode, backlog, small, suspect, state, queued_at, updated_at, content, outcome
                ) VALUES (?, ?, 1, 1, 0, 0, 0, 0, 'done', 0, 0, ?, ?)
                """,
                (ROOT + b"/" + name.encode(), ROOT, digest, '{"outputs":[],"warnings":[],"audio_seconds":3.0}'),
            )
        for digest, parameters in (("d1", "trial"), ("d2", "trial"), ("d2", "real"), ("d3", "real")):
            older.execute(
                "INSERT INTO contents (digest, sketch, parameters, seconds, cuts, loudness, used_at) VALUES (?,'',?,3,'[]','',0)",
                (digest, parameters),
            )
        for parameters, model in (("trial", TRIAL_MODEL), ("real", "whisper-1")):
            older.execute(
                "INSERT INTO answers (digest, parameters, body, seconds, model, used_at) VALUES ('x', ?, '', 3, ?, 0)",
                (parameters, model),
            )
        older.close()

        ledger = SqliteLedger(tmp_path)
        trials = list(ledger.history.trials(ROOT))
        ledger.close()

        assert trials == [(ROOT + b"/tried", 3.0)]


class TestNamesakes:
    def test_a_source_is_found_under_its_former_name_and_forgotten_with_the_conclusion(self, ledger: Ledger) -> None:
        done(ledger, inode=5)
        done(ledger, "other.wav", inode=6)
        ledger.queue.put([found("renamed.wav", inode=5)])
        job = claimed(ledger)

        former = [record.path for record in ledger.history.namesakes(job)]
        ledger.queue.done(job, Outcome(content=SOUND, renamed_from=TALK))

        outcome = known(ledger, job.path).outcome
        assert (job.content, former) == (SOUND, [TALK])
        assert ledger.history.lookup(TALK) is None
        assert outcome is not None
        assert outcome.renamed_from == TALK

    def test_of_many_hard_links_the_oldest_are_namesakes(self, ledger: Ledger) -> None:
        ledger.queue.put([found(f"link{number}.wav", inode=5) for number in range(30)])
        for _ in range(30):
            ledger.queue.done(claimed(ledger), Outcome(content=SOUND))
        ledger.queue.put([found("one_more.wav", inode=5)])
        job = replace(claimed(ledger), content=SOUND)

        namesakes = ledger.history.namesakes(job)

        assert [record.path for record in namesakes] == [ROOT + b"/link%d.wav" % number for number in range(20)]

    def test_where_inodes_say_nothing_nobody_is_a_namesake(self, ledger: Ledger) -> None:
        job = done(ledger)

        assert ledger.history.namesakes(replace(job, path=ROOT + b"/renamed.wav", content=SOUND)) == []


class TestDroppedRequest:
    """A request outlives that its recording is not to be found for a while, or has another name."""

    def test_it_is_carried_out_once_the_recording_is_found_again(self, engine: Engine, ledger: Ledger) -> None:
        done(ledger, inode=5)
        ledger.queue.queue_again([TALK], WISH)
        job = claimed(ledger)
        ledger.queue.drop(job)
        held, between = ledger.queue.holds(job), known(ledger)
        ledger.close()

        again = engine.open()
        put = again.queue.put([found(inode=5)])

        assert (held, between.state, between.outcome is not None) == (False, State.DONE, True)
        assert put == [PutResult.QUEUED]
        assert (claimed(again).again, claimed_nothing(again)) == (WISH, True)

    @pytest.mark.parametrize("found_before", [False, True])
    def test_it_goes_with_the_same_file_under_another_name(self, ledger: Ledger, *, found_before: bool) -> None:
        done(ledger, inode=5)
        ledger.queue.queue_again([TALK], WISH)
        job = claimed(ledger)
        renamed = ROOT + b"/renamed.wav"
        if found_before:
            ledger.queue.put([found("renamed.wav", inode=5)])
            ledger.queue.done(claimed(ledger), Outcome(content=SOUND))

        ledger.queue.drop(job)
        if not found_before:
            ledger.queue.put([found("renamed.wav", inode=5)])
        heir = claimed(ledger)
        former = [record.path for record in ledger.history.namesakes(heir)]
        ledger.queue.done(heir, Outcome(content=SOUND, renamed_from=TALK))

        assert (heir.path, heir.again, heir.content, former) == (renamed, WISH, SOUND, [TALK])
        assert ledger.history.lookup(TALK) is None
        assert ledger.history.counts()[State.DONE] == 1

    @pytest.mark.parametrize("found_before", [False, True])
    def test_a_hard_link_in_another_root_gets_neither_it_nor_the_outputs(
        self, ledger: Ledger, *, found_before: bool
    ) -> None:
        link = found("link.wav", inode=5, root=b"/srv/theirs")
        done(ledger, inode=5)
        ledger.queue.queue_again([TALK], WISH)
        job = claimed(ledger)
        if found_before:
            ledger.queue.put([link])
            ledger.queue.done(claimed(ledger), Outcome(content=SOUND))

        ledger.queue.drop(job)
        if found_before:
            assert claimed_nothing(ledger)
            return
        ledger.queue.put([link])
        heir = claimed(ledger)

        assert (heir.path, heir.again, heir.content) == (link.path, None, SOUND)
        assert ledger.history.namesakes(heir) == []


def test_one_that_was_done_before_is_recognised_under_the_name_it_got_while_it_was_looked_at(ledger: Ledger) -> None:
    done(ledger, inode=5)
    touched = found(mtime_ns=9, inode=5)
    ledger.queue.put([touched])
    job = claimed(ledger)

    ledger.queue.drop(job)
    ledger.queue.put([replace(touched, path=ROOT + b"/renamed.wav")])
    renamed = claimed(ledger)

    assert renamed.content == SOUND
    assert [record.path for record in ledger.history.namesakes(renamed)] == [TALK]


@pytest.mark.parametrize("what", ["running", "delayed", "dropped"])
def test_a_done_source_is_recognised_when_its_new_name_is_queued_first(ledger: Ledger, what: str) -> None:
    done(ledger, inode=5)
    touched = found(mtime_ns=9, inode=5)
    ledger.queue.put([touched])
    ledger.queue.put([replace(touched, path=ROOT + b"/renamed.wav")])
    job, renamed = claimed(ledger), claimed(ledger)
    if what == "delayed":
        ledger.queue.retry(job, JobError("later"), run_at=START + 100.0)
    if what == "dropped":
        ledger.queue.drop(job)
    seconds = ledger.history.tally().audio_seconds

    former = [record.path for record in ledger.history.namesakes(renamed)]
    if what == "running":
        ledger.queue.drop(job)
    ledger.queue.done(renamed, Outcome(content=SOUND, audio_seconds=9.0, renamed_from=TALK))

    assert former == [TALK]
    assert ledger.history.lookup(TALK) is None
    assert ledger.history.tally().audio_seconds == seconds


def test_one_that_was_never_done_is_forgotten(ledger: Ledger) -> None:
    ledger.queue.put([found(inode=5)])

    ledger.queue.drop(claimed(ledger))

    assert ledger.history.lookup(TALK) is None


class TestRelocate:
    def test_a_source_that_was_moved_away_is_known_by_its_new_place_alone(self, ledger: Ledger) -> None:
        moved = found("done/talk.wav")
        ledger.queue.put([found()])
        ledger.queue.done(claimed(ledger), Outcome(content=SOUND, moved_to=moved.path))

        relocated = [ledger.queue.relocate(TALK, moved), ledger.queue.relocate(TALK, moved)]

        assert relocated == [True, False]
        assert (ledger.history.lookup(TALK), ledger.history.counts()[State.DONE]) == (None, 1)
        assert (known(ledger, moved.path).content, ledger.queue.put([moved])) == (SOUND, [PutResult.KNOWN])

    def test_by_the_path_that_it_came_by_the_last_one_is_found(self, ledger: Ledger) -> None:
        for place in ("done/talk.wav", "done/talk.2.wav"):
            ledger.queue.put([found()])
            ledger.queue.done(claimed(ledger), Outcome(content=SOUND, moved_to=found(place).path))
            ledger.queue.relocate(TALK, found(place))

        moved, other = ledger.history.moved(TALK), ledger.history.moved(found("done/talk.wav").path)

        assert moved is not None
        assert (moved.path, other) == (found("done/talk.2.wav").path, None)

    def test_what_stands_where_it_was_or_is_known_at_its_new_place_stays(self, ledger: Ledger) -> None:
        done(ledger)
        done(ledger, "other.wav")

        assert not ledger.queue.relocate(TALK, found("done/talk.wav"))
        assert not ledger.queue.relocate(TALK, found("other.wav"))


class TestOutputsBelow:
    def test_below_yields_one_folders_outputs_without_notes(self, ledger: Ledger) -> None:
        ledger.queue.put([found("a/talk.wav"), found("b/talk.wav")])
        for _ in range(2):
            job = claimed(ledger)
            for kind, suffix in (("txt", b".txt"), ("note", b".note.txt")):
                ledger.outputs.enter(job, Output(kind, job.path + suffix, SOUND))

        rows = list(ledger.outputs.below(ROOT + b"/a"))

        assert [(row.path, row.source, row.kind) for row in rows] == [
            (ROOT + b"/a/talk.wav.txt", ROOT + b"/a/talk.wav", "txt")
        ]


class TestErase:
    @pytest.mark.parametrize("by", [{"digest": SOUND}, {"digest": "", "sketch": "sketch"}])
    def test_nothing_is_left_of_what_was_heard_of_a_recording(self, ledger: Ledger, by: dict[str, str]) -> None:
        keep(ledger, b"piece")
        keep(ledger, b"whole", digest=SOUND)
        keep(ledger, b"cut", digest="ef" * 32)
        keep(ledger, b"unreadable", digest=unreadable(PIECE), parameters=f"{ASKED}.t1")
        keep(ledger, b"another recording", digest="99" * 32)
        ledger.answers.keep_content(content())
        ledger.answers.keep_content(content(parameters=OTHERWISE))
        ledger.answers.keep_cut("sketch", OTHERWISE, Cut(0, 0, 16_000, "ef" * 32))
        ledger.memory.remember(f"garbled:host/v1:{PIECE} {ASKED}", {"message": "it said: <<<"})
        ledger.memory.remember("garbled:host/v1:other", {"message": "it said: >>>"})

        dropped = ledger.answers.erase(**by)

        assert dropped == 4
        assert (ledger.history.tally().answers, recalled_body(ledger, "99" * 32, ASKED)) == (1, b"another recording")
        assert ledger.answers.content(digest=SOUND) is None
        assert ledger.answers.cuts("sketch", OTHERWISE) == ()
        assert ledger.memory.remembered(f"garbled:host/v1:{PIECE} {ASKED}") is None
        assert ledger.memory.remembered("garbled:host/v1:other") is not None
        assert ledger.answers.erase(**by) == 0


def test_a_request_and_the_model_are_carried_to_another_ledger(tmp_path: Path) -> None:
    from watcher.ledger.copying import LedgerLocation, copy  # noqa: PLC0415 - for this test alone

    ledger = SqliteLedger(tmp_path / "a")
    done(ledger)
    done(ledger, "tried.wav", model=TRIAL_MODEL)
    ledger.queue.queue_again([TALK], WISH)
    ledger.close()

    copy(LedgerLocation(tmp_path / "a"), LedgerLocation(tmp_path / "b"), roots={})

    other = SqliteLedger(tmp_path / "b")
    try:
        assert claimed(other).again == WISH
        assert [os.path.basename(path) for path, _ in other.history.trials(ROOT)] == [b"tried.wav"]  # noqa: PTH119 - bytes
        assert Fingerprint(1000, 5, 0) == known(other).fingerprint
    finally:
        other.close()
