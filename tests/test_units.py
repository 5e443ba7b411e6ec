"""What the files below systemd/ promise each other, the program and the pages that describe them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from support.tools import attempt

from watcher.config import Settings
from watcher.errors import ConfigError, StateError, UsageError

REPOSITORY: Final = Path(__file__).resolve().parents[1]
UNITS: Final = REPOSITORY / "systemd"
SYSTEM: Final = UNITS / "watcher.service"
USER: Final = UNITS / "user" / "watcher.service"
DROP_IN: Final = UNITS / "watcher.service.d" / "folders.conf"
BOTH: Final = pytest.mark.parametrize("unit", [SYSTEM, USER], ids=["system", "user"])
#: Lines that somebody may have to relax or change; each has to say when.
RELAXED: Final = (
    *("Type", "ExecStart", "ExecReload", "LoadCredential", "KillMode", "TimeoutStopSec", "RestartPreventExitStatus"),
    *("WatchdogSec", "OOMPolicy", "AmbientCapabilities", "UMask", "ProtectSystem", "ProtectHome", "PrivateTmp"),
    *("ProcSubset", "NoNewPrivileges", "RestrictAddressFamilies", "MemoryDenyWriteExecute", "SystemCallErrorNumber"),
)
_SECONDS: Final = {"": 1, "s": 1, "min": 60}
_ASSIGNMENT: Final = re.compile(r"^(# )?([A-Z]\w*)=(.*)$")


def settings(path: Path) -> dict[str, list[str]]:
    """Give every value of every setting, in order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if (match := _ASSIGNMENT.match(line)) and not match[1]:
            found.setdefault(match[2], []).append(match[3])
    return found


def explained(path: Path) -> Iterator[str]:
    """Give the settings that have a comment of their own, or share one with the lines right above them."""
    before = ""
    for line in path.read_text().splitlines():
        match = _ASSIGNMENT.match(line)
        if match and not match[1] and before:
            yield match[2]
        before = line if line.startswith("#") or (match and before) else ""


def seconds(text: str) -> float:
    """Read a time span of one part."""
    match = re.fullmatch(r"(\d+)(\w*)", text)
    assert match, text
    return float(match[1]) * _SECONDS[match[2]]


def analyze(*arguments: str | Path, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    version = attempt(["systemd-analyze", "--version"]).stdout.decode().split()[1]
    if int(re.match(r"\d*", version)[0] or 0) < 250:  # type: ignore[index] # matches always
        pytest.skip(f"systemd {version} cannot judge a unit file by itself")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, env=environ)


def installed(unit: Path, directory: Path) -> Path:
    """Lay a unit where systemd-analyze can judge it: with a program that exists."""
    text = unit.read_text()
    for program in ("/opt/watcher/bin/watcher", "%h/.local/bin/watcher"):
        text = text.replace(program, "/bin/sh")
    copy = directory / unit.name
    copy.write_text(text)
    return copy


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    done = analyze("verify", installed(SYSTEM, tmp_path))

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_systemd_has_nothing_to_say_against_the_user_s_unit(tmp_path: Path) -> None:
    done = analyze("--user", "verify", installed(USER, tmp_path), environ={"XDG_RUNTIME_DIR": str(tmp_path)})

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_each_line_that_the_example_holds_ready_is_one_systemd_understands(tmp_path: Path) -> None:
    copy = installed(SYSTEM, tmp_path)
    drop_in = tmp_path / f"{SYSTEM.name}.d" / DROP_IN.name
    drop_in.parent.mkdir()
    ready = re.sub(r"^# (?=[A-Z]\w*=)", "", DROP_IN.read_text(), flags=re.MULTILINE)
    drop_in.write_text(ready)

    done = analyze("verify", copy)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert {"ReadWritePaths", "BindPaths", "LoadCredentialEncrypted", "IPAddressDeny"} <= settings(drop_in).keys()


@BOTH
def test_the_drop_in_for_whisper_is_one_systemd_understands(unit: Path, tmp_path: Path) -> None:
    copy = installed(unit, tmp_path)
    drop_in = copy.with_suffix(".service.d")
    drop_in.mkdir()
    whisper = unit.with_name("whisper.conf")
    installed(whisper, drop_in)

    done = analyze(*([] if unit == SYSTEM else ["--user"]), "verify", copy, environ={"XDG_RUNTIME_DIR": str(tmp_path)})

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert settings(whisper)["ExecStart"] == ["", f"{settings(unit)['ExecStart'][0]} --offline"]
    assert settings(unit)["MemoryDenyWriteExecute"] == ["yes"]
    assert settings(whisper)["MemoryDenyWriteExecute"] == ["no"]


