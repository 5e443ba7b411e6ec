"""The first scan of a folder."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock
from support.containers import real
from support.finding import Log, put, wave

from watcher import container
from watcher.container import Inspection
from watcher.folders import Folder
from watcher.folders.first_scan import full_scan
from watcher.folders.mounts import Mounts
from watcher.folders.root import Root
from watcher.job import State
from watcher.ledger import Ledger


@pytest.fixture
def log() -> Log:
    return Log()


Begin = Callable[..., Root]


@pytest.fixture
def begin(base: Path, ledger: Ledger, log: Log) -> Begin:
    """Scan the folder as at its first start, an hour from now."""

    def scan(**keys: Any) -> Root:
        time = Clock(base.stat().st_ctime + 3600)
        folder = replace(Folder("test", str(base)), **keys)
        root = Root(folder, ledger, Mounts(), clock=time.time, monotonic=time.monotonic)
        root.location.set_real_path(os.path.realpath(root.path))
        root.begin()
        for _ in full_scan(root):
            root.flush()
        root.flush()
        return root

    return scan


def test_a_backlog_is_counted_before_anything_is_queued(base: Path, begin: Begin, log: Log) -> None:
    put(base / "a.wav", wave(16_000 * 60))
    put(base / "x" / "b.wav", wave(16_000 * 30))
    put(base / "x" / "c.mp3", b"x" * 1000)
    put(base / "empty.wav", b"")
    put(base / "notes.txt", b"")
    put(base / ".hidden" / "d.wav")

    begin()

    order = [event["event"] for event in log.events if event["event"] in ("folder.backlog", "file.queued")]
    assert order == ["folder.backlog", "file.queued", "file.queued", "file.queued"]
    [event] = log.seen("folder.backlog")
    assert (event["files"], event["hours"], event["untimed"], event["left_alone"]) == (3, 0.025, 1, False)
    assert event["seconds"] == 90.0
    assert event["bytes"] == len(wave(16_000 * 60)) + len(wave(16_000 * 30)) + 1000
    assert {event["backlog"] for event in log.seen("file.queued")} == {True}


def test_files_that_share_their_suffix_with_recordings_and_are_none_are_no_backlog(
    base: Path, begin: Begin, log: Log
) -> None:
    put(base / "index.ts", b"export const answer = 42;\n" * 100)
    put(base / "film.ts", real("mpegts"))

    begin()

    [event] = log.seen("folder.backlog")
    assert (event["files"], event["bytes"]) == (1, (base / "film.ts").stat().st_size)


def test_an_empty_folder_has_no_backlog_and_only_the_first_start_has_one(base: Path, begin: Begin, log: Log) -> None:
    begin()
    put(base / "a.wav")
    begin()

    assert not log.seen("folder.backlog")
    assert [event["backlog"] for event in log.seen("file.queued")] == [False]


def test_what_another_folder_owns_is_not_counted(base: Path, ledger: Ledger, log: Log) -> None:
    put(base / "inner" / "a.wav")
    root = Root(Folder("test", str(base)), ledger, Mounts())
    root.location.set_real_path(os.path.realpath(root.path))
    root.begin()
    root.location.foreign = frozenset((os.fsencode(base / "inner"),))

    for _ in full_scan(root):
        pass

    assert not log.seen("folder.backlog")


def test_without_backlog_what_is_there_is_left_alone_and_what_comes_is_taken(
    base: Path, begin: Begin, ledger: Ledger, log: Log
) -> None:
    old = put(base / "old.wav")
    put(base / "cut.wav", wave(claimed=5000))
    root = begin(backlog=False)
    [event] = log.seen("folder.backlog")
    assert (event["left_alone"], event["files"]) == (True, 2)
    assert log.seen("file.queued") == []
    record = ledger.history.lookup(os.fsencode(old))
    assert record is not None
    assert record.state is State.SKIPPED

    put(base / "new.wav")
    put(old, wave(2000))
    for _ in full_scan(root):
        pass
    root.flush()

    assert {Path(event["path"]).name for event in log.seen("file.queued")} == {"new.wav", "old.wav"}
    assert ledger.history.counts()[State.SKIPPED] == 1


def test_what_cannot_be_read_is_counted_as_untimed(
    base: Path, begin: Begin, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        put(base / name)
    failures = iter([OSError(5, "Input/output error")])
    real = container.inspect

    def inspect(descriptor: int, size: int, *, quick: bool) -> Inspection:
        for failure in failures:
            (base / "b.wav").unlink(missing_ok=True)
            (base / "c.wav").unlink(missing_ok=True)
            raise failure
        return real(descriptor, size, quick=quick)

    monkeypatch.setattr(container, "inspect", inspect)
    begin()

    [event] = log.seen("folder.backlog")
    assert 1 <= event["untimed"] <= event["files"]


def test_a_survey_gives_way_every_few_files(
    base: Path, ledger: Ledger, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        put(base / f"{number}.wav")
    looked = [0]
    inspect = container.inspect

    def counted(*arguments: Any, **options: Any) -> Inspection:
        looked[0] += 1
        return inspect(*arguments, **options)

    monkeypatch.setattr(container, "inspect", counted)
    root = Root(Folder("test", str(base)), ledger, Mounts())
    root.location.set_real_path(os.path.realpath(root.path))
    root.begin()
    most = 0
    for _ in full_scan(root):
        if log.seen("folder.backlog"):
            break
        most, looked[0] = max(most, looked[0]), 0

    assert 0 < most < 10
