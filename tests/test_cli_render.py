"""`watcher render`: one recording's trouble is its own."""

import shutil

from support.command_scene import Commands
from support.heard import recording


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
