"""Crashes, hangs and power cuts: systemd starts it again, and the queue goes on."""

import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually
from system.machine import Machine
from system.service import Service, hearing

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def test_killed_it_is_restarted_and_the_queue_goes_on(service: Service) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(request: Asked) -> Reply:
        asked.set()
        go_on.wait(60)
        return hearing(request)

    with serving(slow) as server:
        service.drop_in("soon", "RestartSec=1")
        service.configure(server.url)
        service.start()
        names = [f"{number}.wav" for number in range(8)]
        for name in names:
            service.record(name)
        assert asked.wait(30)
        eventually(lambda: len(service.journal.events("file.queued")) == len(names), what="all are queued")
        former = service.machine.main_pid
        service.machine.kill(signal.SIGKILL)
        eventually(lambda: service.machine.main_pid not in {0, former}, what="a new process")
        go_on.set()

        for name in names:
            service.await_outputs(name)
        # Only what was in flight was asked for again.
        times = Counter(request.file[1] for request in server.asked)
        assert len(times) == len(names)
        assert sum(times.values()) <= len(names) + 4
    assert service.machine.show("NRestarts")["NRestarts"] == "1"


def test_a_crash_of_the_media_child_leaves_the_service_alone(service: Service, server: Server) -> None:
    service.configure(server.url)
    service.start()
    former = service.machine.main_pid
    bomb = service.inside("bomb.mka")
    bomb.write_bytes(b"\x1aE\xdf\xa3" + bytes(range(256)) * 64)
    service.record("talk.wav")

    service.await_outputs("talk.wav")
    assert service.machine.main_pid == former


def test_a_process_that_hangs_is_ended_by_the_watchdog_with_a_traceback_of_every_thread(
    service: Service, server: Server
) -> None:
    service.drop_in("watchdog", "WatchdogSec=3", "RestartSec=1")
    service.configure(server.url)
    service.start()
    former = service.machine.main_pid
    service.machine.kill(signal.SIGSTOP)
    service.record("talk.wav")

    service.await_outputs("talk.wav", patience=60)
    assert service.machine.main_pid not in {0, former}
    log = "\n".join(entry["MESSAGE"] for entry in service.journal.entries("--priority=err"))
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log
    assert "worker.py" in log, "the traceback says where the workers were"


def test_a_worker_that_hangs_in_a_dead_disk_is_no_reason_to_restart_the_service(
    service: Service, server: Server, frozen_disk: "FrozenDisk"
) -> None:
    # Writing to a frozen file system hangs in the kernel, as it does with a dead disk or NFS server: the worker that
    # places the outputs does not come back, while everything else of the process goes on. Nor would a restart bring it back: the
    # kernel does not end such a thread, and it would keep the lock of the ledger from the next process.
    service.drop_in("watchdog", "WatchdogSec=3", "RestartSec=1", "TimeoutAbortSec=2", "ReadWritePaths=/mnt/disk")
    service.configure(server.url, '[[folders]]\npath = "/mnt/disk"\n')
    service.start()
    source = service.record("same.wav")
    service.await_outputs("same.wav")
    with serving_frozen(frozen_disk) as slow:
        service.configure(slow.url, '[[folders]]\npath = "/mnt/disk"\n')
        service.follow("reload")
        service.journal.await_event("service.reloaded", ok=True)
        (frozen_disk.path / "talk.wav").write_bytes(source.read_bytes() + b"\0\0")
        eventually(lambda: slow.asked, what="a request")
        # Longer than a worker may be silent.
        slow.closed.wait(100)
        frozen_disk.thaw()

        eventually((frozen_disk.path / "talk.srt").exists, what=service.journal.text(), patience=60)
    assert "Watchdog timeout" not in service.journal.text()
    service.await_state("active", patience=60)


def test_a_power_cut_loses_nothing_and_it_comes_back_at_boot(service: Service, server: Server) -> None:
    service.configure(server.url)
    service.machine.run("systemctl", "enable", "watcher")
    service.start()
    names = [f"{number}.wav" for number in range(40)]
    for name in names:
        service.record(name)
    service.await_outputs(names[0])
    service.machine.cut_power()
    service.machine.switch_on()

    for name in names:
        service.await_outputs(name, patience=60)
    assert service.machine.state == "active"
    assert not [path for path in service.inside(".").iterdir() if path.name.endswith(".tmp")]


class FrozenDisk:
    """A file system on a loop device, that can be frozen."""

    def __init__(self, machine: Machine, path: Path) -> None:
        self.path = path
        self._machine = machine
        self._frozen = False

    def freeze(self) -> None:
        self._machine.run("fsfreeze", "--freeze", "/mnt/disk")
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            self._machine.run("fsfreeze", "--unfreeze", "/mnt/disk")


@pytest.fixture
def frozen_disk(service: Service, tmp_path: Path) -> Iterator[FrozenDisk]:
    """Mount a disk at /mnt/disk that the service may write; it thaws in any case."""
    for tool in ("mkfs.ext4", "losetup", "fsfreeze"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool} (Debian: e2fsprogs, util-linux)")
    machine = service.machine
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    found = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"no loop device here: {found.stderr.strip()}")
    device = found.stdout.strip()
    disk = FrozenDisk(machine, machine.path("/mnt/disk"))
    number = Path(device).stat().st_rdev
    try:
        machine.shell(
            f"mknod /dev/watcher-disk b {os.major(number)} {os.minor(number)} && mkdir -p /mnt/disk"
            " && mount /dev/watcher-disk /mnt/disk && chgrp watcher /mnt/disk && chmod 2775 /mnt/disk"
        )
        yield disk
    finally:
        disk.thaw()
        machine.shell("umount --lazy /mnt/disk; rm /dev/watcher-disk", check=False)
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def serving_frozen(disk: FrozenDisk) -> Iterator[Server]:
    """Serve; the disk freezes as soon as the first answer is asked for."""

    def script(asked: Asked) -> Reply:
        if not frozen.is_set():
            frozen.set()
            disk.freeze()
        return hearing(asked)

    frozen = threading.Event()
    with serving(script) as server:
        yield server
