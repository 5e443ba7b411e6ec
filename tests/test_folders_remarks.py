"""What is remembered of directories that cannot be listed: others make them, and their paths are as long as they like."""

import errno
from pathlib import Path

from watcher.folders import Folder
from watcher.folders.mounts import Mounts
from watcher.folders.remarks import Remarks
from watcher.folders.root_location import RootLocation


def test_directories_that_cannot_be_listed_are_remembered_up_to_so_many_bytes(tmp_path: Path) -> None:
    remarks = Remarks(RootLocation(Folder("in", str(tmp_path)), Mounts()))
    long = b"/" + b"/".join([b"d" * 250] * 15)
    denied, failed = PermissionError(errno.EACCES, "denied"), OSError(errno.EIO, "failed")
    paths = [b"%s%s/%d" % (bytes(tmp_path), long, number) for number in range(10_000)]

    for path in paths:
        remarks.unreadable(path, denied)

    assert 1_000 < len(remarks.closed) < 3_000
    assert sum(map(len, remarks.closed)) < 8_000_000
    # One that is there already has its newest reason, and one that is gone makes room.
    remarks.unreadable(paths[0], failed)
    assert remarks.closed[paths[0]] == "failed"
    remarks.closed.take(paths[0])
    remarks.unreadable(paths[-1], denied)
    assert paths[-1] in remarks.closed
