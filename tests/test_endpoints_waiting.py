"""A second endpoint that never answers, and a folder's own file: the first one is found again, and nothing else waits."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.daemon import Daemon, daemon
from support.heard import digest_of, hearing, recording
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

REFUSED_KEY = Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401)


@dataclass
class Scene:
    """A first server that is off, and a second one that takes recordings and says nothing until it is told to."""

    directory: Path
    port: int
    relay: Server
    #: The recordings that the second server has.
    arrived: list[str]
    speaks: threading.Event
    extra: str = ""
    folder_settings: str = ""
    options: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.directory / "in"

    @contextlib.contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """Run the daemon; at its end the second server speaks, so that no request is in flight for long."""
        tables = [
            f'[endpoints.studio]\nurl = "http://127.0.0.1:{self.port}/v1"\nmodel = "large"',
            f'[endpoints.relay]\nurl = "{self.relay.url}"\nmodel = "small"\n{self.extra}',
            f'[[folders]]\npath = "{self.folder}"\n{self.folder_settings}',
        ]
        file = self.directory / "watcher.toml"
        file.write_text("\n".join(["[api]\nfailover_seconds = 5\nconcurrency = 4", *tables]))
        self.options += ["--set", 'transcript.formats=["srt", "json"]']
        with daemon("--config", file, *self.options, state=self.directory / "state") as running:
            running.await_event("service.ready")
            yield running
            self.speaks.set()
            assert running.stop() == 0

    def recordings(self, name: str, count: int) -> list[Path]:
        return [recording(self.folder / f"{name}-{number}.wav") for number in range(count)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "in").mkdir()
    arrived, speaks = list[str](), threading.Event()

    def silent(asked: Asked) -> Reply:
        if asked.method == "POST":
            arrived.append(digest_of(asked))
            speaks.wait(170)
        return hearing(asked)

    with serving(hearing) as off:
        pass
    with serving(silent) as relay:
        yield Scene(tmp_path, off.port, relay, arrived, speaks)


def answered_by(path: Path) -> list[str]:
    return [piece["endpoint"] for piece in json.loads(path.with_suffix(".json").read_text())["pieces"]]


@pytest.mark.parametrize("folders", [1, 2])
def test_the_first_is_found_again_while_all_workers_wait_for_a_second_that_never_answers(
    scene: Scene, folders: int
) -> None:
    """Where there are several folders, some workers are free, and may take no file of this one."""
    others = [scene.directory / f"other-{number}" for number in range(1, folders)]
    for other in others:
        other.mkdir()
        scene.folder_settings += f'[[folders]]\npath = "{other}"\n'
    scene.options += ["--set", "state.workers=2"]
    with scene.daemon() as running:
        stuck = scene.recordings("stuck", 3)
        eventually(lambda: len(scene.arrived) == len(stuck))
        with serving(hearing, port=scene.port):
            new = scene.recordings("new", 4)
            running.await_events("job.done", len(new))

            assert {name for path in new for name in answered_by(path)} == {"studio"}
            assert len(scene.arrived) == len(stuck)
            scene.speaks.set()
            running.await_events("job.done", len(new) + len(stuck))

    assert {name for path in stuck for name in answered_by(path)} == {"relay"}
    assert len(set(scene.arrived)) == len(scene.arrived) == len(stuck)


def test_what_waits_for_a_place_at_a_silent_second_goes_to_the_first_when_it_is_back(scene: Scene) -> None:
    scene.extra = "concurrency = 1"
    scene.options += ["--set", "state.workers=4"]
    with scene.daemon() as running:
        files = scene.recordings("talk", 4)
        eventually(lambda: len(scene.arrived) == 1)
        running.await_events("job.rerouted", len(files))
        with serving(hearing, port=scene.port) as back:
            running.await_events("job.done", len(files) - 1)

            assert len(scene.arrived) == 1
            assert len(back.asked) == len(files) - 1
            scene.speaks.set()
            running.await_events("job.done", len(files))


def test_a_recording_that_one_endpoint_alone_may_get_finds_out_that_it_is_back(scene: Scene) -> None:
    """The others of its folder go to another one, so only it can probe."""
    scene.speaks.set()
    scene.folder_settings = 'endpoints = ["relay", "studio"]'
    private = scene.folder / "private"
    private.mkdir()
    (private / ".watcher.toml").write_text('endpoints = ["studio"]')
    with scene.daemon() as running:
        secret = recording(private / "secret.wav")
        running.await_event("job.retry", path=str(secret))
        scene.recordings("talk", 2)
        running.await_events("job.done", 2)
        with serving(hearing, port=scene.port):
            running.await_event("job.done", path=str(secret))

    assert answered_by(secret) == ["studio"]
