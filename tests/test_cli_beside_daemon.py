"""Commands beside a running daemon: it works with the settings that it loaded, and they say so."""

import os
import signal
from pathlib import Path

import pytest
from support.command_scene import Commands
from support.daemon import command
from support.heard import recording
from support.waiting import eventually


@pytest.fixture
def settings(watcher: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have a settings file be the one of all commands and of the daemon; return it."""
    file = tmp_path / "watcher.toml"
    text = f'[api]\nmodel = "small"\n[state]\ndir = "{watcher.state}"\n[[folders]]\npath = "{watcher.folder}"\n'
    file.write_text(text)
    monkeypatch.setenv("WATCHER_CONFIG", str(file))
    monkeypatch.delenv("WATCHER_STATE__DIR")
    return file


def asked_models(watcher: Commands) -> list[str]:
    return [asked.form["model"] for asked in watcher.server.asked if asked.method == "POST"]


def test_again_buys_nothing_with_settings_that_are_not_those_of_the_file_any_more(
    watcher: Commands, settings: Path
) -> None:
    path = recording(watcher.folder / "a.wav")
    with command("run", environ={"WATCHER_CONFIG": str(settings)}) as running:
        running.await_event("job.done")
        pid = running.process.pid
        settings.write_text(settings.read_text().replace("small", "large"))

        refused, document = watcher("again", path)
        said = watcher.said("again", path)[1]
        asked_for, with_model = watcher("again", path, "--model", "medium")
        running.await_event("job.done", model="medium")
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=True)
        eventually(lambda: watcher("status")[1]["data"]["service"]["model"] == "large")
        queued, taken = watcher("again", path)
        running.await_event("job.done", model="large")
        running.stop()

    ((problem,),) = [document["errors"]]
    assert (refused, document["data"]["again"], document["data"]["model"]) == (1, [], "small")
    assert problem["code"] == "settings_not_loaded"
    assert f"the daemon (pid {pid}) works with the settings that it loaded, which ask small" in problem["message"]
    assert str(settings) in problem["message"]
    assert problem["hint"] == (
        f"load them first: kill -HUP {pid}; or have it asked as the daemon would: watcher again {path} --model small"
    )
    assert problem["hint"] in said
    # With a model that was named it is clear what is bought; the rest is said.
    assert (asked_for, with_model["data"]["again"], with_model["data"]["model"]) == (0, [str(path)], "medium")
    assert [error["code"] for error in with_model["errors"]] == ["settings_not_loaded"]
    assert (queued, taken["data"]["model"], taken["errors"]) == (0, "large", [])
    assert asked_models(watcher) == ["small", "medium", "large"]


def test_again_names_the_model_of_the_daemon_where_the_command_has_settings_of_its_own(
    watcher: Commands, settings: Path
) -> None:
    path = recording(watcher.folder / "a.wav")
    with command("run", environ={"WATCHER_CONFIG": str(settings)}) as running:
        running.await_event("job.done")
        code, document = watcher("again", path, "--set", "api.model=large")
        running.await_events("job.done", 2, model="small")
        said = watcher.said("again", path)[1]
        running.stop()

    ((problem,),) = [document["errors"]]
    assert (code, document["data"]["again"], document["data"]["model"]) == (0, [str(path)], "small")
    assert "asks small, not large" in problem["message"]
    assert problem["hint"] == f"watcher again {path} --model large asks for large"
    assert f"1 queued; the daemon (pid {running.process.pid}) transcribes them once more, with small" in said
    assert os.fspath(path) in said
