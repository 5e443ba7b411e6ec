"""Two hosts on one share: the one that began to transcribe a growing recording goes on, and the other one takes over when it dies."""

from contextlib import ExitStack

import pytest
from support import postgres, sounds, truth
from support.fleet import Share, host
from support.growing_scene import NOTHING, Journal, begin, differences, write
from support.recorders import Workstation
from support.scripted import serving
from support.waiting import eventually

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

SECONDS = 330.0
WORDS = truth.chat(0, 0.5, SECONDS)
SOUND = truth.voice(WORDS, SECONDS)
#: Requests of one host at once.
PLACES = 8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_another_host_takes_over_from_one_that_was_killed(share: Share) -> None:
    (share.folder / ".watcher.toml").write_text("while_recording = true\n")
    journal = Journal()
    with postgres.cluster().schema() as url, serving(journal.answer) as server, ExitStack() as stack:
        options = ("--set", "media.piece_seconds=15", "--set", 'transcript.formats=["json"]')
        hosts = {
            place: stack.enter_context(host(place, server, url, *options))
            for place in (share.place("one"), share.place("two"))
        }
        for running in hosts.values():
            running.await_event("service.ready")
        recorder = Workstation(share.folder / "talk.wav")
        stack.callback(recorder.kill)
        while not (following := [place for place, run in hosts.items() if run.seen("file.recording")]):
            recorder.write(SOUND[recorder.written : recorder.written + sounds.RATE // 2])
            server.closed.wait(0.2)
        write(recorder, SOUND, 240.0)
        eventually(lambda: journal.paid > 100.0, what="the first host transcribes")
        together = [place for place, run in hosts.items() if run.seen("file.recording")]
        hosts.pop(following[0]).kill()
        before = len(journal.bought)
        [(place, left)] = hosts.items()
        begin(left, recorder, SOUND[recorder.written :], path=place / "talk.wav")
        write(recorder, SOUND, SECONDS)
        eventually(lambda: len(journal.bought) > before + 3, what="the second host goes on")
        beside = {path.name for path in share.folder.iterdir()}
        recorder.close()
        left.await_event("job.done", path=str(place / "talk.wav"))
        code = left.stop()

    assert (len(together), code) == (1, 0)
    assert beside == {".watcher.toml", "talk.wav"}
    assert journal.twice <= PLACES
    assert journal.paid <= 1.02 * SECONDS + journal.twice * 22.5
    assert differences(share.folder / "talk.json", WORDS) == NOTHING
