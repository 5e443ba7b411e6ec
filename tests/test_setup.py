"""`watcher setup` without a service: settings and key; what a service takes is in `tests/system/test_setup.py`."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Done, invoke, watcher
from support.heard import hearing, recording
from support.scripted import Asked, Reply, Server, serving
from support.terminal import at_terminal

from watcher.errors import ConfigError
from watcher.setup import install, program, settings_file, units
from watcher.setup.targets import SetupTarget, of_user

KEY = "sk-of-a-person"


class Home:
    """A person's home, and the set-up in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / ".config" / "watcher" / "watcher.toml"
        self.key = self.settings.with_name("api_key")
        self.environ = {"HOME": str(path), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", "WATCHER_CONFIG": ""}
        self.key_file = path / "key.txt"
        self.key_file.write_text(f"Bearer {KEY}\n")

    def setup(self, *arguments: str | Path, check: bool = True, **environ: str) -> Done:
        return invoke("setup", *arguments, environ={**self.environ, **environ}, check=check)

    def files(self) -> dict[str, str]:
        """Give every file of the settings and the state, with its mode."""
        found = [path for name in (".config", ".local") for path in (self.path / name).rglob("*") if path.is_file()]
        return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in found}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    # The machine of the person who runs the tests as root keeps its service.
    monkeypatch.setattr("watcher.cli.setup.SYSTEM", _machine(tmp_path))
    path = tmp_path / "home"
    path.mkdir()
    return Home(path)


def _machine(base: Path) -> SetupTarget:
    """Give places of a system's service where none is."""
    return SetupTarget(system=True, settings_directory=base / "etc", units=base / "units", state=base / "var")


@pytest.fixture
def strict() -> Iterator[Server]:
    """Run a server that takes one key."""

    def script(asked: Asked) -> Reply:
        if asked.headers.get("Authorization") != f"Bearer {KEY}":
            return Reply({"error": {"message": "Incorrect API key provided"}}, status=401)
        return hearing(asked)

    with serving(script) as server:
        yield server


def test_settings_and_key_are_written_privately_and_the_other_commands_find_them(home: Home, strict: Server) -> None:
    recordings = home.path / "Recordings"
    done = home.setup("--folder", recordings, "--url", strict.url, "--key-file", home.key_file)
    recording(recordings / "talk.wav")
    once = invoke("once", environ=home.environ)

    assert f"Wrote {home.settings} and {home.key}" in done.stdout
    assert "the key is accepted" in done.stdout
    assert (home.files()["watcher.toml"], home.files()["api_key"]) == ("0o600", "0o600")
    assert home.key.read_text() == f"{KEY}\n"
    assert KEY not in home.settings.read_text()
    assert KEY not in done.stdout + done.stderr
    assert "1 done" in once.stdout
    assert (recordings / "talk.srt").exists()


def test_nothing_is_written_where_the_key_is_refused_or_something_is_missing(home: Home, strict: Server) -> None:
    wrong = home.path / "wrong"
    wrong.write_text("sk-wrong")
    empty = home.path / "empty"
    empty.touch()
    folder = ("--folder", home.path / "in")
    given = (*folder, "--url", strict.url)
    refused = home.setup(*given, "--key-file", wrong, check=False)
    cases = {
        "no folder is named": home.setup("--url", strict.url, check=False),
        "no server is named": home.setup(*folder, check=False),
        "there is no API key for api.openai.com": home.setup(
            *folder, "--url", "https://api.openai.com/v1", check=False
        ),
        "there is no API key for relay.example": home.setup(*folder, "--url", "https://relay.example/v1", check=False),
        "holds no key": home.setup(*given, "--key-file", empty, check=False),
        "from --url": home.setup(*folder, "--url", "not an address", check=False),
        "--purge goes with --undo": home.setup("--purge", check=False),
        "is a file, not a folder": home.setup(
            "--folder", wrong, "--url", strict.url, "--key-file", home.key_file, check=False
        ),
    }

    assert (refused.returncode, "the key is refused (401)" in refused.stdout) == (4, True)
    assert "nothing was written" in refused.stderr
    for words, done in cases.items():
        assert words in done.stderr, (words, done)
        assert done.returncode in {2, 3}, (words, done)
        assert "->" in done.stderr, (words, done)
    assert home.files() == {}
    home.setup(*given, "--key-file", wrong, "--no-check")
    assert home.key.read_text() == "sk-wrong\n"


