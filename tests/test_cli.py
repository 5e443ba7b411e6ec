"""The commands: exit codes, the JSON envelope, and what a person reads. In this process where nothing is lost by it."""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.daemon import daemon, invoke
from support.heard import hearing, recording, said
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

from watcher.cli.main import run
from watcher.errors import FileError
from watcher.job import Fingerprint, FoundRecording
from watcher.ledger import open_ledger

Json = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATCHER_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WATCHER_CONFIG", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "state"


@pytest.fixture
def server(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(hearing) as running:
        monkeypatch.setenv("WATCHER_API__URL", running.url)
        yield running


@pytest.fixture
def as_json(capsys: pytest.CaptureFixture[str]) -> Json:
    def call(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, document

    return call


def test_every_envelope_has_the_same_keys_also_when_nothing_was_done(as_json: Json, state: Path) -> None:
    for arguments in (
        ["status"],
        ["status", "--nonsense"],
        ["config", "--set", "api.modle=x"],
        ["retry"],
        ["nonsense"],
    ):
        code, document = as_json(*arguments)

        assert list(document) == ["version", "command", "status", "exit_code", "data", "errors"]
        assert (document["version"], document["exit_code"]) == (1, code)
        assert document["status"] == {0: "ok", 1: "partial"}.get(code, "error")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["status", "--nonsense"], 2, "usage"),
        (["nonsense"], 2, "usage"),
        (["retry"], 2, "usage"),
        (["status", "--set", "api.model"], 2, "usage"),
        (["status", "--set", "api.modle=x"], 3, "config"),
        (["status", "--config", "/nowhere/w.toml"], 3, "config"),
        (["once", "/nowhere/talk.wav", "--set", "api.key=x"], 3, "config"),
        (["once"], 3, "config"),
        (["render", "/nowhere/talk.wav"], 1, "unknown"),
    ],
)
def test_what_cant_be_done_has_its_exit_code_and_a_stable_word(
    as_json: Json, state: Path, arguments: list[str], code: int, error: str
) -> None:
    exit_code, document = as_json(*arguments)

    assert (exit_code, document["errors"][0]["code"]) == (code, error)
    assert document["errors"][0]["message"]


@pytest.mark.parametrize("command", ["status", "once", "check", "config"])
def test_ctrl_c_before_there_is_a_result_still_gives_a_document(
    as_json: Json, state: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"watcher.cli.{command}.configured", interrupt)

    code, document = as_json(command)

    assert (code, document["exit_code"], document["command"]) == (130, 130, command)
    assert document["errors"][0]["code"] == "interrupted"


