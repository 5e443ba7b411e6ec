"""Run a program of the operator's after a file: an argv list, the job as JSON on its stdin, never through a shell.

A hook gets no key: none of our variables is in its environment, and no open file but its three. It may take a limited
time, in a process group of its own that is ended as a whole. What it says goes to the log when it fails. (When the
daemon is killed, systemd ends the hook with it; started by hand, it comes to its own end, for half an upload helps
nobody.)
"""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import structlog

from watcher.masking import masker

_log = structlog.get_logger()

#: Bytes of what a hook says that are kept: its end, where programs say why they failed.
_KEPT: Final = 4096
_CHUNK: Final = 65536
#: Seconds between SIGTERM and SIGKILL.
_GRACE: Final = 5.0
#: Seconds between two looks at a hook that says nothing.
_LOOK: Final = 0.1
#: Most that is read after the hook's end, from a child of its own that goes on talking.
_AFTERWARDS: Final = 1 << 20
_OURS: Final = ("WATCHER_", "OPENAI_")
_NOT_FOR_HOOKS: Final = frozenset(
    {
        "CREDENTIALS_DIRECTORY",
        # The unit's, for a process of many threads.
        "GLIBC_TUNABLES",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "MAINPID",
        "NOTIFY_SOCKET",
        # The ledger's, when it is on PostgreSQL.
        "PGPASSFILE",
        "PGPASSWORD",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)


@dataclass(frozen=True, slots=True)
class HookResult:
    """Result of a hook."""

    #: "exit": by itself; "timeout": ended after its time; "stopped": ended because the daemon stops, it has to be run
    #: again; "unstartable": the program cannot be run.
    reason: Literal["exit", "timeout", "stopped", "unstartable"]
    #: Exit code; minus the signal's number when a signal ended it; None when it never ran.
    code: int | None = None
    #: Why it failed, in words.
    message: str = field(default="", compare=False)

    @property
    def ok(self) -> bool:
        """True when it did what it was meant to."""
        return self.reason == "exit" and self.code == 0


def run(
    argv: Sequence[str],
    payload: str,
    *,
    environment: Mapping[str, str],
    timeout: float,
    kind: str = "",
    secrets: Collection[str] = (),
    stop: threading.Event | None = None,
    retry_in: float | None = None,
) -> HookResult:
    """Run a hook and wait for it, `timeout` seconds at most, or until `stop` is set. Never raises for what a hook does.

    `payload` is its stdin; `environment` is what `scrubbed` leaves of it. A failure is logged as ``hook.failed``, with
    `kind` (on_done, on_failed, on_held) and the end of what it said: as a warning where it is to be run again `retry_in` seconds
    later, else as an error.
    """
    try:
        process = _start(argv, payload, scrubbed(environment, secrets=secrets))
    except (OSError, ValueError) as exc:
        # ValueError: a null byte in the argv.
        ran, said = HookResult("unstartable"), b""
        message = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    else:
        ran, said = _attend(process, time.monotonic() + timeout, stop or threading.Event())
        message = _message(ran, timeout)
    if not ran.ok and ran.reason != "stopped":
        (_log.error if retry_in is None else _log.warning)(
            "hook.failed",
            hook=kind,
            # Not the arguments: some programs are given their passwords there.
            program=argv[0],
            reason=ran.reason,
            code=ran.code,
            message=message,
            output=said.decode("utf-8", "backslashreplace").strip(),
            **({} if retry_in is None else {"retry_in": retry_in}),
        )
    return replace(ran, message=message)


def scrubbed(environment: Mapping[str, str], *, secrets: Collection[str] = ()) -> dict[str, str]:
    """Return what a hook may know of the daemon's environment: no key under any name, nothing that is meant for us alone."""
    masked, whole = masker(secrets), {secret for secret in secrets if secret}
    return {
        name: value
        for name, value in environment.items()
        if name not in _NOT_FOR_HOOKS and not name.startswith(_OURS) and value not in whole and masked(value) == value
    }


def _message(ran: HookResult, timeout: float) -> str:
    """Return how a hook ended, in words."""
    match ran:
        case HookResult("timeout"):
            return f"took longer than {timeout:g} s and was ended"
        case HookResult("stopped"):
            return "ended because the service stops"
        case HookResult(_, int(code)) if code < 0:
            return f"ended by signal {-code}"
        case _:
            return f"exit code {ran.code}"


def _start(argv: Sequence[str], payload: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    # A file and no pipe: nobody has to wait until a hook has read what it may not even want to read.
    stdin = os.memfd_create("payload", os.MFD_CLOEXEC)
    try:
        with open(stdin, "wb", closefd=False) as file:
            file.write(payload.encode("utf-8", "backslashreplace") + b"\n")
        os.lseek(stdin, 0, os.SEEK_SET)
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=0,
        )
    finally:
        os.close(stdin)


def _attend(process: subprocess.Popen[bytes], deadline: float, stop: threading.Event) -> tuple[HookResult, bytes]:
    """Wait for the end of a hook and listen meanwhile; give how it ended and the end of what it said."""
    assert process.stdout is not None  # noqa: S101 - for mypy: it was started with a pipe
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        ear = _OutputTail(pipe.fileno())
        reason: Literal["exit", "timeout", "stopped"] = "exit"
        while process.poll() is None:
            left = deadline - time.monotonic()
            if stop.is_set() or left <= 0:
                reason = "stopped" if stop.is_set() else "timeout"
                _end(process)
                break
            if ear.is_open:
                ear.listen(min(_LOOK, left))
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(_LOOK, left))
        ear.listen_to_the_rest()
    return HookResult(reason, process.returncode), ear.heard


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a hook with all that it started: politely, then not."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _OutputTail:
    """Keeps the end of what comes out of a non-blocking pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Not `select`: it takes no descriptor from 1024 on.
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.heard = b""
        #: False once everybody at the other end has closed it.
        self.is_open = True

    def listen(self, seconds: float) -> None:
        """Take what comes within that time, if anything does."""
        if self._poll.poll(seconds * 1000):
            self._take()

    def listen_to_the_rest(self) -> None:
        """Take what is there, without waiting for those who still hold the other end."""
        taken = 0
        while self.is_open and taken < _AFTERWARDS and (size := self._take()):
            taken += size

    def _take(self) -> int:
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return 0
        self.is_open = bool(chunk)
        self.heard = (self.heard + chunk)[-_KEPT:]
        return len(chunk)