def test_settings_that_exist_are_used_as_they_are_and_replaced_only_when_told_to(home: Home, strict: Server) -> None:
    given = ("--folder", home.path / "one", "--url", strict.url, "--key-file", home.key_file)
    home.setup(*given)
    home.settings.write_text(f"{home.settings.read_text()}# my own words\n")
    mine = home.settings.read_text()
    used = home.setup()
    other = ("--folder", home.path / "two", "--url", strict.url)
    refused = home.setup(*other, check=False)
    assert (used.returncode, refused.returncode) == (0, 2)
    assert home.settings.read_text() == mine

    replaced = home.setup(*other, "--yes")

    assert "/two" in home.settings.read_text()
    assert home.settings.with_name("watcher.toml.1").read_text() == mine
    assert f"The key stays the one in {home.key}" in replaced.stdout
    assert home.key.read_text() == f"{KEY}\n"
    assert "api_key.1" not in home.files()


def test_each_of_several_servers_is_tried(home: Home, strict: Server, server: Server) -> None:
    home.settings.parent.mkdir(parents=True)
    tables = [f'[endpoints.{name}]\nurl = "{one.url}"\nkey = "sk-old"' for name, one in (("a", server), ("b", strict))]
    home.settings.write_text("\n".join([*tables, f'[[folders]]\npath = "{home.path / "in"}"']))

    done = home.setup(check=False)

    assert done.returncode == 4
    assert "a: " in done.stdout
    assert "b: the key is refused (401)" in done.stdout
    keyless = home.settings.read_text().replace(strict.url, "https://relay.example/v1").replace('key = "sk-old"', "")
    home.settings.write_text(keyless)
    missing = home.setup(check=False)
    assert "there is no API key for relay.example" in missing.stderr
    assert "endpoints.b.key" in missing.stderr


def test_a_key_is_never_kept_for_another_server(home: Home, strict: Server, server: Server) -> None:
    folder = ("--folder", home.path / "in")
    home.setup(*folder, "--url", strict.url.replace("127.0.0.1", "localhost"), "--key-file", home.key_file)

    home.setup(*folder, "--url", server.url, "--yes")

    assert not home.key.exists()
    assert home.key.with_name("api_key.1").read_text() == f"{KEY}\n"
    assert all("Authorization" not in asked.headers for asked in server.asked)


def test_the_key_may_come_from_the_environment(home: Home, strict: Server) -> None:
    home.setup("--folder", home.path / "in", "--url", strict.url, WATCHER_API__KEY=KEY)

    assert home.key.read_text() == f"{KEY}\n"


