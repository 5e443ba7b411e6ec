"""Recordings that are transcribed while they grow: the daemon as people run it, recorders as they write, a server that hears words."""

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import sounds, truth
from support.daemon import invoke
from support.growing_scene import NOTHING, PIECE, GrowingScene, begin, differences, growing, write
from support.hostile import TurnedClock, mount, needs_mounts, tmpfs
from support.recorders import RECORDERS, Workstation
from support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

#: A recording of three minutes is sent as it is, so nothing of it is asked for before.
SECONDS = 300.0
WORDS = truth.chat(0, 0.5, SECONDS)
SOUND = truth.voice(WORDS, SECONDS)
#: Seconds that must have been heard before the end: all but what a piece needs to be certain, and what recorders keep back.
EARLY = 240.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[GrowingScene]:
    with growing(tmp_path) as made:
        yield made


#: Only when it is whole, it is known what is left out at its beginning.
NOT_READ = "ffmpeg mp3"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "workstation" else [pytest.mark.slow])
        for name in RECORDERS
        if name != NOT_READ
    ],
)
def test_only_the_tail_is_asked_for_after_the_end(name: str, scene: GrowingScene) -> None:
    with scene.running() as run:
        recorder = scene.start(name, "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, SECONDS)
        scene.await_paid(EARLY)
        beside = scene.names()
        early = scene.paid
        recorder.close()
        continued = run.await_event("media.continued", path=str(recorder.path))
        run.await_event("job.done", path=str(recorder.path))

    # Only what came after this was decoded once it was closed.
    assert continued["seconds"] >= EARLY
    assert beside == [recorder.path.name]
    assert differences(scene.folder / "talk.json", WORDS) == NOTHING
    assert scene.twice == 0
    assert scene.paid <= 1.02 * SECONDS
    assert scene.paid - early <= SECONDS - EARLY


@pytest.mark.slow
def test_a_recording_that_cannot_be_read_while_it_grows_is_an_ordinary_one(scene: GrowingScene) -> None:
    with scene.running() as run:
        recorder = scene.start(NOT_READ, "talk")
        begin(run, recorder, SOUND)
        postponed = run.await_event("file.postponed", path=str(recorder.path))
        eventually(lambda: "recording, " not in scene.command("status").stdout, what="status says what it waits for")
        write(recorder, SOUND, SECONDS)
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))

    assert postponed["reason"] == "growing"
    assert differences(scene.folder / "talk.json", WORDS) == NOTHING
    assert scene.twice == 0
    assert scene.paid <= 1.02 * SECONDS


# Ends, and other things that happen to daemons and recorders.


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_kills_of_the_daemon_at_random_instants_lose_and_double_nothing(seed: int, scene: GrowingScene) -> None:
    chance = random.Random(seed)
    recorder = scene.start(chance.choice(["workstation sizes 0", "ffmpeg flac", "ffmpeg opus", "browser"]), "talk")
    kills = 0
    while recorder.written < len(SOUND):
        with scene.running() as run:
            if recorder.written < len(SOUND) - 60 * sounds.RATE and chance.random() < 0.8:
                begin(run, recorder, SOUND[recorder.written :])
            write(recorder, SOUND, recorder.written / sounds.RATE + chance.uniform(10.0, 150.0))
            scene.server.closed.wait(chance.uniform(0.0, 9.0))
            run.kill()
            kills += 1
    with scene.running() as run:
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))
        run.stop()

    assert differences(scene.folder / "talk.json", WORDS) == NOTHING
    # Of the requests at a kill, the answers are lost.
    assert scene.twice <= kills * 8
    assert scene.paid <= 1.02 * SECONDS + scene.twice * 1.5 * PIECE