@pytest.mark.parametrize("has_listener", [False, True])
def test_the_confinement_is_rated_at_most_1_5_as_the_drop_in_of_the_listener_says(
    tmp_path: Path, *, has_listener: bool
) -> None:
    copy, drop_in = installed(SYSTEM, tmp_path), UNITS / "http.conf"
    if has_listener:
        copy.with_suffix(".service.d").mkdir()
        installed(drop_in, copy.with_suffix(".service.d"))
        verified = analyze("verify", copy)
        assert (verified.returncode, verified.stderr) == (0, "")

    done = analyze("security", "--offline=true", "--threshold=15", "--no-pager", copy)

    assert done.returncode == 0, done.stdout
    assert "security watcher` says 1.5 with and without it" in drop_in.read_text()


def test_the_decoder_may_give_the_privilege_away() -> None:
    """Where `capset` was forbidden, nothing was decoded: it is among the privileged calls that the unit takes away."""
    assert "capset" in settings(SYSTEM)["SystemCallFilter"][-1].split()


def test_the_service_has_one_privilege() -> None:
    unit = settings(SYSTEM)

    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == ["CAP_LEASE"]
    # In a user namespace the privilege would count for nothing.
    assert "PrivateUsers" not in unit
    assert unit["ProtectSystem"] == ["strict"]


def test_each_line_that_may_have_to_be_relaxed_says_when() -> None:
    assert set(RELAXED) <= settings(SYSTEM).keys()
    assert set(RELAXED) - set(explained(SYSTEM)) == set()


@BOTH
def test_readiness_reload_and_signs_of_life_are_reported_by_the_service_itself(unit: Path) -> None:
    lines = settings(unit)

    assert lines["Type"] == ["notify"]
    assert lines["NotifyAccess"] == ["main"]
    assert lines["ExecReload"][0] == "/bin/kill -HUP $MAINPID"
    # The finder may be silent for two minutes before it counts as hung, a worker for one; the ping stops then, at once.
    assert seconds(lines["WatchdogSec"][0]) >= 60


@BOTH
def test_systemd_waits_for_longer_than_a_drain_takes(unit: Path) -> None:
    # Three times ten seconds are for the threads that end after it.
    assert seconds(settings(unit)["TimeoutStopSec"][0]) >= Settings().service.drain_seconds + 30
    assert settings(unit)["KillMode"] == ["mixed"]


@BOTH
def test_what_a_restart_cannot_mend_is_not_restarted(unit: Path) -> None:
    lines = settings(unit)

    assert lines["Restart"] == ["on-failure"]
    refused = {int(code) for code in lines["RestartPreventExitStatus"][0].split()}
    assert refused == {UsageError.exit_code, ConfigError.exit_code}
    assert StateError.exit_code not in refused


@BOTH
def test_the_key_is_a_credential_and_never_in_the_environment(unit: Path) -> None:
    lines = settings(unit)

    assert [line.partition(":")[0] for line in lines["LoadCredential"]] == ["api_key"]
    # A file that is not there must not keep a service from starting whose server wants no key.
    assert lines["SetCredential"] == [r"api_key:\n"]
    assert not [line for line in lines["Environment"] if "KEY" in line.upper()]


def test_user_state_and_paths_are_the_same_in_every_file() -> None:
    unit = settings(SYSTEM)
    kind, name, _number, *_rest, home = next(
        line for line in (UNITS / "sysusers.d" / "watcher.conf").read_text().splitlines() if not line.startswith("#")
    ).split()
    page = (UNITS / "README.md").read_text()

    assert (kind, [name], home) == ("u", unit["User"], f"/var/lib/{unit['StateDirectory'][0]}")
    assert unit["ExecStart"] == ["/opt/watcher/bin/watcher run"]
    assert "python3 -m venv /opt/watcher " in page
    assert unit["Environment"][0] == "WATCHER_CONFIG=/etc/watcher/watcher.toml"
    assert "tee /etc/watcher/watcher.toml" in page
    assert unit["LoadCredential"][0].partition(":")[2] in page
    folder = settings(DROP_IN)["ReadWritePaths"][0]
    assert f'path = "{folder}"' in page


def test_the_user_s_unit_leaves_state_where_the_commands_look_for_it() -> None:
    # systemd 252 would put it below ~/.config.
    assert not {"StateDirectory", "ConfigurationDirectory", "User"} & settings(USER).keys()
    assert settings(USER)["ExecStart"] == ["%h/.local/bin/watcher run"]


def test_the_drop_ins_that_an_administrator_copies_along_with_the_unit_start_the_same_program() -> None:
    """`cp -r …/watcher.service* /etc/systemd/system/` takes all of them; one with --offline kept the service from starting."""
    found = [settings(path) for path in DROP_IN.parent.iterdir()]

    assert found
    assert all("ExecStart" not in lines for lines in found)