def test_undo_takes_away_what_setup_wrote_and_keeps_the_state_and_what_a_person_wrote(
    home: Home, strict: Server
) -> None:
    home.settings.parent.mkdir(parents=True)
    home.settings.write_text("# mine\n")
    recordings = home.path / "in"
    given = ("--folder", recordings, "--url", strict.url, "--key-file", home.key_file, "--yes")
    home.setup(*given)
    home.key_file.write_text("sk-another")
    home.setup(*given, "--model", "whisper-2", "--no-check")
    home.key_file.write_text(KEY)
    home.setup(*given)
    recording(recordings / "talk.wav")
    invoke("once", environ=home.environ)
    assert {"watcher.toml.1", "watcher.toml.2", "watcher.toml.3", "api_key", "api_key.2", "api_key.3"} <= set(
        home.files()
    )
    asked = home.setup("--undo", check=False)
    assert (asked.returncode, "api_key" in home.files()) == (2, True)

    theirs = home.path / ".config" / "systemd" / "user" / "watcher.service.d" / "mine.conf"
    theirs.parent.mkdir(parents=True)
    theirs.touch()

    undone = home.setup("--undo", "--yes").stdout

    assert f"Stays: {theirs}, which setup did not write" in undone
    assert f"Stays: {home.settings}.1, which setup did not write" in undone
    assert [path.name for path in home.settings.parent.iterdir()] == ["watcher.toml.1"]
    assert (home.path / ".local" / "state" / "watcher").is_dir()
    home.settings.with_name("watcher.toml.1").unlink()
    home.setup("--undo", "--purge", "--yes")
    assert not (home.path / ".config" / "watcher").exists()
    assert not (home.path / ".local" / "state" / "watcher").exists()
    assert (recordings / "talk.srt").exists()


def test_undo_where_nothing_is_set_up_says_so_and_asks_nothing(home: Home) -> None:
    done = home.setup("--undo")

    assert done.stdout == "Nothing here was set up by watcher setup\n"
    assert done.stderr == ""


def test_another_program_of_this_name_keeps_its_unit_and_its_state(home: Home) -> None:
    target = of_user(home.environ)
    target.unit.parent.mkdir(parents=True)
    target.unit.write_text("[Service]\nExecStart=/usr/bin/another\n")
    target.state.mkdir(parents=True)
    (target.state / "database").touch()

    with pytest.raises(ConfigError, match="is not Watcher's"):
        install.require_no_other(target)
    undone = home.setup("--undo", "--purge", "--yes").stdout

    assert f"Stays: {target.unit}, which setup did not write" in undone
    assert f"Stays: {target.state}, which is another program's" in undone
    assert target.unit.exists()
    assert (target.state / "database").exists()


@pytest.mark.parametrize("unit", ["watcher.service", "user/watcher.service"])
def test_both_units_of_the_package_are_known(home: Home, unit: str) -> None:
    target = of_user(home.environ)
    target.unit.parent.mkdir(parents=True)
    target.unit.write_bytes((units.source() / unit).read_bytes())

    install.require_no_other(target)
    home.setup("--undo", "--yes")

    assert not target.unit.exists()


@pytest.mark.slow
def test_a_terminal_asks_for_all_of_it_and_does_not_show_the_key(home: Home, strict: Server) -> None:
    answers = [
        *((words, "n") for words in (["service"] if Path("/run/systemd/system").is_dir() else [])),
        ("Which folder", str(home.path / "Rec")),
        ("Which server", strict.url),
        ("Which model", ""),
        ("API key", KEY),
    ]

    code, shown = at_terminal([sys.executable, "-m", "watcher", "setup"], answers, environ=home.environ)

    assert code == 0, shown
    assert "https://api.zhongzhuan.chat/v1" in shown
    assert KEY not in shown
    assert home.key.read_text() == f"{KEY}\n"
    assert str(home.path / "Rec") in home.settings.read_text()
    assert "whisper-1" in home.settings.read_text()


@pytest.mark.slow
def test_a_terminal_asks_for_another_key_after_a_wrong_one(home: Home, strict: Server) -> None:
    """All other answers were lost."""
    answers = [
        *((words, "n") for words in (["service"] if Path("/run/systemd/system").is_dir() else [])),
        ("Which folder", str(home.path / "Rec")),
        ("Which server", strict.url),
        ("Which model", ""),
        ("API key", ""),
        ("The server wants a key. Type it", "sk-wrong"),
        ("The key is refused. Another one", "two words"),
        ("Another one", KEY),
    ]

    code, shown = at_terminal([sys.executable, "-m", "watcher", "setup"], answers, environ=home.environ)

    assert code == 0, shown
    assert home.key.read_text() == f"{KEY}\n"
    assert "all the same" not in shown


