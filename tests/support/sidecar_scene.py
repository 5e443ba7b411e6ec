"""Recordings with jobs in a real ledger; and a ledger of its own that knows no leases, for runs that are killed."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from watcher import sidecar
from watcher.job import Fingerprint, FoundRecording, Job
from watcher.ledger import open_ledger


def nothing() -> None:
    """Check nothing."""


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def fingerprint(path: Path) -> Fingerprint:
    found = path.stat()
    return Fingerprint(found.st_size, found.st_mtime_ns, found.st_ino)


class Scene:
    """A watched root, its ledger, and the jobs of the recordings in it."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        self.ledger = open_ledger(state)

    def job(self, name: str | bytes = "talk.wav", content: bytes = b"sound", *, mode: int = 0o644) -> Job:
        """Write a recording and claim its job."""
        path = Path(os.fsdecode(os.path.join(os.fsencode(self.root), os.fsencode(name))))  # noqa: PTH118 - bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        self.ledger.queue.put([FoundRecording(os.fsencode(self.root), os.fsencode(path), fingerprint(path))])
        job = self.ledger.queue.claim("tester", lease=60)
        assert job is not None
        assert job.path == os.fsencode(path)
        return job

    def place(
        self,
        job: Job,
        contents: Mapping[str, bytes] | None = None,
        *,
        template: str = "{stem}",
        language: str = "en",
        check: Callable[[], None] = nothing,
    ) -> list[str]:
        """Place outputs; give their names."""
        outputs = sidecar.place(
            job,
            {"srt": b"1\n", "txt": b"text\n"} if contents is None else contents,
            templates=sidecar.OutputTemplates(template),
            language=language,
            ledger=self.ledger,
            check=check,
            source=os.stat(job.path),  # noqa: PTH116 - bytes
        )
        return [os.fsdecode(os.path.basename(output.path)) for output in outputs]  # noqa: PTH119 - bytes

    def files(self) -> dict[str, bytes]:
        """Give what is in the root, by path below it."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Give a scene whose root is `folder`/in."""
    root = folder / "in"
    root.mkdir()
    made = Scene(root, folder / "state")
    try:
        yield made
    finally:
        made.ledger.close()


def right_before(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, act: Callable[..., object]
) -> Callable[..., Any]:
    """Have `act` done right before each call of the function of this name, with its arguments; return the function."""
    function: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any) -> Any:
        act(*arguments)
        return function(*arguments)

    monkeypatch.setattr(owner, name, call)
    return function
