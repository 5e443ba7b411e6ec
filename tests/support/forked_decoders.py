"""Media children that are forked from a process that has imported what they need: most of what a child's start costs are imports.

While `forking` lasts, the media children of this process are forked from one process, as `support.forking` does with the whole
program. Each has the parent, descriptors, directory, mask and process group that it would have, and goes on as
`watcher/media/__main__.py` does behind its imports. A child that is started by another command than `childprocess.command`, or by
another process such as a daemon, is started anew.
"""

import ctypes
import gc
import json
import os
import platform
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

#: Number of clone(2); elsewhere nothing is forked.
_CLONE: Final = {"x86_64": 56, "aarch64": 220}.get(platform.machine())
#: linux/sched.h: the parent of the new process is that of this one.
_CLONE_PARENT: Final = 0x8000
_MOST: Final = 1 << 16


class ForkedChild:
    """What `subprocess.Popen` is for a child of this process that another one has forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return the exit code, or minus the number of the signal that ended it; None while it runs."""
        if self.returncode is None and select.select([self._end], [], [], 0)[0]:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._end)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; TimeoutExpired if that does not come in time."""
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._end, select.POLLIN)
            ended.poll(None if timeout is None else timeout * 1000)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("the media child", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)


@contextmanager
def forking() -> Iterator[None]:
    """Fork this process's media children. Enter it in the main thread: children end with the thread that started what forks them."""
    import pytest  # noqa: PLC0415 - the process that forks has no import path yet

    from watcher.media import childprocess  # noqa: PLC0415 - likewise

    if _CLONE is None:
        yield
        return
    line, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    usual_command = childprocess.command
    words = usual_command(0, 0)
    with theirs:
        forker = subprocess.Popen(
            [*words[:3], __file__, str(theirs.fileno()), *words[7:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=childprocess._ENVIRONMENT,
            process_group=0,
        )

    def start(
        command: Sequence[str], *, pass_fds: tuple[int, int], stderr: int, cwd: Path, umask: int, **options: Any
    ) -> Any:
        if command != usual_command(*pass_fds) or [*command[:3], *command[7:]] != [*words[:3], *words[7:]]:
            return subprocess.Popen(command, pass_fds=pass_fds, stderr=stderr, cwd=cwd, umask=umask, **options)
        ours, reply = socket.socketpair()
        request = [os.getpid(), str(cwd.absolute()), umask, resource.getrlimit(resource.RLIMIT_NOFILE)]
        with ours, reply:
            socket.send_fds(line, [json.dumps(request).encode()], [*pass_fds, stderr, reply.fileno()])
            return ForkedChild(int(ours.recv(100)))

    module = SimpleNamespace(**{**vars(subprocess), "Popen": start})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(childprocess, "subprocess", module)
        yield
    line.close()
    forker.wait()


def _serve(requests: socket.socket) -> tuple[int, int, int] | None:
    """Fork for each request; return None when there are no more, and in each fork, the arguments of the child's `main`."""
    python = ctypes.PyDLL(None)
    while True:
        request, descriptors, *_ = socket.recv_fds(requests, _MOST, 4)
        if not request:
            return None
        recording, link, stderr, reply = descriptors
        parent, directory, mask, files = json.loads(request)
        python.PyOS_BeforeFork()
        pid = python.syscall(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid:
            python.PyOS_AfterFork_Parent()
            os.write(reply, str(pid).encode())
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        python.PyOS_AfterFork_Child()
        os.dup2(stderr, 2)
        for descriptor in (stderr, reply, requests.detach()):
            os.close(descriptor)
        os.setpgid(0, 0)
        os.chdir(directory)
        os.umask(mask)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        return recording, link, parent


if __name__ == "__main__":
    sys.path[:] = sys.argv[2:]
    # As the real child does.
    sys.modules["rich"] = None  # type: ignore[assignment] # the documented way to make an import fail
    from watcher.media.child import main

    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        arguments = _serve(line)
    sys.exit(main(*arguments) if arguments else 0)
