"""What the hostile tests share: small recordings that tell themselves apart, mounts, and a daemon without root's rights."""

import hashlib
import json
import os
import random
import struct
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from support.daemon import invoke
from support.tools import attempt, succeeds

#: No proxy of the machine comes between a daemon and a server on loopback, also where no fixture has cleaned up yet.
ENVIRON = {"NO_PROXY": "127.0.0.1,localhost"}


def recording(path: Path | str, *, seed: object = 0, seconds: float = 0.5, rate: int = 16_000) -> Path:
    """Write a small WAV whose bytes are its own, unless the seed is another file's."""
    path = Path(path)
    with path.open("wb") as stream, wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(random.Random(f"{seed} {path.name!a}").randbytes(round(seconds * rate) * 2))
    return path


def said(path: Path | bytes) -> str:
    """Give what `servers.fault.heard` says of a file that is sent as it is."""
    content = path if isinstance(path, bytes) else path.read_bytes()
    return f"This is what recording {hashlib.sha256(content).hexdigest()[:12]} says."


def landscape(folder: Path) -> dict[str, str]:
    """Return everything below a folder: kind and content of each name."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            seen[str(path)] = f"link to {path.readlink()}"
        else:
            seen[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "other"
    return seen


@contextmanager
def nested(path: Path, levels: int) -> Iterator[Path]:
    """Make `path` and so many directories inside each other; they have to go again, as Python cannot remove them."""
    path.mkdir()
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(levels):
            os.mkdir("d", dir_fd=descriptor)
            below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield path
    finally:
        os.close(descriptor)
        subprocess.run(["rm", "-rf", "--", str(path)], check=True)


@contextmanager
def stretched(path: Path, size: int, *, name: str = "d") -> Iterator[tuple[int, bytes]]:
    """Make `path` and directories inside each other until the innermost one's path has so many bytes; yield it, open.

    `name`: the character that their names are made of. They have to go again, as Python cannot remove them.
    """
    path.mkdir()
    at, character = os.fsencode(path), name.encode()
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while (left := size - len(at)) > 0:
            # No name is empty, also not the last one.
            length = min(250, left - 1) if left > 252 else left - 1
            component = (character * (length // len(character))).ljust(length, b"x")
            os.mkdir(component, dir_fd=descriptor)
            below = os.open(component, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor, at = below, at + b"/" + component
        yield descriptor, at
    finally:
        os.close(descriptor)
        subprocess.run(["rm", "-rf", "--", str(path)], check=True)


def put_into(directory: int, name: str, content: bytes) -> None:
    """Write a file into an open directory, and give it its name when it is whole."""
    part = f".{name}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory), "wb") as file:
        file.write(content)
    os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)


class TurnedClock:
    """The clocks of the processes that are started with its `environ`: `turn` sets the wall clock, `let_pass` all of them."""

    def __init__(self, path: Path, *, passing: bool = False) -> None:
        """Start with the true time; `passing`: waits of these processes follow `let_pass`, looking 20 times a second."""
        self._path = path
        self._passing = passing
        self._turned = self._passed = 0.0
        self._write()

    @property
    def environ(self) -> dict[str, str]:
        """What such a process needs in its environment."""
        passing = {"PASSING_TIME": "1"} if self._passing else {}
        return (
            ENVIRON
            | {"TURNED_CLOCK": str(self._path), "PYTHONPATH": str(Path(__file__).parent.parent / "clock")}
            | passing
        )

    def turn(self, seconds: float) -> None:
        """Let the wall clock be off by so many seconds from now on."""
        self._turned = seconds
        self._write()

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass at once, on the wall clock and the monotonic one."""
        self._passed += seconds
        self._write()

    def _write(self) -> None:
        # In place: the processes have it mapped.
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as file:
            file.write(struct.pack("dd", self._turned + self._passed, self._passed))


def status(state: Path) -> dict[str, Any]:
    """Give what `watcher status --json` says."""
    done = invoke("status", "--json", "--set", f"state.dir={state}", environ=ENVIRON)
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


@contextmanager
def tmpfs(path: Path, *, size: str) -> Iterator[Path]:
    """Mount a small disk on `path` as long as the block lasts."""
    path.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
    try:
        yield path
    finally:
        unmount(path)


def fill_up(path: Path) -> None:
    """Fill the disk that `path` lies on."""
    with path.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"\0" * 4096)


def mount(*arguments: str | Path) -> None:
    """Mount something, by the words that follow the command's name."""
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def unmount(path: Path) -> None:
    """Unmount, also what is busy: nobody can reach it by its path any more."""
    subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)


def _may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as place:
        mounted = succeeds(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place])
        if mounted:
            unmount(Path(place))
        return mounted


#: Whether this process may mount.
MOUNTS = _may_mount()
needs_mounts = pytest.mark.skipif(not MOUNTS, reason="mounting takes root's rights")


def mortal() -> list[str]:
    """Give the words before a command that let it run without root's right to read and write everything.

    Whoever is not root has no such right, and needs no words. Skips where it cannot be given up.
    """
    if os.geteuid() != 0:
        return []
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    attempt([*words, "true"])
    return words
