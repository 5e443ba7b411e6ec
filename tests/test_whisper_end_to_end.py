"""Recordings to transcripts with a real Whisper (tiny.en) and the program as people start it: `run`, `once`, `engine`."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import sounds
from support.daemon import Daemon, watcher
from support.terminal import at_terminal
from support.waiting import PATIENCE
from support.whisper import DEMO, SAID, chosen, offline, spoken

#: The model takes two seconds of a processor for each request; more than a minute where many others want that processor, too.
pytestmark = pytest.mark.timeout(400)
PATIENT = 150.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.mark.slow
def test_a_recording_gets_its_words_and_noise_gets_none(folder: Path, tmp_path: Path) -> None:
    with offline(folder, tmp_path / "state") as running:
        running.await_event("service.ready")
        sounds.encode(sounds.noise(2.0) // 4, tmp_path / "noise.wav").rename(folder / "noise.wav")
        (tmp_path / "talk.flac").write_bytes(DEMO.read_bytes())
        (tmp_path / "talk.flac").rename(folder / "talk.flac")
        running.await_event("job.done", patience=PATIENT, path=str(folder / "talk.flac"))
        noise = running.await_event("job.done", patience=PATIENT, path=str(folder / "noise.wav"))

    assert (folder / "talk.txt").read_text().split() == SAID
    captions = (folder / "talk.srt").read_text()
    assert re.findall(r"^\d\d:\d\d:\d\d", captions, flags=re.MULTILINE)
    assert [word for line in captions.splitlines() if line[:1].isalpha() for word in line.split()] == SAID
    assert (folder / "noise.txt").read_text() == ""
    assert noise["warning_codes"]


@pytest.mark.slow
def test_no_piece_of_a_long_recording_is_transcribed_twice_after_a_kill(folder: Path, tmp_path: Path) -> None:
    settings = ("--set", "media.piece_seconds=10", "--set", "api.concurrency=1", "--set", "log.level=debug")
    sounds.encode(spoken(times=4, pause=2.0), tmp_path / "long.wav").rename(folder / "long.wav")
    with offline(folder, tmp_path / "state", *settings) as running:
        running.await_events("api.response", 3, patience=PATIENT)
        running.kill()
        first = sizes_sent(running)
    asked = ["--offline", *chosen(), "--set", f"state.dir={tmp_path / 'state'}", "--estimate", "--json"]
    estimate = json.loads(watcher("once", folder, *asked).stdout)["data"]

    with offline(folder, tmp_path / "state", *settings) as running:
        done = running.await_event("job.done", patience=PATIENT)
        second = sizes_sent(running)

    assert (folder / "long.txt").read_text().split() == SAID * 4
    assert len({*first, *second}) == done["pieces"] == 4
    # The third answer may have come too late to be stored; the first two are.
    assert set(second).isdisjoint(first[:2])
    assert len(set(second)) == len(second)
    # The speed is known from the first answer on, not only when the engine ends.
    assert estimate["about_seconds"] is not None


def sizes_sent(running: Daemon) -> list[int]:
    """Return the bytes of each piece that was sent: no two pieces have the same sound."""
    return [event["bytes"] for event in running.seen("api.request")]


@pytest.mark.slow
def test_the_engine_is_an_ordinary_endpoint(folder: Path, tmp_path: Path) -> None:
    (folder / "talk.flac").write_bytes(DEMO.read_bytes())
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "watcher",
            "engine",
            "--port",
            "0",
            *chosen(),
            "--set",
            f"state.dir={tmp_path / 'engine'}",
        ],
        stdout=subprocess.PIPE,
    ) as engine:
        try:
            assert engine.stdout is not None
            url = engine.stdout.readline().decode().strip()
            done = watcher(
                "once", folder, "--json", "--set", f"api.url={url}", "--set", f"state.dir={tmp_path / 'state'}"
            )
        finally:
            engine.send_signal(signal.SIGTERM)
        assert engine.wait(PATIENCE) == 0

    assert json.loads(done.stdout)["data"]["done"][0]["path"] == str(folder / "talk.flac")
    assert (folder / "talk.txt").read_text().split() == SAID


@pytest.mark.slow
def test_a_person_is_told_how_long_it_takes(folder: Path, tmp_path: Path) -> None:
    (folder / "talk.flac").write_bytes(DEMO.read_bytes())
    command = ["once", str(folder), "--offline", *chosen(), "--set", f"state.dir={tmp_path / 'state'}"]

    code, shown = at_terminal([sys.executable, "-m", "watcher", *command], [])

    assert code == 0, shown
    assert "To transcribe: 1 recording, 9 s of audio" in shown
    assert "Time: known after the first answer" in shown
    assert "1 done; 9 s of audio, none of it sent" in shown
    (folder / "next.flac").write_bytes(DEMO.with_name("second.flac").read_bytes())
    estimate: dict[str, Any] = json.loads(watcher(*command, "--estimate", "--json").stdout)["data"]
    assert estimate["model"] == "offline-whisper-model"
    assert estimate["files"] == 1
    assert estimate["about_seconds"] is not None
