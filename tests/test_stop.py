"""The stop always stops: whatever a worker is doing, SIGTERM ends the daemon with exit 0, and nothing is paid for twice."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, daemon, invoke
from support.heard import answer, hearing, recording
from support.mounts import mounted, needs_fuse
from support.poisoned import poisoned
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

from watcher.job import TRIAL_MODEL
from watcher.ledger.sqlite import NAME

pytestmark = pytest.mark.timeout(120)

DRAIN = 1
#: Seconds that are promised: drain_seconds + 10; and what a busy machine may need beyond.
PROMISED, BUSY = DRAIN + 10, 10


def options(server: Server, *more: str) -> list[str]:
    return options_of(server.url, *more)


def options_of(url: str, *more: str) -> list[str]:
    words = [f"api.url={url}", f"service.drain_seconds={DRAIN}", *more]
    return [part for word in words for part in ("--set", word)]


def stop(running: Daemon) -> int:
    """Ask it to end; return the exit code, and fail where it takes longer than is promised."""
    running.send(signal.SIGTERM)
    return running.wait(PROMISED + BUSY)


def source(state: Path) -> dict[str, Any]:
    """Return the row of the only source, while no daemon runs."""
    with closing(sqlite3.connect(state / NAME)) as connection:
        connection.row_factory = sqlite3.Row
        (row,) = connection.execute("SELECT state, attempts, alone, crashes FROM sources").fetchall()
    return dict(row)


def posts(server: Server) -> int:
    return sum(asked.method == "POST" for asked in server.asked)


def stored(state: Path) -> int:
    """Return how many answers are kept."""
    with closing(sqlite3.connect(f"file:{state / NAME}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def bought(state: Path) -> float:
    with closing(sqlite3.connect(state / NAME)) as ledger:
        (seconds,) = ledger.execute("SELECT coalesce(sum(seconds), 0.0) FROM bought").fetchone()
    return float(seconds)


def children(process: int) -> list[int]:
    """Return the processes that any thread of this one has started."""
    tasks = Path(f"/proc/{process}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def catches(process: int, number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(caught & 1 << (number - 1))


#: A job that was put back, and for which the stop counts as no crash.
PUT_BACK = {"state": "ready", "attempts": 0, "alone": 0, "crashes": 0}


@pytest.mark.slow
def test_a_computation_without_an_end_is_cut_off_and_its_answer_is_kept(tmp_path: Path, folder: Path) -> None:
    state = tmp_path / "state"
    talk = recording(folder / "talk.wav")

    with serving(lambda asked: hearing(asked) if asked.method == "GET" else answer("sweet poison")) as server:
        with daemon(folder, *options(server), state=state, prefix=poisoned("loop")) as running:
            running.await_event("job.started")
            # The worker computes once the answer is stored.
            eventually(lambda: posts(server))
            eventually(lambda: stored(state))

            assert stop(running) == 0
        assert running.seen("service.stopping", reason="threads_hang")
        assert running.seen("job.released", path=str(talk), reason="stopped")
        assert running.events[-1]["event"] == "service.stopped"
        assert source(state) == PUT_BACK
        with daemon(folder, *options(server), state=state) as running:
            running.await_event("job.done", path=str(talk))
            assert running.stop() == 0
        assert posts(server) == 1


@pytest.mark.slow
@needs_fuse
def test_a_worker_that_a_dead_file_server_has_caught_is_left_behind_and_its_answer_is_kept(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with mounted(tmp_path / "exported", tmp_path / "share") as share:
        recording(share.source / "talk.wav")
        hangs = threading.Event()

        def script(asked: Asked) -> Reply:
            # The worker has read the recording, and is about to write beside it.
            if asked.method == "POST" and not hangs.is_set():
                hangs.set()
                share.hang()
            return hearing(asked)

        with serving(script) as server:
            with daemon(share.point, *options(server), state=state) as running:
                running.await_event("job.started")
                eventually(lambda: stored(state))

                assert stop(running) == 0
            assert running.events[-1]["event"] == "service.stopped"
            assert source(state) == PUT_BACK
            share.answer()
            with daemon(share.point, *options(server), state=state) as running:
                running.await_event("job.done", path=str(share.point / "talk.wav"))
                assert running.stop() == 0
            assert posts(server) == 1


@pytest.mark.slow
def test_a_decoder_that_listens_to_nothing_is_killed_with_the_process(tmp_path: Path, folder: Path) -> None:
    state = tmp_path / "state"
    long = recording(folder / "long.wav", seconds=120)
    paid: list[bytes] = []

    def script(asked: Asked) -> Reply:
        if asked.method == "POST" and paid:
            return Reply(silent=True)
        if asked.method == "POST":
            paid.append(asked.file[1])
        return hearing(asked)

    pieces = ("media.piece_seconds=20", "media.pieces=fixed", "api.concurrency=1")
    with serving(script) as server:
        with daemon(folder, *options(server, *pieces), state=state) as running:
            running.await_event("job.started")
            eventually(lambda: posts(server) >= 2 and stored(state) == 1)
            (child,) = children(running.process.pid)
            child_stat = Path(f"/proc/{child}/stat")
            os.kill(child, signal.SIGSTOP)

            assert stop(running) == 0
        eventually(lambda: not child_stat.exists(), what="the decoder is gone")
    assert source(state) == PUT_BACK
    with serving(hearing) as server:
        with daemon(folder, *options(server, *pieces), state=state) as running:
            running.await_event("job.done", path=str(long))
            assert running.stop() == 0
        assert paid[0] not in {asked.file[1] for asked in server.asked if asked.method == "POST"}


def test_an_answer_that_drips_is_cut_off(tmp_path: Path, folder: Path) -> None:
    state = tmp_path / "state"
    talk = recording(folder / "talk.wav")

    def drips() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
        while not server.closed.wait(0.05):
            yield b" "

    with serving(lambda asked: hearing(asked) if asked.method == "GET" else Reply(stream=drips)) as server:
        with daemon(folder, *options(server), state=state) as running:
            running.await_event("job.started")
            eventually(lambda: posts(server))

            assert stop(running) == 0
    assert source(state) == PUT_BACK
    with serving(hearing) as server, daemon(folder, *options(server), state=state) as running:
        running.await_event("job.done", path=str(talk))
        assert running.stop() == 0


#: A long recording whose pieces are asked for one after the other, and a drain that no test waits for.
PIECES = ("media.piece_seconds=20", "media.pieces=fixed", "api.concurrency=1", "service.drain_seconds=600")


class OneAnswer:
    """A server that answers the first piece, and is silent about the next one."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            self.asked += 1
            if self.asked > 1:
                return Reply(silent=True)
        return hearing(asked)


