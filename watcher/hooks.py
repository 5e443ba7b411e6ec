"""Run a program of the operator's after a file: an argv list, the job as JSON on its stdin, never through a shell.

A hook gets no key: its environment has none of our variables, and its only open files are stdin, stdout and stderr. Its time is
limited, and its own process group is ended as a whole. If it fails, its output goes to the log. (If the
daemon is killed, systemd ends the hook with it; without systemd, it runs to its end, because half an upload helps
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

#: Bytes kept of a hook's output: its end, where programs usually say why they failed.
_KEPT: Final = 4096
_CHUNK: Final = 65536
#: Seconds between SIGTERM and SIGKILL.
_GRACE: Final = 5.0
#: Seconds between two checks of a hook without output.
_LOOK: Final = 0.1
#: Most bytes read after the hook's end, from a child process that still writes.
_AFTERWARDS: Final = 1 << 20
_OURS: Final = ("WATCHER_", "OPENAI_")
_NOT_FOR_HOOKS: Final = frozenset(
    {
        "CREDENTIALS_DIRECTORY",
        # Set by the unit, for a process with many threads.
        "GLIBC_TUNABLES",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "MAINPID",
        "NOTIFY_SOCKET",
        # For a ledger on PostgreSQL.
        "PGPASSFILE",
        "PGPASSWORD",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)


@dataclass(frozen=True, slots=True)
class HookResult:
    """Result of a hook."""

    #: "exit": it ended by itself; "timeout": it was ended after its time; "stopped": it was ended because the daemon stops, and has
    #: to be run again; "unstartable": the program cannot be run.
    reason: Literal["exit", "timeout", "stopped", "unstartable"]
    #: Exit code; minus the signal's number if a signal ended it; None if it never ran.
    code: int | None = None
    #: Why it failed, in words.
    message: str = field(default="", compare=False)

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
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
    """Run a hook and wait for it, `timeout` seconds at most, or until `stop` is set. Never raises an error of the hook.

    `payload`: its stdin; `environment`: the result of `scrubbed`. A failure is logged as ``hook.failed``, with
    `kind` (on_done, on_failed, on_held) and the end of its output: as a warning if it will be run again `retry_in` seconds
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
            # Without the arguments: some programs get passwords there.
            program=argv[0],
            reason=ran.reason,
            code=ran.code,
            message=message,
            output=said.decode("utf-8", "backslashreplace").strip(),
            **({} if retry_in is None else {"retry_in": retry_in}),
        )
    return replace(ran, message=message)


def scrubbed(environment: Mapping[str, str], *, secrets: Collection[str] = ()) -> dict[str, str]:
    """Return the part of the daemon's environment for hooks: without keys, under any name, and without variables only for Watcher."""
    masked, whole = masker(secrets), {secret for secret in secrets if secret}
    return {
        name: value
        for name, value in environment.items()
        if name not in _NOT_FOR_HOOKS and not name.startswith(_OURS) and value not in whole and masked(value) == value
    }


def _message(ran: HookResult, timeout: float) -> str:
    """Return a text about how a hook ended."""
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
    # A file, not a pipe: we need not wait for a hook to read its input, which it may ignore.
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
    """Wait for the end of a hook, and read its output meanwhile; return how it ended, and the end of its output."""
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
    """End a hook with all its children: with SIGTERM, then SIGKILL."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _OutputTail:
    """Reads from a non-blocking pipe, and keeps the end of the data."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Not `select`: it does not accept descriptors from 1024 on.
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.heard = b""
        #: False once all processes have closed the other end.
        self.is_open = True

    def listen(self, seconds: float) -> None:
        """Read what comes within `seconds`, if anything does."""
        if self._poll.poll(seconds * 1000):
            self._take()

    def listen_to_the_rest(self) -> None:
        """Read what is there, without waiting for processes that still have the other end open."""
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
