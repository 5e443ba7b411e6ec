"""The decoder process: start it, exchange messages with it, end it, and find out why it died."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

import watcher
from watcher.errors import FileError, JobError, PassingError
from watcher.media.protocol import Message, encode
from watcher.media.reader import MessageReader

_log = structlog.get_logger()

#: Seconds to wait for a child to exit after its last message.
_FAREWELL: Final = 5.0
#: Most bytes kept of a child's stderr.
_WORDS: Final = 1 << 20
#: The whole environment of a decoder. One arena and one thread, because address space is limited.
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class ChildProcess:
    """A running child, started by the constructor. PassingError ("child") if it cannot be started."""

    def __init__(self, descriptor: int, directory: Path) -> None:
        """`descriptor`: of the recording; `directory`: the child's working directory, for its pieces."""
        with contextlib.ExitStack() as held:
            try:
                # The child's stderr, for errors before it can send messages: a failing import, an assertion of the C library.
                self._words = os.memfd_create("media-child", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                held.callback(os.close, self._words)
                # It is in memory and does not count for the child's limit, so its size is fixed: what is written beyond it is lost.
                os.ftruncate(self._words, _WORDS)
                fcntl.fcntl(self._words, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
                self._link, theirs = socket.socketpair()
                held.enter_context(self._link)
                # The system allows less than this, but more than the default: room for a grant for each request in flight.
                self._link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                with theirs:
                    self.process = subprocess.Popen(
                        command(descriptor, theirs.fileno()),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=self._words,
                        pass_fds=(descriptor, theirs.fileno()),
                        env=_ENVIRONMENT,
                        cwd=directory,
                        umask=0o077,
                        process_group=0,
                    )
            except OSError as exc:
                raise PassingError(f"The media child cannot be started: {exc}", reason="child") from exc
            self._held = held.pop_all()
        self._messages = MessageReader(self._link)

    def send(self, message: Message) -> None:
        """Send a message."""
        # The child has ended: its last message or its exit code will tell why.
        with contextlib.suppress(OSError):
            self._link.sendall(encode(message))

    def send_at_once(self, message: Message) -> None:
        """Send a message without waiting, since a child under an attacker's control may not read. If there is no room, it is lost."""
        with contextlib.suppress(OSError):
            self._link.send(encode(message), socket.MSG_DONTWAIT)

    def get(self, timeout: float) -> Message | None:
        """Return the child's next message; see `MessageReader.get`."""
        return self._messages.get(timeout)

    @property
    def taken(self) -> int:
        """Bytes of messages received so far."""
        return self._messages.taken

    def kill(self) -> None:
        """Kill the child; it may continue to exist in a read that does not end."""
        self.process.kill()

    def end(self) -> None:
        """Kill and reap a child that has finished; one that hangs in a read from a disk that does not answer is left to `close`."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_FAREWELL)

    def close(self, waiting: Callable[[], object]) -> None:
        """Kill the child and wait for its end; `waiting` is called every few seconds meanwhile."""
        self.kill()
        while True:
            try:
                self.process.wait(_FAREWELL)
            except subprocess.TimeoutExpired:
                # It may hang in a read from a disk that does not answer.
                waiting()
            else:
                break
        self._held.close()

    def death(self) -> JobError:
        """Return the error for a child that closed the socket: why it died."""
        try:
            code = self.process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            # `close` waits for it, with signs of life: it may hang in a read from a disk that does not answer.
            self.kill()
            return PassingError(
                "The process that decodes the recording fell silent and did not end.",
                hint="Check the disk or the network share it lies on.",
                reason="killed",
            )
        # The child and this process share the position in the file.
        end = min(os.lseek(self._words, 0, os.SEEK_CUR), _WORDS)
        words = os.pread(self._words, min(end, 4096), max(0, end - 4096)).decode(errors="replace")
        # Write its stderr only to the log: an attacker may control the child, and error messages are read by others.
        (_log.warning if code >= 0 else _log.debug)("media.child", code=code, detail=words)
        if code >= 0:
            hint = "Check the installation; the log has the last words of it (media.child)."
            return PassingError(f"The decoding process ended with code {code}.", hint=hint, reason="child")
        return _ended_by(-code)


def _ended_by(number: int) -> JobError:
    """Return the error for a child that was ended by a signal which this process did not send."""
    name = _signal_name(number)
    if number == signal.SIGKILL:
        return PassingError(
            f"The process that decodes the recording was ended from outside ({name}), most often for want of memory.",
            hint="See the kernel's log. If memory ran out, give the machine more or lower state.workers, then `watcher retry`; if "
            "only this file needs so much, export it again, for example as WAV or FLAC.",
            reason="killed",
        )
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return PassingError(
            f"The process that decodes the recording was ended from outside ({name}).",
            hint="Find out what sends signals to it; then `watcher retry`.",
            reason="killed",
        )
    if number == signal.SIGXCPU:
        return FileError(
            "Decoding takes far more processor time than a recording of this length should.",
            hint="It is probably damaged, or not a recording at all; export it again.",
            reason="limits",
        )
    return FileError(
        f"The decoder crashed on this file ({name}).",
        hint="It is probably damaged; export it again, for example as WAV or FLAC.",
        reason="crashed",
    )


def command(descriptor: int, line: int) -> list[str]:
    """Return the command that starts a child with the recording and its end of the socket."""
    package = Path(watcher.__file__).resolve().parent
    starter = package / "media" / "__main__.py"
    path = [str(package.parent), *(entry for entry in sys.path if os.path.isabs(entry))]  # noqa: PTH117 - entries are strings
    return [sys.executable, "-I", "-S", str(starter), str(descriptor), str(line), str(os.getpid()), *path]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
