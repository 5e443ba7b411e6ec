"""`watcher render`: one recording's trouble is its own."""

import shutil
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from support.command_scene import Commands, commands
from support.heard import recording
from support.mounts import unanswered
from support.scripted import Asked, Reply

from watcher.ledger.sqlite import NAME


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


def test_it_writes_what_a_run_would_write_in_a_folder_with_settings_of_its_own(watcher: Commands) -> None:
    own = watcher.folder / ".watcher.toml"
    own.write_text('formats = ["vtt"]\noutput = "{stem}.own"\n')
    recording(watcher.folder / "talk.wav")
    made = watcher("once", watcher.folder)[1]["data"]["done"][0]["outputs"]
    (watcher.folder / "talk.own.vtt").unlink()

    code, document = watcher("render", watcher.folder)
    other = watcher("render", watcher.folder, "--format", "txt")[1]["data"]["outputs"]
    own.write_text("formats = 5")
    broken_code, broken = watcher("render", watcher.folder)

    assert (code, document["data"]["outputs"], document["errors"]) == (0, made, [])
    assert made == [str(watcher.folder / "talk.own.vtt")]
    assert other == [str(watcher.folder / "talk.own.txt")]
    ((problem,),) = [broken["errors"]]
    assert (broken_code, problem["code"]) == (0, "overrides")
    assert problem["message"].startswith(f"{own} is not used: formats = 5 is wrong")


def test_punctuation_follows_a_folder_s_setting_without_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "大家好,欢迎收听. 我们用Python 3.11."
    segments = [{"start": 0.0, "end": 0.4, "text": said}]

    def script(_: Asked) -> Reply:
        return Reply({"text": said, "language": "chinese", "segments": segments})

    with commands(tmp_path, monkeypatch, capsys, script) as watcher:
        recording(watcher.folder / "talk.wav")
        watcher("once", watcher.folder)
        text, captions = watcher.folder / "talk.txt", watcher.folder / "talk.srt"
        kept = text.read_text()
        requests = len(watcher.server.asked)

        (watcher.folder / ".watcher.toml").write_text('[subtitles]\npunctuation = "full"\n')
        code, document = watcher("render", watcher.folder)
        made = text.read_text(), captions.read_text()
        (watcher.folder / ".watcher.toml").write_text('punctuation = "half"\n')
        broken = watcher("render", watcher.folder)[1]

        assert (code, document["errors"]) == (0, [])
        assert kept == f"{said}\n"
        assert made[0] == "大家好，欢迎收听。我们用Python 3.11.\n"
        assert "大家好，欢迎收听。" in made[1]
        assert [problem["code"] for problem in broken["errors"]] == ["overrides"]
        assert 'one of "keep" or "full"' in broken["errors"][0]["message"]
        assert len(watcher.server.asked) == requests


def test_a_recording_whose_mount_hangs_is_named(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.cli.render._PATIENCE", 0.2)
    (watcher.folder / "sub").mkdir()
    path = recording(watcher.folder / "sub" / "a.wav")
    watcher("once", watcher.folder)

    with unanswered(path.parent):
        code, document = watcher("render", watcher.folder)

    assert code == 1
    assert [error["message"] for error in document["errors"]] == [f"{path}: the server does not answer"]


@pytest.mark.parametrize("column", ["cuts", "loudness", "warnings", "others", "parts", "start"])
def test_what_the_disk_damaged_of_one_recording_keeps_no_other_from_being_rendered(
    column: str, watcher: Commands
) -> None:
    for name in ("a", "b"):
        recording(watcher.folder / f"{name}.wav")
    watcher("once", watcher.folder)
    with closing(connect(watcher.state / NAME)) as database, database:
        damaged = f"UPDATE contents SET {column} = '[7' WHERE digest = (SELECT content FROM sources WHERE path = ?)"  # noqa: S608 - a name of this test
        assert database.execute(damaged, [bytes(watcher.folder / "a.wav")]).rowcount == 1

    code, document = watcher("render", watcher.folder, "--format", "txt")

    assert (code, document["data"]["outputs"]) == (1, [str(watcher.folder / "b.txt")])
    assert [error["code"] for error in document["errors"]] == ["unknown"]
