"""Running jobs: who hangs in a mount."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from support.clock import Clock
from support.fuse import READ, detach, fuse_mount, needs_fuse_device
from support.job_runners import idle_runner
from support.waiting import eventually

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


def test_a_job_that_begins_while_workers_are_looked_at_changes_nothing(tmp_path: Path) -> None:
    """It ended the service: the table of the jobs changed while it was read."""
    ledger, clock = open_ledger(tmp_path / "state"), Clock()
    runner = idle_runner(ledger, tmp_path, clock)
    job = Job(
        7, os.fsencode(tmp_path), os.fsencode(tmp_path / "a"), Fingerprint(1, 1), attempts=1, fence=1, queued_at=0.0
    )

    class Looked(Heartbeat):
        @property
        def overdue(self) -> bool:
            runner._at_work[Heartbeat(clock)] = job, clock()
            return False

    beats = [Looked(clock) for _ in range(3)]
    runner._at_work.update(dict.fromkeys(beats, (job, clock())))

    assert runner.hung(beats) == []
    assert runner.job_of(beats[0]) == job
    ledger.close()


@needs_fuse_device
def test_a_worker_that_waits_for_a_file_hangs_though_its_mount_was_taken_away(tmp_path: Path) -> None:
    """Whoever may mount below a folder had the watchdog end the service: such a thread looked like an error of the program."""
    ledger, clock, asked = open_ledger(tmp_path / "state"), Clock(), threading.Semaphore(0)
    runner = idle_runner(ledger, tmp_path, clock)
    point, names = tmp_path / "point", [f"{number}.wav" for number in range(4)]
    beats = [Heartbeat(clock) for _ in range(5)]

    def read(beat: Heartbeat, name: str) -> None:
        beat()
        with suppress(OSError):
            (point / name).read_bytes()

    def verdict(code: int, _node: int) -> int | None:
        if code != READ:
            return 0
        asked.release()
        return None

    threads = [threading.Thread(target=read, args=pair) for pair in zip(beats[1:], names, strict=True)]
    with fuse_mount(point, dict.fromkeys(names, b"RIFF"), verdict):
        for beat, thread in zip(beats[1:], threads, strict=True):
            job = Job(7, bytes(tmp_path), bytes(point / "0.wav"), Fingerprint(1, 1), attempts=1, fence=1, queued_at=0.0)
            runner._at_work[beat] = (job, clock())
            thread.start()
        runner._at_work[beats[0]] = runner._at_work[beats[1]]
        beats[0]()
        assert all(asked.acquire(timeout=60) for _ in names)
        detach(point)
        in_time = runner.hung(beats)
        clock.advance(61)
        eventually(lambda: runner.hung(beats) == beats[1:])
        crowded = []
        for hung in (beats[1:], beats[2:]):
            runner.note_hung(hung)
            crowded.append(runner.crowded)
    for thread in threads:
        thread.join()

    assert in_time == []
    assert crowded == [{bytes(tmp_path)}, set()]
    ledger.close()
