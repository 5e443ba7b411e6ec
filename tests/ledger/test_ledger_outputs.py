"""The contract of output paths: whose they are, and what may stand there after a crash."""

import pytest
from support.ledger_engines import ROOT, claimed, found

from watcher.errors import FileError, LeaseLostError
from watcher.job import Job, Outcome, Output
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput

SOURCE, TXT, SRT = ROOT + b"/talk.wav", ROOT + b"/talk.txt", ROOT + b"/talk.srt"
FIRST, SECOND, THIRD = "11" * 32, "22" * 32, "33" * 32


@pytest.fixture
def job(ledger: Ledger) -> Job:
    ledger.queue.put([found("talk.wav")])
    return claimed(ledger)


def owner(ledger: Ledger, path: bytes = TXT) -> OwnedOutput:
    owned = ledger.outputs.owner(path)
    assert owned is not None
    return owned


class TestOutputs:
    def test_an_entered_output_is_the_sources_and_not_placed(self, ledger: Ledger, job: Job) -> None:
        entered = ledger.outputs.enter(job, Output("txt", TXT, FIRST))

        assert entered
        assert owner(ledger) == OwnedOutput(path=TXT, source=SOURCE, kind="txt", digest=FIRST, placed=False, former="")

    def test_a_placed_output_is_placed(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.outputs.placed(TXT)

        assert owner(ledger) == OwnedOutput(path=TXT, source=SOURCE, kind="txt", digest=FIRST, placed=True, former="")

    def test_nobody_enters_another_sources_path(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.queue.put([found("talk.mp3")])

        assert not ledger.outputs.enter(claimed(ledger), Output("txt", TXT, SECOND))
        assert owner(ledger).source == SOURCE
        assert owner(ledger).digest == FIRST

    def test_while_a_new_one_is_placed_the_former_is_ours_too(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.outputs.placed(TXT)

        ledger.outputs.enter(job, Output("txt", TXT, SECOND))

        assert (owner(ledger).digest, owner(ledger).former, owner(ledger).placed) == (SECOND, FIRST, False)

    def test_entered_again_before_it_was_placed_the_former_stays(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.outputs.placed(TXT)
        ledger.outputs.enter(job, Output("txt", TXT, SECOND))

        ledger.outputs.enter(job, Output("txt", TXT, THIRD))

        assert (owner(ledger).digest, owner(ledger).former) == (THIRD, FIRST)

    def test_calling_placed_after_a_crash_makes_that_digest_the_former_one(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.outputs.placed(TXT)
        ledger.outputs.enter(job, Output("txt", TXT, SECOND))
        ledger.outputs.placed(TXT)

        ledger.outputs.enter(job, Output("txt", TXT, THIRD))

        assert (owner(ledger).digest, owner(ledger).former) == (THIRD, SECOND)

    def test_a_first_one_that_was_never_placed_stays_ours(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))

        ledger.outputs.enter(job, Output("txt", TXT, SECOND))

        assert (owner(ledger).digest, owner(ledger).former) == (SECOND, FIRST)

    def test_without_the_lease_nothing_is_entered(self, ledger: Ledger, job: Job) -> None:
        ledger.queue.release(job)

        with pytest.raises(LeaseLostError):
            ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        assert ledger.outputs.owner(TXT) is None

    @pytest.mark.parametrize("done", [True, False])
    def test_a_concluded_jobs_outputs_may_be_entered(self, ledger: Ledger, job: Job, *, done: bool) -> None:
        if done:
            ledger.queue.done(job, Outcome())
        else:
            ledger.queue.fail(job, FileError("no sound in it"))

        assert ledger.outputs.enter(job, Output("vtt", TXT, FIRST))

    def test_a_disowned_path_is_free(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.outputs.disown(TXT)
        ledger.queue.put([found("talk.mp3")])

        assert ledger.outputs.owner(TXT) is None
        assert ledger.outputs.enter(claimed(ledger), Output("txt", TXT, SECOND))

    def test_a_sources_outputs_come_together(self, ledger: Ledger, job: Job) -> None:
        ledger.queue.put([found("other.wav")])
        ledger.outputs.enter(claimed(ledger), Output("txt", ROOT + b"/other.txt", FIRST))
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.outputs.enter(job, Output("srt", SRT, SECOND))

        assert {owned.path: owned.kind for owned in ledger.outputs.owned(SOURCE)} == {TXT: "txt", SRT: "srt"}
        assert ledger.outputs.owned(b"/nowhere") == ()

    def test_outputs_outlive_their_source(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))

        ledger.queue.forget(SOURCE)

        assert owner(ledger).source == SOURCE


class TestNotes:
    def test_notes_are_only_notes(self, ledger: Ledger, job: Job) -> None:
        ledger.outputs.enter(job, Output("txt", TXT, FIRST))
        ledger.outputs.enter(job, Output("note", SOURCE + b".transcription-failed.txt", SECOND))

        assert [note.path for note in ledger.outputs.notes()] == [SOURCE + b".transcription-failed.txt"]

    def test_a_note_beside_a_file_that_is_no_source_is_owned_like_the_others(self, ledger: Ledger) -> None:
        note, beside = ROOT + b"/watcher.toml.transcription-failed.txt", ROOT + b"/.watcher.toml"

        assert ledger.outputs.enter_note(beside, Output("note", note, FIRST))
        assert ledger.outputs.owned(beside) == (owner(ledger, note),)
        ledger.outputs.placed(note)
        assert ledger.outputs.enter_note(beside, Output("note", note, SECOND))
        assert (owner(ledger, note).digest, owner(ledger, note).former) == (SECOND, FIRST)
        assert [owned.source for owned in ledger.outputs.notes()] == [beside]
        assert not ledger.outputs.enter_note(SOURCE, Output("note", note, THIRD))

    def test_all_of_many_notes_are_given(self, ledger: Ledger, job: Job) -> None:
        paths = [ROOT + b"/%04d.txt" % number for number in range(205)]
        for path in paths:
            ledger.outputs.enter(job, Output("note", path, FIRST))

        assert [note.path for note in ledger.outputs.notes()] == paths

    def test_notes_may_be_disowned_on_the_way(self, ledger: Ledger, job: Job) -> None:
        for number in range(10):
            ledger.outputs.enter(job, Output("note", ROOT + b"/%d.txt" % number, FIRST))

        for note in ledger.outputs.notes():
            ledger.outputs.disown(note.path)

        assert list(ledger.outputs.notes()) == []


class TestTemporaries:
    def test_a_temporary_is_known_until_it_is_gone(self, ledger: Ledger) -> None:
        ledger.outputs.enter_temporary(b"/r/.b.tmp")
        ledger.outputs.enter_temporary(b"/r/.a.tmp")
        ledger.outputs.enter_temporary(b"/r/.a.tmp")
        both = ledger.outputs.temporaries()
        ledger.outputs.drop_temporary(b"/r/.b.tmp")

        assert both == (b"/r/.a.tmp", b"/r/.b.tmp")
        assert ledger.outputs.temporaries() == (b"/r/.a.tmp",)