@pytest.mark.parametrize("model", ["whisper-1", TRIAL_MODEL])
def test_a_second_ctrl_c_ends_now_keeps_what_was_answered_and_counts_what_was_given_up(
    tmp_path: Path, folder: Path, model: str
) -> None:
    state = tmp_path / "state"
    recording(folder / "long.wav", seconds=60)
    script = OneAnswer()
    with (
        serving(script) as server,
        daemon(folder, *options(server, *PIECES, f"api.model={model}"), state=state) as running,
    ):
        eventually(lambda: script.asked > 1 and stored(state) == 1)
        running.send(signal.SIGINT)
        running.await_event("service.stopping", requests=1)
        arguments = ("status", "--set", f"state.dir={state}")
        # The log comes a moment before the ledger.
        eventually(lambda: json.loads(invoke(*arguments, "--json").stdout)["data"]["service"]["stopping"] is not None)
        shown = json.loads(invoke(*arguments, "--json").stdout)["data"]
        told = invoke(*arguments).stdout
        running.send(signal.SIGINT)

        assert running.wait(PROMISED) == 0
        stopped = running.events[-1]
    assert "is stopping" in told.splitlines()[-2]
    assert shown["gate"]["in_flight"] == 1
    assert (stopped["event"], stopped["given_up"]) == ("service.stopped", 1)
    # Nobody charges for the offline engine.
    assert ("may charge" in stopped["message"]) is (model != TRIAL_MODEL)
    assert stored(state) == 1
    assert source(state) == PUT_BACK


@pytest.mark.slow
def test_the_line_of_a_stop_begins_below_the_echo_of_ctrl_c(tmp_path: Path, folder: Path) -> None:
    """Behind it, it was two columns longer than was known, and broken within a word."""
    run = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
    screen, terminal = os.openpty()
    with os.fdopen(screen, "r+b", buffering=0) as screen_and_keys:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", run, sys.executable, "-m", "watcher", "run", str(folder)),
                *(*options_of("http://127.0.0.1:1"), "--set", f"state.dir={tmp_path / 'state'}"),
            ],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "WATCHER_CONFIG": os.devnull, "NO_COLOR": "1"},
            start_new_session=True,
        )
        os.close(terminal)
        told = b""
        try:
            while b" ready" not in told:
                told += screen_and_keys.read(10_000)
            screen_and_keys.write(b"\x03")
            with suppress(OSError):  # EIO: the last one who had the terminal open is gone
                while data := screen_and_keys.read(10_000):
                    told += data
            assert process.wait(PROMISED + BUSY) == 0
        finally:
            process.kill()
            process.wait()

    before, _, stopping = told.decode().partition("^C")
    assert "the service stops" not in before
    assert re.match(r"\r\n\d\d:\d\d:\d\d the service stops: ", stopping)


