"""What `watcher status` says of what a person has to do: hints that can be followed as they stand."""

import os
import time
from pathlib import Path

import pytest
from support.command_scene import Commands
from support.daemon import daemon
from support.heard import recording

from watcher.config import digest
from watcher.job import Fingerprint, FoundRecording
from watcher.ledger.suspects import CRASHED
from watcher.ledger.values import ENDPOINT


def test_what_failed_in_crashes_names_the_command_with_its_path(watcher: Commands) -> None:
    path = watcher.folder / "a b.wav"
    with watcher.ledger() as ledger:
        ledger.queue.put([FoundRecording(os.fsencode(watcher.folder), os.fsencode(path), Fingerprint(1, 2))])
        job = ledger.queue.claim("test", lease=30)
        assert job is not None
        ledger.queue.fail(job, CRASHED)

    assert f"watcher retry '{path}'` tries" in watcher("status")[1]["data"]["failures"][0]["hint"]
    assert f"watcher retry '{path}'` tries" in watcher.said("status")[1]


def test_equal_files_of_a_held_queue_wait_for_the_same_and_none_before_the_server_is_asked(watcher: Commands) -> None:
    """One of them had the last probe, so it lets the others go first."""
    held = {"status": "held", "message": "no money", "sentence": "held: no money", "next_probe": time.time() + 120.0}
    with watcher.ledger() as ledger:
        for name in ("a.wav", "b.wav"):
            path = os.fsencode(watcher.folder / name)
            ledger.queue.put([FoundRecording(os.fsencode(watcher.folder), path, Fingerprint(1, 2))])
        job = ledger.queue.claim("test", lease=30)
        assert job is not None
        ledger.queue.release(job, run_at=time.time() + 60.0)
        ledger.memory.remember(ENDPOINT, {"name": "h/v1", "party": ""})
        ledger.memory.remember("gate:h/v1", held)
        ledger.memory.remember("service", {"pid": os.getpid(), "folders": [], "problems": [], "gate": held})
        beside = watcher("status")[1]["data"]["waiting"]
    alone = watcher("status")[1]["data"]["waiting"]

    assert [(one["state"], one["reason"]) for one in beside] == [("delayed", "held"), ("ready", "held")]
    assert beside[0]["until"] == beside[1]["until"]
    assert [(one["state"], one["reason"], one["until"]) for one in alone] == [
        ("delayed", "not_running", None),
        ("ready", "not_running", None),
    ]


def test_settings_that_are_broken_are_to_be_corrected_before_a_reload(watcher: Commands, tmp_path: Path) -> None:
    file = tmp_path / "watcher.toml"
    for content in (b"[api\n", b'[api]\nmodel = "caf\xe9"\n'):
        file.write_bytes(content)
        settings = {"file": str(file), "digest": digest(b""), "refused": "", "refused_digest": ""}
        with watcher.ledger() as ledger:
            ledger.memory.remember("service", {"pid": os.getpid(), "settings": settings})
            code, document = watcher("status", "--config", file)

        (problem,) = document["data"]["problems"]
        assert code == 3
        assert problem["path"] == str(file)
        assert problem["hint"] == f"correct them first, then: kill -HUP {os.getpid()}"


def test_several_faults_of_the_settings_are_distinguished_and_each_once(watcher: Commands, tmp_path: Path) -> None:
    """They were joined by a blank, and stood in the line of a monitor twice."""
    file = tmp_path / "watcher.toml"
    file.write_text(f'[state]\ndir = "{watcher.state}"\n[hooks]\non_done = 5\n[api]\nmodel = 7\n')
    refused = "api.model = 7 is wrong\nhooks.on_done = 5 is wrong"
    met = digest(file.read_bytes())
    settings = {"file": str(file), "digest": digest(b""), "refused": refused, "refused_digest": met}
    with watcher.ledger() as ledger:
        ledger.memory.remember("service", {"pid": os.getpid(), "settings": settings})

        checked = watcher.said("status", "--check", "--config", file)[1]
        shown = watcher.said("status", "--config", file)[1]

    assert (checked.count("on_done = 5 is wrong"), shown.count("on_done = 5 is wrong")) == (1, 1)
    assert f"(in {file}); " in checked


def test_a_folder_that_is_left_out_is_not_said_to_be_ready(watcher: Commands, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(watcher.folder)

    with daemon(watcher.folder, link, state=watcher.state) as running:
        ready = running.await_event("service.ready")

    assert ready["folders"] == [watcher.folder.name]


@pytest.mark.parametrize("there", [False, True])
def test_check_says_of_a_folder_what_run_says(watcher: Commands, tmp_path: Path, *, there: bool) -> None:
    path = tmp_path / "it's none"
    if there:
        recording(path)

    code, ran = watcher.said("run", path)
    checked, document = watcher("check", path)

    (finding,) = [one for one in document["data"]["findings"] if one["area"] == "folder"]
    assert (code, checked) == (3, 3)
    assert ran == f"watcher: {finding['message']} -> {finding['hint']}"


def test_a_relative_state_directory_is_said_as_a_whole_path(
    watcher: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert watcher("status", "--set", "state.dir=there")[1]["data"]["state"]["directory"] == str(tmp_path / "there")
