"""`watcher demo`: it waits for its daemon, and not for ever."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

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
