"""`watcher resume`: the daemon reads its settings anew, tries, and the command tells what came of it."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.command_scene import commands
from support.daemon import command, daemon, invoke
from support.heard import hearing, recording
from support.scripted import Asked, Reply, serving
from support.sidecar_scene import fingerprint

from watcher.cli import resume as resume_command
from watcher.config import Config, Surroundings, load
from watcher.errors import AccountError
from watcher.gate.hold import hold_for
from watcher.job import FoundRecording
from watcher.ledger.sqlite import NAME
from watcher.service.advice import HoldAdvice, RunContext, place_of
from watcher.service.endpoint_plan import endpoint_of


@pytest.mark.slow
def test_a_wrong_key_is_cured_by_another_one_in_the_settings_and_resume_and_the_outcome_is_reported(
    tmp_path: Path,
) -> None:
    folder, state, settings = tmp_path / "in", tmp_path / "state", tmp_path / "watcher.toml"
    folder.mkdir()
    source = recording(folder / "talk.wav")

    def script(asked: Asked) -> Reply:
        if asked.headers.get("Authorization") == "Bearer sk-right-key":
            return hearing(asked)
        return Reply({"error": {"message": "Wrong key", "code": "invalid_api_key"}}, status=401)

    def resumed(*options: str) -> tuple[int, dict[str, Any], dict[str, dict[str, str]]]:
        ended = invoke("resume", "--json", "--set", f"state.dir={state}", *options, check=False)
        document = json.loads(ended.stdout)
        return ended.returncode, document["data"], {error["code"]: error for error in document["errors"]}

    with serving(script) as server:

        def write(key: str) -> None:
            settings.write_text(
                f'[api]\nurl = "{server.url}"\nkey = "{key}"\n[state]\ndir = "{state}"\n[[folders]]\npath = "{folder}"\n'
            )

        write("sk-wrong-key")
        with command("run", "--config", settings) as running:
            held = running.await_event("gate.held")
            released = running.await_event("job.released")
            running.await_event("service.ready")

            still = resumed("--config", str(settings))
            to_people = invoke("resume", "--config", settings, check=False)
            settings.write_text("[api")
            # Nothing is wrong with what the command itself is given.
            refused = resumed()
            write("sk-right-key")
            told = invoke("resume", "--config", settings)
            running.await_event("job.done", path=str(source))
            nothing = resumed("--config", str(settings))
            settings.write_text("[api")
            unread = resumed()
            write("sk-right-key")
            read = resumed()

            assert running.stop() == 0
    remedy = f"put the right key into {settings}, then watcher resume"
    assert held["hint"] == released["hint"] == remedy
    code, data, errors = still
    assert (code, data["held"], data["outcome"], data["settings_refused"]) == (4, True, "held", None)
    assert "Wrong key" in errors["held"]["message"]
    assert errors["held"]["hint"] == remedy
    assert to_people.returncode == 4
    assert to_people.stderr.count("Wrong key") == 1
    code, data, errors = refused
    assert (code, data["outcome"], set(errors)) == (4, "held", {"config", "held"})
    assert "not valid TOML" in errors["config"]["message"]
    assert "it works" in told.stdout
    assert "trying again; until now:" in told.stderr
    assert (nothing[0], nothing[1]["held"], nothing[1]["outcome"]) == (0, False, "open")
    # Settings are read though nothing is held.
    assert (unread[0], unread[1]["held"], set(unread[2])) == (3, False, {"config"})
    assert "not valid TOML" in unread[1]["settings_refused"]
    assert (read[0], read[1]["settings_refused"]) == (0, None)


@pytest.mark.slow
def test_a_limit_of_the_operators_own_is_reported_by_all_commands_where_an_old_hold_cannot_be_probed_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = False

    def script(asked: Asked) -> Reply:
        refusal = {"error": {"message": "no money", "code": "insufficient_quota"}}
        return Reply(refusal, status=402) if empty else hearing(asked)

    with commands(tmp_path, monkeypatch, capsys, script) as batch:
        recording(batch.folder / "1.wav", seconds=30)
        assert batch("once", batch.folder)[0] == 0
        empty = True
        recording(batch.folder / "2.wav", seconds=30)
        assert batch("once", batch.folder)[1]["errors"][0]["code"] == "held"
        asked = len(batch.server.asked)
        monkeypatch.setenv("WATCHER_API__DAILY_MINUTES", "0.9")

        code, document = batch("once", batch.folder)
        shown = batch("status")[1]["data"]["gate"]
        resumed = batch.said("resume")
        after = batch("status")[1]["data"]["gate"]

    assert (code, len(batch.server.asked)) == (4, asked)
    (problem,) = document["errors"]
    assert "api.daily_minutes is reached: 0.9 minutes of audio a day" in problem["message"]
    assert problem["hint"] == "raise api.daily_minutes; or wait for midnight"
    assert (shown["reason"], shown) == ("budget", after)
    assert resumed[0] == 0
    assert "resume does not lift this: api.daily_minutes is reached" in resumed[1]
    assert "raise api.daily_minutes; or wait for midnight" in resumed[1]


@pytest.mark.slow_if("4.0-told0")
@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (4.0, ("the file to try with is due in", "it works: the queue goes on")),
        (7199.0, ("the next one, in 1 h 59 min, shows whether it works",)),
    ],
)
def test_a_delayed_file_that_is_due_soon_is_what_resume_waits_for_and_a_later_one_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    told: tuple[str, ...],
) -> None:
    """After two crashes a recording is delayed by ten seconds, and it is the one to try with."""
    # Shorter than the second after which a daemon reports again: it is its report that is waited for.
    monkeypatch.setattr(resume_command, "_STILL", 0.3)
    with commands(tmp_path, monkeypatch, capsys) as batch:
        source = recording(batch.folder / "talk.wav")
        with batch.ledger() as ledger:
            ledger.queue.put([FoundRecording(os.fsencode(batch.folder), os.fsencode(source), fingerprint(source))])
            job = ledger.queue.claim("test", lease=30)
            assert job is not None
            ledger.queue.release(job, run_at=time.time() + 7200.0)
            hold = hold_for(AccountError("wrong key", reason="key"), since=time.time())
            endpoint = endpoint_of(load(environ=dict(os.environ)).settings).name
            ledger.memory.remember(f"gate:{endpoint}", hold.record(next_probe=0.0))
        with daemon(batch.folder, state=batch.state) as running:
            running.await_event("service.ready")
            # From now on, as the start may take longer than that.
            with closing(sqlite3.connect(batch.state / NAME)) as database, database:
                database.execute("UPDATE sources SET run_at = ?", (time.time() + seconds,))

            code, said = batch.said("resume")

            assert running.stop() == 0
    assert code == 0
    assert [part for part in told if part not in said] == []


def test_a_daemon_that_has_only_just_started_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with commands(tmp_path, monkeypatch, capsys) as batch, batch.ledger() as ledger:
        hold = hold_for(AccountError("wrong key", reason="key"), since=time.time())
        endpoint = endpoint_of(load(environ=dict(os.environ)).settings).name
        ledger.memory.remember(f"gate:{endpoint}", hold.record(next_probe=0.0))

        def tell(_seconds: float) -> None:
            ledger.memory.remember("service", {"gate": {"status": "open"}, "resumed": {"number": 1, "outcome": "open"}})

        monkeypatch.setattr(time, "sleep", tell)

        code, document = batch("resume")

    assert (code, document["data"]["outcome"]) == (0, "open")


def test_a_pause_is_reported_in_the_place_of_the_refusal_that_another_model_has_ended(tmp_path: Path) -> None:
    folder, state, settings = tmp_path / "in", tmp_path / "state", tmp_path / "watcher.toml"
    folder.mkdir()
    recording(folder / "talk.wav")

    def script(asked: Asked) -> Reply:
        if asked.form["model"] == "whisper-1":
            refusal = {"error": {"message": "该令牌无权访问模型 whisper-1", "type": "new_api_error"}}
            return Reply(refusal, status=400)
        return Reply({"error": {"message": "slow down"}}, status=429, headers=[("Retry-After", "600")])

    with serving(script) as server:

        def write(model: str) -> None:
            settings.write_text(
                f'[api]\nurl = "{server.url}"\nkey = "sk-right-key"\nmodel = "{model}"\n'
                f'[state]\ndir = "{state}"\n[[folders]]\npath = "{folder}"\n'
            )

        write("whisper-1")
        with command("run", "--config", settings) as running:
            running.await_event("gate.held")
            running.await_event("job.released")
            running.await_event("service.ready")
            write("whisper-large")

            resumed = invoke("resume", "--config", settings)
            shown = invoke("status", "--config", settings)

            assert running.stop() == 0
        stored = json.loads(invoke("status", "--json", "--config", settings, check=False).stdout)["data"]["gate"]
    assert "takes nothing now" in resumed.stdout
    assert "slow down" in " ".join(resumed.stdout.split())
    assert "无权访问" not in resumed.stdout + shown.stdout
    assert (stored["status"], "slow down" in stored["message"]) == ("paused", True)


def config(tmp_path: Path, *, environ: dict[str, str] | None = None, key: str = "") -> Config:
    file = tmp_path / "watcher.toml"
    file.write_text(f'[api]\nkey = "{key}"\n' if key else "")
    return load(environ={"HOME": str(tmp_path), **(environ or {})}, file=file)


def test_the_remedy_for_a_wrong_key_is_the_way_by_which_the_key_came_to_the_process(tmp_path: Path) -> None:
    hint = "check api.key (WATCHER_API__KEY), then watcher resume"
    variable = {"WATCHER_API__KEY": "sk-wrong-key"}
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "api_key").write_text("sk-wrong-key")
    secret = tmp_path / "secret"
    secret.write_text("sk-wrong-key")
    from_variable = config(tmp_path, environ=variable)
    from_credential = config(tmp_path, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    from_key_file = config(tmp_path, environ={"WATCHER_API__KEY_FILE": str(secret)})
    from_file = config(tmp_path, key="sk-wrong-key")

    def told(place: RunContext, config: Config) -> str:
        return HoldAdvice(place, "/opt/watcher/bin/watcher").about("key", hint, config)

    file = tmp_path / "watcher.toml"
    assert told(RunContext.TERMINAL, from_file) == f"put the right key into {file}, then watcher resume"
    assert told(RunContext.TERMINAL, from_key_file) == f"put the right key into {secret}, then watcher resume"
    assert told(RunContext.SYSTEM_SERVICE, from_file) == (
        f"put the right key into {file}, then sudo /opt/watcher/bin/watcher resume"
    )
    assert told(RunContext.BATCH, from_file) == f"put the right key into {file}"
    assert told(RunContext.TERMINAL, from_variable) == (
        "end it with Ctrl-C, set the right key (export WATCHER_API__KEY=…) and start it again"
    )
    assert told(RunContext.BATCH, from_variable) == "set the right key (export WATCHER_API__KEY=…) and run it again"
    assert told(RunContext.SYSTEM_SERVICE, from_credential) == (
        "put the right key into the unit's credential api_key, then sudo systemctl restart watcher"
    )
    assert told(RunContext.USER_SERVICE, from_credential) == (
        "put the right key into the unit's credential api_key, then systemctl --user restart watcher"
    )
    assert told(RunContext.USER_SERVICE, from_variable) == (
        "put the right key into the unit (api.key), then systemctl --user restart watcher"
    )


def test_other_remedies_name_the_command_that_works_here_and_a_batch_is_reported_no_daemon(tmp_path: Path) -> None:
    hint, settings = "top up the account or raise its limit, then watcher resume", config(tmp_path)

    told = {place: HoldAdvice(place, "/opt/bin/watcher").about("quota", hint, settings) for place in RunContext}

    again = {place: HoldAdvice(place, "/opt/bin/watcher").about("quota", told[place], settings) for place in RunContext}
    assert told == again
    assert told == {
        RunContext.TERMINAL: hint,
        RunContext.USER_SERVICE: hint,
        RunContext.SYSTEM_SERVICE: "top up the account or raise its limit, then sudo /opt/bin/watcher resume",
        RunContext.BATCH: "top up the account or raise its limit",
    }


def test_a_service_is_reported_from_a_terminal_and_a_users_from_the_systems() -> None:
    places = [
        place_of(Surroundings.of(environ))
        for environ in (
            {},
            {"NOTIFY_SOCKET": "/run/systemd/notify"},
            {"NOTIFY_SOCKET": f"/run/user/{os.getuid()}/systemd/notify"},
        )
    ]

    assert places == [RunContext.TERMINAL, RunContext.SYSTEM_SERVICE, RunContext.USER_SERVICE]