@pytest.mark.slow
def test_a_kill_of_the_daemon_costs_what_was_under_way(scene: GrowingScene) -> None:
    recorder = scene.start("workstation", "talk")
    with scene.running() as run:
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 230.0)
        scene.await_paid(30.0)
        # The answer to the last request may have been lost.
        run.kill()
    before = len(scene.bought)
    with scene.running() as run:
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, SECONDS)
        eventually(lambda: len(scene.bought) > before)
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))

    assert differences(scene.folder / "talk.json", WORDS) == NOTHING
    assert scene.twice <= 4
    assert scene.paid <= 1.02 * SECONDS + scene.twice * 1.5 * PIECE


@pytest.mark.slow
@pytest.mark.parametrize("is_whole", [False, True], ids=["while it grows", "when it is whole"])
def test_a_stop_waits_for_an_answer_that_is_pending(scene: GrowingScene, *, is_whole: bool) -> None:
    recorder = scene.start("workstation", "talk")
    with scene.running() as run:
        begin(run, recorder, SOUND[recorder.written :])
        scene.answers.clear()
        before = len(scene.bought)
        write(recorder, SOUND, SECONDS)
        eventually(lambda: len(scene.bought) > before)
        if is_whole:
            recorder.close()
            run.await_event("media.continued", path=str(recorder.path))
        run.send(signal.SIGTERM)
        run.await_event("service.stopping")
        scene.answers.set()
        assert run.wait() == 0
    with scene.running() as run:
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))

    assert differences(scene.folder / "talk.json", WORDS) == NOTHING
    assert scene.twice == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["workstation sizes 0", "workstation", "ffmpeg flac", "ffmpeg opus", "browser", "sox wav"]
)
def test_what_a_killed_recorder_has_left_is_transcribed(name: str, scene: GrowingScene) -> None:
    with scene.running() as run:
        recorder = scene.start(name, "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 280.0)
        scene.await_paid(220.0)
        recorder.kill()
        run.await_event("job.done", path=str(recorder.path))
    left = len(sounds.decode(recorder.path)) / sounds.RATE if name != "workstation sizes 0" else 280.0

    found = differences(scene.folder / "talk.json", [word for word in WORDS if word.end < left - 1.0])
    assert (found["lost"], found["doubled"]) == ([], [])
    assert scene.twice == 0
    assert scene.paid <= 1.02 * left


@pytest.mark.slow
def test_a_recorder_may_pause_for_an_hour(tmp_path: Path) -> None:
    clock = TurnedClock(tmp_path / "clock", passing=True)
    with growing(tmp_path) as scene, scene.running(environ=clock.environ) as run:
        recorder = scene.start("workstation sizes 0", "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 230.0)
        scene.await_paid(180.0)
        # A minute in a second: the decoder, whose clock is the true one, gives signs of life often enough.
        for _ in range(600):
            clock.let_pass(6.0)
            scene.server.closed.wait(0.1)
        beside = scene.names()
        write(recorder, SOUND, SECONDS)
        scene.await_paid(EARLY)
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))

        assert beside == ["talk.wav"]
        assert differences(scene.folder / "talk.json", WORDS) == NOTHING
        assert scene.twice == 0


@pytest.mark.slow
def test_two_recorders_record_into_one_folder(scene: GrowingScene) -> None:
    others = truth.chat(17, 1.0, SECONDS)
    sound = truth.voice(others, SECONDS)
    with scene.running() as run:
        one, two = scene.start("ffmpeg flac", "one"), scene.start("workstation", "two")
        begin(run, one, SOUND)
        begin(run, two, sound)
        for until in range(10, round(SECONDS) + 1, 10):
            write(one, SOUND, until)
            write(two, sound, until)
        scene.await_paid(2 * EARLY)
        beside = scene.names()
        one.close()
        two.close()
        run.await_events("job.done", 2)

    assert beside == ["one.flac", "two.wav"]
    assert differences(scene.folder / "one.json", WORDS) == NOTHING
    assert differences(scene.folder / "two.json", others) == NOTHING
    assert scene.twice == 0
    assert scene.paid <= 1.02 * 2 * SECONDS


# Takes that change.

