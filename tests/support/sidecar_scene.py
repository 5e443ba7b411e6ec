"""Recordings with jobs in a real ledger; and a register of its own that knows no leases, for runs that are killed."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from watcher import sidecar
from watcher.errors import LeaseLostError
from watcher.job import Fingerprint, FoundRecording, Job, Output
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
        self.ledger.put([FoundRecording(os.fsencode(self.root), os.fsencode(path), fingerprint(path))])
        job = self.ledger.claim("tester", lease=60)
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
            template=template,
            language=language,
            register=self.ledger,
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


@dataclass(frozen=True, slots=True)
class Entry:
    path: bytes
    source: bytes
    kind: str
    digest: str
    former: str
    placed: bool


class FileRegister:
    """Keeps its rows through a kill; `lost` makes every entry fail as a lost lease does."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # A kill loses nothing of what was written; only power loss would.
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS outputs(path BLOB PRIMARY KEY, source BLOB, kind, digest, former, placed)"
        )
        self._database.execute("CREATE TABLE IF NOT EXISTS temporaries(path BLOB PRIMARY KEY)")
        self._database.execute("CREATE TABLE IF NOT EXISTS memory(key PRIMARY KEY, value)")
        self.lost = False

    def close(self) -> None:
        self._database.close()

    def enter_output(self, job: Job, output: Output) -> bool:
        if self.lost:
            raise LeaseLostError("the lease is gone")
        return self._enter(job.path, output)

    def enter_note(self, source: bytes, note: Output) -> bool:
        return self._enter(source, note)

    def _enter(self, source: bytes, output: Output) -> bool:
        known = self.owner(output.path)
        if known is not None and known.source != source:
            return False
        former = "" if known is None else known.digest if known.placed else known.former
        self._database.execute(
            "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?, 0)",
            (output.path, source, output.kind, output.digest, former),
        )
        return True

    def placed(self, path: bytes) -> None:
        self._database.execute("UPDATE outputs SET placed = 1, former = '' WHERE path = ?", (path,))

    def disown(self, path: bytes) -> None:
        self._database.execute("DELETE FROM outputs WHERE path = ?", (path,))

    def owner(self, path: bytes) -> Entry | None:
        found = self._database.execute("SELECT * FROM outputs WHERE path = ?", (path,)).fetchone()
        return None if found is None else _entry(found)

    def owned(self, source: bytes) -> tuple[Entry, ...]:
        found = self._database.execute("SELECT * FROM outputs WHERE source = ? ORDER BY path", (source,))
        return tuple(_entry(row) for row in found)

    def enter_temporary(self, path: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO temporaries VALUES (?)", (path,))

    def drop_temporary(self, path: bytes) -> None:
        self._database.execute("DELETE FROM temporaries WHERE path = ?", (path,))

    def temporaries(self) -> Sequence[bytes]:
        return [path for (path,) in self._database.execute("SELECT path FROM temporaries")]

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        self._database.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (key, json.dumps(value)))

    def remembered(self, key: str) -> dict[str, object] | None:
        found = self._database.execute("SELECT value FROM memory WHERE key = ?", (key,)).fetchone()
        return None if found is None else dict(json.loads(found[0]))

    def forget_memory(self, key: str) -> None:
        self._database.execute("DELETE FROM memory WHERE key = ?", (key,))


def _entry(row: tuple[bytes, bytes, str, str, str, int]) -> Entry:
    path, source, kind, digest, former, placed = row
    return Entry(path, source, kind, digest, former, bool(placed))
