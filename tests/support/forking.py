"""Processes of the program that are forked from one that has imported it: most of what a daemon's start costs are imports.

`forked` starts this file once for each process of tests; it imports the program, and from then on forks a process for each
request: with the environment, the working directory, the limit of open files, stdout and stderr that it is given, in a
process group of its own. That process goes on as `python -m watcher` does behind its imports.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

PACKAGE = Path(__file__).resolve().parents[2] / "watcher"
#: The beginnings of the variables that Python and the C library read when a process starts, so that a fork comes too late.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_")
#: Most bytes of a request.
_MOST = 1 << 20


class ForkedProcess:
    """What `subprocess.Popen` is for a process that another one has forked."""

    def __init__(self, line: socket.socket) -> None:
        self.stderr: IO[bytes] | None = None
        self.returncode: int | None = None
        self._line = line
        self._guard = threading.Lock()
        self.pid = int(line.recv(100))

    def poll(self) -> int | None:
        """Return the exit code, or minus the number of the signal that ended it; None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; TimeoutExpired if that does not come in time."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("watcher", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        # The process that forked it may have noticed its end before this one.
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        with self._guard:
            if self.returncode is not None:
                return self.returncode
            ended = select.poll()
            ended.register(self._line, select.POLLIN)
        if ended.poll(None if timeout is None else timeout * 1000):
            with self._guard:
                if self.returncode is None:
                    self.returncode = int(self._line.recv(100))
                    self._line.close()
        return self.returncode


def forks(environment: Mapping[str, str], prefix: Sequence[str] = ()) -> bool:
    """Return whether a fork is what a new process with this environment would be; `prefix`: see `forked`."""
    usual = _environment()
    return sys.executable not in prefix and all(
        environment.get(name) == usual.get(name) for name in {*environment, *usual} if name.startswith(_READ_AT_START)
    )


def forked(
    arguments: Sequence[str], environment: Mapping[str, str], *, prefix: Sequence[str] = (), stdout: int, stderr: int
) -> ForkedProcess:
    """Start `watcher` with these arguments and this whole environment; it has nothing to read.

    `prefix`: a program, with its arguments, that takes rights away and replaces itself with what is named behind it, such as
    setpriv; the process that forks has run through it.
    """
    line, theirs = socket.socketpair()
    request = [arguments, dict(environment), str(Path.cwd()), resource.getrlimit(resource.RLIMIT_NOFILE)]
    with theirs:
        socket.send_fds(_forker(*prefix), [json.dumps(request).encode()], [theirs.fileno(), stdout, stderr])
    return ForkedProcess(line)


@cache
def _environment() -> dict[str, str]:
    """Return the environment that the process that forks is started with."""
    return dict(os.environ)


@cache
def _forker(*prefix: str) -> socket.socket:
    """Start the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
    with theirs:
        process = subprocess.Popen(
            [*prefix, sys.executable, __file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=_environment(),
            process_group=0,
        )

    @atexit.register
    def end_forking() -> None:
        ours.close()
        process.wait()

    return ours


class Forker:
    """The process that forks: the socket that requests come from, and where the end of each fork is to be told."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._lines: dict[int, socket.socket] = {}
        # A byte for each SIGCHLD.
        self._ended, self._told = socket.socketpair()
        self._ended.settimeout(0)
        self._told.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)

    def serve(self) -> bool:
        """Fork for each request; return False when there are no more, and in each fork, True."""
        places = select.poll()
        places.register(self._requests, select.POLLIN)
        places.register(self._ended, select.POLLIN)
        while True:
            ready = {place for place, _ in places.poll()}
            if self._ended.fileno() in ready:
                self._tell_ends()
            if self._requests.fileno() in ready:
                request, descriptors, *_ = socket.recv_fds(self._requests, _MOST, 3)
                if not request:
                    return False
                line, *streams = socket.socket(fileno=descriptors[0]), *descriptors[1:]
                if (process := os.fork()) == 0:
                    self._become(streams, *json.loads(request))
                    line.send(str(os.getpid()).encode())
                    line.close()
                    return True
                for stream in streams:
                    os.close(stream)
                self._lines[process] = line

    def _tell_ends(self) -> None:
        with suppress(BlockingIOError):
            self._ended.recv(4096)
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                process, status = found
                with self._lines.pop(process) as line, suppress(OSError):
                    line.send(str(os.waitstatus_to_exitcode(status)).encode())

    def _become(
        self,
        streams: Sequence[int],
        arguments: list[str],
        environment: dict[str, str],
        directory: str,
        files: tuple[int, int],
    ) -> None:
        """Make this fork what it was asked for."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._requests, self._ended, self._told, *self._lines.values()):
            end.close()
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        # The former ones remember what could be done with the former files.
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - it stays open
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - likewise
        os.setpgid(0, 0)
        os.chdir(directory)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[0] = directory
        sys.argv = [str(PACKAGE / "__main__.py"), *arguments]


def _import_program() -> Any:
    """Import all that a daemon may need; return what `python -m watcher` calls."""
    for module in ("watcher.cli.app", "watcher.cli.run", "watcher.cli.once", "watcher.ledger.postgres"):
        with suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    return importlib.import_module("watcher.cli").main


if __name__ == "__main__":
    sys.path.insert(1, str(PACKAGE.parent))
    main = _import_program()
    if Forker(socket.socket(fileno=int(sys.argv[1]))).serve():
        main()