#: Sung over the take from 40 s on: other words, in other pauses.
PUNCHED = (40.0, 50.0)
PUNCH = truth.chat(9, PUNCHED[0] + 0.7, PUNCHED[1] - 0.5, pause=1.1)
AFTERWARDS = [word for word in WORDS if word.end < PUNCHED[0] or word.start > PUNCHED[1]]


def punch() -> sounds.Samples:
    """Return what is put over the take."""
    return truth.voice([truth.SpokenWord(w.start - 40.0, w.end - 40.0, w.text) for w in PUNCH], PUNCHED[1] - PUNCHED[0])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while it grows", "before it is closed", "after it is done"])
def test_a_recording_that_was_punched_into_pays_only_for_what_changed(moment: str, scene: GrowingScene) -> None:
    with scene.running() as run:
        recorder = Workstation(scene.folder / "talk.wav")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 230.0)
        scene.await_paid(180.0)
        if moment == "while it grows":
            recorder.overwrite(round(PUNCHED[0] * sounds.RATE), punch())
        write(recorder, SOUND, SECONDS)
        scene.await_paid(EARLY)
        if moment == "before it is closed":
            recorder.overwrite(round(PUNCHED[0] * sounds.RATE), punch())
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))
        if moment == "after it is done":
            before = scene.paid
            assert before <= 1.02 * SECONDS
            recorder.overwrite(round(PUNCHED[0] * sounds.RATE), punch())
            run.await_events("job.done", 2, path=str(recorder.path))

    found = differences(scene.folder / "talk.json", sorted([*AFTERWARDS, *PUNCH]))
    assert (found["lost"], found["doubled"]) == ([], [])
    # At its edges, some words are cut in two.
    assert len(found["never said"]) <= 2
    # Three pieces have some of the ten seconds, and the margins around them.
    assert scene.paid <= 1.02 * SECONDS + 3 * 1.25 * PIECE


@pytest.mark.slow
def test_a_discarded_take_leaves_nothing_but_its_costs(scene: GrowingScene) -> None:
    with scene.running() as run:
        recorder = scene.start("workstation", "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 230.0)
        scene.await_paid(50.0)
        recorder.path.unlink()
        recorder.close()
        write_next = scene.start("workstation", "next")
        write(write_next, SOUND, 30.0)
        write_next.close()
        run.await_event("job.done", path=str(write_next.path))
        eventually(lambda: "talk.wav" not in scene.command("status").stdout, what="status forgets the take")
        code = run.stop()

    assert code == 0
    assert not run.seen("job.failed")
    assert [name for name in scene.names() if name.startswith("talk")] == []
    assert list((scene.state / "spool").iterdir()) == []


@pytest.mark.slow
def test_another_take_under_the_same_name_is_followed_from_its_start(scene: GrowingScene) -> None:
    with scene.running() as run:
        first = scene.start("workstation", "talk")
        begin(run, first, SOUND[first.written :])
        scene.recorders.append(second := Workstation(scene.directory / "talk.wav"))
        second.path = second.path.rename(first.path)
        begin(run, second, SOUND)
        write(second, SOUND, SECONDS)
        scene.await_paid(EARLY)
        second.close()
        run.await_event("job.done", path=str(second.path))

    assert differences(scene.folder / "talk.json", WORDS) == NOTHING
    assert scene.paid <= 1.02 * SECONDS


# Limits and order.


@pytest.mark.slow
@pytest.mark.parametrize("is_above", [False, True], ids=["folder", "settings"])
def test_the_settings_may_end_it(scene: GrowingScene, *, is_above: bool) -> None:
    with scene.running() as run:
        recorder = scene.start("workstation", "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 230.0)
        scene.await_paid(50.0)
        settings = scene.settings
        if is_above:
            settings.write_text(settings.read_text().replace("while_recording = true", "while_recording = false"))
            run.send(signal.SIGHUP)
        else:
            (scene.folder / ".watcher.toml").write_text("while_recording = false\n")
        eventually(
            lambda: "recording, " not in invoke("status", "--config", settings).stdout,
            what="it is not transcribed any more",
        )
        early = scene.paid
        write(recorder, SOUND, SECONDS)
        # Another recording's whole way shows that what could be asked for was asked for.
        other = scene.start("workstation", "other")
        write(other, SOUND, 20.0)
        other.close()
        run.await_event("job.done", path=str(other.path))
        more = scene.paid - early

    assert more == pytest.approx(20.0, abs=1.0)


@pytest.mark.slow
def test_the_minutes_of_the_settings_bound_what_is_paid_before_the_end(tmp_path: Path) -> None:
    with growing(tmp_path, "while_recording_minutes = 2") as scene, scene.running() as run:
        recorder = scene.start("workstation", "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, SECONDS)
        scene.await_paid(90.0)
        # Another recording's whole way shows that what could be asked for was asked for.
        other = scene.start("workstation", "other")
        write(other, SOUND, 20.0)
        other.close()
        run.await_event("job.done", path=str(other.path))
        early = scene.paid - 20.0
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))

        assert early <= 120.0
        assert differences(scene.folder / "talk.json", WORDS) == NOTHING
        assert scene.paid <= 1.02 * (SECONDS + 20.0)


@pytest.mark.slow
def test_finished_files_go_first(tmp_path: Path) -> None:
    with growing(tmp_path) as scene, scene.running("--set", "api.concurrency=1") as run:
        scene.answers.clear()
        recorder = scene.start("workstation", "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, SECONDS)
        eventually(lambda: scene.bought)
        finished = []
        for number in range(3):
            made = sounds.encode(truth.voice(truth.said("zulu " * (number + 1), 0.5), 5.0), tmp_path / f"{number}.wav")
            finished.append(made.rename(scene.folder / made.name))
        run.await_events("file.queued", 3)
        run.await_event("job.started", path=str(finished[0]))
        scene.answers.set()
        for path in finished:
            run.await_event("job.done", path=str(path))
        scene.await_paid(EARLY)
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))

        is_finished = [set(bought.words) == {"zulu"} for bought in scene.bought]
        # One piece was under way, and one may have been at the door already.
        assert sum(is_finished[:5]) == sum(is_finished) == 3
        assert differences(scene.folder / "talk.json", WORDS) == NOTHING


