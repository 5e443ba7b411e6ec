"""The audit of a watch."""

import os
import threading
from pathlib import Path

import pytest

from watcher.folders.folder import Folder
from watcher.folders.kernel_watches import kernel_device
from watcher.folders.mounts import Mounts
from watcher.folders.root import Root
from watcher.folders.watch_audit import AuditVerdict, WatchAudit
from watcher.ledger.sqlite import SqliteLedger


def test_a_long_list_of_watches_holds_up_no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder's audit read all of the process in the thread that all local folders share: 2 s for 190,000 watches."""
    (folder := tmp_path / "in").mkdir()
    ledger, mounts, listed = SqliteLedger(tmp_path / "state"), Mounts(), threading.Event()
    root = Root(Folder("a", str(folder)), ledger, mounts)
    for _ in root.full():
        pass
    status = folder.stat()

    def watched() -> frozenset[tuple[int, int]]:
        listed.wait(20)
        return frozenset({(kernel_device(status.st_dev), status.st_ino)})

    monkeypatch.setattr("watcher.folders.watch_audit.watched", watched)
    audit = WatchAudit()
    first = audit.look(root).verdict
    listed.set()
    second = next(found for found in iter(lambda: audit.look(root), None) if found.verdict is not AuditVerdict.UNSURE)

    assert first is AuditVerdict.UNSURE
    assert (second.verdict, second.missing) == (AuditVerdict.SETTLED, frozenset())
    assert [os.fsdecode(directory.path) for directory in root.directories] == [str(folder)]
    mounts.close()
    ledger.close()