@pytest.mark.slow
def test_a_terminal_asks_for_another_key_three_times_at_most(home: Home, strict: Server) -> None:
    given = ("--folder", str(home.path / "in"), "--url", strict.url)
    wrong = [("API key", "sk-wrong"), *[("Another one", "sk-wrong")] * 3, ("all the same", "n")]
    services = [(words, "n") for words in (["service"] if Path("/run/systemd/system").is_dir() else [])]

    code, shown = at_terminal(
        [sys.executable, "-m", "watcher", "setup", *given],
        [*services, ("Which model", ""), *wrong],
        environ=home.environ,
    )

    assert (code, shown.count("Another one")) == (4, 3), shown
    assert home.files() == {}


def test_without_a_terminal_it_asks_nobody_and_waits_for_nothing(home: Home) -> None:
    done = watcher("setup", environ=home.environ, check=False)

    assert (done.returncode, "no folder is named" in done.stderr) == (2, True)


def test_a_drop_in_names_each_folder_as_systemd_reads_it() -> None:
    text = units.system_drop_in(["/srv/a b", '/srv/100%"', "/home/anna/Recordings/"])

    assert text.splitlines()[1:] == [
        "[Service]",
        "ProtectHome=tmpfs",
        'ReadWritePaths="-/srv/a b"',
        'ReadWritePaths="-/srv/100%%\\""',
        'BindPaths="-/home/anna/Recordings"',
    ]
    with pytest.raises(ConfigError, match="does not see this folder"):
        units.system_drop_in(["/var/tmp/in"])  # noqa: S108 - this is what is refused
    assert 'ExecStart="/home/a b/watcher" run' in units.user_drop_in(Path("/home/a b/watcher"))


def test_folders_are_whole_paths_and_none_is_taken_that_settings_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.chdir("/")

    assert settings_file.folders_of(["~/x", "srv/in", "/srv/in"]) == ("/home/anna/x", "/srv/in")
    for odd in ("a\nb", os.fsdecode(b"\xff")):
        with pytest.raises(ConfigError):
            settings_file.folders_of([odd])


def test_only_what_nobody_but_root_can_change_and_services_can_reach_is_taken_for_the_systems_program(
    tmp_path: Path,
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin").chmod(0o777)

    assert program._is_fit(Path("/usr/bin"))
    # Others may not enter the directories of a test's files.
    assert not program._is_fit(tmp_path)
    assert not program._is_fit(tmp_path / "bin")
    assert not program._is_fit(Path("/home/anna/.pyenv/bin/python3"))
    assert not program._is_fit(Path("/root/.local/bin/python3"))


def test_what_is_needed_is_the_package_with_its_extras_and_no_tools_of_development() -> None:
    names = {distribution.name.lower().replace("_", "-") for distribution in program._needed()}

    assert {"av", "numpy", "pydantic", "pydantic-core", "requests", "idna", "rich", "typer", "watchdog"} <= names
    assert "pytest" not in names
    assert "mypy" not in names
    assert "transcription-watcher" not in names


@pytest.mark.slow
def test_the_systems_program_is_a_whole_copy_of_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        program._python()
    except ConfigError as error:
        pytest.skip(error.message)
    place = tmp_path / "opt" / "watcher"
    # Root may stand in a watched folder: what others have put there is not run.
    for name in ("venv", "compileall", "ensurepip", "logging"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the working directory was run')")
    monkeypatch.chdir(tmp_path)

    program.install(program.prepare(place), place)

    python = str(place / "bin" / "python")
    said = subprocess.run(
        [python, "-I", "-c", "import av, numpy, watcher; print(watcher.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith(str(place))
    version = subprocess.run([place / "bin" / "watcher", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("watcher ")
    assert list(place.rglob("watcher/cli/__pycache__/*.pyc"))
    assert (place / units.SHARE / "watcher.service").is_file()
    assert program.remove(place)
    assert not place.exists()