def test_a_second_ctrl_c_ends_a_batch_now_with_its_document(tmp_path: Path, folder: Path) -> None:
    state = tmp_path / "state"
    recording(folder / "long.wav", seconds=60)
    script = OneAnswer()
    with serving(script) as server:
        batch = subprocess.Popen(
            [
                *(sys.executable, "-m", "watcher", "once", "--json", str(folder)),
                *(*options(server, *PIECES), "--set", f"state.dir={state}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "WATCHER_CONFIG": os.devnull},
            process_group=0,
        )
        assert batch.stderr is not None
        eventually(lambda: script.asked > 1 and stored(state) == 1)
        batch.send_signal(signal.SIGINT)
        while '"service.stopping"' not in (line := batch.stderr.readline()):
            assert line
        batch.send_signal(signal.SIGINT)
        document, _ = batch.communicate(timeout=PROMISED)

    assert batch.returncode == 130
    data = json.loads(document)["data"]
    assert (data["given_up"], data["queued"], data["done"]) == (1, 1, [])
    assert json.loads(line)["message"] == "waiting for 1 request in flight, up to 600 s"
    assert source(state) == PUT_BACK
    # What was given up may be charged for: it is in each sum of what was sent, once.
    shown = json.loads(invoke("status", "--json", "--set", f"state.dir={state}").stdout)["data"]
    sums = (shown["totals"]["paid_seconds"], shown["today"]["bought_seconds"], shown["month"]["bought_seconds"])
    with closing(sqlite3.connect(state / NAME)) as connection:
        ((answered,),) = connection.execute("SELECT sum(seconds) FROM answers").fetchall()
    assert len({*sums, data["paid_seconds"]}) == 1
    assert answered < sums[0] < 3 * answered


@pytest.mark.slow
def test_what_was_in_flight_at_a_kill_is_in_each_sum_and_counts_for_the_limits(tmp_path: Path, folder: Path) -> None:
    state = tmp_path / "state"
    recording(folder / "talk.wav", seconds=30)
    with serving(lambda asked: hearing(asked) if asked.method == "GET" else Reply(silent=True)) as server:
        with daemon(folder, *options(server), state=state) as running:
            eventually(lambda: posts(server))
            running.kill()
        shown = json.loads(invoke("status", "--json", *options(server), "--set", f"state.dir={state}").stdout)["data"]
        with daemon(folder, *options(server, "api.daily_minutes=0.6"), state=state) as running:
            held = running.await_event("gate.held")
            assert running.stop() == 0

    sums = (shown["totals"]["paid_seconds"], shown["today"]["bought_seconds"], shown["month"]["bought_seconds"])
    assert sums == (30.0, 30.0, 30.0)
    assert (held["reason"], posts(server)) == ("budget", 1)


def test_what_a_server_refused_is_taken_back_before_it_is_asked_again(tmp_path: Path, folder: Path) -> None:
    """A kill in a pause left it in all sums, and a limit of the day reached for nothing."""
    state = tmp_path / "state"
    recording(folder / "talk.wav", seconds=30)

    def busy(asked: Asked) -> Reply:
        return hearing(asked) if asked.method == "GET" else Reply("busy", 503, [("Retry-After", "50")])

    with serving(busy) as server, daemon(folder, *options(server), state=state) as running:
        running.await_event("gate.paused")
        eventually(lambda: bought(state) == 0.0)
        running.kill()

    assert bought(state) == 0.0


@pytest.mark.slow
def test_a_log_that_takes_nothing_does_not_keep_the_daemon_from_ending(tmp_path: Path, folder: Path) -> None:
    """The main thread waits in its first line; nothing but the end of the process ends that."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    words = ["run", str(folder), *options_of("http://127.0.0.1:1/v1"), "--set", f"state.dir={tmp_path / 'state'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "watcher", *words, "--set", "log.format=json"],
        stdin=subprocess.DEVNULL,
        stderr=writer,
        env={**os.environ, "WATCHER_CONFIG": os.devnull},
    )
    try:
        eventually(lambda: catches(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)

        assert process.wait(PROMISED + BUSY) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)
