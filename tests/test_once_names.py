"""A batch and the names of recordings: renamed before it, reached through links, not readable, gone."""

import json
import os
import random
import string
from pathlib import Path

import pytest
from support.command_scene import Commands
from support.daemon import watcher as process
from support.heard import recording
from support.hostile import mortal
from support.sidecar_scene import fingerprint

from watcher.job import TRIAL_MODEL, FoundRecording


def test_a_queued_recording_that_was_renamed_is_done_under_its_new_name_and_not_gone(watcher: Commands) -> None:
    """It said "1 gone" of the old name, "while it was worked on"."""
    path = recording(watcher.folder / "a.wav")
    with watcher.ledger() as ledger:
        ledger.queue.put([FoundRecording(os.fsencode(watcher.folder), os.fsencode(path), fingerprint(path))])
    renamed = path.rename(path.with_name("b.wav"))

    code, said = watcher.said("once", watcher.folder)
    counts = watcher("status")[1]["data"]["counts"]

    assert code == 0
    assert "1 done, 1 with warnings; " in said
    assert " gone" not in said
    assert renamed.with_suffix(".srt").exists()
    assert (counts["done"], counts["queued"]) == (1, 0)
    assert len(watcher.server.asked) == 1


@pytest.mark.slow
def test_what_only_the_trial_engine_had_done_is_bought_under_its_new_name(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", watcher.folder, "--set", f"api.model={TRIAL_MODEL}")
    renamed = path.rename(path.with_name("b.wav"))

    code, document = watcher("once", watcher.folder)

    data = document["data"]
    assert (code, data["left"], data["again"]) == (0, [], [])
    assert [(done["path"], done["model"]) for done in data["done"]] == [(str(renamed), "whisper-1")]
    assert sorted(file.name for file in watcher.folder.iterdir()) == ["b.srt", "b.txt", "b.wav"]


@pytest.mark.slow_if("folder")
@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_recording_that_is_reached_through_two_links_is_one_recording(
    watcher: Commands, tmp_path: Path, named: str
) -> None:
    path = recording(watcher.folder / "a.wav")
    links = [tmp_path / "one", tmp_path / "two"]
    for link in links:
        link.symlink_to(watcher.folder)

    documents = [
        watcher("once", link if named == "folder" else link / "a.wav")[1]["data"] for link in (*links, watcher.folder)
    ]

    assert [len(data["done"]) for data in documents] == [1, 0, 0]
    assert documents[1]["known"] == [str(path)]
    assert watcher("status")[1]["data"]["counts"]["done"] == 1
    assert sorted(file.name for file in watcher.folder.iterdir()) == ["a.srt", "a.txt", "a.wav"]
    assert watcher("again", links[1] / "a.wav")[1]["data"]["again"] == [str(path)]


def test_outputs_that_came_back_are_reported_as_worked_on_again_also_where_the_recording_was_touched(
    watcher: Commands,
) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    path.with_suffix(".srt").unlink()
    path.touch()

    data = watcher("once", path)[1]["data"]

    assert (data["again"], data["done"][0]["restored"], data["paid_seconds"]) == ([str(path)], ["srt"], 0.0)


@pytest.mark.slow
def test_what_may_not_be_read_is_left_with_a_remedy(watcher: Commands) -> None:
    """One file that was named ended with 0 and an empty hint; one in a folder that may not be entered was an invalid value."""
    closed = watcher.folder / "closed"
    closed.mkdir()
    unreadable, inside = recording(watcher.folder / "a.wav"), recording(closed / "b.wav")
    good = recording(watcher.folder / "c.wav")
    unreadable.chmod(0)
    closed.chmod(0)
    options = ("--set", f"state.dir={watcher.state}", "--json")
    try:
        ended = [
            process("once", *paths, *options, check=False, prefix=mortal())
            for paths in ((unreadable,), (inside,), (closed,), (unreadable, good))
        ]
    finally:
        closed.chmod(0o755)

    for done, path in zip(ended, (unreadable, inside, closed, unreadable), strict=True):
        (problem,) = json.loads(done.stdout)["errors"]
        assert (done.returncode, str(path) in problem["message"]) == (1, True)
        assert "may not" in problem["message"] or "cannot be read" in problem["message"]
        assert "chmod" in problem["hint"]
    assert [done["path"] for done in json.loads(ended[3].stdout)["data"]["done"]] == [str(good)]


@pytest.mark.slow_if("retry", "render")
@pytest.mark.parametrize("command", ["again", "retry", "render", "forget"])
def test_what_lies_in_a_folder_that_may_not_be_entered_is_not_said_to_be_gone(watcher: Commands, command: str) -> None:
    closed = watcher.folder / "closed"
    closed.mkdir()
    known = recording(closed / "a.wav")
    unknown = recording(closed / "b.wav", seed=1)
    watcher("once", known)
    closed.chmod(0)
    try:
        options = (known, unknown, "--set", f"state.dir={watcher.state}", "--json")
        done = process(command, *options, check=False, prefix=mortal())
    finally:
        closed.chmod(0o755)

    document = json.loads(done.stdout)
    *errors, second = document["errors"]
    assert (done.returncode, [str(known) in error["message"] for error in errors]) == (1, [True] * len(errors))
    assert (second["code"], second["message"]) == ("barred", f"{unknown}: its folder may not be entered")
    # Nothing failed of the other, wherever it is; and outputs could not be written there.
    codes = {"again": ["barred"], "retry": ["unknown"], "render": ["not_writable"], "forget": []}
    assert [error["code"] for error in errors] == codes[command]
    assert ["chmod" in error["hint"] for error in errors] == [command != "retry"] * len(errors)
    assert "not there" not in done.stdout


@pytest.mark.slow_if("file")
@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_path_that_postgresql_cannot_store_ends_no_batch(watcher: Commands, url: str, named: str) -> None:
    chance = random.Random(5)
    names = ["".join(chance.choices(string.ascii_letters + string.digits, k=200)) for _ in range(15)]
    far = watcher.folder.joinpath(*names)
    far.mkdir(parents=True)
    path, near = recording(far / "far.wav"), recording(watcher.folder / "near.wav", seconds=0.3)

    code, document = watcher("once", path if named == "file" else far, near, "--set", f"state.url={url}")

    assert code == 1
    assert [done["path"] for done in document["data"]["done"]] == [str(near)]
    [left] = document["data"]["left"]
    assert (left["path"], left["reason"]) == (str(path if named == "file" else far), "too_long")
