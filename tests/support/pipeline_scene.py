"""A recording, a real server, and all that a run of the pipeline works with; and a share that can go away."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.scripted import Asked, Reply, Script, serving
from support.tools import attempt
from support.waiting import eventually
from watcher.client import Client, Endpoint, Request
from watcher.cues import CaptionRules
from watcher.errors import JobError
from watcher.formats import TextLayout
from watcher.gate import Gate, GateOptions
from watcher.heartbeat import Heartbeat
from watcher.job import Fingerprint, FoundRecording, Job
from watcher.ledger import open_ledger
from watcher.ledger.ledger import Ledger
from watcher.media import MediaOptions
from watcher.pipeline import ExhaustedForms, JobSettings, KeyedLocks, Tools
from watcher.pipeline.heard import TranscriptionResult
from watcher.pipeline.spending import Spending
from watcher.pipeline.transcription import Transcription
from watcher.sidecar import OutputTemplates

ANSWER = Reply({"text": "Hi", "language": "english", "segments": [{"start": 0, "end": 1, "text": "Hi"}]})
WANTED = JobSettings(Request(), ("txt",), OutputTemplates(), CaptionRules(), TextLayout())


@dataclass
class Scene:
    """A recording that is worked on; `beat` gets the signs of life, whose time is `now` (seconds)."""

    ledger: Ledger
    tools: Tools
    root: Path
    now: list[float]
    beat: Heartbeat

    def live_until(self, moment: float) -> None:
        """Let time pass in steps that nobody may be silent through without having announced it."""
        while self.now[0] < moment:
            self.now[0] += 50.0
            eventually(lambda: not self.beat.overdue, what=f"a sign of life after {self.now[0]} s")

    def transcribe(
        self, path: Path, *, small: bool = False, wanted: JobSettings = WANTED, content: str = ""
    ) -> TranscriptionResult:
        """Transcribe a recording; `content`: the digest of what was under its path before."""
        job = replace(self.job(path, small=small), content=content)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with Spending(job, self.ledger.memory) as spending:
                return Transcription(job, descriptor, wanted, self.tools, self.beat, spending=spending).transcribe()
        except JobError:
            self.ledger.queue.drop(job)
            raise
        finally:
            os.close(descriptor)

    def restart(self) -> None:
        """Go on with a new client, which knows what the ledger knows."""
        self.tools.client.close()
        self.tools = replace(self.tools, client=Client(self.tools.client.endpoint, memory=self.ledger.memory))

    def job(self, path: Path, *, small: bool) -> Job:
        status = path.stat()
        stamp = Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino)
        self.ledger.queue.put([FoundRecording(os.fsencode(self.root), os.fsencode(path), stamp, small=small)])
        job = self.ledger.queue.claim("test", lease=60)
        assert job is not None
        return job


@contextmanager
def scene(
    script: Script,
    tmp_path: Path,
    options: MediaOptions | None = None,
    *,
    places: int = 4,
    model: str = "whisper-1",
) -> Iterator[tuple[Scene, list[Asked]]]:
    ledger = open_ledger(tmp_path / "state")
    stop = threading.Event()
    with serving(script) as server, ThreadPoolExecutor(8) as pool:
        client = Client(Endpoint(server.url, model=model), memory=ledger.memory)
        gate = Gate(
            GateOptions(concurrency=places),
            endpoint_name=client.endpoint.name,
            memory=ledger.memory,
            buy=ledger.purchases.buy,
            stop=stop,
        )
        tools = Tools(
            ledger=ledger,
            client=client,
            gate=gate,
            media=options or MediaOptions(),
            spool=tmp_path / "spool",
            stop=stop,
            submit=pool.submit,
            wanted=lambda _job: WANTED,
            sound_locks=KeyedLocks(),
            exhausted=ExhaustedForms(),
        )
        try:
            now = [0.0]
            yield Scene(ledger, tools, tmp_path, now, Heartbeat(lambda: now[0])), server.asked
        finally:
            stop.set()
            client.cancel()
    client.close()
    ledger.close()


class Share:
    """A FUSE mount at `folder` that shows what lies in `behind`."""

    def __init__(self, base: Path) -> None:
        self.folder, self.behind = base / "share", base / "behind"
        self.folder.mkdir()
        self.behind.mkdir()
        self._server: subprocess.Popen[bytes] | None = None

    def mount(self) -> None:
        """Bring it; the test is skipped where FUSE mounts are not permitted."""
        device = self.folder.stat().st_dev
        self._server = subprocess.Popen(["bindfs", "-f", self.behind, self.folder], stderr=subprocess.DEVNULL)
        server = self._server
        eventually(lambda: server.poll() is not None or self.folder.stat().st_dev != device)
        if server.poll() is not None:
            pytest.skip("FUSE mounts are not permitted here")

    def die(self) -> None:
        """Kill its server: what is open, and the folder itself, is "not connected" from then on (ENOTCONN)."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def unmount(self) -> None:
        """Take it away, whoever uses it."""
        self.die()
        if self._server is not None:
            subprocess.run(["umount", "-l", self.folder], check=True)
            self._server = None


@contextmanager
def share(base: Path) -> Iterator[Share]:
    """Yield a mounted share; the test is skipped where there can be none."""
    attempt(["bindfs", "--version"])
    made = Share(base)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()
