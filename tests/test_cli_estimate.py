"""What a run would send: said by `once --estimate`, asked at a terminal before more than an hour, told by `run` in its log."""

import os
import shutil
import struct
import sys
from pathlib import Path

import pytest
from support.command_scene import Commands, configured
from support.daemon import daemon
from support.heard import recording
from support.terminal import at_terminal

HOUR = 3600


def long_wave(path: Path, seconds: int = HOUR + 60) -> Path:
    """Write a whole WAV of silence of 8 kHz and 8 bits, which takes no room on the disk."""
    header = b"RIFF" + struct.pack("<I", 36 + seconds * 8000) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8) + b"data" + struct.pack("<I", seconds * 8000)
    path.write_bytes(header)
    os.truncate(path, len(header) + seconds * 8000)
    return path


def test_an_estimate_tells_what_would_be_sent_and_sends_nothing(watcher: Commands) -> None:
    done = recording(watcher.folder / "done.wav", seconds=1)
    watcher("once", watcher.folder)
    shutil.copyfile(done, watcher.folder / "copy.wav")
    recording(watcher.folder / "theirs.wav", seconds=2)
    for suffix in (".srt", ".txt"):
        (watcher.folder / f"theirs{suffix}").write_text("by somebody else")
    long_wave(watcher.folder / "long.wav")
    recording(watcher.folder / "short.wav", seconds=3)
    (watcher.folder / "untold.mp3").write_bytes(b"x" * 1000)
    asked = len(watcher.server.asked)

    code, document = watcher("once", watcher.folder, "--estimate", "--set", "api.price_per_minute=0.6")
    unpriced = watcher("once", watcher.folder, "--estimate")[1]["data"]
    said = watcher.said("once", watcher.folder, "--estimate", "--set", "api.price_per_minute=0.6")[1]

    assert code == 0
    assert document["data"] == {
        "model": "whisper-1",
        "files": 3,
        "audio_seconds": HOUR + 63.0,
        "unknown_length": 1,
        "stored": 1,
        "complete": 1,
        "done_before": 1,
        "most_cost": 36.63,
    }
    assert unpriced["most_cost"] is None
    assert "3 recordings, 1 h 01 min of audio, and 1 of unknown length" in said
    assert "at most 36.63 at 0.6 a minute" in said
    assert len(watcher.server.asked) == asked
    assert watcher("status")[1]["data"]["counts"] == {"queued": 0, "running": 0, "done": 1, "failed": 0, "skipped": 0}


def test_an_estimate_is_of_the_named_places_and_of_what_is_queued(watcher: Commands) -> None:
    inside = watcher.folder / "inside"
    inside.mkdir()
    one = recording(inside / "one.wav", seconds=1)
    recording(watcher.folder / "two.wav", seconds=2)
    odd = watcher.folder / "three.bin"
    odd.write_bytes(recording(inside / "three.wav", seconds=4).read_bytes())

    found = {
        place: watcher("once", place, "--estimate")[1]["data"]["audio_seconds"]
        for place in (watcher.folder, inside, one, odd)
    }
    watcher("once", watcher.folder, "--set", "api.url=http://127.0.0.1:1")
    queued = watcher("once", one, "--estimate")[1]["data"]

    assert found == {watcher.folder: 7.0, inside: 5.0, one: 1.0, odd: 4.0}
    assert (queued["files"], queued["audio_seconds"]) == (3, 7.0)


def test_no_recording_is_read_where_no_answer_is_stored(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    recording(watcher.folder / "a.wav")
    read = []
    monkeypatch.setattr("watcher.service.estimate.is_stored", lambda *_, **__: read.append(1))

    data = watcher("once", watcher.folder, "--estimate")[1]["data"]

    assert (data["files"], read) == (1, [])


def test_what_the_trial_engine_transcribed_is_to_be_sent_again_and_offline_nothing_costs(watcher: Commands) -> None:
    recording(watcher.folder / "a.wav", seconds=2)
    trial = ("--set", "api.model=pocketsphinx-en-us", "--set", "api.price_per_minute=1")
    offline = watcher.said("once", watcher.folder, "--estimate", *trial)[1]
    watcher("once", watcher.folder, *trial)

    data = watcher("once", watcher.folder, "--estimate")[1]["data"]

    assert "Cost: none" in offline
    assert (data["files"], data["audio_seconds"], data["done_before"]) == (1, 2.0, 0)


@pytest.mark.parametrize("command", ["once", "run"])
def test_a_terminal_asks_before_more_than_an_hour_and_no_sends_nothing(watcher: Commands, command: str) -> None:
    long_wave(watcher.folder / "long.wav")

    code, shown = at_terminal(
        [sys.executable, "-m", "watcher", command, str(watcher.folder)], [("now? (--yes: do not ask) [y/N]", "n")]
    )

    assert code == 130, shown
    assert "1 recording, 1 h 01 min of audio" in shown
    assert "Nothing was sent." in shown
    assert watcher.server.asked == []


def test_a_terminal_does_not_ask_before_less_nor_with_yes(watcher: Commands) -> None:
    recording(watcher.folder / "short.wav")
    watcher_command = [sys.executable, "-m", "watcher", "once", str(watcher.folder)]
    code, shown = at_terminal(watcher_command, [])
    assert (code, "[y/N]" in shown, "1 done" in shown) == (0, False, True)

    long_wave(watcher.folder / "long.wav")
    code, shown = at_terminal([*watcher_command, "--yes"], [])

    assert "[y/N]" not in shown
    assert "1 done, 1 done before" in shown


def test_run_leaves_out_of_its_question_what_it_will_leave_alone(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_wave(watcher.folder / "long.wav")
    configured(monkeypatch, watcher.folder, backlog=False)
    monkeypatch.setenv("WATCHER_API__KEY", "sk")
    monkeypatch.setattr("watcher.cli.estimate.is_person", lambda: True)
    monkeypatch.setattr("watcher.cli.run.Service", _Begun)

    assert watcher.said("run")[0] == 0


class _Begun:
    """A daemon that ends as soon as it has begun."""

    def __init__(self, *_arguments: object, **_options: object) -> None: ...

    def run(self) -> int:
        return 0


def test_the_log_of_the_first_start_says_what_the_backlog_costs_at_most(watcher: Commands, tmp_path: Path) -> None:
    recording(watcher.folder / "a.wav", seconds=60)
    with daemon(
        watcher.folder,
        "--set",
        "api.price_per_minute=0.5",
        "--set",
        f"api.url={watcher.server.url}",
        state=tmp_path / "s",
    ) as running:
        event = running.await_event("folder.backlog")

    assert (event["files"], event["seconds"], event["most_cost"]) == (1, 60.0, 0.5)
