"""The directories of a root: as many as fit."""

import pytest

from watcher.folders.directories import MOST, MOST_BYTES, Directories


def test_a_table_is_full_at_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    directories = Directories(b"/top")
    for number in range(1000):
        directories.put(b"/top/a/%d" % number)
    assert MOST * directories.bytes / 1000 < 1.05 * MOST_BYTES
    one = directories.get(b"/top/a/7")
    assert one is not None

    full = [directories.full]
    monkeypatch.setattr("watcher.folders.directories.MOST_BYTES", directories.bytes)
    full.append(directories.full)
    directories.forget_all(one)
    full.append(directories.full)

    assert full == [False, True, False]
