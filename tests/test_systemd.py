import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from watcher.systemd import Notifier, unit_of, watchdog_seconds


class Listener:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(5)

    def hear(self) -> list[str]:
        return self._socket.recv(65536).decode().split("\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@watcher-test-{os.getpid()}"
    with closing(Listener(address)) as made:
        yield made


def test_each_fact_is_one_message(listener: Listener) -> None:
    notifier = Notifier(listener.address)
    heard = []

    for tell in (
        notifier.ready,
        notifier.watchdog,
        notifier.stopping,
        lambda: notifier.ready("3 folders"),
        lambda: notifier.status("2 queued"),
        lambda: notifier.stopping("draining"),
    ):
        tell()
        heard.append(listener.hear())

    assert heard == [
        ["READY=1"],
        ["WATCHDOG=1"],
        ["STOPPING=1"],
        ["READY=1", "STATUS=3 folders"],
        ["STATUS=2 queued"],
        ["STOPPING=1", "STATUS=draining"],
    ]


def test_a_reload_and_its_time_go_in_one_message(listener: Listener) -> None:
    Notifier(listener.address, monotonic_ns=lambda: 1_234_567_899).reloading()

    assert listener.hear() == ["RELOADING=1", "MONOTONIC_USEC=1234567"]


def test_the_time_of_a_reload_is_the_systems_monotonic_clock(listener: Listener) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    Notifier(listener.address).reloading()

    usec = int(listener.hear()[1].removeprefix("MONOTONIC_USEC="))
    assert before <= usec <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_listener_that_reads_nothing_is_waited_for_at_rest(listener: Listener) -> None:
    patience = 1.0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.settimeout(0)
        address = f"\0{listener.address[1:]}" if listener.address.startswith("@") else listener.address
        with suppress(BlockingIOError):
            while True:
                other.sendto(b"FULL=1", address)
    notifier = Notifier(listener.address, patience=patience)
    before = time.thread_time()

    notifier.watchdog()

    # To ask again and again takes all of the time.
    assert time.thread_time() - before < patience / 4


def test_a_status_cannot_say_anything_else(listener: Listener) -> None:
    Notifier(listener.address).status("one\nMAINPID=1\r\n two")

    assert listener.hear() == ["STATUS=one MAINPID=1 two"]


def test_a_status_with_an_odd_name_is_escaped(listener: Listener) -> None:
    Notifier(listener.address).status("odd\udcff.wav")

    assert listener.hear() == ["STATUS=odd\\udcff.wav"]


def test_a_long_status_is_cut(listener: Listener) -> None:
    Notifier(listener.address).status("x" * 100_000)

    assert listener.hear() == ["STATUS=" + "x" * 1024]


def test_without_a_socket_nothing_is_said() -> None:
    Notifier().ready()
    Notifier("").reloading()


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody-listens", "x" * 200, "a\0b", "vsock:2:1234"])
def test_a_socket_that_nobody_listens_on_is_no_error(address: str) -> None:
    Notifier(address).ready()


def test_a_listener_that_does_not_read_delays_nothing_else(listener: Listener) -> None:
    notifier = Notifier(listener.address, patience=0.0)

    for _ in range(2000):
        notifier.watchdog()

    assert listener.hear() == ["WATCHDOG=1"]


def test_no_descriptor_is_left_open(listener: Listener) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count

    Notifier(listener.address).ready()
    Notifier("/nowhere").ready()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [(30_000_000, 42, 30.0), (30_000_000, 0, 30.0), (30_000_000, 43, None), (0, 42, None), (0, 0, None)],
)
def test_the_watchdog_waits_for_the_process_it_names(usec: int, pid: int, expected: float | None) -> None:
    assert watchdog_seconds(usec, pid, own_pid=42) == expected


def test_the_watchdog_waits_for_this_process() -> None:
    assert watchdog_seconds(1_500_000, os.getpid()) == 1.5


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/watcher.service", ("watcher.service", False)),
        ("1:name=systemd:/system.slice/watcher@studio.service\n0::/", ("watcher@studio.service", False)),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/watcher.service", ("watcher.service", True)),
        ("0::/user.slice/user-1000.slice/session-3.scope", ("", False)),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/gnome-terminal-server.service", ("", False)),
        ("0::/", ("", False)),
        ("", ("", False)),
    ],
)
def test_the_service_of_a_process_is_reported_from_a_terminal(cgroup: str, unit: tuple[str, bool]) -> None:
    assert unit_of(cgroup) == unit
