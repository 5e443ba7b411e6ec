"""A batch looks at what a person did since the last one: notes and outputs deleted, recordings moved by the settings."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_scene import Commands, commands, configured, moved_away
from test_service import recording

from watcher.service.history import History


@pytest.fixture
def watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    with commands(tmp_path, monkeypatch, capsys) as made:
        yield made


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

    def hang(_history: History, *, seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        over.wait(6 * seconds)

    monkeypatch.setattr(History, "catch_up", hang)
    recording(watcher.folder / "a.wav")

    code, document = watcher("once", watcher.folder)
    over.set()

    assert (code, len(document["data"]["done"])) == (130, 1)
