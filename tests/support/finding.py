"""For the tests of settle and folders: a clock to turn, small whole recordings, and the real finder with its log."""

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from support.waiting import PATIENCE, eventually
from watcher.folders import Finder, Folder
from watcher.folders.inbox import Event, EventKind
from watcher.folders.kernel_watches import watched
from watcher.folders.monitor import FolderMonitor
from watcher.job import State
from watcher.ledger import Ledger, open_ledger


def wave(payload: int = 1000, *, claimed: int | None = None) -> bytes:
    """Give a WAV with so many bytes of sound, whose header may claim another number."""
    size = payload if claimed is None else claimed
    form = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
    return header + b"\x01\x02" * (payload // 2)


def put(path: Path, content: bytes | None = None) -> Path:
    """Write a file, with the directories above it; without content a small WAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wave() if content is None else content)
    return path


def is_watched(path: Path) -> bool:
    """Say whether the kernel watches a directory for us; by inode only, as btrfs shows another device there."""
    return path.stat().st_ino in {inode for _, inode in watched()}


def made(path: Path) -> Path:
    """Make a directory and wait for its watch."""
    path.mkdir()
    eventually(lambda: is_watched(path))
    return path


class Log:
    """Everything that is logged, as it comes."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        structlog.configure(processors=[structlog.processors.add_log_level, self._hear])

    def _hear(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        self.events.append(dict(event))
        raise structlog.DropEvent

    def seen(self, name: str, **keys: object) -> list[dict[str, Any]]:
        """Give the events of that name with those keys so far."""
        return [
            event
            for event in list(self.events)
            if event["event"] == name and all(event.get(key) == value for key, value in keys.items())
        ]

    def wait_for(self, name: str, count: int = 1, **keys: object) -> list[dict[str, Any]]:
        """Give all such events as soon as there are `count`, past ones included."""
        # A flood of events is not searched through a hundred times a second.
        every = 0.5 if len(self.events) > 5000 else 0.01
        eventually(
            lambda: len(self.seen(name, **keys)) >= count,
            every=every,
            what=lambda: f"{count} {name} {keys} not in\n{self.talk()}",
        )
        return self.seen(name, **keys)

    def talk(self) -> str:
        """Give what matters of the log, for a failure's message."""
        return "\n".join(str(event) for event in self.events if event["level"] != "debug")[-6000:]


class Scene:
    """The finder at work on real folders with a real ledger."""

    def __init__(self, ledger: Ledger, finder: Finder, log: Log) -> None:
        self.ledger = ledger
        self.finder = finder
        self.log = log

    @property
    def monitor(self) -> FolderMonitor:
        return self.finder._monitor_thread.monitors[0]

    def sizes(self, root: Path) -> dict[str, list[int]]:
        """Give the sizes at which each file below the root was queued, by relative path."""
        sizes: dict[str, list[int]] = {}
        for event in self.log.seen("file.queued"):
            path = Path(event["path"])
            if path.is_relative_to(root) and "bytes" in event:
                sizes.setdefault(str(path.relative_to(root)), []).append(event["bytes"])
        return sizes

    def wait_until_queued(self, *paths: Path) -> None:
        """Wait until each path was queued at its present size."""
        wanted = {(os.fspath(path), path.stat().st_size) for path in paths}
        eventually(
            lambda: wanted <= {(event["path"], event.get("bytes")) for event in self.log.seen("file.queued")},
            what=lambda: f"not queued: {self.missing(*paths)}\n{self.log.talk()}",
        )

    def missing(self, *paths: Path) -> list[str]:
        """Give the paths that were not queued yet."""
        queued = {event["path"] for event in self.log.seen("file.queued")}
        return [os.fspath(path) for path in paths if os.fspath(path) not in queued]

    def state(self, path: Path) -> State | None:
        """Say what the ledger makes of a path."""
        record = self.ledger.history.lookup(os.fsencode(path))
        return record.state if record is not None else None


@contextmanager
def finding(state: Path, *folders: Folder, settle: bool = True, watched: bool = True) -> Iterator[Scene]:
    """Run the finder in a thread of its own; `settle`: yield after the first scan, `watched`: not before the watches were started."""
    log = Log()
    ledger = open_ledger(state)
    stop = threading.Event()
    finder = Finder(folders, ledger, stop=stop, tick=0.05)
    if watched:
        finder.start_watching()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            finder.run()
        except BaseException as failure:  # noqa: BLE001  told to the test
            failures.append(failure)

    thread = threading.Thread(target=run, name="finder")
    thread.start()
    try:
        if settle:
            eventually(
                lambda: all(
                    monitor.schedule.ended or not monitor.present for monitor in finder._monitor_thread.monitors
                )
            )
        yield Scene(ledger, finder, log)
    finally:
        stop.set()
        finder._monitor_thread.inbox.put(Event(EventKind.WAKE))
        thread.join(PATIENCE)
        finder.close()
        ledger.close()
    assert not failures, failures
    assert not thread.is_alive()
