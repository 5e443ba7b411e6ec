"""`watcher forget`: nothing of what was heard stays, and it says what it removed."""

import shutil
import subprocess

import pytest
from support.command_scene import Commands, moved_away
from support.daemon import daemon
from support.heard import recording


def test_answers_and_history_of_a_recording_go_and_its_files_stay(watcher: Commands) -> None:
    path, gone, other = (recording(watcher.folder / name) for name in ("a.wav", "gone.wav", "b.wav"))
    watcher("once", watcher.folder)
    watcher("again", path)
    gone.unlink()
    files = {file: file.read_bytes() for file in watcher.folder.iterdir()}

    code, document = watcher("forget", path, gone)
    again, second = watcher("forget", path)

    fields = {"answers": 1, "history": True, "also_of": []}
    assert (code, document["command"], document["data"]["answers"]) == (0, "forget", 2)
    assert document["data"]["forgotten"] == [
        {"path": str(path), **fields, "still_there": True},
        {"path": str(gone), **fields, "still_there": False},
    ]
    assert (again, second["errors"][0]["code"]) == (1, "unknown")
    status = watcher("status")[1]["data"]
    assert [recent["path"] for recent in status["recent"]] == [str(other)]
    assert status["totals"]["answers"] == 1
    assert {file: file.read_bytes() for file in watcher.folder.iterdir()} == files
    # Nothing of it is found again: it is bought.
    assert watcher("once", shutil.copy(path, watcher.folder / "copy.wav"))[1]["data"]["paid_seconds"] == 0.5


def test_it_says_to_people_what_it_removed_below_a_folder(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)

    code, said = watcher.said("forget", watcher.folder)

    assert code == 0
    assert f"{path}: removed 1 stored answer and its history" in said
    assert "the recording is still there" in said


