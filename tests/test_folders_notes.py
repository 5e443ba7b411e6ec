"""Notes of failures: one that a person deleted asks for another try, one that cannot be seen does not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hostile import put_into, stretched
from support.ledger_engines import claimed

from watcher.errors import FileError
from watcher.folders.folder import Folder
from watcher.folders.monitor_thread import MonitorThread
from watcher.folders.notes import heed
from watcher.job import Fingerprint, FoundRecording, Output, State
from watcher.ledger.sqlite import SqliteLedger

SUFFIX = b".transcription-failed.txt"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "in"
    base.mkdir()
    return base


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "state")
    yield ledger
    ledger.close()


def fail(ledger: SqliteLedger, base: Path, path: bytes) -> None:
    """Have a recording fail, with a note beside it."""
    ledger.queue.put([FoundRecording(os.fsencode(base), path, Fingerprint(4, 1, 0))])
    job = claimed(ledger)
    ledger.outputs.enter(job, Output("note", path + SUFFIX, "ab" * 32))
    ledger.outputs.placed(path + SUFFIX)
    ledger.queue.fail(job, FileError("no sound in it"))


def heeded(ledger: SqliteLedger, base: Path) -> tuple[list[bytes], list[bytes]]:
    return heed(ledger, ledger.outputs.notes(), lambda _path: os.fsencode(base))


@pytest.mark.parametrize("size", [300, 4075, 6000])
def test_a_note_counts_as_deleted_where_its_folder_lacks_it_however_long_its_path(
    base: Path, ledger: SqliteLedger, size: int
) -> None:
    """From some length on, its path can be named by nobody, though that of the recording can."""
    with stretched(base / "deep", size) as (directory, parent):
        path = parent + b"/talk.wav"
        fail(ledger, base, path)
        put_into(directory, "talk.wav", b"RIFF")
        put_into(directory, os.fsdecode(b"talk.wav" + SUFFIX), b"it failed")
        assert heeded(ledger, base) == ([], [])

        os.unlink(b"talk.wav" + SUFFIX, dir_fd=directory)

        assert heeded(ledger, base) == ([path], [])
        assert ledger.history.counts()[State.READY] == 1


@pytest.mark.parametrize("way", ["away", "a link", "a file"])
def test_what_lies_in_a_folder_that_is_not_there_is_not_deleted(base: Path, ledger: SqliteLedger, way: str) -> None:
    folder = base / "folder"
    folder.mkdir()
    for name in ("talk.wav", "talk.wav.transcription-failed.txt"):
        (folder / name).write_bytes(b"RIFF")
    fail(ledger, base, os.fsencode(folder / "talk.wav"))
    folder.rename(base.parent / "aside")
    (base.parent / "aside" / "talk.wav.transcription-failed.txt").unlink()
    if way == "a link":
        folder.symlink_to(base.parent / "aside")
    elif way == "a file":
        folder.write_bytes(b"")

    assert heeded(ledger, base) == ([], [])


def test_a_note_outside_all_folders_is_nobodys(base: Path, ledger: SqliteLedger) -> None:
    (base / "talk.wav").write_bytes(b"RIFF")
    fail(ledger, base, os.fsencode(base / "talk.wav"))

    assert heed(ledger, ledger.outputs.notes(), lambda _path: None) == ([], [])


def test_mounts_that_come_and_go_below_one_folder_keep_no_note_of_another_one_waiting(
    tmp_path: Path, base: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, other = MonitorThread(ledger), tmp_path / "other"
    other.mkdir()
    sources = []
    for folder in (other, base):
        (folder / "talk.wav").write_bytes(b"RIFF")
        sources.append(os.fsencode(folder / "talk.wav"))
        fail(ledger, folder, sources[-1])
        thread.add(Folder(folder.name, str(folder), detect="scan"), frozenset(), "start")
    # As each look at the table of mounts finds it, while somebody mounts and unmounts.
    monkeypatch.setattr(thread.mounts, "changed", lambda: True)
    monkeypatch.setattr(thread.monitors[0], "remounted", lambda: True)

    thread.step(0.0)
    states = {record.path: record.state for record in map(ledger.history.lookup, sources) if record is not None}
    thread.close()

    assert states == {sources[0]: State.FAILED, sources[1]: State.READY}
