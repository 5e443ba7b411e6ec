"""`watcher forget`: nothing of what was heard stays, and it says what it removed."""

import shutil
import subprocess

from support.command_scene import Commands
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

    fields = {"answers": 1, "history": True}
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
    assert "is a new one to the next start or batch" in without
    assert anew["data"]["paid_seconds"] == 0.5


def test_a_recording_whose_history_has_ended_is_known_by_its_sound(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    watcher("once", path)
    with watcher.ledger() as ledger:
        ledger.forget(str(path).encode())

    code, document = watcher("forget", path)

    assert (code, document["data"]["answers"]) == (0, 1)
    assert document["data"]["forgotten"][0]["history"] is False
