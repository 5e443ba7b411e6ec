"""`watcher check`: the service's unit as an administrator sees it, folders, and what the server showed."""

import json
import os
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from support.command_scene import Commands
from support.daemon import invoke
from support.mounts import mounted, needs_fuse, unanswered
from support.scripted import Reply, serving

from watcher.config import load
from watcher.doctor.examine import examine
from watcher.doctor.findings import Finding, Grade, text
from watcher.doctor.unit import SystemdUnit, installed, parsed
from watcher.folding import fold
from watcher.status import live

SHOWN = """\
# /etc/systemd/system/watcher.service
[Unit]
Description=Watcher
[Service]
# LoadCredential=api_key:/comment
ExecStart=/opt/watcher/bin/watcher run
User=watcher
Environment=WATCHER_CONFIG=/etc/watcher/watcher.toml
Environment="GREETING=two words"
LoadCredential=api_key:/etc/watcher/api_key
LoadCredential=pgpass:/etc/watcher/pgpass
ProtectSystem=strict
ReadWritePaths=/srv/old
Restart=on-failure

# /etc/systemd/system/watcher.service.d/folders.conf
[Service]
ReadWritePaths=
ReadWritePaths=/srv/recordings \\
  -/mnt/recorder
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def unit(tmp_path: Path) -> SystemdUnit:
    return replace(parsed(SHOWN), running=tmp_path / "run")


def test_the_last_word_counts_and_an_empty_one_takes_back(unit: SystemdUnit) -> None:
    said = [value for key, value in unit.assigned() if key == "ReadWritePaths"]

    assert [value.split() for value in said] == [["/srv/recordings", "-/mnt/recorder"]]


def test_the_key_is_the_running_service_s_else_the_file_the_unit_names(unit: SystemdUnit, tmp_path: Path) -> None:
    assert unit.key("api") is None
    named = tmp_path / "named"
    named.write_text("sk-named")
    unit = replace(unit, lines=(*unit.lines, ("LoadCredential", f"api_key:{named}")))
    assert unit.key("api") == named

    unit.running.mkdir()
    (unit.running / "api_key").write_text("sk-running")
    assert unit.key("api") == unit.running / "api_key"


def test_the_recipe_runs_a_command_inside_the_walls(unit: SystemdUnit) -> None:
    argv = shlex.split(unit.recipe(["/opt/watcher/bin/watcher", "check"]))

    assert argv[0] == "systemd-run"
    assert argv[-2:] == ["/opt/watcher/bin/watcher", "check"]
    assert "User=watcher" in argv
    assert "LoadCredential=api_key:/etc/watcher/api_key" in argv
    assert 'Environment="GREETING=two words"' in argv
    assert not [word for word in argv if word.startswith(("Exec", "Restart"))]
    assert all(len(line) < 78 for line in unit.recipe(["watcher", "check"]).splitlines())


def test_without_systemd_there_is_no_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert installed() is None


def check(
    unit: SystemdUnit, tmp_path: Path, credential: Callable[[str], Path | None] | None = None
) -> dict[str, tuple[Grade, str]]:
    given = {"state": {"dir": str(tmp_path / "state")}, "api": {"url": "http://127.0.0.1:1"}}
    config = load(given, environ={}, credential=credential)
    found = examine(config, paid=False, supervised=False, unit=unit, command=["watcher", "check"])
    return {f"{finding.area} {number}": (finding.grade, text(finding)) for number, finding in enumerate(found)}


def test_root_is_reported_whose_key_it_is_and_how_to_ask_as_the_service(unit: SystemdUnit, tmp_path: Path) -> None:
    unit.running.mkdir()
    (unit.running / "api_key").write_text("sk-running")
    found = check(unit, tmp_path, unit.key)

    grade, line = found["unit 1"]
    assert grade is Grade.OK
    assert str(unit.key("api")) in line
    grade, line = found["unit 2"]
    assert grade is Grade.WARN
    assert "systemd-run" in line
    assert any(name.startswith("endpoint") for name in found)


def test_an_encrypted_key_of_a_stopped_service_is_no_missing_key(unit: SystemdUnit, tmp_path: Path) -> None:
    cred = "/etc/watcher/api_key.cred"
    found = check(replace(unit, lines=(*unit.lines, ("LoadCredentialEncrypted", f"api_key:{cred}"))), tmp_path)

    grade, line = found["unit 1"]
    assert grade is Grade.WARN
    assert f"systemd-creds decrypt --name=api_key {cred} -" in line
    assert not any(name.startswith("endpoint") for name in found)
    assert all(grade is not Grade.FAIL for grade, _ in found.values())


def test_root_is_told_of_the_key_of_each_endpoint(unit: SystemdUnit, tmp_path: Path) -> None:
    for name in ("plain", "elsewhere"):
        (tmp_path / name).mkdir()
    relay, studio = tmp_path / "plain" / "relay", tmp_path / "elsewhere" / "studio.key"
    relay.write_text("sk-relay")
    studio.write_text("sk-studio")
    lines = (
        *unit.lines,
        ("LoadCredential", f"api_key.relay:{relay}"),
        ("LoadCredential", f"api_key.studio:{studio}"),
        ("LoadCredentialEncrypted", "api_key.cloud:/etc/watcher/cloud.cred"),
    )
    unit = replace(unit, lines=lines)
    endpoints = {name: {"url": "http://127.0.0.1:1"} for name in ("relay", "studio", "cloud")}
    config = load({"state": {"dir": str(tmp_path / "state")}, "endpoints": endpoints}, environ={}, credential=unit.key)

    findings = list(examine(config, paid=False, supervised=False, unit=unit, command=["watcher", "check"]))

    assert [server.key.get_secret_value() for server in config.settings.servers.values()] == [
        "sk-relay",
        "sk-studio",
        "",
    ]
    said = [(finding.endpoint, finding.message) for finding in findings if finding.area == "unit"]
    assert said[:2] == [
        ("relay", f"relay: the key is the service's ({relay})"),
        ("studio", f"studio: the key is the service's ({studio})"),
    ]
    assert said[2][1].startswith("cloud: the key is encrypted (/etc/watcher/cloud.cred), and only the running service")
    (hint,) = [finding.hint for finding in findings if finding.endpoint == "cloud"]
    assert "systemd-creds decrypt --name=api_key.cloud /etc/watcher/cloud.cred -" in hint
    asked = {finding.endpoint for finding in findings if finding.area == "endpoint"}
    assert asked == {"relay", "studio"}


def test_a_recipe_can_be_pasted_from_a_narrow_terminal(unit: SystemdUnit) -> None:
    recipe = unit.recipe(["/opt/watcher/bin/watcher", "check"])

    assert fold(f"      -> as the service:\n{recipe}", 40).partition("\n")[2] == recipe


WIDE = "watcher: held since 08:00:00: 无效的令牌，该令牌额度已用尽 (HTTP 401); check api.key, then watcher resume"


@pytest.mark.parametrize("width", [20, 33, 40, 60, 80])
def test_no_line_is_wider_than_the_terminal_also_with_characters_of_two_columns(width: int) -> None:
    lines = fold(f"  -> {WIDE}", width).split("\n")

    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(f"->{WIDE}".split())
    assert all(line.startswith("     ") for line in lines[1:])
    assert not any(line.lstrip().startswith(("，", ")")) for line in lines)


@pytest.mark.parametrize(
    "text", ["", "  ", "a  b", "  -> one two", "x" * 50, "/srv/录音/" + "长" * 50, "表" * 9, "é́́" * 30]
)
def test_what_fits_stays_as_it_is_and_what_is_one_word_stays_whole(text: str) -> None:
    assert fold(text, 400) == text
    assert fold(text, 20).replace("\n", "").split() == text.split() or "表" in text


@pytest.mark.parametrize(
    "name",
    [
        "/srv/in/Interview with Smith and Jones about the new building.wav",
        "/srv/Aufnahmen aus dem Studio/采访录音第二部分关于老城区的新建筑 讨论.m4a",
        "采访录音第二部分关于老城区的新建筑与居民的长时间对话.flac",
    ],
)
def test_a_name_is_broken_by_the_terminal_alone_so_that_it_can_be_copied(name: str) -> None:
    for line in (
        f"  {name}  11 s ago, 0.5 s, srt, txt",
        f"watcher: it is not known: {name}: it cannot be read as sound",
    ):
        folded = fold(line, 40)

        assert name in folded
        assert folded.split() == line.split()
        assert "\n" in folded


def test_names_of_two_columns_are_cut_to_the_width() -> None:
    for width in range(12, 60):
        shown = live._cut("/srv/录音/二零二六年十一月二十八日的会议记录，第一部分.wav", width)

        assert cell_len(shown) in {width, width - 1} or "…" not in shown
        assert cell_len(shown) <= width


def test_a_hook_whose_program_cannot_be_run_is_found(tmp_path: Path) -> None:
    script = tmp_path / "told.sh"
    script.write_text("#!/bin/sh\n")
    hooks = {"on_done": [str(script)], "on_failed": ["no-such-program"], "on_held": [f"{tmp_path}/none"]}

    def found(hooks: dict[str, list[str]]) -> list[Finding]:
        given = {"state": {"dir": str(tmp_path / "state")}, "api": {"url": "http://127.0.0.1:1"}, "hooks": hooks}
        every = examine(load(given, environ={}), paid=False, supervised=False)
        return [finding for finding in every if finding.area == "hooks"]

    findings = found(hooks)
    script.chmod(0o755)

    assert [(finding.exit_code, finding.message) for finding in findings] == [
        (3, f"hooks.on_done: {script} is not executable"),
        (3, "hooks.on_failed: there is no program no-such-program in PATH"),
        (3, f"hooks.on_held: there is no program {tmp_path}/none"),
    ]
    assert all(finding.hint for finding in findings)
    assert found({"on_done": [str(script)], "on_failed": ["sh"]}) == []


def checked(*arguments: str | Path) -> list[dict[str, Any]]:
    """Return the findings of `watcher check`."""
    document: dict[str, Any] = json.loads(invoke("check", *arguments, "--json", check=False).stdout)
    findings: list[dict[str, Any]] = document["data"]["findings"]
    return findings


def test_check_names_the_permission_of_a_folder_that_takes_no_outputs() -> None:
    """It spoke of read leases, which it had no file to try on."""
    # Not below tmp_path: nobody may not enter that.
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        base.chmod(0o555)
        command = (base, "--set", "api.url=http://127.0.0.1:9")
        # What is imported for this is imported by root: nobody may not read all of it.
        checked(*command)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            findings = checked(*command)
        finally:
            os.seteuid(os.getuid())

    (refused,) = [one for one in findings if one["grade"] == "fail" and one["area"] == "folder"]
    assert refused["message"] == f"no output can be placed: the user that Watcher runs as may not write into {base}"
    assert "chown, chmod or setfacl" in refused["hint"]
    assert not [one for one in findings if "lease" in one["message"]]


@needs_fuse
def test_check_says_of_each_mount_how_it_is_watched(tmp_path: Path) -> None:
    """In a container, folders are mounts of many kinds, and some are mounted below others."""
    base, alone = tmp_path / "in", tmp_path / "alone"
    base.mkdir()
    with mounted(tmp_path / "one", base / "nas"), mounted(tmp_path / "two", alone):
        findings = checked(base, alone, "--set", "api.url=http://127.0.0.1:9")

    silence = "scanned every few seconds (fuse: what others change there raises no events here)"
    said = [one["message"].replace("fuse.bindfs", "fuse") for one in findings]
    assert [one for one in said if "scanned" in one] == [f"{base}/nas below it is {silence}", f"{alone} is {silence}"]
    assert [one for one in said if one.startswith(f"{base} is watched by events (")]


LISTED = {"data": [{"id": "whisper-1"}]}


@pytest.mark.parametrize(
    ("body", "key", "grade", "message"),
    [
        (LISTED, "sk-test", "ok", "the key is accepted, and whisper-1 is listed"),
        (LISTED, "", "ok", "it lists its models without a key, and whisper-1 is listed"),
        (
            "<!doctype html><title>Shop</title>",
            "sk-test",
            "warn",
            "it gives a web page where a list of models would be",
        ),
        (
            "pong",
            "sk-test",
            "ok",
            "it lists no models (200); many that transcribe well don't, and whether it takes the key",
        ),
        ("pong", "", "ok", "it lists no models (200); many that transcribe well don't"),
    ],
)
def test_check_says_of_the_key_what_the_server_showed(body: Any, key: str, grade: str, message: str) -> None:
    """It said that the key is accepted of any web page, and where none was sent."""
    with serving(lambda _: Reply(body)) as server:
        findings = checked("--set", f"api.url={server.url}", "--set", f"api.key={key}")

    assert [one["grade"] for one in findings if one["message"].startswith(message)] == [grade]
    assert ["key is accepted" in one["message"] for one in findings].count(True) == message.count("accepted")


def test_a_folder_below_which_a_mount_hangs_is_named_and_the_rest_is_looked_at(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("watcher.doctor.folders", "watcher.setup.fixes"):
        monkeypatch.setattr(f"{module}._PATIENCE", 0.5)
    (watcher.folder / "sub").mkdir()

    with unanswered(watcher.folder / "sub"):
        code, said = watcher.said("check", watcher.folder)

    assert code == 3
    assert "state" in said.partition("a mount below it may hang")[2]
