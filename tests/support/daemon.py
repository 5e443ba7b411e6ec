"""The real daemon as a process: started from the command line, read through its log, ended by signals."""

import io
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from support.forking import ForkedProcess, forked, forks
from support.waiting import PATIENCE
from watcher.cli.main import run

#: What a command that ended said, and its exit code.
Done = subprocess.CompletedProcess[str]


class Daemon:
    """A `watcher` process whose stderr is JSON lines; every line it wrote is in `events`."""

    def __init__(self, process: "subprocess.Popen[bytes] | ForkedProcess") -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        #: Lines that were no JSON: a traceback, a usage error.
        self.talk: list[str] = []
        self._new: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="daemon-log")
        self._reader.start()

    def await_event(self, name: str, *, patience: float = PATIENCE, **keys: Any) -> dict[str, Any]:
        """Give the first event of that name with those keys, past or to come."""
        return self.await_events(name, 1, patience=patience, **keys)[0]

    def await_events(self, name: str, count: int, *, patience: float = PATIENCE, **keys: Any) -> list[dict[str, Any]]:
        """Give all such events as soon as there are `count`."""
        deadline = time.monotonic() + patience
        while len(found := self.seen(name, **keys)) < count:
            try:
                event = self._new.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{len(found)} of {count} {name} {keys}; log:\n{self.log()}") from None
            if event is None:
                self._new.put(None)
                if len(found := self.seen(name, **keys)) >= count:
                    return found
                raise AssertionError(f"the daemon ended before {name} {keys}; log:\n{self.log()}")
        return found

    def seen(self, name: str, **keys: Any) -> list[dict[str, Any]]:
        """Give the events of that name with those keys so far."""
        return [
            event
            for event in list(self.events)
            if event.get("event") == name and all(event.get(key) == value for key, value in keys.items())
        ]

    def log(self) -> str:
        """Give what was written so far."""
        return "\n".join([*(json.dumps(event) for event in self.events), *self.talk])

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for the end; give the exit code."""
        code = self.process.wait(patience)
        self._reader.join(patience)
        return code

    def stop(self) -> int:
        """Ask it to end, as systemd does; give the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send(signal.SIGKILL)
        self.wait()

    def _read(self) -> None:
        stream = self.process.stderr
        assert stream is not None
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            try:
                event = json.loads(line)
            except ValueError:
                self.talk.append(line)
                continue
            self.events.append(event)
            self._new.put(event)
        stream.close()
        self._new.put(None)


@contextmanager
def daemon(
    *arguments: str | Path, state: Path, environ: dict[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Daemon]:
    """Run `watcher run` with its state in `state`; what still runs at the end is killed."""
    with command("run", *arguments, "--set", f"state.dir={state}", environ=environ, prefix=prefix) as running:
        yield running


@contextmanager
def command(
    *arguments: str | Path, environ: dict[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Daemon]:
    """Run any command that logs; `prefix`: a program that replaces itself with it, such as setpriv."""
    words = [*map(str, arguments), "--set", "log.format=json"]
    environment = {**os.environ, "WATCHER_CONFIG": os.devnull, **(environ or {})}
    running = Daemon(_started(words, environment, prefix))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            # A stopped one would not take the kill's effect in time for its pipes to close.
            with suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGCONT)
            running.process.kill()
        running.wait()


def _started(
    words: Sequence[str], environment: dict[str, str], prefix: Sequence[str]
) -> "subprocess.Popen[bytes] | ForkedProcess":
    if forks(environment, prefix):
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb"), open(os.devnull, "wb") as nothing:  # noqa: PTH123 - as a shell does it
            process = forked(words, environment, prefix=prefix, stdout=nothing.fileno(), stderr=writer)
        process.stderr = os.fdopen(reader, "rb")
        return process
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "watcher", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        process_group=0,
    )


def watcher(
    *arguments: str | Path, environ: dict[str, str] | None = None, check: bool = True, prefix: Sequence[str] = ()
) -> Done:
    """Run a command to its end, as a process of its own; with `check`, its exit code must be 0. `prefix`: see `command`."""
    words = [*map(str, arguments)]
    environment = {**os.environ, "WATCHER_CONFIG": os.devnull, **(environ or {})}
    if forks(environment, prefix):
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = forked(words, environment, prefix=prefix, stdout=stdout.fileno(), stderr=stderr.fileno())
            try:
                code = process.wait(2 * PATIENCE)
            finally:
                process.kill()
            stdout.seek(0)
            stderr.seek(0)
            return _checked(code, stdout.read().decode(), stderr.read().decode(), check=check)
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "watcher", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=2 * PATIENCE,
        check=False,
    )
    return _checked(done.returncode, done.stdout, done.stderr, check=check)


def invoke(*arguments: str | Path, environ: dict[str, str] | None = None, check: bool = True) -> Done:
    """Run a command to its end, in this process and its main thread; with `check`, its exit code must be 0.

    The start of a process and its imports cost several times what most commands cost; see `watcher` for where one is needed.
    """
    with pytest.MonkeyPatch.context() as patch, open(os.devnull) as nothing:  # noqa: PTH123 - as a shell does it
        for name, value in {"WATCHER_CONFIG": os.devnull, **(environ or {})}.items():
            patch.setenv(name, value)
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", newline="") for _ in range(2)]
        for name, stream in zip(("stdin", "stdout", "stderr"), (nothing, *streams), strict=True):
            patch.setattr(sys, name, stream)
        code = run([*map(str, arguments)])
        structlog.reset_defaults()
    return _checked(code, *(_text(stream) for stream in streams), check=check)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def _checked(code: int, stdout: str, stderr: str, *, check: bool) -> Done:
    assert not check or code == 0, f"exit {code}\n{stdout}\n{stderr}"
    return Done([], code, stdout, stderr)