# What belongs to finished files alone.


@pytest.mark.slow
def test_hooks_and_after_come_once_for_the_finished_file(tmp_path: Path) -> None:
    told = tmp_path / "told"
    hook = f'[hooks]\non_done = ["sh", "-c", "cat >> {told}; echo >> {told}"]\n'
    with growing(tmp_path, 'after = "move:done/"', hook) as scene, scene.running() as run:
        recorder = scene.start("ffmpeg flac", "talk")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, SECONDS)
        scene.await_paid(EARLY)
        early = (scene.names(), told.exists(), run.seen("job.done"))
        recorder.close()
        run.await_event("job.done")
        eventually(lambda: told.exists() and told.read_text().endswith("\n"))
        eventually((scene.folder / "done" / "talk.srt").exists)
        assert run.stop() == 0

        assert early == (["talk.flac"], False, [])
        assert len([line for line in told.read_text().splitlines() if line]) == 1
        assert scene.names() == ["done", *(f"done/talk.{kind}" for kind in ("flac", "json", "srt", "txt"))]
        assert differences(scene.folder / "done" / "talk.json", WORDS) == NOTHING


@pytest.mark.slow
def test_stems_that_grow_become_a_session(tmp_path: Path) -> None:
    speakers = {"anna": truth.chat(0, 0.5, SECONDS, pause=6.0), "ben": truth.chat(16, 4.0, SECONDS, pause=7.0)}
    stems = {name: truth.voice(words, SECONDS) for name, words in speakers.items()}
    with growing(tmp_path, 'tracks = "folder"\nsession_seconds = 0.5') as scene, scene.running() as run:
        episode = scene.folder / "Episode 12"
        episode.mkdir()
        recorders = {name: scene.start("workstation", f"Episode 12/{name}") for name in stems}
        for name, recorder in recorders.items():
            begin(run, recorder, stems[name])
        for until in range(10, round(SECONDS) + 1, 10):
            for name, recorder in recorders.items():
                write(recorder, stems[name], until)
        eventually(lambda: len(scene.bought) >= 4)
        beside = scene.names()
        for recorder in recorders.values():
            recorder.close()
        run.await_event("job.done", path=str(episode / "Episode 12.session"))
        document = json.loads((episode / "Episode 12.json").read_text())

        assert beside == ["Episode 12", "Episode 12/anna.wav", "Episode 12/ben.wav"]
        said = [(word["speaker"], word["text"]) for segment in document["segments"] for word in segment["words"]]
        for name, words in speakers.items():
            assert [text for speaker, text in said if speaker == name] == [word.text for word in words]
        assert scene.twice == 0


