"""One thread's share of events: as many at a time as fit."""

import os
import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from watcher import tree
from watcher.folders.folder import Folder
from watcher.folders.inbox import Event, EventKind
from watcher.folders.monitor_thread import MonitorThread
from watcher.job import Fingerprint, FoundRecording
from watcher.ledger.sqlite import SqliteLedger


def test_of_many_events_of_long_paths_some_are_taken_at_a_time(tmp_path: Path) -> None:
    """With one character beyond the basic plane Python keeps four bytes for each: 10,000 events took 150 MB."""
    ledger = SqliteLedger(tmp_path / "state")
    thread = MonitorThread(ledger)
    path = "/" + "\N{GRINNING FACE}" + "d" * 3_500
    for number in range(1_000):
        thread.inbox.put(Event(EventKind.FILE, f"{path}/{number}"))

    taken = [len(thread._receive(0.0)) for _ in range(10)]

    assert sum(taken) == 1_000
    assert max(taken) * sys.getsizeof(path) < 3_000_000
    thread.close()
    ledger.close()


def test_what_is_known_of_a_folder_is_read_in_slices(tmp_path: Path) -> None:
    """A folder that becomes local again is read in the thread that all local folders share."""
    ledger = SqliteLedger(tmp_path / "state")
    root = os.fsencode(tmp_path)
    ledger.queue.put(
        [FoundRecording(root, root + b"/%d.wav" % number, Fingerprint(4, 1, 0)) for number in range(1_200)]
    )
    thread = MonitorThread(ledger)
    thread.add(Folder("a", str(tmp_path), detect="scan"), frozenset(), "start")
    (monitor,) = thread.monitors
    known = [len(monitor.root.known)]

    for enough in (True, True, False):
        monitor.scan(partial(bool, enough))
        known.append(len(monitor.root.known))

    assert known == [0, 500, 1_000, 1_200]
    thread.close()
    ledger.close()


def test_many_names_that_go_at_once_hold_up_no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each was looked for a note of its own, level by level: 4 s for what 4,000 events told of a directory 200 levels down."""
    ledger, seconds, looks = SqliteLedger(tmp_path / "state"), count(), 0
    thread = MonitorThread(ledger, monotonic=lambda: next(seconds) / 1000)
    thread.add(Folder("a", str(tmp_path), detect="scan"), frozenset(), "start")
    thread.step(0.0)
    for number in range(1_000):
        thread.inbox.put(Event(EventKind.GONE, f"{tmp_path}/{number}.wav"))

    def stands(_root: bytes, _path: bytes) -> bool:
        nonlocal looks
        looks += 1
        return False

    monkeypatch.setattr(tree, "stands", stands)
    thread.step(0.0)

    assert 0 < looks < 200
    thread.close()
    ledger.close()