def test_ctrl_c_while_everything_is_loaded_still_gives_a_document() -> None:
    """The program is interrupted when it imports the settings, long before any of its own handlers stands."""
    script = (
        "import builtins, sys\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *rest, **more):\n"
        "    if name.startswith('watcher.config'):\n"
        "        builtins.__import__ = load\n"
        "        raise KeyboardInterrupt\n"
        "    return load(name, *rest, **more)\n"
        "builtins.__import__ = interrupted\n"
        "sys.argv = ['watcher', 'status', '--json']\n"
        "from watcher.cli import main\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (130, "")
    document = json.loads(done.stdout)
    assert (document["command"], document["exit_code"]) == ("status", 130)


def test_an_error_for_people_is_one_sentence_and_its_remedy_on_stderr(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["status", "--set", "api.modle=x"])

    shown = capsys.readouterr()
    assert (code, shown.out) == (3, "")
    assert shown.err.splitlines() == [
        "watcher: there is no key api.modle (from --set); did you mean api.model?",
        "  -> watcher config --example shows every key",
    ]


def test_status_of_a_daemon_that_never_ran_is_empty_and_ok(as_json: Json, state: Path) -> None:
    code, document = as_json("status")

    assert code == 0
    assert document["data"]["counts"] == {"queued": 0, "running": 0, "done": 0, "failed": 0, "skipped": 0}
    assert document["data"]["service"]["running"] is False
    assert not state.exists()


def test_status_tells_failures_with_reason_and_remedy(as_json: Json, state: Path) -> None:
    state.mkdir()
    ledger = open_ledger(state)
    ledger.queue.put([FoundRecording(b"/in", b"/in/bad\xff.wav", Fingerprint(1, 2), small=True)])
    job = ledger.queue.claim("w", lease=30)
    assert job is not None
    ledger.queue.fail(job, FileError("it is no audio", hint="send audio", reason="undecodable"))
    ledger.close()

    code, document = as_json("status")

    failure = document["data"]["failures"][0]
    assert code == 0
    assert (failure["path"], failure["reason"], failure["message"], failure["hint"]) == (
        "/in/bad\\xff.wav",
        "undecodable",
        "it is no audio",
        "send audio",
    )


def test_once_transcribes_a_folder_and_a_single_file(as_json: Json, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    first, second = recording(folder / "a.wav"), recording(tmp_path / "b.wav")

    code, document = as_json("once", folder, second)

    assert code == 0
    assert {entry["path"] for entry in document["data"]["done"]} == {str(first), str(second)}
    assert first.with_suffix(".txt").read_text().strip() == said(first)
    assert second.with_suffix(".srt").exists()
    assert not tmp_path.joinpath("a.srt").exists()


def test_once_again_costs_nothing_and_says_so(as_json: Json, server: Server, tmp_path: Path) -> None:
    source = recording(tmp_path / "b.wav")
    as_json("once", source)

    code, document = as_json("once", source)

    assert (code, document["data"]["known"], document["data"]["done"]) == (0, [str(source)], [])
    assert len(server.asked) == 1


@pytest.mark.slow
def test_once_ends_with_1_when_a_file_fails_and_names_the_remedy(as_json: Json, server: Server, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.mp3", recording(tmp_path / "good.wav")
    bad.write_text("this is no audio, but somebody called it so")

    code, document = as_json("once", bad, good)
    again, second = as_json("once", bad)

    assert (code, document["status"]) == (1, "partial")
    assert document["data"]["failed"][0]["path"] == str(bad)
    assert document["data"]["failed"][0]["message"]
    assert document["data"]["done"][0]["path"] == str(good)
    assert again == 1
    hint = second["data"]["failed"][0]["hint"]
    assert (".;" in hint, hint.endswith(f", then: watcher retry {bad}")) == (False, True)


def test_once_with_a_wrong_key_ends_with_4_and_leaves_the_files_queued(
    as_json: Json, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = recording(tmp_path / "a.wav")
    refusal = Reply(
        {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}}, status=401
    )
    with serving(lambda _asked: refusal) as refusing:
        monkeypatch.setenv("WATCHER_API__URL", refusing.url)

        code, document = as_json("once", source)

    assert (code, document["errors"][0]["code"], document["data"]["queued"]) == (4, "held", 1)


def test_no_file_is_sent_to_a_public_server_without_a_key(
    as_json: Json, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relays refused it only after the whole upload."""
    source = recording(tmp_path / "a.wav")
    # The proxy stands for the server, which has a public name.
    with serving(hearing) as relay:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{relay.port}")
        monkeypatch.setenv("WATCHER_API__URL", "http://relay.example/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")

        watched = invoke("run", tmp_path, check=False)
        told = {name: as_json(name, tmp_path) for name in ("once", "check")}
        unasked = list(relay.asked)
        monkeypatch.setenv("WATCHER_API__KEY", "any")
        code = as_json("once", source)[0]

    sayings = {name: (code, json.dumps(document)) for name, (code, document) in told.items()}
    for name, (failed, told_of) in {**sayings, "run": (watched.returncode, watched.stderr)}.items():
        assert failed == 3, (name, told_of)
        assert "there is no API key for relay.example" in told_of, (name, told_of)
        assert "set WATCHER_API__KEY" in told_of, (name, told_of)
        assert "--offline" in told_of, (name, told_of)
        assert "if this server wants no key, any word will do" in told_of, (name, told_of)
        assert "OPENAI_API_KEY is set and not used" in told_of, (name, told_of)
    assert unasked == []
    assert (code, len(relay.asked)) == (0, 1)


def test_render_makes_other_formats_without_a_request(as_json: Json, server: Server, tmp_path: Path) -> None:
    source = recording(tmp_path / "a.wav")
    as_json("once", source)
    source.with_suffix(".srt").unlink()

    code, document = as_json("render", source, "--format", "vtt", "--format", "srt")

    assert code == 0
    assert sorted(Path(path).name for path in document["data"]["outputs"]) == ["a.srt", "a.vtt"]
    assert said(source) in source.with_suffix(".vtt").read_text()
    assert len(server.asked) == 1


def test_render_of_a_folder_renders_all_below(as_json: Json, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sources = [recording(folder / f"{number}.wav") for number in range(3)]
    as_json("once", folder)

    code, document = as_json("render", folder, "--format", "json")

    assert (code, len(document["data"]["outputs"])) == (0, 3)
    assert all(source.with_suffix(".json").exists() for source in sources)


@pytest.mark.slow
def test_retry_puts_failed_files_back_beside_a_running_daemon(as_json: Json, state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    broken = [True]

    def script(asked: object) -> Reply:
        if broken[0]:
            return Reply(
                {"error": {"message": "bad", "type": "invalid_request_error", "param": "language", "code": "x"}},
                status=422,
            )
        return hearing(asked)  # type: ignore[arg-type] # a script's argument

    with serving(script) as server, daemon(folder, "--set", f"api.url={server.url}", state=state) as running:
        source = recording(folder / "a.wav")
        running.await_event("job.failed")
        broken[0] = False

        code, document = as_json("retry", source)

        running.await_event("job.done")
        running.stop()
    assert (code, document["data"]["put_back"]) == (0, [str(source)])


def test_retry_of_something_unknown_says_so(as_json: Json, state: Path, tmp_path: Path) -> None:
    state.mkdir()
    open_ledger(state).close()

    code, document = as_json("retry", tmp_path / "a.wav")

    assert (code, document["errors"][0]["code"]) == (1, "unknown")


@pytest.mark.slow
def test_resume_lifts_a_hold_of_a_running_daemon(
    as_json: Json, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    refusal = Reply(
        {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}}, status=401
    )
    broken = [True]
    with (
        serving(lambda asked: refusal if broken[0] else hearing(asked)) as server,
        daemon(folder, "--set", f"api.url={server.url}", state=state) as running,
    ):
        monkeypatch.setenv("WATCHER_API__URL", server.url)
        source = recording(folder / "a.wav")
        running.await_event("gate.held")
        eventually(lambda: "held" in invoke("status", environ={"WATCHER_STATE__DIR": str(state)}).stdout)
        broken[0] = False

        code, document = as_json("resume")

        running.await_event("job.done")
        running.stop()
    assert (code, document["data"]["held"], document["data"]["outcome"]) == (0, True, "open")
    assert source.with_suffix(".srt").exists()


def test_config_shows_origins_and_masks_the_key(as_json: Json, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER_API__KEY", "sk-secret")

    code, document = as_json("config", "--set", "api.model=x")

    settings = document["data"]["settings"]
    assert code == 0
    assert settings["api.key"] == {"value": "**********", "origin": "environment"}
    assert settings["api.model"] == {"value": "x", "origin": "command line"}
    assert settings["api.attempts"]["origin"] == "default"
    assert "sk-secret" not in json.dumps(document)


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@host/db", "postgresql://host/db?user=me&password=hunter2"])
def test_config_hides_the_password_of_the_database(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "--set", f"state.url={url}"]) == 0

    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert "host/db" in shown


def test_config_example_is_toml(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "--example"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["api"]["model"] == "whisper-1"


def test_lint_ends_with_1_when_a_rule_is_broken(as_json: Json, state: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.srt", tmp_path / "bad.srt"
    good.write_text("1\n00:00:01,000 --> 00:00:03,000\nFine.\n")
    bad.write_text("1\n00:00:01,000 --> 00:00:01,100\n" + "far too long " * 20 + "\n")

    assert as_json("lint", good)[0] == 0
    assert as_json("lint", bad, good)[0] == 1
    assert as_json("lint", tmp_path / "none.srt")[0] == 1


def test_check_finds_a_working_set_up_fit(as_json: Json, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()

    code, document = as_json("check", folder, "--paid")

    findings = document["data"]["findings"]
    assert code == 0, findings
    assert {finding["area"] for finding in findings} >= {"settings", "folder", "state", "endpoint"}
    assert any("transcribed a one-second clip" in finding["message"] for finding in findings)
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "state").exists()


def test_check_names_a_folder_s_own_settings_that_are_not_used(as_json: Json, server: Server, tmp_path: Path) -> None:
    below = tmp_path / "in" / "below"
    below.mkdir(parents=True)
    (tmp_path / "in" / ".watcher.toml").write_text('language = "german"\n')
    (below / ".watcher.toml").write_text('language = "de"\n')

    code, document = as_json("check", tmp_path / "in")

    (found,) = [one for one in document["data"]["findings"] if ".watcher.toml" in one["message"]]
    assert (code, found["area"], found["grade"]) == (0, "folder", "warn")
    assert found["message"].startswith(f"{tmp_path}/in/.watcher.toml is not used: ")
    assert "german" in found["message"]


def test_check_names_two_folders_that_are_one_and_a_batch_takes_what_is_in_them_once(
    as_json: Json, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, link = tmp_path / "in", tmp_path / "elsewhere"
    folder.mkdir()
    link.symlink_to(folder)
    recording(folder / "a.wav")
    monkeypatch.setenv("WATCHER_FOLDERS", f'[{{path = "{folder}"}}, {{path = "{link}"}}]')

    code, document = as_json("check")
    batches = [as_json("once")[1]["data"], as_json("once", link)[1]["data"], as_json("once", link / "a.wav")[1]["data"]]

    (found,) = [one for one in document["data"]["findings"] if str(link) in one["message"]]
    assert (code, found["area"], found["grade"]) == (0, "folder", "warn")
    assert found["message"].startswith(f"{link} is the same directory as {folder}: ")
    assert [len(batch["done"]) for batch in batches] == [1, 0, 0]
    assert sorted(path.name for path in folder.iterdir()) == ["a.srt", "a.txt", "a.wav"]


def test_check_finds_a_server_fit_that_takes_wav_alone(
    as_json: Json, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(asked: Asked) -> Reply:
        if asked.method == "POST" and asked.file[0]["content-type"] != "audio/wav":
            return Reply({"error": "Only WAV audio is supported"}, status=400)
        return hearing(asked)

    with serving(script) as running:
        monkeypatch.setenv("WATCHER_API__URL", running.url)
        code, document = as_json("check", "--paid")

    messages = [finding["message"] for finding in document["data"]["findings"]]
    assert code == 0, messages
    assert any("transcribed a one-second clip" in message for message in messages)


def test_check_of_a_dead_server_ends_with_4_and_of_a_missing_folder_with_3(
    as_json: Json, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHER_API__URL", "http://127.0.0.1:1")
    dead, _ = as_json("check")
    monkeypatch.setenv("WATCHER_FOLDERS", f'[{{path = "{tmp_path}/none"}}]')

    missing, document = as_json("check")

    assert (dead, missing) == (4, 3)
    assert all(error["hint"] for error in document["errors"])


def test_the_version_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("watcher 0.")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_status_of_somebody_elses_state_says_how_to_ask(as_json: Json, state: Path) -> None:
    state.mkdir(mode=0o700)
    open_ledger(state).close()
    os.seteuid(65534)
    try:
        code, document = as_json("status")
    finally:
        os.seteuid(0)

    assert (code, document["errors"][0]["code"]) == (4, "state")
    assert "sudo" in document["errors"][0]["hint"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_home_of_somebody_else_is_no_fault_of_the_program(
    as_json: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `sudo -u nobody watcher config` has it: it ended with 70, for the settings file there could not be looked for."""
    tmp_path.chmod(0o700)
    for name, value in {"HOME": str(tmp_path), "WATCHER_CONFIG": "", "XDG_CONFIG_HOME": ""}.items():
        monkeypatch.setenv(name, value)
    as_json("config")
    os.seteuid(65534)
    try:
        code, document = as_json("config")
    finally:
        os.seteuid(0)

    assert (code, document["errors"]) == (0, [])


def test_once_names_folders_that_it_may_not_list(as_json: Json) -> None:
    """It said that there were no recordings, and that all was well."""
    # Not below tmp_path: nobody may not enter that.
    with tempfile.TemporaryDirectory() as temporary:
        base, whole, below = Path(temporary), Path(temporary, "whole"), Path(temporary, "part", "below")
        base.chmod(0o777)
        whole.mkdir()
        below.mkdir(parents=True)
        command = ("once", whole, below.parent, "--config", os.devnull, "--set", "api.url=http://127.0.0.1:9")
        # What is imported for this is imported by root: nobody may not read all of it.
        before = as_json(*command, "--set", f"state.dir={base}/before")
        whole.chmod(0)
        below.chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            code, document = as_json(*command, "--set", f"state.dir={base}/state")
        finally:
            os.seteuid(os.getuid())

    assert (before[0], before[1]["errors"], code) == (0, [], 1)
    assert {(one["code"], one["message"]) for one in document["errors"]} == {
        ("left", f"{path}: not taken, it cannot be read (Permission denied)") for path in (whole, below)
    }


def test_check_names_what_cannot_be_read_below_a_folder(as_json: Json) -> None:
    """`once` said so, and `check` that all is well."""
    # Not below tmp_path: nobody may not enter that.
    with tempfile.TemporaryDirectory() as temporary:
        base, closed, path = Path(temporary), Path(temporary, "closed"), Path(temporary, "a.wav")
        base.chmod(0o777)
        closed.mkdir()
        path.touch()
        command = (
            "check",
            base,
            "--config",
            os.devnull,
            "--set",
            f"state.dir={base}/state",
            "--set",
            "api.url=http://127.0.0.1:9",
        )
        # What is imported for this is imported by root: nobody may not read all of it.
        before = as_json(*command)[1]["data"]["findings"]
        closed.chmod(0)
        path.chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            after = as_json(*command)[1]["data"]["findings"]
        finally:
            os.seteuid(os.getuid())

    said = {one["message"]: (one["grade"], one["hint"]) for one in after}
    grade, hint = said[f"{closed} cannot be read: Permission denied"]
    assert (grade, "let the user that Watcher runs as list it" in hint) == ("warn", True)
    assert said[f"{path} cannot be read: Permission denied"][0] == "warn"
    assert not [one for one in before if "cannot be read" in one["message"]]
