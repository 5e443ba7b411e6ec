"""`watcher again`, what only the offline engine has done, and outputs that were deleted: at the command line."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command_scene import Commands, commands, moved_away
from support.daemon import daemon
from support.heard import answer, recording
from support.hostile import nested
from support.scripted import Asked, Reply, serving
from support.waiting import eventually

from watcher.job import TRIAL_MODEL


class Models:
    """A server whose answer names the model and the language that it was asked for, and how often it has answered."""

    def __init__(self) -> None:
        self.refused: dict[str, Reply] = {}
        self.count = 0
        #: Called while the next request is in flight.
        self.meanwhile: Callable[[], object] = int

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply({"data": [{"id": "whisper-1"}]})
        meanwhile, self.meanwhile = self.meanwhile, int
        meanwhile()
        if (reply := self.refused.get(asked.form["model"])) is not None:
            return reply
        self.count += 1
        return answer(f"Number {self.count} by {asked.form['model']} in {asked.form.get('language', 'any')}.")


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def watcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], models: Models
) -> Iterator[Commands]:
    with commands(tmp_path, monkeypatch, capsys, models) as made:
        yield made


def text(recording: Path) -> str:
    return recording.with_suffix(".txt").read_text().strip()


def the_only_one(document: dict[str, Any]) -> dict[str, Any]:
    ((done,),) = [document["data"]["done"]]
    found: dict[str, Any] = done
    return found


def test_a_finished_recording_is_transcribed_once_more_with_the_same_settings_and_with_others(
    watcher: Commands,
) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    first = text(path)

    code, document = watcher("again", path)
    second = text(path)
    path.touch()
    watcher("again", watcher.folder, "--model", "large", "--language", "de")
    third = text(path)
    known = watcher("once", path)
    rendered = watcher("render", path, "--format", "json")

    assert (code, document["command"], document["data"]["again"]) == (0, "again", [str(path)])
    assert (the_only_one(document)["paid_seconds"], the_only_one(document)["unchanged"]) == (0.5, False)
    assert [first, second, third] == [
        "Number 1 by whisper-1 in any.",
        "Number 2 by whisper-1 in any.",
        "Number 3 by large in de.",
    ]
    assert (known[1]["data"]["known"], rendered[0]) == ([str(path)], 0)
    written = json.loads(path.with_suffix(".json").read_text())
    assert (written["model"], "Number 3" in json.dumps(written)) == ("large", True)
    assert sorted(file.name for file in watcher.folder.iterdir()) == ["a.json", "a.srt", "a.txt", "a.wav"]


def test_an_output_that_a_person_edited_stays_and_the_new_text_stands_beside_it(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    path.with_suffix(".txt").write_text("my own words")

    beside = path.with_name("a.wav.txt")
    _, said = watcher.said("again", path)
    document = watcher("again", path)[1]

    assert f"{path.with_suffix('.txt')} stays, as it is yours: the new text is in {beside}" in said
    assert document["data"]["displaced"] == [
        {"path": str(path), "stays": str(path.with_suffix(".txt")), "output": str(beside)}
    ]
    assert text(path) == "my own words"
    assert (watcher.folder / "a.wav.txt").read_text().strip() == "Number 3 by whisper-1 in any."
    assert sorted(file.name for file in watcher.folder.iterdir()) == ["a.srt", "a.txt", "a.wav", "a.wav.txt"]


def test_what_was_in_work_when_a_process_was_killed_is_asked_for_again_and_forgotten(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    for command in ("again", "forget"):
        with watcher.ledger() as ledger:
            ledger.queue.queue_again([os.fsencode(path)])
            # Closed with the job in work: what a killed process leaves.
            assert ledger.queue.claim("killed", lease=60) is not None

        code, document = watcher(command, path)

        assert (command, code, document["errors"]) == (command, 0, [])
    assert text(path) == "Number 2 by whisper-1 in any."


@pytest.mark.slow
def test_a_model_that_the_server_lacks_fails_this_recording_alone(watcher: Commands, models: Models) -> None:
    path, other = (recording(watcher.folder / name) for name in ("a.wav", "b.wav"))
    watcher("once", path)
    error = {"message": "The model `nonsense` does not exist", "code": "model_not_found"}
    models.refused["nonsense"] = Reply({"error": error}, status=404)

    code, document = watcher("again", path, "--model", "nonsense")
    kept = text(path)
    after, more = watcher("once", other)
    again, _ = watcher("again", path)

    assert (code, [failed["path"] for failed in document["data"]["failed"]]) == (1, [str(path)])
    assert "nonsense" in document["data"]["failed"][0]["message"]
    assert "watcher again" in document["data"]["failed"][0]["hint"]
    assert kept == "Number 1 by whisper-1 in any."
    assert (after, the_only_one(more)["path"]) == (0, str(other))
    assert (again, text(path)) == (0, "Number 3 by whisper-1 in any.")


@pytest.mark.slow
def test_what_a_settings_of_the_folder_moved_away_is_transcribed_once_more_where_it_is(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = moved_away(watcher, monkeypatch)

    code, document = watcher("again", watcher.folder)

    assert (code, document["data"]["again"], document["data"]["left"]) == (0, [str(moved)], [])
    assert text(moved) == "Number 2 by whisper-1 in any."
    assert sorted(file.name for file in moved.parent.iterdir()) == ["a.srt", "a.txt", "a.wav"]
    assert watcher("status")[1]["data"]["counts"]["done"] == 1


@pytest.mark.slow_unless("forget")
@pytest.mark.parametrize("command", ["again", "render", "forget", "retry"])
def test_what_was_moved_away_under_a_name_with_a_number_is_found_by_the_one_that_it_came_by(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch, models: Models, command: str
) -> None:
    other = watcher.folder / "done" / "a.wav"
    other.parent.mkdir()
    recording(other, seed=1)
    path, moved = watcher.folder / "a.wav", moved_away(watcher, monkeypatch).with_name("a.2.wav")
    # From here on it is known by its new place.
    watcher("again", path)
    if command == "retry":
        error = {"message": "The audio file could not be decoded", "code": "invalid_audio"}
        models.refused["whisper-1"] = Reply({"error": error}, status=400)
        watcher("again", moved)

    code, document = watcher(command, path)

    assert (code, document["errors"]) == (0, [])
    named: dict[str, Callable[[dict[str, Any]], list[str]]] = {
        "again": lambda data: data["again"],
        "render": lambda data: [output.replace(".srt", ".wav") for output in data["outputs"] if "srt" in output],
        "forget": lambda data: [one["path"] for one in data["forgotten"]],
        "retry": lambda data: data["put_back"],
    }
    assert named[command](document["data"]) == [str(moved)]


@pytest.mark.slow_unless("options1-2")
@pytest.mark.parametrize(
    ("options", "code"), [(["--language", "german"], 2), (["--language", "klingon"], 2), (["--model", "a\nb"], 3)]
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_queued(
    watcher: Commands, options: list[str], code: int
) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)

    refused, document = watcher("again", path, *options)

    assert (refused, document["data"]) == (code, {})
    assert watcher("status")[1]["data"]["counts"]["queued"] == 0
    if "german" in options:
        assert document["errors"][0]["hint"] == "the code of German is de"


@pytest.mark.slow
def test_a_recording_that_is_gone_is_not_asked_for_and_stays_known(watcher: Commands) -> None:
    path, other = (recording(watcher.folder / name) for name in ("a.wav", "b.wav"))
    watcher("once", watcher.folder)
    path.unlink()

    code, document = watcher("again", watcher.folder)

    assert (code, document["data"]["again"]) == (1, [str(other)])
    assert [(error["code"], str(path) in error["message"]) for error in document["errors"]] == [("gone", True)]
    assert watcher("status")[1]["data"]["counts"]["done"] == 2


def test_beside_a_running_daemon_it_queues_and_says_so(watcher: Commands, models: Models) -> None:
    path = recording(watcher.folder / "a.wav")
    with daemon(watcher.folder, state=watcher.state) as running:
        running.await_event("job.done")
        (watcher.folder / "new.wav").touch()

        code, document = watcher("again", path, "--model", "large")
        running.await_event("job.done", model="large")
        said = watcher.said("again", path)
        eventually(lambda: models.count == 3)
        unknown = [watcher(command, watcher.folder / "new.wav")[1] for command in ("again", "render", "retry")]
        running.stop()

    assert (code, document["data"]["again"], document["data"]["done"]) == (0, [str(path)], [])
    assert set(document["data"]) == set(watcher("again", path)[1]["data"])
    assert said[0] == 0
    assert "1 queued; the daemon (pid" in said[1]
    # Beside a daemon `once` is refused: it is no advice.
    assert [document["errors"][0]["hint"].partition(" says")[0] for document in unknown] == ["watcher status"] * 3


def test_beside_a_daemon_that_stops_it_names_the_next_start_and_the_files_to_come(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    watcher("forget", path)
    # Adopted: its outputs count as a person's.
    watcher("once", path)
    with watcher.ledger() as daemon_of_ours:
        daemon_of_ours.memory.remember("service", {"pid": os.getpid(), "stopping": 0.0})

        code, said = watcher.said("again", path)

    assert code == 0
    assert f"1 queued; the daemon (pid {os.getpid()}) is stopping: the next start transcribes them once more" in said
    assert f"a.srt stays, as it is yours: the new text will be in {watcher.folder / 'a.wav.srt'}" in said


# A recording that is not where it was any more when its answer comes.


@pytest.mark.slow
def test_a_recording_renamed_meanwhile_is_named_and_done_from_its_answer_by_the_next_batch(
    watcher: Commands, models: Models
) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    renamed = path.with_name("b.wav")
    models.meanwhile = lambda: path.rename(renamed)

    code, document = watcher("again", path, "--model", "large")
    counts = watcher("status")[1]["data"]["counts"]
    waits = watcher.said("status")[1]
    after, next_one = watcher("once", watcher.folder)
    (recent,) = watcher("status")[1]["data"]["recent"]

    (left,), (error,) = document["data"]["left"], document["errors"]
    assert (code, left["path"], left["reason"], document["data"]["paid_seconds"]) == (1, str(path), "gone", 0.5)
    assert str(path) in error["message"]
    assert f"watcher once {watcher.folder} finds it" in error["hint"]
    assert counts["done"] == 1
    assert "it was to be transcribed once more, and was not there any more" in waits
    assert (recent["path"], recent["message"]) == (str(renamed), "")
    assert (after, the_only_one(next_one)["paid_seconds"]) == (0, 0.0)
    assert text(renamed) == "Number 2 by large in any."
    assert sorted(file.name for file in watcher.folder.iterdir()) == ["b.srt", "b.txt", "b.wav"]
    assert watcher("status")[1]["data"]["counts"]["done"] == 1


@pytest.mark.slow
def test_beside_a_daemon_the_request_goes_with_a_renamed_recording_and_waits_for_a_lost_folder(
    watcher: Commands, models: Models
) -> None:
    path = recording(watcher.folder / "a.wav")
    renamed, away = path.with_name("b.wav"), watcher.folder.with_name("away")
    with daemon(watcher.folder, state=watcher.state) as running:
        running.await_event("job.done")
        models.meanwhile = lambda: path.rename(renamed)
        watcher("again", path, "--model", "large")
        eventually(lambda: renamed.with_suffix(".txt").exists() and "large" in text(renamed))
        running.await_event("job.done", renamed_from=str(path), model="large")
        first = sorted(file.name for file in watcher.folder.iterdir())

        models.meanwhile = lambda: watcher.folder.rename(away)
        watcher("again", renamed, "--model", "small")
        running.await_event("folder.lost")
        running.await_event("job.released", path=str(renamed))
        away.rename(watcher.folder)
        running.await_event("job.done", model="small")
        running.stop()

    assert first == ["b.srt", "b.txt", "b.wav"]
    assert text(renamed) == "Number 3 by small in any."
    assert models.count == 3
    assert watcher("status")[1]["data"]["counts"]["done"] == 1


@pytest.mark.slow
def test_a_file_that_vanishes_from_a_folder_meanwhile_is_named_and_counted(watcher: Commands, models: Models) -> None:
    """As with what is still being written there, that is no failure; of a file that a person named, it is."""
    path = recording(watcher.folder / "a.wav")
    models.meanwhile = path.unlink
    below, said = watcher.said("once", watcher.folder)
    recording(path, seed=1)
    models.meanwhile = path.unlink

    code, document = watcher("once", path)

    assert (below, code) == (0, 1)
    assert "0 done, 1 gone" in said
    assert f"{path}: not taken, it is not there any more: moved, renamed or deleted" in said
    assert [(left["path"], left["reason"]) for left in document["data"]["left"]] == [(str(path), "gone")]


# What only the offline engine has done.


@pytest.fixture
def trial(watcher: Commands) -> Path:
    """Have a recording be done as `--offline` does it."""
    path = recording(watcher.folder / "a.wav")
    assert watcher("once", watcher.folder, "--set", f"api.model={TRIAL_MODEL}")[0] == 0
    return path


@pytest.mark.slow_if("folder")
@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_trial_does_not_count_as_done_for_a_server_and_everything_else_does(
    watcher: Commands, trial: Path, named: str
) -> None:
    place = watcher.folder if named == "folder" else trial
    still, _ = watcher("once", place, "--set", f"api.model={TRIAL_MODEL}")

    code, said = watcher.said("once", place, "--set", "api.price_per_minute=0.6")
    once_more = [watcher("once", place, "--set", f"api.model={model}") for model in ("other", TRIAL_MODEL)]

    assert (still, code, text(trial)) == (0, 0, "Number 2 by whisper-1 in any.")
    assert "service.trials" in said
    # Nobody is promised what comes too late: it is said what can still be kept from being sent, and how.
    assert "what is sent already cannot be taken back; to keep the rest from being sent, stop" in said
    assert "watcher check names these recordings" in said
    assert all(part in said for part in ('"files": 1', '"hours": ', '"cost": 0.005', '"model": "whisper-1"'))
    assert [document["data"]["done"] for _, document in once_more] == [[], []]


def test_nothing_of_a_trial_was_sent(watcher: Commands, trial: Path) -> None:
    """The sentence said so, and the document had the whole recording in `paid_seconds`."""
    path = recording(watcher.folder / "b.wav", seconds=3.0)

    document = watcher("once", path, "--set", f"api.model={TRIAL_MODEL}", "--set", "transcript.formats=['json']")[1]
    recent = watcher("status")[1]["data"]["recent"]
    cost = json.loads(path.with_suffix(".json").read_text())["cost"]

    data = document["data"]
    assert (data["audio_seconds"], data["paid_seconds"], data["done"][0]["paid_seconds"]) == (3.0, 0.0, 0.0)
    assert [one["paid_seconds"] for one in recent] == [0.0, 0.0]
    assert cost == {"paid_seconds": 0.0}


@pytest.mark.slow
def test_a_batch_names_trials_whose_files_were_touched_since_before_it_buys_them(
    watcher: Commands, trial: Path
) -> None:
    """The scan had queued the touched one by then: it was bought without having been named."""
    others = [recording(watcher.folder / name, seconds=seconds) for name, seconds in (("b.wav", 1.0), ("c.wav", 2.0))]
    watcher("once", watcher.folder, "--set", f"api.model={TRIAL_MODEL}")
    os.utime(others[0], (1.7e9, 1.7e9))
    others[1].with_suffix(".txt").unlink()

    code, said = watcher.said("once", watcher.folder)
    document = watcher("status")[1]["data"]

    assert (code, document["counts"]["done"], document["totals"]["paid_seconds"]) == (0, 3, 3.5)
    assert all(part in said for part in ('"files": 3', '"seconds": 3.5'))
    assert said.index("service.trials") < said.index("job.started")


@pytest.mark.slow_if("folder")
@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_batch_names_renamed_trials_before_it_buys_them_and_none_that_are_gone(
    watcher: Commands, trial: Path, named: str
) -> None:
    """What was not where it was any more was bought without having been named."""
    (watcher.folder / "below").mkdir()
    gone = recording(watcher.folder / "gone.wav", seconds=2.0)
    watcher("once", watcher.folder, "--set", f"api.model={TRIAL_MODEL}")
    renamed = trial.rename(watcher.folder / "below" / "new.wav" if named == "folder" else trial.with_name("new.wav"))
    gone.unlink()

    place = watcher.folder if named == "folder" else renamed
    code, said = watcher.said("once", place, "--set", "api.price_per_minute=0.6")
    document = watcher("status")[1]["data"]

    assert (code, document["totals"]["paid_seconds"], text(renamed)) == (0, 0.5, "Number 3 by whisper-1 in any.")
    assert all(part in said for part in ('"files": 1', '"seconds": 0.5', '"cost": 0.005'))
    assert said.index("service.trials") < said.index("job.started")


@pytest.mark.slow
def test_renamed_trials_are_looked_for_in_any_number_of_folders_inside_each_other(
    watcher: Commands, trial: Path
) -> None:
    watcher("once", watcher.folder, "--set", f"api.model={TRIAL_MODEL}")
    renamed = trial.rename(trial.with_name("new.wav"))

    with nested(watcher.folder / "deep", 1_200):
        code, said = watcher.said("once", watcher.folder, "--set", "api.price_per_minute=0.6")

    assert (code, text(renamed)) == (0, "Number 2 by whisper-1 in any.")
    assert said.index("service.trials") < said.index("job.started")


@pytest.mark.slow
def test_the_first_run_names_renamed_trials_before_it_buys_them(watcher: Commands, trial: Path) -> None:
    renamed = trial.rename(trial.with_name("new.wav"))
    with daemon(watcher.folder, "--set", "api.price_per_minute=0.6", state=watcher.state) as running:
        running.await_event("job.done", path=str(renamed), paid_seconds=0.5)
        order = [event["event"] for event in running.events if event["event"] in {"service.trials", "job.started"}]
        (said,) = running.seen("service.trials")
        running.stop()

    assert (said["files"], said["seconds"], said["cost"]) == (1, 0.5, 0.005)
    assert order[0] == "service.trials"


@pytest.mark.slow
def test_a_batch_names_a_touched_trial_that_is_named(watcher: Commands, trial: Path) -> None:
    os.utime(trial, (1.7e9, 1.7e9))

    code, document = watcher("once", trial)

    assert (code, [done["path"] for done in document["data"]["done"]]) == (0, [str(trial)])
    assert (document["data"]["again"], document["data"]["earlier"]) == ([str(trial)], [])


def test_check_names_what_only_the_trial_engine_has_done(watcher: Commands, trial: Path) -> None:
    def found(*options: str) -> list[str]:
        findings = watcher("check", watcher.folder, "--set", "api.price_per_minute=0.6", *options)[1]["data"][
            "findings"
        ]
        return [one["message"] for one in findings if "offline engine" in one["message"]]

    (said,) = found()
    assert said.startswith(f"only the offline engine has transcribed {trial}; the next run or once has 0.5 s of audio ")
    assert said.endswith(" transcribed by whisper-1, for 0.005 at 0.6 a minute")
    assert found("--set", f"api.model={TRIAL_MODEL}") == []


@pytest.mark.slow
def test_the_first_run_names_what_it_buys_before_it_does(watcher: Commands, trial: Path, models: Models) -> None:
    with daemon(watcher.folder, "--set", "api.price_per_minute=0.6", state=watcher.state) as running:
        said = running.await_event("service.trials")
        running.await_event("job.done")
        order = [event["event"] for event in running.events if event["event"] in {"service.trials", "job.started"}]
        running.stop()
    with watcher.ledger() as ledger:
        left = list(ledger.history.trials(b"/"))

    assert (said["files"], said["cost"], said["model"]) == (1, 0.005, "whisper-1")
    assert order == ["service.trials", "job.started"]
    assert text(trial) == "Number 2 by whisper-1 in any."
    assert left == []
    assert models.count == 2


# Outputs that were deleted.


def touched(path: Path) -> None:
    path.touch()


def left_alone(path: Path) -> None:
    assert path.exists()


@pytest.mark.slow_unless("file-touched")
@pytest.mark.parametrize("act", [touched, left_alone])
@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_deleted_output_comes_back_from_stored_answers_and_nothing_is_paid(
    watcher: Commands, named: str, act: Callable[[Path], None]
) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    path.with_suffix(".srt").unlink()
    path.with_suffix(".txt").write_text("my own words")
    act(path)

    code, document = watcher("once", watcher.folder if named == "folder" else path)
    said = watcher.said("once", path)

    done = the_only_one(document)
    assert (code, done["paid_seconds"], document["data"]["paid_seconds"]) == (0, 0.0, 0.0)
    assert (done["unchanged"], done["restored"]) == (True, ["srt"])
    assert "Number 1" in path.with_suffix(".srt").read_text()
    assert text(path) == "my own words"
    assert sorted(file.name for file in watcher.folder.iterdir()) == ["a.srt", "a.txt", "a.wav"]
    assert len(watcher.server.asked) == 1
    assert "done before" in said[1]


def test_what_was_made_again_is_said_to_people_and_counts_once(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    before = watcher("status")[1]["data"]["totals"]
    path.with_suffix(".srt").unlink()

    _, said = watcher.said("once", path)

    status = watcher("status")[1]["data"]
    assert "made again from stored answers, free of charge" in said
    assert "0 s of it sent" in said
    assert status["totals"]["audio_seconds"] == before["audio_seconds"]
    assert status["totals"]["paid_seconds"] == before["paid_seconds"]
    assert status["recent"][0]["paid_seconds"] == 0.0


@pytest.mark.slow
def test_an_output_whose_answers_are_not_stored_any_more_is_missed_and_not_bought_again(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    with watcher.ledger() as ledger:
        ledger.answers.prune(answers_older_than=1e12)
    path.with_suffix(".srt").unlink()

    code, document = watcher("once", path)
    once_more, later = watcher("again", path)

    hints = {warning["code"]: warning["hint"] for warning in the_only_one(document)["warnings"]}
    assert (code, document["data"]["paid_seconds"]) == (0, 0.0)
    assert "watcher again" in hints["outputs_missing"]
    assert once_more == 0
    assert "outputs_missing" not in {warning["code"] for warning in the_only_one(later)["warnings"]}
    assert path.with_suffix(".srt").exists()


def test_the_daemon_makes_a_deleted_output_again_when_the_recording_is_touched(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    with daemon(watcher.folder, state=watcher.state) as running:
        running.await_event("job.done")
        path.with_suffix(".srt").unlink()
        subprocess.run(["touch", path], check=True)
        done = running.await_event("job.done", unchanged=True)
        running.stop()

    assert (done["restored"], done["paid_seconds"]) == (["srt"], 0.0)
    assert path.with_suffix(".srt").exists()
    assert len(watcher.server.asked) == 1


def test_a_settings_change_of_the_server_alone_transcribes_nothing_anew(watcher: Commands) -> None:
    """Only the offline engine's results do not count: what another server or model made does."""
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    path.touch()
    with serving(lambda _: answer("By another server.")) as other:
        code, document = watcher("once", path, "--set", f"api.url={other.url}", "--set", "api.model=other")

        assert other.asked == []
    assert (code, the_only_one(document)["unchanged"]) == (0, True)
