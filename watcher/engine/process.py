"""A process that recognises.

It is a Python of its own, since recognisers hold the interpreter's lock, or much memory. It ends with its stdin, so it does not
outlive the engine.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from watcher.engine.errors import EngineError
from watcher.engine.wire import write_request

#: Milliseconds between two looks at whether anybody still waits for an answer.
POLL: Final = 500


def started(
    program: Path, environment: Mapping[str, str], *, stdin: int | IO[bytes], stderr: IO[bytes], name: str
) -> "subprocess.Popen[bytes]":
    """Start a Python that runs `program`, with our own import path as its arguments and a pipe from its stdout.

    `name` is what errors call it, with an article. Raises `EngineError` where it cannot be started.
    """
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", program, *sys.path],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(environment),
            process_group=0,
        )
    except OSError as error:
        raise EngineError(f"{name} cannot be started: {error}.") from error


class RecogniserProcess:
    """A process and the pipes to it; one thread at a time talks to it, any thread may `kill` it."""

    def __init__(self, program: Path, environment: Mapping[str, str], *, name: str) -> None:
        """Start it; see `started`."""
        self._name = name
        self._rest = b""
        # What it prints on stderr when it cannot answer: an import that fails, an assertion of the C library.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process; closed by `end`
        try:
            self._process = started(program, environment, stdin=subprocess.PIPE, stderr=self._complaints, name=name)
        except EngineError:
            self._complaints.close()
            raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def send(self, head: Mapping[str, Any], samples: bytes = b"") -> None:
        """Send a request. Where the process is gone, `read` raises the reason."""
        with suppress(BrokenPipeError):
            write_request(cast("BinaryIO", self._process.stdin), head, samples)

    def read(self, *, meanwhile: Callable[[], None] = lambda: None) -> Any:
        """Wait for the next answer, calling `meanwhile` twice a second. Raises `EngineError` when the process is gone."""
        pipe = cast("IO[bytes]", self._process.stdout).fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while b"\n" not in self._rest:
            if not poll.poll(POLL):
                meanwhile()
            elif part := os.read(pipe, 1 << 16):
                self._rest += part
            else:
                raise self._gone()
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def kill(self) -> None:
        """End the process now; a thread that waits for its answer gets `EngineError`. From any thread."""
        self._process.kill()

    def end(self) -> None:
        """Kill and reap the process and close the pipes; nobody may be using them. May be called again."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            with suppress(BrokenPipeError):  # the rest of what it did not take
                cast("IO[bytes]", pipe).close()

    def _gone(self) -> EngineError:
        self._complaints.seek(0)
        complaint = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        return EngineError(f"{self._name} ended with {self._process.wait()}: {complaint or 'it said nothing'}.")