# Hostile recorders.


@pytest.mark.slow
def test_a_file_that_begins_again_forever_is_paid_for_within_bounds_and_stops_nobody(scene: GrowingScene) -> None:
    with scene.running() as run:
        path = scene.folder / "evil.wav"
        for turn in range(4):
            scene.recorders.append(recorder := Workstation(path))
            sound = np.roll(SOUND, 997 * turn)
            if not turn:
                begin(run, recorder, sound)
            write(recorder, sound, 230.0)
            other = scene.start("workstation", f"good {turn}")
            write(other, SOUND[turn * sounds.RATE :], 10.0)
            other.close()
            run.await_event("job.done", path=str(other.path))
            recorder.kill()
            path.write_bytes(b"")
        assert run.stop() == 0

    assert not run.seen("job.failed", path=str(path))
    assert scene.paid <= 4 * (230.0 + 10.0)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4096, 0x7FFFFF00])
def test_a_header_that_lies_costs_no_more_than_there_is(size: int, scene: GrowingScene) -> None:
    with scene.running() as run:
        recorder = Workstation(scene.folder / "talk.wav", placeholder=size)
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, SECONDS)
        scene.await_paid(EARLY)
        recorder.close()
        run.await_event("job.done", path=str(recorder.path))

    assert differences(scene.folder / "talk.json", WORDS) == NOTHING
    assert scene.paid <= 1.02 * SECONDS


@pytest.mark.slow
def test_a_file_that_grows_byte_by_byte_is_read_as_any_other(scene: GrowingScene) -> None:
    with scene.running() as run:
        recorder = Workstation(scene.folder / "talk.wav")
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 250.0)
        recorder.kill()
        with recorder.path.open("ab", buffering=0) as file:
            for byte in SOUND[recorder.written : recorder.written + 500].tobytes():
                file.write(bytes([byte]))
            scene.await_paid(15.0)
            for byte in SOUND[recorder.written + 500 : recorder.written + 1000].tobytes():
                file.write(bytes([byte]))
        run.await_event("job.done", path=str(recorder.path))

    found = differences(scene.folder / "talk.json", [word for word in WORDS if word.end < 250.0])
    assert (found["lost"], found["doubled"]) == ([], [])
    assert scene.twice == 0


# Disks.


@needs_mounts
@pytest.mark.slow
def test_a_disk_that_becomes_full_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    with growing(tmp_path) as scene, tmpfs(scene.folder, size="8m"), scene.running() as run:
        recorder = Workstation(scene.folder / "talk.wav", placeholder=0)
        begin(run, recorder, SOUND[recorder.written :])
        write(recorder, SOUND, 230.0)
        scene.await_paid(150.0)
        with pytest.raises(OSError, match="No space"):
            write(recorder, SOUND, SECONDS)
        recorder.kill()
        run.await_event("job.started", path=str(recorder.path))
        mount("-o", "remount,size=20m", scene.folder)
        run.await_event("job.done", path=str(recorder.path), patience=120)
        left = recorder.written / sounds.RATE

        found = differences(scene.folder / "talk.json", [word for word in WORDS if word.end < left])
        assert (found["lost"], found["doubled"]) == ([], [])
        assert scene.twice == 0
