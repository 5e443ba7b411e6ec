"""A batch looks at what a person did since the last one: notes and outputs deleted, recordings moved by the settings."""

import os
import signal
import threading
from pathlib import Path

import pytest
from support import sounds
from support.command_scene import Commands, configured, moved_away
from support.heard import hearing, recording
from support.hostile import mount, needs_mounts, tmpfs
from support.scripted import Asked, Reply, serving
from support.sidecar_scene import fingerprint

from watcher.job import FoundRecording
from watcher.service.sweep import DailySweep


@pytest.mark.slow
def test_a_batch_tries_again_what_the_failure_note_was_deleted_of(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note says so; a batch that says nothing and ends with 0 would look as if all were done."""
    configured(monkeypatch, watcher.folder, quiet_seconds=0.1)
    bad = watcher.folder / "bad.mp3"
    bad.write_text("this is no audio")
    note = bad.with_name("bad.mp3.transcription-failed.txt")
    watcher("once", watcher.folder)
    note.unlink()

    code, document = watcher("once", watcher.folder)

    assert (code, [failed["path"] for failed in document["data"]["failed"]]) == (1, [str(bad)])
    assert note.exists()


@pytest.mark.slow
def test_a_recording_that_the_settings_moved_away_is_done_and_not_changed(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = moved_away(watcher, monkeypatch)
    texts = {path: path.read_bytes() for path in moved.parent.iterdir()}

    first = watcher("once", moved)
    second = watcher("once", moved)
    status = watcher("status")[1]["data"]

    for code, document in (first, second):
        assert (code, document["data"]["left"], document["errors"]) == (0, [], [])
        assert (document["data"]["known"], document["data"]["done"]) == ([str(moved)], [])
    assert (status["counts"]["done"], len(status["recent"]), status["totals"]["audio_seconds"]) == (1, 1, 0.5)
    assert {path: path.read_bytes() for path in moved.parent.iterdir()} == texts
    assert len(watcher.server.asked) == 1


def test_ctrl_c_ends_a_batch_that_only_tidies_up(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(_history: DailySweep, *, seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        over.wait(6 * seconds)

    monkeypatch.setattr(DailySweep, "catch_up", hang)
    recording(watcher.folder / "a.wav")

    code, document = watcher("once", watcher.folder)
    over.set()

    # Its work was done.
    assert (code, len(document["data"]["done"])) == (0, 1)


@pytest.mark.slow
def test_a_batch_with_nothing_to_do_says_why(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """It said "0 done" for an empty folder, for one that was done before, and for one with a failure in it."""
    configured(monkeypatch, watcher.folder, quiet_seconds=0.1)
    empty = watcher.said("once", watcher.folder)
    recording(watcher.folder / "a.wav")
    bad = watcher.folder / "bad.mp3"
    bad.write_text("this is no audio")
    watcher("once", watcher.folder)

    code, said = watcher.said("once", watcher.folder)
    document = watcher("once", watcher.folder)[1]["data"]

    assert (empty[0], code) == (0, 0)
    assert "0 done, no recordings; 0 s of audio" in empty[1]
    assert "0 done, 1 done before, 1 failed before; 0 s of audio" in said
    assert f"Failed before, and not tried again: {bad} -> the note beside it says why" in said
    assert (document["known"], document["known_count"]) == ([str(watcher.folder / "a.wav")], 1)
    assert (document["failed"], document["failed_before"], document["failed_before_count"]) == ([], [str(bad)], 1)


def test_a_batch_says_which_of_the_configured_folders_are_not_there(
    watcher: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said "0 done, no recordings" and ended with 0, so that a person took a disk that was away for an empty one."""
    there, away = watcher.folder, tmp_path / "away"
    path = recording(there / "a.wav")
    monkeypatch.setenv("WATCHER_FOLDERS", f'[{{path = "{away}"}}]')
    alone = [watcher("once"), watcher("once", away)]
    monkeypatch.setenv("WATCHER_FOLDERS", f'[{{path = "{away}"}}, {{path = "{there}"}}]')
    code, document = watcher("once")
    around = watcher("once", tmp_path)
    there.rename(tmp_path / "other")
    both = watcher("once")

    hint = "mount it, or create it"
    for exit_code, one in alone:
        errors = [{"code": "config", "message": f"the folder {away} is out of reach", "hint": hint}]
        assert (exit_code, one["errors"]) == (3, errors)
    assert (code, [done["path"] for done in document["data"]["done"]]) == (1, [str(path)])
    lost = [{"code": "left", "message": f"{away}: not taken, it is out of reach", "hint": hint}]
    assert (document["errors"], around[0], around[1]["errors"]) == (lost, 1, lost)
    assert (both[0], both[1]["errors"][0]["message"]) == (3, f"the folders {away}, {there} are out of reach")


@pytest.mark.slow
def test_a_batch_tells_what_earlier_calls_had_left_in_the_queue(watcher: Commands, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    good, bad = recording(tmp_path / "other" / "a.wav"), tmp_path / "other" / "b.wav"
    bad.write_bytes(b"RIFF this is no audio")
    root = os.fsencode(tmp_path / "other")
    with watcher.ledger() as ledger:
        ledger.queue.put(FoundRecording(root, os.fsencode(path), fingerprint(path)) for path in (good, bad))
    own = recording(watcher.folder / "own.wav")

    code, said = watcher.said("once", own)

    assert code == 1
    assert "2 done, 1 failed, " in said
    assert "2 of them (1 failed) were in the queue from earlier calls: " in said
    assert watcher("once", own)[1]["data"]["earlier"] == []


@pytest.mark.slow
def test_a_copy_that_stopped_halfway_gets_a_note_with_the_remedy_that_goes_with_the_whole_one(
    watcher: Commands,
) -> None:
    path = recording(watcher.folder / "talk.wav", seconds=20)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with watcher.ledger() as ledger:
        # As it is queued half a minute after its last change.
        ledger.queue.put([FoundRecording(os.fsencode(watcher.folder), os.fsencode(path), fingerprint(path))])
    code, document = watcher("once", path)
    note = path.with_name("talk.wav.transcription-warning.txt")
    text = " ".join(note.read_text().split())
    path.write_bytes(whole)
    replaced = watcher("once", path)[1]

    ((warning,),) = [done["warnings"] for done in document["data"]["done"]]
    assert (code, warning["code"]) == (0, "ends_early")
    assert "What happened: The recording ends at 0:00:09, although its header promises 0:00:20." in text
    assert f"What to do: {warning['hint']}" in text
    assert warning["hint"].startswith("Copy it again")
    assert [done["warnings"] for done in replaced["data"]["done"]] == [[]]
    assert not note.exists()


@pytest.mark.slow
def test_a_batch_whose_server_is_held_tells_which_of_the_queued_ones_earlier_calls_had_left(
    watcher: Commands, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    strangers = [recording(tmp_path / "other" / f"{number}.wav", seed=number) for number in range(7)]
    with watcher.ledger() as ledger:
        ledger.queue.put(
            FoundRecording(os.fsencode(tmp_path / "other"), os.fsencode(path), fingerprint(path)) for path in strangers
        )
    (watcher.folder / "below").mkdir()
    named = recording(watcher.folder / "named.wav", seed=8)
    recording(watcher.folder / "below" / "a.wav", seed=9)
    refusal = Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401)
    with serving(lambda _asked: refusal) as server:
        given = ("--set", f"api.url={server.url}")
        code, document = watcher("once", named, *given)
        said = watcher.said("once", named, watcher.folder / "below", *given)[1]
        own = watcher.said("once", watcher.folder, tmp_path / "other", *given)[1]
    data = document["data"]

    assert code == 4
    assert (data["queued"], data["queued_earlier_count"]) == (8, 7)
    assert data["queued_earlier"] == [str(path) for path in strangers]
    assert "0 done, 9 still queued; " in said
    names = ", ".join(str(path) for path in strangers[:5])
    assert f"7 of those still queued were in the queue from earlier calls: {names} and 2 more" in said
    assert "earlier calls" not in own


def test_a_batch_names_the_warnings_of_each_recording(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, watcher.folder, quiet_seconds=0.1)
    path = sounds.encode(sounds.speech(20.0), watcher.folder / "half.wav")
    os.truncate(path, path.stat().st_size // 2)

    code, said = watcher.said("once", path)

    assert code == 0
    assert f"warning: {path}: The recording ends at 0:00:09, although its header promises 0:00:20. 1 done" in said
    assert "1 done, 1 with warnings; " in said


def test_a_batch_whose_last_request_was_answered_after_ctrl_c_was_not_interrupted(watcher: Commands) -> None:
    def stop(asked: Asked) -> Reply:
        os.kill(os.getpid(), signal.SIGINT)
        return hearing(asked)

    path = recording(watcher.folder / "a.wav")
    with serving(stop) as server:
        code, document = watcher("once", path, "--set", f"api.url={server.url}")

    assert (code, document["status"], len(document["data"]["done"])) == (0, "ok", 1)


def test_what_a_stop_gave_up_was_sent_nevertheless(watcher: Commands) -> None:
    """It said "0 s of it sent", though the server may charge for all of it."""
    over = threading.Event()

    def hold(asked: Asked) -> Reply:
        os.kill(os.getpid(), signal.SIGINT)
        over.wait(60)
        return hearing(asked)

    path = recording(watcher.folder / "a.wav", seconds=3)
    with serving(hold) as server:
        given = ("--set", f"api.url={server.url}", "--set", "service.drain_seconds=0.1")
        code, said = watcher.said("once", path, *given)
        over.set()
    status = watcher("status")[1]["data"]

    assert code == 130
    assert "0 done, 1 still queued, 1 request given up; 0 s of audio, 3 s sent, in " in said
    assert "the server may charge for requests that were given up" in said
    assert status["totals"]["paid_seconds"] == 3.0


def test_a_batch_ends_where_a_folder_allows_no_endpoint(watcher: Commands) -> None:
    """Anybody who can write into a folder can say so: with one server alone, the batch waited for ten minutes, or for ever."""
    (closed := watcher.folder / "closed").mkdir()
    (closed / ".watcher.toml").write_text("endpoints = []")
    recording(closed / "a.wav")
    other = recording(watcher.folder / "b.wav", seconds=0.3)

    code, document = watcher("once", watcher.folder)

    assert code == 4
    assert [done["path"] for done in document["data"]["done"]] == [str(other)]
    assert document["data"]["queued"] == 1
    [error] = document["errors"]
    assert "the lists of the settings and of .watcher.toml have none in common" in error["message"]
    assert error["hint"].startswith("correct endpoints in .watcher.toml")


@pytest.mark.slow
@needs_mounts
def test_a_batch_ends_though_one_of_its_recordings_is_always_tried_again(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of some twenty thousand in a folder that takes no outputs, one always is."""
    monkeypatch.setattr("watcher.worker._LONGEST_SETBACK", 0.1)
    with tmpfs(watcher.folder, size="4m"):
        paths = [recording(watcher.folder / f"{number}.wav", seconds=0.1 * (number + 1)) for number in range(16)]
        mount("-o", "remount,ro", watcher.folder)

        code, document = watcher("once", watcher.folder)

    assert code == 1
    failed = {failed["path"] for failed in document["data"]["failed"]}
    assert failed <= set(map(str, paths))
    # Those that are in work at the end stay in the queue.
    assert len(failed) + document["data"]["queued"] == 16


def test_a_batch_says_what_settings_of_a_folder_it_could_not_use_and_leaves_a_note(watcher: Commands) -> None:
    """The folder is one that the settings do not name; the note goes when the file is right."""
    settings = watcher.folder / ".watcher.toml"
    settings.write_text('language = "german"\n')
    note = watcher.folder / "watcher.toml.transcription-failed.txt"
    recording(watcher.folder / "a.wav")

    code, document = watcher("once", watcher.folder)

    assert (code, [error["code"] for error in document["errors"]]) == (0, ["settings"])
    assert document["errors"][0]["message"].startswith(f"{settings} can't be used: ")
    assert "german" in note.read_text()

    settings.write_text('language = "de"\n')
    code, document = watcher("once", watcher.folder)

    assert (code, document["errors"]) == (0, [])
    assert not note.exists()
