"""What a run would send: said by `once --estimate`, asked at a terminal before more than an hour, told by `run` in its log."""

import os
import re
import shutil
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from support import sounds
from support.command_scene import Commands, configured
from support.daemon import daemon
from support.heard import recording
from support.terminal import at_terminal

from watcher.cli.expectation import Expectation
from watcher.config import OfflineSettings
from watcher.job import TRIAL_MODEL
from watcher.service import BatchProgress
from watcher.service.estimate import Estimate
from watcher.service.speed import MeasuredSpeed, SpeedMeter, remember

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
        "about_seconds": None,
    }
    assert unpriced["most_cost"] is None
    assert "3 recordings, 1 h 01 min of audio, and 1 of unknown length" in said
    assert "at most 36.63 at 0.6 a minute" in said
    assert len(watcher.server.asked) == asked
    assert watcher("status")[1]["data"]["counts"] == {"queued": 0, "running": 0, "done": 1, "failed": 0, "skipped": 0}


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_the_trial_engine_transcribed_is_to_be_sent_again_and_offline_nothing_costs(watcher: Commands) -> None:
    recording(watcher.folder / "a.wav", seconds=2)
    trial = ("--set", "api.model=pocketsphinx-en-us", "--set", "api.price_per_minute=1")
    offline = watcher.said("once", watcher.folder, "--estimate", *trial)[1]
    watcher("once", watcher.folder, *trial)

    data = watcher("once", watcher.folder, "--estimate")[1]["data"]

    assert "Cost: none" in offline
    assert (data["files"], data["audio_seconds"], data["done_before"]) == (1, 2.0, 0)


TRIAL = ("--offline", "--set", "offline.model=pocketsphinx")


def measure(watcher: Commands, sound: float, work: float) -> None:
    """Have the offline engine been measured on this machine before."""
    with watcher.ledger() as ledger:
        remember(ledger.memory, OfflineSettings(model="pocketsphinx"), TRIAL_MODEL, MeasuredSpeed(sound, work))


def test_an_offline_estimate_says_how_long_it_takes_once_that_was_measured_and_starts_no_engine(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.engine.OfflineEngine.start", lambda _engine: pytest.fail("it was started"))
    long_wave(watcher.folder / "long.wav")
    recording(watcher.folder / "memo.wav", seconds=1)
    (watcher.folder / "untold.mp3").write_bytes(b"x" * 1000)
    estimate = ("once", watcher.folder, "--estimate", *TRIAL)
    unknown, said_before = watcher(*estimate)[1]["data"], watcher.said(*estimate)[1]
    measure(watcher, 1000.0, 125.0)

    known, said = watcher(*estimate)[1]["data"], watcher.said(*estimate)[1]

    assert (unknown["model"], unknown["about_seconds"]) == (TRIAL_MODEL, None)
    assert "Time: known after the first answer, as this model was not measured on this machine before" in said_before
    # The memo counts for 15 s.
    assert known["about_seconds"] == round((HOUR + 60 + 15) / 8)
    assert "Time: about 8 min, and what the 1 of unknown length take, at 8.0 x the speed of the sound" in said
    assert watcher("once", watcher.folder, "--estimate")[1]["data"]["about_seconds"] is None


@pytest.mark.slow
def test_how_long_it_takes_is_shown_at_a_narrow_terminal(watcher: Commands) -> None:
    recording(watcher.folder / "a.wav", seconds=2)
    measure(watcher, 1000.0, 125.0)
    command = [sys.executable, "-m", "watcher", "once", str(watcher.folder), *TRIAL]

    _, shown = at_terminal(command, [], environ={"COLUMNS": "40"})

    first = shown.split("\n")[:4]
    assert " ".join(" ".join(first).split()) == (
        "To transcribe: 1 recording, 2 s of audio Time: less than a minute, at 8.0 x the speed of the sound, as measured on "
        "this machine before"
    )
    assert max(map(len, first)) <= 40, shown
    assert re.search(r"0 of 1 file .* less than a minute left", shown), shown


def test_how_long_it_takes_is_logged_once_and_not_before_it_is_known() -> None:
    meter = SpeedMeter()
    expected = Expectation(Estimate(files=2, seconds=3600.0, heard_seconds=3600.0), MeasuredSpeed(), meter)
    begun = BatchProgress(files=2, done=0, failed=0, heard_seconds=0.0)

    with capture_logs() as logs:
        expected.log(begun)
        unknown = expected.left(begun)
        meter.add(60.0, 10.0)
        expected.log(begun)
        expected.log(begun)

    assert [(event["about_seconds"], event["message"]) for event in logs] == [(600, "about 10 min, at 6.0 x")]
    assert unknown == ""
    assert expected.left(begun) == "about 10 min left"
    assert expected.left(replace(begun, heard_seconds=1800.0)) == "about 5 min left"
    assert expected.left(replace(begun, heard_seconds=3601.0)) == ""


@pytest.mark.slow_if("once")
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_of_channels_with_speakers_the_length_is_counted_once_for_each(watcher: Commands) -> None:
    """That is the most that they may cost: silence is not sent, and how much there is the header does not say."""
    (watcher.folder / ".watcher.toml").write_text('tracks = "channels"\n')
    sounds.encode(np.stack([sounds.speech(12.0), sounds.silence(12.0)], axis=1), watcher.folder / "call.wav")
    sounds.encode(sounds.speech(5.0), watcher.folder / "talk.wav")

    _, document = watcher("once", watcher.folder, "--estimate")

    assert document["data"]["audio_seconds"] == 29.0
