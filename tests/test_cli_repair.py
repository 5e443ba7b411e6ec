"""`watcher retry` and `watcher resume`: what they do, and which command was meant where they have nothing to do."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_scene import Commands, commands, configured
from test_service import recording

from watcher.errors import FileError
from watcher.job import Fingerprint, Found, State
from watcher.ledger import Ledger


@pytest.fixture
def watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    with commands(tmp_path, monkeypatch, capsys) as made:
        yield made


def failed(ledger: Ledger, folder: Path, name: str) -> Path:
    """Have a file be known as failed that need not be there."""
    path = folder / name
    ledger.put([Found(os.fsencode(folder), os.fsencode(path), Fingerprint(1, 2))])
    job = ledger.claim("test", lease=30)
    assert job is not None
    ledger.fail(job, FileError("it is no audio", reason="undecodable"))
    return path


def test_what_is_gone_is_not_put_back_but_forgotten_unless_its_disk_may_be_elsewhere(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configured(monkeypatch, watcher.folder)
    with watcher.ledger() as ledger:
        stands = recording(failed(ledger, watcher.folder, "stands.wav"))
        gone = failed(ledger, watcher.folder, "gone.wav")
        unplugged = failed(ledger, watcher.folder / "disk", "away.wav")
        former = failed(ledger, tmp_path / "former", "gone.wav")

    code, document = watcher("retry", "--failed")

    assert (code, document["data"]["put_back"]) == (0, [str(stands), str(unplugged)])
    with watcher.ledger() as ledger:
        assert [ledger.lookup(os.fsencode(path)) for path in (gone, former)] == [None, None]
        assert ledger.counts()[State.FAILED] == 0
