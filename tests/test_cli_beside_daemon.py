"""Commands beside a running daemon: it works with the settings that it loaded, and they say so."""

import os
import signal
from pathlib import Path

import pytest
from support.command_scene import Commands, commands
from support.daemon import command, daemon
from support.heard import hearing, recording
from support.scripted import Asked, Reply
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


@pytest.mark.slow
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
        f"load them first: kill -HUP {pid}; or ask the daemon's model: watcher again {path} --model small"
    )
    assert problem["hint"] in said
    # With a model that was named it is clear what is bought; the rest is said.
    assert (asked_for, with_model["data"]["again"], with_model["data"]["model"]) == (0, [str(path)], "medium")
    ((beside,),) = [with_model["errors"]]
    assert (beside["code"], str(settings) in beside["message"]) == ("settings_not_loaded", True)
    # It was queued: whoever is told to ask for it once more pays twice.
    assert beside["hint"] == f"to load them for what comes next: kill -HUP {pid}"
    assert (queued, taken["data"]["model"], taken["errors"]) == (0, "large", [])
    assert asked_models(watcher) == ["small", "medium", "large"]


@pytest.mark.slow
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


def test_what_is_queued_beside_a_daemon_that_is_held_is_said_to_wait_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both commands promised a transcription at once."""
    refusals = {
        "broken": Reply(
            {"error": {"message": "The audio file could not be decoded", "code": "invalid_audio"}}, status=400
        ),
        "key": Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401),
    }
    now: list[str] = []

    def script(asked: Asked) -> Reply:
        return refusals[now[-1]] if now else hearing(asked)

    with commands(tmp_path, monkeypatch, capsys, script) as batch:
        done = recording(batch.folder / "done.wav")
        batch("once", done)
        now.append("broken")
        failed = recording(batch.folder / "failed.wav")
        batch("once", failed)
        now.append("key")
        recording(batch.folder / "new.wav")
        with daemon(batch.folder, state=batch.state) as running:
            running.await_event("gate.held")
            # The hold is stored before the daemon tells of itself.
            eventually(lambda: batch("status")[1]["data"]["service"]["started"])
            eventually(lambda: batch("status")[1]["data"]["gate"]["status"] == "held")
            again, retried = batch.said("again", done), batch.said("retry", failed)
            running.stop()

    assert (again[0], retried[0]) == (0, 0)
    waits = "the queue waits: held since "
    assert "transcribes them once more, with whisper-1 " + waits in again[1]
    assert "1 put back " + waits in retried[1]
    assert all("Incorrect API key provided" in said and "next try " in said for _, said in (again, retried))


@pytest.mark.parametrize("command", ["again", "render", "retry"])
def test_a_file_outside_the_folders_of_the_daemon_gets_a_hint_that_helps(watcher: Commands, command: str) -> None:
    """It named `status`, `check` and a touch, and none of them does anything for such a file."""
    inside, outside = recording(watcher.folder / "a.wav"), recording(watcher.folder.with_name("b.wav"))
    with watcher.ledger() as daemon_of_ours:
        daemon_of_ours.memory.remember("service", {"pid": os.getpid(), "folders": [{"path": str(watcher.folder)}]})

        hints = {path: watcher(command, path)[1]["errors"][0] for path in (inside, outside)}

    assert f"touch {inside} makes the daemon take" in hints[inside]["hint"]
    assert f"lies in no folder that the daemon (pid {os.getpid()}) watches" in hints[outside]["message"]
    assert f"or stop the daemon, then: watcher once {outside}, and start" in hints[outside]["hint"]


@pytest.mark.slow
def test_a_limit_that_was_raised_in_the_settings_is_reported_beside_the_hold_until_they_are_loaded(
    watcher: Commands, settings: Path
) -> None:
    settings.write_text(settings.read_text().replace("[state]", "daily_minutes = 0.02\n[state]"))
    for number in range(3):
        recording(watcher.folder / f"{number}.wav", seconds=1, seed=number)
    with command("run", environ={"WATCHER_CONFIG": str(settings)}) as running:
        hint = running.await_event("gate.held")["hint"]
        eventually(lambda: watcher("status")[1]["data"]["service"]["started"])
        settings.write_text(settings.read_text().replace("0.02", "60"))
        ((problem,),) = [watcher("status")[1]["data"]["problems"]]
        checked = watcher.said("status", "--check")
        running.stop()
    stopped = watcher.said("status")[1]
    untried = watcher.said("resume")[1]
    with command("run", environ={"WATCHER_CONFIG": str(settings)}) as running:
        running.await_events("job.done", 2)
        running.stop()

    assert hint == "raise api.daily_minutes, then watcher resume; or wait for midnight"
    assert (problem["path"], problem["message"]) == (str(settings), "these settings changed and are not in use yet")
    assert checked[0] == 1
    assert f"{settings}: these settings changed and are not in use yet" in checked[1]
    assert "the next start uses the settings, which now say: 60 minutes a day Start it:" in stopped
    # It was just tried.
    assert "then watcher resume" not in untried


@pytest.mark.slow
def test_a_limit_that_holds_the_queue_is_lifted_by_its_remedy(watcher: Commands, settings: Path) -> None:
    settings.write_text(settings.read_text().replace("[state]", "daily_minutes = 0.02\n[state]"))
    for number in range(3):
        recording(watcher.folder / f"{number}.wav", seconds=1, seed=number)
    with command("run", environ={"WATCHER_CONFIG": str(settings)}) as running:
        running.await_event("gate.held")
        settings.write_text(settings.read_text().replace("0.02", "60"))
        code, document = watcher("resume")
        running.await_events("job.done", 3)
        running.stop()

    assert (code, document["data"]["outcome"]) == (0, "open")
