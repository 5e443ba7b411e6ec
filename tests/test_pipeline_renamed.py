"""A recording that somebody renames after it was done: its outputs follow, and nothing is asked."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.command_scene import Commands
from support.daemon import daemon
from support.heard import recording, said
from support.sidecar_scene import fingerprint
from support.waiting import eventually

from watcher.job import FoundRecording


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def codes(document: dict[str, Any]) -> list[str]:
    return [warning["code"] for done in document["data"]["done"] for warning in done["warnings"]]


@pytest.mark.slow
def test_outputs_follow_and_one_that_a_person_edited_stays_and_is_said(watcher: Commands) -> None:
    path = recording(watcher.folder / "ZOOM0001.wav")
    watcher("once", path)
    watcher("render", path, "--format", "json")
    path.with_suffix(".txt").write_text("my own words")
    before = watcher("status")[1]["data"]["totals"]
    renamed = path.rename(path.with_name("Interview Smith.wav"))

    code, document = watcher("once", watcher.folder)

    assert (code, document["data"]["paid_seconds"]) == (0, 0.0)
    expected = [f"Interview Smith.{suffix}" for suffix in ("json", "srt", "txt", "wav")]
    assert names(watcher.folder) == [*expected, "ZOOM0001.txt"]
    assert path.with_suffix(".txt").read_text() == "my own words"
    assert said(renamed) in renamed.with_suffix(".txt").read_text()
    assert json.loads(renamed.with_suffix(".json").read_text())["source"] == "Interview Smith.wav"
    assert codes(document).count("output_left_behind") == 1
    status = watcher("status")[1]["data"]
    assert [recent["path"] for recent in status["recent"]] == [str(renamed)]
    assert status["totals"]["audio_seconds"] == before["audio_seconds"]

    # And back again.
    renamed.rename(path)
    path.with_suffix(".txt").unlink()
    _, back = watcher("once", watcher.folder)

    assert names(watcher.folder) == [f"ZOOM0001.{suffix}" for suffix in ("json", "srt", "txt", "wav")]
    assert "output_left_behind" not in codes(back)
    assert len(watcher.server.asked) == 1


def test_what_a_person_put_in_the_place_of_an_output_stays_and_is_said(watcher: Commands, tmp_path: Path) -> None:
    path = recording(watcher.folder / "ZOOM0001.wav")
    watcher("once", path)
    for suffix in (".txt", ".srt"):
        path.with_suffix(suffix).unlink()
    path.with_suffix(".txt").symlink_to(tmp_path / "my own words.txt")
    path.with_suffix(".srt").mkdir()
    path.rename(path.with_name("Interview Smith.wav"))

    code, document = watcher("once", watcher.folder)

    assert code == 0
    assert path.with_suffix(".txt").is_symlink()
    assert path.with_suffix(".srt").is_dir()
    assert codes(document).count("output_left_behind") == 2


@pytest.mark.slow_if("tuesday", "elsewhere")
@pytest.mark.parametrize("link", ["", "tuesday", "elsewhere"])
def test_outputs_that_came_along_with_their_folder_are_still_ours(watcher: Commands, link: str) -> None:
    """No link is followed, so one that has the folder's former name changes nothing, wherever it leads."""
    (watcher.folder / "monday").mkdir()
    path = recording(watcher.folder / "monday" / "a.wav")
    watcher("once", watcher.folder)
    path.parent.rename(watcher.folder / "tuesday")
    if link:
        path.parent.symlink_to(link)
    moved = watcher.folder / "tuesday" / "a.wav"

    _, document = watcher("once", watcher.folder)
    code, again = watcher("again", moved)

    assert [(done["path"], done["adopted"]) for done in document["data"]["done"]] == [(str(moved), False)]
    assert (code, len(again["data"]["done"])) == (0, 1)
    assert names(watcher.folder) == ["tuesday/a.srt", "tuesday/a.txt", "tuesday/a.wav"]
    assert len(watcher.server.asked) == 2


def test_a_former_name_that_another_recording_has_now_keeps_that_ones_outputs(watcher: Commands) -> None:
    path = recording(watcher.folder / "ZOOM0001.wav")
    watcher("once", path)
    renamed = path.rename(path.with_name("smith.wav"))
    recording(path, seed=1)

    watcher("once", watcher.folder)
    watcher("once", watcher.folder)

    for one in (path, renamed):
        assert said(one) in one.with_suffix(".txt").read_text()
    assert names(watcher.folder) == [
        f"{stem}.{suffix}" for stem in ("ZOOM0001", "smith") for suffix in ("srt", "txt", "wav")
    ]


def test_a_hard_link_is_no_new_name(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    (watcher.folder / "b.wav").hardlink_to(path)

    watcher("once", watcher.folder)

    assert names(watcher.folder) == [f"{stem}.{suffix}" for stem in ("a", "b") for suffix in ("srt", "txt", "wav")]


def test_a_hard_link_in_another_watched_folder_takes_no_outputs_away(watcher: Commands, tmp_path: Path) -> None:
    """Who can write into one folder removed the transcripts of another one, once their recordings were deleted."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    path = recording(watcher.folder / "a.wav")
    watcher("once", watcher.folder, theirs)
    (theirs / "b.wav").hardlink_to(path)
    path.unlink()

    watcher("once", watcher.folder, theirs)

    assert names(watcher.folder) == ["a.srt", "a.txt"]
    assert names(theirs) == ["b.srt", "b.txt", "b.wav"]
    assert len(watcher.server.asked) == 1


def test_a_running_daemon_finds_what_comes_under_the_former_name(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    with daemon(watcher.folder, state=watcher.state) as running:
        running.await_event("job.done")
        renamed = path.rename(path.with_name("b.wav"))
        followed = running.await_event("output.followed", former=str(path))
        running.await_event("job.done", renamed_from=str(path))
        renamed.rename(path)
        running.await_event("job.done", renamed_from=str(renamed))
        eventually(lambda: names(watcher.folder) == ["a.srt", "a.txt", "a.wav"])
        running.stop()

    assert followed["left_behind"] == []
    assert len(watcher.server.asked) == 1


def test_outputs_follow_a_touched_recording_whose_new_name_was_queued_beside_the_former_one(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    os.utime(path, (1e9, 1e9))
    renamed = path.with_name("b.wav")
    stamp = fingerprint(path)
    path.rename(renamed)
    with watcher.ledger() as ledger:
        ledger.queue.put(
            [FoundRecording(os.fsencode(watcher.folder), os.fsencode(each), stamp) for each in (path, renamed)]
        )

    watcher("once", watcher.folder)

    assert names(watcher.folder) == ["b.srt", "b.txt", "b.wav"]
    assert len(watcher.server.asked) == 1
