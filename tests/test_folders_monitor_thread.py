"""One thread's share of events: as many at a time as fit."""

import sys
from pathlib import Path

from watcher.folders.inbox import Event, EventKind
from watcher.folders.monitor_thread import MonitorThread
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
