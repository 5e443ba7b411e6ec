"""`watcher demo`: it waits for its daemon, and not for ever."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import watcher
from watcher.cli.called import called
from watcher.cli.demo import await_line, end, lines
from watcher.errors import StateError


@contextmanager
def process(program: str) -> Iterator["subprocess.Popen[bytes]"]:
    running = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


SILENT = "import time; time.sleep(3600)"
#: It ignores SIGTERM, and keeps the pipe of its log open.
DEAF = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); sys.stderr.write('begun\\n'); time.sleep(3600)"


def test_a_daemon_that_says_nothing_is_not_waited_for_beyond_the_deadline() -> None:
    with process(SILENT) as daemon:
        with pytest.raises(StateError, match="the daemon did not say 'ready'"):
            await_line(lines(daemon, seconds=0.2), " ready ")


def test_a_daemon_that_does_not_end_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    with process(DEAF) as daemon:
        await_line(lines(daemon, seconds=60), "begun")

        assert end(daemon, seconds=0.1) == -9
    assert "begun" in capsys.readouterr().err


def test_lines_come_whole_and_each_once_however_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    program = "import sys, time; e = sys.stderr; e.write('one\\ntw'); e.flush(); e.write('o\\nthree\\nfour'); e.flush()"
    with process(program) as daemon:
        log = lines(daemon, seconds=60)
        await_line(log, "one")
        await_line(log, "two")
        with pytest.raises(StateError):
            await_line(log, "five")

    assert capsys.readouterr().err == "  one\n  two\n  three\n"


def test_the_demo_names_the_next_step_by_the_program_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind `.venv/bin/watcher demo`, a plain `watcher` is not found."""
    program, elsewhere = tmp_path / "a venv" / "watcher", tmp_path / "bin"
    program.parent.mkdir()
    elsewhere.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(elsewhere))
    monkeypatch.chdir(tmp_path)
    names = []
    for argument in ("a venv/watcher", str(program), str(Path(watcher.__file__).parent / "__main__.py")):
        monkeypatch.setattr(sys, "argv", [argument, "demo"])
        names.append(called())
    (elsewhere / "watcher").symlink_to(program)
    monkeypatch.setattr(sys, "argv", [str(elsewhere / "watcher"), "demo"])

    assert names == ["'a venv/watcher'", f"'{program}'", f"{sys.executable} -m watcher"]
    assert called() == "watcher"
