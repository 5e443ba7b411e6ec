"""`watcher render`: one recording's trouble is its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_scene import Commands, commands
from test_service import recording


@pytest.fixture
def watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    with commands(tmp_path, monkeypatch, capsys) as made:
        yield made


def test_a_folder_is_rendered_although_the_directory_of_one_recording_is_gone(watcher: Commands) -> None:
    for day in ("a", "b", "c"):
        (watcher.folder / day).mkdir()
        recording(watcher.folder / day / "talk.wav")
    watcher("once", watcher.folder)
    shutil.rmtree(watcher.folder / "b")

    code, document = watcher("render", watcher.folder, "--format", "vtt")

    assert (code, document["status"]) == (1, "partial")
    assert document["data"]["outputs"] == [str(watcher.folder / day / "talk.vtt") for day in ("a", "c")]
    ((problem,),) = [document["errors"]]
    assert problem["code"] == "gone"
    assert str(watcher.folder / "b" / "talk.wav") in problem["message"]
