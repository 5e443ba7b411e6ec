"""Whose turn it is to scan, among the finders of several hosts that have one folder at different places."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support import postgres
from support.clock import Clock
from support.heard import recording
from support.waiting import eventually

from watcher.errors import StateBusyError
from watcher.folders import Finder, Folder
from watcher.folders.scan_lease import ScanLease
from watcher.job import State
from watcher.ledger.hosts import Hosts
from watcher.ledger.sqlite import SqliteLedger

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from watcher.ledger.postgres import PostgresLedger


class Fleet:
    """Hosts that see one folder through links of their own."""

    def __init__(self, directory: Path, url: str) -> None:
        self.share = directory / "share"
        self.share.mkdir()
        self.schema = url.rpartition("%3D")[2]
        self.clock = Clock()
        self._directory = directory
        self._url = url
        self._stack = ExitStack()

    def place(self, host: str) -> Path:
        place = self._directory / host / "recordings"
        if not place.parent.exists():
            place.parent.mkdir()
            place.symlink_to(self.share)
        return place

    def ledger(self, host: str) -> PostgresLedger:
        place = self.place(host)
        ledger = PostgresLedger(place.parent / "state", self._url, roots={"recordings": str(place)})
        self._stack.callback(ledger.close)
        return ledger

    def scan_lease(self, host: str, **options: Any) -> ScanLease:
        folder = Folder("recordings", str(self.place(host)), **options)
        return ScanLease(folder, bytes(self.place(host)), self.ledger(host).hosts, monotonic=self.clock)

    def finder(self, host: str, **options: Any) -> "tuple[Finder, PostgresLedger]":
        ledger = self.ledger(host)
        options = {"quiet_seconds": 0.0, "detect": "scan", **options}
        folder = Folder("recordings", str(self.place(host)), **options)
        finder = Finder([folder], ledger, stop=threading.Event(), monotonic=self.time, tick=0)
        self._stack.callback(finder.close)
        finder.start_watching()
        return finder, ledger

    def time(self) -> float:
        """Run on, from wherever the clock was moved to."""
        return time.monotonic() + self.clock()

    def lapse(self) -> None:
        postgres.cluster().sql(f"UPDATE {self.schema}.rounds SET lease_until = 0")  # noqa: S608 - our own name

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with postgres.cluster().schema() as url:
        fleet = Fleet(tmp_path, url)
        yield fleet
        fleet.close()


def test_it_is_one_hosts_turn_at_a_time_whatever_its_path(fleet: Fleet) -> None:
    one, two = fleet.scan_lease("one"), fleet.scan_lease("two")

    assert one.check()
    assert not two.check()
    assert (one.ours, two.ours) == (True, False)


def test_a_turn_that_is_kept_does_not_come_again(fleet: Fleet) -> None:
    one = fleet.scan_lease("one")
    one.check()
    fleet.clock.advance(10)

    assert not one.check()
    assert one.ours


def test_a_host_that_lapsed_is_followed_and_learns_of_it(fleet: Fleet) -> None:
    one, two = fleet.scan_lease("one"), fleet.scan_lease("two")
    one.check()
    two.check()
    fleet.lapse()
    fleet.clock.advance(21)

    assert two.check()
    assert not one.check()
    assert not one.ours


def test_a_turn_that_is_released_is_free_at_once(fleet: Fleet) -> None:
    one, two = fleet.scan_lease("one"), fleet.scan_lease("two")
    one.check()
    one.release()

    assert two.check()
    assert not one.ours


def test_hosts_with_other_rules_have_turns_of_their_own(fleet: Fleet) -> None:
    one, two = fleet.scan_lease("one"), fleet.scan_lease("two", exclude=("*.mp3",))

    assert one.check()
    assert two.check()


def test_alone_it_is_always_our_turn(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "state")
    scan_lease = ScanLease(Folder("in", str(tmp_path)), bytes(tmp_path), ledger.hosts)

    assert scan_lease.check()
    scan_lease.release()
    ledger.close()


def test_a_ledger_that_is_away_changes_nothing(tmp_path: Path) -> None:
    class Away(Hosts):
        away = False

        def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:
            if self.away:
                raise StateBusyError("it is away")
            return super().claim_scan(root, rules, lease=lease)

    ledger, clock = SqliteLedger(tmp_path / "state"), Clock()
    hosts = Away(ledger.context)
    scan_lease = ScanLease(Folder("in", str(tmp_path)), bytes(tmp_path), hosts, monotonic=clock)
    scan_lease.check()
    hosts.away = True
    clock.advance(10)

    assert not scan_lease.check()
    assert scan_lease.ours
    ledger.close()


def stepped(finder: Finder) -> bool:
    """Make a step; false, so that it can stand in front of a condition."""
    finder.step(0.0)
    return False


def known(ledger: PostgresLedger) -> int:
    return ledger.history.counts()[State.READY]


def test_only_the_one_whose_turn_it_is_scans_and_the_next_one_scans_anew(fleet: Fleet) -> None:
    recording(fleet.share / "a.wav")
    one, ledger = fleet.finder("one")
    two, _ = fleet.finder("two")
    eventually(lambda: stepped(two) or two.ready.is_set())
    unscanned = known(ledger)
    eventually(lambda: stepped(one) or known(ledger) == 1)
    recording(fleet.share / "b.wav")
    one.close()

    fleet.lapse()
    fleet.clock.advance(21)
    eventually(lambda: stepped(two) or known(ledger) == 2)
    assert unscanned == 0
    assert "another host" not in two.states()[0].why


def test_a_host_that_takes_over_leaves_no_arrival_alone(fleet: Fleet) -> None:
    one, ledger = fleet.finder("one", backlog=False)
    eventually(lambda: stepped(one) or ledger.memory.remembered(_memory(ledger, fleet)) is not None)
    one.close()
    recording(fleet.share / "a.wav")
    fleet.lapse()

    two, _ = fleet.finder("two", backlog=False)

    eventually(lambda: stepped(two) or known(ledger) == 1)


def test_what_was_scanned_before_the_ledger_was_shared_was_scanned(fleet: Fleet) -> None:
    place = fleet.place("one")
    fleet.ledger("other").memory.remember(_key(bytes(place)), {"path": str(place)})
    recording(fleet.share / "a.wav")

    one, ledger = fleet.finder("one", backlog=False)

    eventually(lambda: stepped(one) or known(ledger) == 1)


def _memory(ledger: PostgresLedger, fleet: Fleet) -> str:
    return _key(ledger.hosts.common(bytes(fleet.place("one"))))


def _key(name: bytes) -> str:
    return f"folder.{sha256(name).hexdigest()[:32]}"
