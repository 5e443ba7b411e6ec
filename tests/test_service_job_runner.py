"""Running jobs: who hangs in a mount."""

import os
from pathlib import Path

import pytest
from support.clock import Clock
from support.job_runners import idle_runner

from watcher.folders import Mounts
from watcher.heartbeat import Heartbeat
from watcher.job import Fingerprint, Job
from watcher.ledger import open_ledger

_TABLE = """22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:41 / {share} rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(("place", "hangs"), [("share", True), ("local", False)])
def test_a_worker_that_is_overdue_hangs_where_its_recording_lies_on_a_network_mount(
    tmp_path: Path, place: str, *, hangs: bool
) -> None:
    (tmp_path / "mountinfo").write_text(_TABLE.format(share=tmp_path / "share"))
    ledger, clock = open_ledger(tmp_path / "state"), Clock()
    runner = idle_runner(ledger, tmp_path, clock, mounts=Mounts(str(tmp_path / "mountinfo")))
    root, path = os.fsencode(tmp_path), os.fsencode(tmp_path / place / "talk.wav")
    beat = Heartbeat(clock)
    runner._at_work[beat] = (Job(7, root, path, Fingerprint(1, 1), attempts=1, fence=1, queued_at=0.0), clock())

    in_time = runner.hung([beat])
    clock.advance(61)

    assert in_time == []
    assert runner.hung([beat]) == ([beat] if hangs else [])
    ledger.close()
