"""What commands print: one document for scripts whatever happens, and nothing that a terminal or a parser stumbles over."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.command_scene import Commands, commands, configured
from support.daemon import watcher
from support.heard import recording
from support.scripted import Asked, Reply, serving
from support.waiting import eventually

from watcher.cli.main import INTERNAL, run

#: A byte that is no UTF-8, and a sequence that turns a terminal red.
ODD = b"d\xff\x1b[31m"
ODD_SHOWN = r"d\xff\x1b[31m"


class Terminal:
    """The standard streams of a program as on a UTF-8 terminal: strict about what is no text."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def run(self, *arguments: str | bytes) -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict") for _ in range(2)]
        self._patch.setattr(sys, "stdout", streams[0])
        self._patch.setattr(sys, "stderr", streams[1])
        code = run([os.fsdecode(argument) for argument in arguments])
        for stream in streams:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode("utf-8") for stream in streams)
        return code, out, err


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("WATCHER_CONFIG", os.devnull)
    monkeypatch.setenv("WATCHER_API__URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path(os.fsdecode(ODD), "in").mkdir(parents=True)
    with open(b"%s/talk.srt" % ODD, "w", encoding="utf-8") as file:  # noqa: PTH123 - bytes
        file.write("1\n00:00:00,000 --> 00:00:00,100\nhello \x1b[31mred\n")
    return Terminal(monkeypatch)


COMMANDS = [
    (0, "config", "--set", b"state.dir=" + ODD),
    (0, "status", "--set", b"state.dir=" + ODD),
    (1, "lint", ODD + b"/talk.srt"),
    (1, "lint", ODD + b"/none.srt"),
    (4, "check", ODD + b"/in"),
    (3, "check", ODD + b"/none"),
    (3, "status", "--config", ODD + b"/none.toml"),
    (4, "retry", ODD),
    (1, "render", ODD + b"/talk.wav"),
    (0, "once", ODD + b"/in"),
    (3, "once", ODD + b"/none.wav"),
    (4, "state", "copy", ODD + b"/a", ODD + b"/b"),
    (2, "status", b"--" + ODD),
    (2, ODD),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: str(arguments[1]))
def test_a_name_that_is_no_text_is_escaped_in_sentences_and_documents(
    terminal: Terminal, arguments: tuple[int, *tuple[str | bytes, ...]]
) -> None:
    expected, *words = arguments

    code, out, err = terminal.run(*words)
    assert code == expected
    assert "\x1b" not in out + err
    assert "Traceback" not in err

    code, out, err = terminal.run(*words, "--json")
    document = json.loads(out)
    assert code == document["exit_code"] == expected
    assert len(out.splitlines()) == 1
    # No half of a surrogate pair, which other parsers refuse.
    assert json.dumps(document, ensure_ascii=False).encode()


def test_the_name_is_escaped_and_not_lost(terminal: Terminal) -> None:
    assert f"/{ODD_SHOWN}\n" in terminal.run("config", "--set", b"state.dir=" + ODD)[1]
    ran = terminal.run("run", ODD + b"/none")[2]
    assert ran.startswith("watcher: there is no folder /")
    assert f"/{ODD_SHOWN}/none\n" in ran
    assert f"{ODD_SHOWN}/a\\nforged\n" in terminal.run("once", ODD + b"/a\nforged")[2]
    assert list(json.loads(terminal.run("lint", ODD + b"/talk.srt", "--json")[1])["data"]["files"]) == [
        f"{ODD_SHOWN}/talk.srt"
    ]


def test_an_unexpected_error_gives_scripts_their_document_and_people_a_sentence(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody\nforesaw it")

    monkeypatch.setattr("watcher.cli.status.look", broken)

    code, out, err = terminal.run("status")
    assert (code, out) == (INTERNAL, "")
    assert "Traceback" in err
    assert "watcher: an unexpected error: ZeroDivisionError: nobody foresaw it\n  -> this is a fault in Watcher" in err

    code, out, err = terminal.run("status", "--json")
    document = json.loads(out)
    assert (code, document["exit_code"], document["status"], document["command"]) == (
        INTERNAL,
        INTERNAL,
        "error",
        "status",
    )
    assert document["errors"][0]["code"] == "internal"
    assert "Traceback" in err


@pytest.mark.slow
def test_once_at_a_terminal_tells_each_failure_and_each_hint_once(tmp_path: Path) -> None:
    """A key that is refused while OPENAI_API_KEY is set and not used, and a file that is no sound.

    What is said above the bar meanwhile breaks no name either.
    """
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "bad.mp3").write_text("This is no sound.\n" * 50)
    own = folder / "recordings of the long days in June that were made in the old town" / ".watcher.toml"
    own.parent.mkdir()
    own.write_text("formats = 5")
    recording(own.parent / "talk.wav")

    def refuse(_asked: Asked) -> Reply:
        # The key is refused once the other file has failed: the first hold ends the batch.
        eventually(lambda: list(folder.glob("bad*failed*")))
        return Reply({"error": {"message": "Incorrect API key provided"}}, status=401)

    with serving(refuse) as server:
        code, said = at_a_terminal(
            *("once", folder, "--set", f"api.url={server.url}", "--set", f"state.dir={tmp_path / 'state'}"),
            environ={"OPENAI_API_KEY": "sk-of-openai", "HOME": str(tmp_path)},
        )
    summary = " ".join(said[said.index("0 done") :].split())

    assert code == 4
    assert " ".join(said.split()).count("This file cannot be read as sound") == 1
    assert summary.count("set the right key") == 1
    assert "OPENAI_API_KEY is set and not used: it is sent to api.openai.com alone" in summary
    assert "next try" not in summary
    assert str(own) in said


def at_a_terminal(*arguments: str | Path, environ: dict[str, str]) -> tuple[int, str]:
    """Run a command with both streams at a terminal of 100 columns; return its exit code and what it wrote."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "watcher", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
        env={**os.environ, "WATCHER_CONFIG": os.devnull, "TERM": "xterm", **environ},
    )
    os.close(its)
    said = b""
    # The terminal's other end is gone when the process is: EIO.
    with suppress(OSError):
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    return process.wait(), said.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_a_terminal_without_the_letters_of_a_text_gets_escapes(tmp_path: Path) -> None:
    environ = {"PYTHONIOENCODING": "ascii", "HOME": str(tmp_path)}
    words = ("config", "--set", "transcript.prompt=中é")

    assert r'"\u4e2d\xe9"' in watcher(*words, environ=environ).stdout
    document = json.loads(watcher(*words, "--json", environ=environ).stdout)
    assert document["data"]["settings"]["transcript.prompt"]["value"] == "中é"


@pytest.mark.parametrize("words", [["config"], ["config", "--json"], ["nonsense", "--json"]])
def test_an_output_that_cannot_be_written_is_said_on_stderr(words: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "watcher", *words],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "WATCHER_CONFIG": os.devnull, "HOME": str(tmp_path)},
            check=False,
        )

    assert (done.returncode, done.stderr.splitlines()) == (
        4,
        [
            "watcher: the output cannot be written: No space left on device",
            "  -> check the disk, or the program that it is sent to",
        ],
    )


def test_without_a_command_the_help_is_printed_as_it_is(terminal: Terminal) -> None:
    for command in ([], ["state"]):
        code, out, err = terminal.run(*command)

        assert code == 2
        assert out == terminal.run(*command, "--help")[1]
        assert out.startswith("Usage: watcher ")
        assert err == ""


def test_no_type_of_python_is_in_any_help(terminal: Terminal) -> None:
    for command in (["run"], ["once"], ["render"], ["engine"], ["state", "copy"], ["lint"], ["retry"], ["check"]):
        assert "<" not in terminal.run(*command, "--help")[1].replace("0<=x<=65535", "")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    with commands(tmp_path, monkeypatch, capsys) as made:
        yield made


def test_lint_says_what_it_was_given_and_counts_as_people_do(here: Commands) -> None:
    one, nothing = here.folder / "one.srt", here.folder / ".bashrc"
    one.write_text("1\n00:00:01,000 --> 00:00:03,000\nFine.\n")
    nothing.write_text("export A=1\nalias b='c'\n" * 20)

    assert here.said("lint", one) == (0, f"{one}: 1 caption, every rule is kept")
    one.write_text("1\n00:00:01,000 --> 00:00:01,100\nMuch too short.\n")
    assert here.said("lint", one)[1].startswith(f"{one}: 1 of 1 caption breaks a rule")
    assert here.said("lint", nothing) == (
        1,
        f"watcher: {nothing} has no captions: it is no subtitle file -> lint takes .srt and .vtt",
    )
    forged = here.folder / "a\nb.srt"
    forged.write_text("1\n00:00:01,000 --> 00:00:03,000\nFine.\n")
    assert here.said("lint", forged) == (0, f"{here.folder}/a\\nb.srt: 1 caption, every rule is kept")
    code, said = here.said("lint", here.folder)
    assert (code, said) == (
        1,
        f"watcher: {here.folder} is a folder -> name the files in it: watcher lint {here.folder}/*.srt",
    )


def test_check_counts_directories_as_people_do(here: Commands) -> None:
    assert "folder: 1 directory to watch;" in here.said("check", here.folder)[1]
    (here.folder / "below").mkdir()
    assert "folder: 2 directories to watch;" in here.said("check", here.folder)[1]


def test_check_names_a_key_that_is_set_and_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse = Reply({"error": {"message": "No key"}}, status=401)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    with commands(tmp_path, monkeypatch, capsys, lambda _: refuse) as check:
        code, said = check.said("check", check.folder)
        also = check.said("check", check.folder, "--set", "api.key=sk-wrong-key")[1]

    assert code == 4
    assert "this server wants a key, and none is set (401)" in said
    assert "OPENAI_API_KEY is set and not used: it is sent to api.openai.com alone" in said
    assert "OPENAI_API_KEY is set, too, and not used: api.key goes before it" in also
    assert "sk-of-openai" not in said + also


def test_nothing_is_said_to_be_taken_up_where_nothing_was_put_back(here: Commands) -> None:
    here("once", here.folder)

    assert "put back" in here.said("retry", "--failed")[1]
    assert "taken up" not in here.said("retry", "--failed")[1]


def test_a_recording_that_was_moved_is_shown_where_it_is(here: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, here.folder, after="move:done/")
    recording(here.folder / "talk.wav")
    here("once")

    assert f"{here.folder}/done/talk.wav " in here.said("status")[1]
    (entry,) = here("status")[1]["data"]["recent"]
    assert (entry["path"], entry["moved_to"]) == (f"{here.folder}/talk.wav", f"{here.folder}/done/talk.wav")


@pytest.mark.slow
def test_a_second_state_puts_no_second_note_beside_a_recording(here: Commands) -> None:
    bad = here.folder / "bad.mp3"
    bad.write_text("This is no sound.\n" * 50)
    here("once", here.folder)
    note = here.folder / "bad.mp3.transcription-failed.txt"
    note.write_text(re.sub(r"\d{4}-\d\d-\d\d", "2001-02-03", note.read_text()))
    other = ("--set", f"state.dir={here.state.parent / 'other'}")

    assert here("once", here.folder, *other)[0] == 1
    assert {path.name for path in here.folder.iterdir()} == {bad.name, note.name}

    # And it is that state's from then on: it goes when the recording is one.
    recording(bad)
    assert here("once", here.folder, *other)[0] == 0
    assert not note.exists()


def test_check_tells_each_wrong_setting_as_a_finding_of_its_own(here: Commands) -> None:
    code, document = here("check", "--set", "api.attempts=0", "--set", "api.concurrency=x")

    assert code == 3
    assert {finding["message"].split(" is wrong")[0] for finding in document["data"]["findings"]} == {
        "api.attempts = 0",
        'api.concurrency = "x"',
    }
    assert here.said("check", "--set", "api.attempts=0", "--set", "api.concurrency=x")[1].count("fail settings: ") == 2
