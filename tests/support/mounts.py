"""Real FUSE mounts whose server can be stopped in the middle, as a dead file server leaves them: bindfs and SIGSTOP."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.fuse import detach, mount_device
from support.waiting import eventually

_UNMOUNT = next((found for name in ("fusermount3", "fusermount") if (found := shutil.which(name))), "fusermount")


class Mount:
    """A directory shown at another place by a FUSE server."""

    def __init__(self, source: Path, point: Path) -> None:
        """Mount it; raises OSError where that cannot be done."""
        self.source = source
        self.point = point
        # Something else may be mounted there already.
        below = point.stat().st_dev
        # Nothing is answered from the kernel's cache: whoever touches it needs the server.
        options = "attr_timeout=0,entry_timeout=0,negative_timeout=0"
        self._server = subprocess.Popen(
            # One thread, which either waits for a request or works on one.
            ["bindfs", "-f", "-s", "-o", options, source, point],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: point.stat().st_dev != below or self._server.poll() is not None)
            if self._server.poll() is not None:
                raise OSError("bindfs cannot mount here")
        except BaseException:
            self.close()
            raise

    def hang(self) -> None:
        """Stop the server between two requests: whoever touches the mount from now on waits.

        Never in the middle of one: the kernel waits for the answer to a request that the server has taken, and until then
        not even SIGKILL ends the process that made it (linux, fs/fuse/dev.c, request_wait_answer).
        """

        def stopped_between_requests() -> bool:
            read = self._bytes_read()
            eventually(lambda: self._state() == "S", what="the server waits for a request")
            self._server.send_signal(signal.SIGSTOP)
            eventually(lambda: self._state() == "T", what="the server stops")
            if self._bytes_read() == read:
                return True
            self.answer()
            return False

        eventually(stopped_between_requests, what="the server stops between two requests")

    def answer(self) -> None:
        """Have the server go on where it was stopped."""
        self._server.send_signal(signal.SIGCONT)

    def _state(self) -> str:
        return self._process("stat").rpartition(") ")[2][0]

    def _bytes_read(self) -> int:
        """Return what the server has read so far: requests, and the files that they are about."""
        return int(self._process("io").split()[1])

    def _process(self, name: str) -> str:
        return Path(f"/proc/{self._server.pid}/{name}").read_text()

    def close(self) -> None:
        """Unmount it and end its server."""
        self.answer()
        subprocess.run([_UNMOUNT, "-u", "-z", self.point], capture_output=True, check=False)
        try:
            self._server.wait(60)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


@contextmanager
def mounted(source: Path, point: Path) -> Iterator[Mount]:
    """Show `source` at `point`, both of which are made, while the context lasts."""
    for path in (source, point):
        path.mkdir(exist_ok=True)
    mount = Mount(source, point)
    try:
        yield mount
    finally:
        mount.close()


def can_mount_fuse() -> bool:
    """Return whether bindfs can mount something here; it is tried."""
    with tempfile.TemporaryDirectory() as place:
        try:
            with mounted(Path(place, "source"), Path(place, "point")):
                return True
        except OSError:
            return False


needs_fuse = pytest.mark.skipif(not can_mount_fuse(), reason="bindfs is not there, or cannot mount anything here")


@contextmanager
def unanswered(point: Path) -> Iterator[None]:
    """Mount a FUSE file system that nobody serves: from the first question on, it never answers. Skips without the right to."""
    try:
        device = mount_device(point)
    except OSError as refused:
        pytest.skip(f"nothing can be mounted here: {refused}")
    try:
        yield
    finally:
        # Whoever waits is told that the connection is gone.
        os.close(device)
        detach(point)
