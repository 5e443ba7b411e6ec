"""What the image and compose.yaml say, as far as no container is needed to try it."""

import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.daemon import daemon, invoke
from support.scripted import Reply, sequence, serving

from watcher.config import Settings, load

REPOSITORY = Path(__file__).resolve().parents[1]
CONTAINER = REPOSITORY / "container"
CONTAINERFILE = (REPOSITORY / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())


def healthy(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run the command of HEALTHCHECK."""
    command = [sys.executable, "-IS", str(CONTAINER / "healthy"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_health_is_asked_wherever_the_daemon_listens(folder: Path, tmp_path: Path) -> None:
    """At a socket, at loopback, and at an address that other machines reach, which knows the names of the settings alone."""
    hosts = '["watcher", "localhost"]'
    for listen in (str(tmp_path / "http.sock"), "127.0.0.1:0", "0.0.0.0:0"):
        settings = (
            "--set",
            f"http.listen={listen}",
            "--set",
            f"http.hosts={hosts}",
            "--set",
            "api.url=http://127.0.0.1:9",
        )
        with daemon(folder, *settings, state=tmp_path / "state") as running:
            address = running.await_event("http.listening")["address"].removeprefix("http://")
            running.await_event("service.ready")
            done = healthy(WATCHER_HTTP__LISTEN=address, WATCHER_HTTP__HOSTS=hosts)
            stranger = healthy(WATCHER_HTTP__LISTEN=address, WATCHER_HTTP__HOSTS='["other"]')
        assert (done.returncode, done.stdout) == (0, "ok\n"), listen
        assert stranger.returncode == (0 if listen.startswith("/") else 1)
        assert healthy(WATCHER_HTTP__LISTEN=address).returncode == 1, "it has ended"


def test_what_is_not_well_or_no_answer_is_an_error_and_says_why() -> None:
    with serving(sequence(Reply("finder hangs\n", status=503))) as server:
        done = healthy(f"127.0.0.1:{server.port}", "/v1/models")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = healthy(WATCHER_HTTP__LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")

    assert (done.returncode, done.stdout) == (1, "finder hangs\n")
    assert server.asked[0].path == "/v1/models"
    assert nobody.returncode == 1
    assert "cannot be asked" in nobody.stdout
    assert healthy().returncode == 1


def test_the_program_gets_its_words_and_a_umask(tmp_path: Path) -> None:
    program = tmp_path / "watcher"
    program.write_text('#!/bin/sh\numask; printf "%s," "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"

    for given, mask in (({}, "0002"), ({"UMASK": "027"}, "0027")):
        entrypoint = [str(CONTAINER / "entrypoint"), "run", "a b"]
        done = subprocess.run(entrypoint, env={"PATH": path, **given}, capture_output=True, text=True, check=True)
        assert done.stdout == f"{mask}\nrun,a b,"


def settings_of(environ: dict[str, str]) -> Settings:
    """Return the settings of a container with this environment, which the image's own file belongs to."""
    return load(file=CONTAINER / "watcher.toml", environ=environ).settings


def test_the_settings_of_the_image_are_settings() -> None:
    said = dict(re.findall(r"^\s+(?:ENV )?(WATCHER_\w+)=(\S+?)(?: \\)?$", CONTAINERFILE, re.MULTILINE))
    settings = settings_of(said)

    assert len(said) == 2
    assert [folder.path for folder in settings.folders] == ["/recordings"]
    assert (settings.state.dir, settings.http.listen) == ("/state/watcher", "127.0.0.1:9464")
    # Where the health is asked is in the environment; a file that is mounted over this one does not change that.
    assert set(tomllib.loads((CONTAINER / "watcher.toml").read_text())) == {"folders"}


def test_each_service_of_compose_is_set_up_as_it_says() -> None:
    services = COMPOSE["services"]
    settings = settings_of(services["watcher"]["environment"])
    for name, service in services.items():
        mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
        settings_of(service["environment"])
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert "/state" in mounted.values()
        assert all(volume.startswith("./") or volume in COMPOSE["volumes"] for volume in mounted), name

    # Without a key: the server is one in the own network, by its name.
    assert settings.api.url == "http://whisper:8000/v1"
    assert int(services["watcher"]["stop_grace_period"].removesuffix("s")) > settings.service.drain_seconds + 10
    assert services["whisper"]["command"] == ["engine", "--address", "0.0.0.0"]
    assert "--address" in invoke("engine", "--help").stdout


def test_the_image_is_made_of_named_files_that_reach_the_builder() -> None:
    """A bare COPY of everything would take along keys, recordings and the history of git."""
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    names = {name.split("/")[0] for line in copied for name in line.split()}
    ignored = (REPOSITORY / ".containerignore").read_text().splitlines()

    assert names == {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert (REPOSITORY / ".dockerignore").resolve() == (REPOSITORY / ".containerignore").resolve()
    assert not re.search(r"^ADD ", CONTAINERFILE, re.MULTILINE)
    for instruction in ("ENTRYPOINT", "CMD"):
        assert re.search(rf"^{instruction} \[", CONTAINERFILE, re.MULTILINE), (
            "a shell would be process 1, and keep SIGTERM"
        )
