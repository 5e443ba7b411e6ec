"""The container image, built and run: as a user whom nobody knows, with a file system that cannot be written to."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.heard import hearing, recording, said
from support.podman import PRIVATE, USER, Image, built
from support.scripted import Asked, Reply, serving
from support.waiting import eventually
from support.whisper import DEMO, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEY = "sk-of-the-container"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    with built(tmp_path_factory.mktemp("image")) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # Below a directory of root's that nobody else may enter: a bind mount leads there all the same.
    folder = tmp_path / "recordings"
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder


def dropped(path: Path) -> Path:
    """Put a recording into a folder as its owner does."""
    made = recording(path.with_name(f".{path.name}"))
    os.chown(made, USER, USER)
    return made.rename(path)


def test_the_demo(image: Image) -> None:
    done = image.run("watcher", "demo")

    assert "Nothing is lost" in done.stdout


def test_the_main_job_with_a_key_from_a_file_and_a_drain_at_the_end(image: Image, folder: Path, tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def script(asked: Asked) -> Reply:
        if asked.method == "POST" and any(one.method == "POST" for one in server.asked[:-1]):
            began.set()
            go_on.wait(60)
        return hearing(asked)

    key = tmp_path / "api_key"
    key.write_text(KEY)
    os.chown(key, USER, USER)
    key.chmod(0o400)
    orphan = 'hooks.on_done=["/bin/sh", "-c", "(sleep 0.1; touch /state/orphan) >/dev/null 2>&1 &"]'
    with serving(script) as server:
        given = {"WATCHER_API__URL": server.url, "WATCHER_API__KEY_FILE": "/run/secrets/api_key", "TZ": "Asia/Tokyo"}
        options = [
            f"--env={name}={value}" for name, value in {**given, "WATCHER_HTTP__LISTEN": "127.0.0.1:19464"}.items()
        ]
        mounts = [f"--volume={folder}:/recordings", f"--volume={key}:/run/secrets/api_key:ro"]
        with image.started("main", *options, *mounts, "watcher", "run", "--set", orphan) as name:
            eventually(lambda: image.podman("healthcheck", "run", name, check=False).returncode == 0, every=0.2)
            whole = dropped(folder / "interview.wav")
            eventually((folder / "interview.txt").exists)
            # Who left the hook behind is process 1's child now, and waited for.
            eventually(lambda: image.podman("exec", name, "test", "-e", "/state/orphan", check=False).returncode == 0)
            eventually(lambda: "Z" not in states(image, name), what="nothing that has ended is left")
            report = json.loads(image.podman("exec", name, "watcher", "check", "--json").stdout)
            zone = image.podman("exec", name, "date", "+%Z").stdout.strip()
            dropped(folder / "late.wav")
            assert began.wait(60)
            ending = threading.Thread(target=image.podman, args=("stop", "--time=90", name))
            ending.start()
            eventually(lambda: "service.stopping" in image.podman("logs", name).stderr, what="it has been told to end")
            go_on.set()
            ending.join(120)
            state = json.loads(image.podman("inspect", name).stdout)[0]["State"]
            said_in_all = image.podman("logs", name)

    assert (folder / "interview.txt").read_text().strip() == said(whole)
    assert {path.stat().st_uid for path in folder.iterdir()} == {USER}
    assert (folder / "late.txt").exists(), said_in_all.stderr
    assert state["ExitCode"] == 0
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    assert zone == "JST"
    assert KEY not in said_in_all.stdout + said_in_all.stderr
    assert any("/recordings is watched by events" in one["message"] for one in report["data"]["findings"])
    assert "fail" not in {one["grade"] for one in report["data"]["findings"]}


def states(image: Image, name: str) -> str:
    """Return the states of the processes in a container, one letter each."""
    script = "cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //; s/ .*//' | tr -d '\\n'"
    return image.podman("exec", name, "sh", "-c", script).stdout


def test_whisper_beside_it(image: Image, folder: Path) -> None:
    model = f"--volume={tiny().name}:/model:ro"
    engine = ("engine", "--address", "127.0.0.1", "--port", "18000", "--set", "offline.model=/model")
    with (
        image.started("whisper", model, "watcher", *engine) as whisper,
        image.started(
            "beside", "--env=WATCHER_API__URL=http://127.0.0.1:18000/v1", f"--volume={folder}:/recordings", "watcher"
        ),
    ):
        ready = ("exec", whisper, "healthy", "127.0.0.1:18000", "/v1/models")
        eventually(lambda: image.podman(*ready, check=False).returncode == 0, every=0.2, patience=120)
        clip = folder / "talk.flac"
        clip.write_bytes(DEMO.read_bytes())
        os.chown(clip, USER, USER)
        eventually((folder / "talk.txt").exists, patience=180)
        image.podman("stop", "--time=60", whisper)
        code = json.loads(image.podman("inspect", whisper).stdout)[0]["State"]["ExitCode"]

    assert "made by a computer" in (folder / "talk.txt").read_text()
    assert code == 0


def test_what_the_image_says_of_itself_and_what_is_not_in_it(image: Image) -> None:
    (described,) = json.loads(image.podman("image", "inspect", "watcher").stdout)
    config: dict[str, Any] = described["Config"]
    names = [Path(name).name for name in PRIVATE if name != "watcher.toml"]
    anywhere = [word for name in names for word in ("-o", "-name", name)][1:]
    found = image.run("--user=0:0", "--entrypoint=find", "watcher", "/", "-xdev", "(", *anywhere, ")")

    assert not found.stdout.strip()
    assert "private" not in image.run("--entrypoint=cat", "watcher", "/etc/watcher/watcher.toml").stdout
    assert config["Entrypoint"] == ["tini", "--", "entrypoint"]
    assert config["Cmd"] == ["run"]
    assert config["User"] == "1000:1000"
    assert list(config["Volumes"]) == ["/state"]
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert described["Labels"]["org.opencontainers.image.title"] == "Watcher"
    assert described["Healthcheck"]["Test"] == ["CMD", "healthy"]
    assert image.run("--entrypoint=sh", "watcher", "-c", "watcher --version").stdout.startswith("watcher ")