@pytest.mark.slow
def test_beside_a_daemon_the_commands_name_what_brings_a_forgotten_recording_back(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    whole = recording(watcher.folder / "b.wav")
    with daemon(watcher.folder, state=watcher.state) as running:
        running.await_events("job.done", 2)
        _, with_outputs = watcher.said("forget", whole)
        for suffix in (".srt", ".txt"):
            path.with_suffix(suffix).unlink()

        _, forgotten = watcher.said("forget", path)
        _, asked_again = watcher.said("again", path)
        _, retried = watcher.said("retry", path)
        subprocess.run(["touch", path], check=True)

        running.await_events("job.done", 2, path=str(path))
    assert f"(delete them, and touch it (touch {whole}), to have it transcribed" in with_outputs
    assert f"(touch {path})" in forgotten
    assert f"touch {path} makes" in asked_again
    assert f"touch {path} makes" in retried


@pytest.mark.slow
def test_it_says_what_the_next_batch_makes_of_a_recording_that_is_still_there(watcher: Commands) -> None:
    """With all its outputs it is done, whoever made them; without one of them it is new."""
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    _, with_outputs = watcher.said("forget", path)
    _, document = watcher("once", path)
    path.with_suffix(".srt").unlink()
    _, without = watcher.said("forget", path)
    _, anew = watcher("once", path)
    path.with_suffix(".srt").unlink()
    (watcher.folder / ".watcher.toml").write_text('[transcript]\nformats = ["txt"]\n')
    _, text_alone = watcher.said("forget", path)

    assert "the next start or batch counts it as done" in text_alone
    assert "the next start or batch counts it as done" in with_outputs
    assert [done["adopted"] for done in document["data"]["done"]] == [True]
    assert "the next start or batch takes it as a new one" in without
    assert anew["data"]["paid_seconds"] == 0.5


def test_a_recording_whose_history_has_ended_is_known_by_its_sound(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    with watcher.ledger() as ledger:
        ledger.queue.forget(str(path).encode())

    code, document = watcher("forget", path)

    assert (code, document["data"]["answers"]) == (0, 1)
    assert document["data"]["forgotten"][0]["history"] is False


@pytest.mark.slow
def test_it_says_whose_answers_they_were_as_well(watcher: Commands) -> None:
    """The answers of a copy are those of the original: nothing said that these had gone."""
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    copy, another, elsewhere = (shutil.copy(path, path.with_name(name)) for name in ("b.wav", "c c.wav", "d.wav"))
    watcher("once", copy, another)

    both = watcher("forget", copy, another)[1]
    watcher("once", copy)
    watcher("again", copy)
    _, said = watcher.said("forget", copy)
    nothing_left = watcher("forget", elsewhere)
    watcher("again", path)
    unknown = watcher("forget", elsewhere)[1]

    assert [one["also_of"] for one in both["data"]["forgotten"]] == [[str(path)], []]
    assert (
        f"removed 1 stored answer and its history; answers are stored by their sound, and these were also those of {path}"
        in said
    )
    assert f"only watcher again {path} can write them again" in said
    assert nothing_left[0] == 1
    assert unknown["data"]["forgotten"] == [
        {"path": str(elsewhere), "answers": 1, "history": False, "still_there": True, "also_of": [str(path)]}
    ]


@pytest.mark.slow
def test_where_no_answers_are_stored_every_command_names_the_one_that_brings_the_outputs_back(
    watcher: Commands,
) -> None:
    """`retry` named `render`, `render` named a touch, and after the touch it was `watcher again PATH`."""
    path = recording(watcher.folder / "my talk.wav")
    watcher("once", path)
    copy = shutil.copy(path, path.with_name("copy.wav"))
    watcher("once", copy)
    watcher("forget", copy)
    for suffix in (".srt", ".txt"):
        path.with_suffix(suffix).unlink()

    hints = [watcher(command, path)[1]["errors"][0]["hint"] for command in ("retry", "render")]
    hints += [watcher("retry", watcher.folder)[1]["errors"][0]["hint"]]
    path.touch()
    warnings = watcher("once", path)[1]["data"]["done"][0]["warnings"]
    hints += [warning["hint"] for warning in warnings if warning["code"] == "outputs_missing"]

    assert [hint.partition(" transcribes")[0] for hint in hints] == [
        f"watcher again '{path}'",
        f"watcher again '{path}'",
        f"watcher again {watcher.folder}",
        f"watcher again '{path}'",
    ]
    assert watcher("again", path)[1]["data"]["done"][0]["paid_seconds"] == 0.5


@pytest.mark.slow
def test_what_the_settings_moved_away_is_forgotten_where_it_is(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answered for the place that the recording came by, and promised that the next start takes it from there."""
    moved = moved_away(watcher, monkeypatch)

    document = watcher("forget", moved)[1]
    watcher("once", moved)
    moved.with_suffix(".srt").unlink()
    watcher("forget", moved)
    monkeypatch.setenv("WATCHER_FOLDERS", "[]")
    again = watcher("once", moved)[1]

    assert document["data"]["forgotten"] == [
        {"path": str(moved), "answers": 1, "history": True, "still_there": True, "also_of": []}
    ]
    assert [(done["path"], done["paid_seconds"]) for done in again["data"]["done"]] == [(str(moved), 0.5)]


@pytest.mark.slow
def test_what_was_moved_away_and_asked_for_again_is_found_by_the_name_that_it_came_by(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only `again` found it: to `forget` nothing was stored of it, to the others there was no such file."""
    moved = moved_away(watcher, monkeypatch)
    watcher("again", watcher.folder / "a.wav")
    monkeypatch.chdir(watcher.folder.parent)

    retried = watcher("retry", "in/a.wav")[1]["errors"][0]
    rendered = watcher("render", "in/a.wav")
    code, document = watcher("forget", "in/a.wav")

    assert f"watcher render {moved} writes the outputs again" in retried["hint"]
    assert (rendered[0], rendered[1]["errors"]) == (0, [])
    assert (code, [one["path"] for one in document["data"]["forgotten"]]) == (0, [str(moved)])


def test_what_is_said_of_many_recordings_is_said_once_and_their_number_at_the_end(watcher: Commands) -> None:
    paths = [recording(watcher.folder / f"{name}.wav") for name in "abc"]
    watcher("once", watcher.folder)
    outputs = [path.with_suffix(".txt") for path in paths]

    _, idle = watcher.said("retry", *outputs)
    _, forgotten = watcher.said("forget", watcher.folder)

    assert [idle.count(f"{path}: nothing to do") for path in outputs] == [1, 1, 1]
    assert idle.count("recordings are known by their suffix") == 1
    assert [forgotten.count(f"{path}: removed 1 stored answer") for path in paths] == [1, 1, 1]
    assert forgotten.count("the recording is still there") == 1
    assert "for 3 of them: the recording is still there, and so are its outputs" in forgotten
    assert forgotten.endswith("3 forgotten, 3 stored answers removed")


def test_it_names_what_takes_up_a_recording_that_was_moved_away(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = moved_away(watcher, monkeypatch)
    moved.with_suffix(".srt").unlink()

    said = watcher.said("forget", watcher.folder)[1]

    assert f"{moved}: removed 1 stored answer and its history" in said
    assert f"watcher once {moved} takes it as a new one" in said
    assert watcher("once", moved)[1]["data"]["done"][0]["paid_seconds"] == 0.5
