"""Everything that is wrong with a world, at once: the daemon does all its other work, and says the truth about the rest."""

import io
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import av
import pytest
from servers.fault import Answer, FaultServer, Received, heard
from support.daemon import daemon
from support.hostile import ENVIRON, recording, said, status
from support.mounts import mounted, needs_fuse
from support.sounds import speechlike

pytestmark = [needs_fuse, pytest.mark.timeout(180)]

#: 1 January 2300: beyond what 64 bits of nanoseconds hold.
FAR = 10_413_792_000
NONSENSE = {"ok": True, "note": "this is no transcript"}
#: Seconds of sound that only the recording without an answer has, in whatever form it is sent.
SILENT_SECONDS = 4.0
#: Attempts a file gets.
ATTEMPTS = 3


class Till:
    """A server that is slow, answers nonsense, or answers nothing, by file; it counts what it was asked about each."""

    def __init__(self, *, slow: Path, nonsense: Path) -> None:
        self.release = threading.Event()
        self._slow, self._nonsense = slow.read_bytes(), nonsense.read_bytes()
        self.asked: dict[str, int] = {}

    def __call__(self, received: Received) -> Answer:
        data = received.file.data
        kind = "nonsense" if data == self._nonsense else "slow" if data == self._slow else "good"
        if kind == "good" and seconds(data) > SILENT_SECONDS / 2:
            kind = "empty"
        self.asked[kind] = self.asked.get(kind, 0) + 1
        if kind == "nonsense":
            return Answer(NONSENSE)
        if kind == "empty":
            return Answer({"text": "", "segments": []})
        return Answer(heard(received).body, hold=self.release) if kind == "slow" else heard(received)


def seconds(data: bytes) -> float:
    """Return how long an upload sounds."""
    with av.open(io.BytesIO(data), "r") as container:
        return sum(frame.samples for frame in container.decode(audio=0)) / container.streams.audio[0].rate


def facts(name: str, shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what `watcher status` lists about a file, of whatever kind."""
    return [
        row for rows in shown.values() if isinstance(rows, list) for row in rows if str(row.get("path")).endswith(name)
    ]


@pytest.mark.slow
def test_a_hung_mount_an_impossible_date_and_a_server_of_many_faults_stop_nothing_else(tmp_path: Path) -> None:
    local, state = tmp_path / "local", tmp_path / "state"
    local.mkdir()
    far = recording(local / "from 2300.wav")
    os.utime(far, (FAR, FAR))
    slow, nonsense = recording(local / "slow.wav"), recording(local / "nonsense.wav")
    empty = speechlike(local / "empty.wav", SILENT_SECONDS)
    good = [recording(local / f"good {number}.wav") for number in range(6)]
    settings = tmp_path / "watcher.toml"
    till = Till(slow=slow, nonsense=nonsense)
    with (
        mounted(tmp_path / "exported", tmp_path / "share") as share,
        FaultServer(till) as server,
    ):
        recording(share.source / "late.wav")
        share.hang()
        folders = "\n".join(f'[[folders]]\npath = "{path}"\nquiet_seconds = 0.1' for path in (local, share.point))
        settings.write_text(
            f'[api]\nurl = "{server.url}"\nkey = "sk-test-key"\nattempts = {ATTEMPTS}\n{folders}\n'
            "[service]\ndrain_seconds = 5\n"
        )
        with daemon("--config", settings, state=state, environ=ENVIRON) as running:
            running.await_event("service.ready")
            lost = running.await_event("folder.lost", path=str(share.point))
            for path in (*good, far, empty):
                running.await_event("job.done", path=str(path))
            failed = running.await_event("job.failed", path=str(nonsense))
            running.send(signal.SIGHUP)
            running.await_event("service.reloaded", ok=True)
            afterwards = recording(local / "afterwards.wav")
            running.await_event("job.done", path=str(afterwards))
            assert not running.seen("job.done", path=str(slow))
            shown = status(state)
            till.release.set()
            running.await_event("job.done", path=str(slow))
            share.answer()
            running.await_event("job.done", path=str(share.point / "late.wav"))
            share.hang()
            running.await_events("folder.lost", 2, path=str(share.point))

            assert running.stop() == 0
            assert not running.talk
            (done,) = running.seen("job.done", path=str(empty))

    for path in (*good, far, slow, afterwards):
        assert path.with_suffix(".txt").read_text() == said(path) + "\n"
    # Nonsense: paid for twice at most, shown as it came, and told of beside the recording.
    assert till.asked["nonsense"] <= 2
    assert json.dumps(NONSENSE)[:40] in failed["message"]
    assert (local / "nonsense.wav.transcription-failed.txt").exists()
    # Nothing for something: outputs without text, a warning in the log, in status, and beside the recording.
    assert empty.with_suffix(".txt").read_text().strip() == ""
    assert done["warning_codes"] == ["no_text"]
    assert (local / "empty.wav.transcription-warning.txt").exists()
    assert any("no_text" in json.dumps(row) for row in facts("empty.wav", shown))
    assert lost["reason"]
    assert any(folder["path"] == str(share.point) and folder["how"] == "lost" for folder in shown["folders"])
