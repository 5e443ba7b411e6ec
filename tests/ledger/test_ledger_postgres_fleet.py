"""What hosts share beside the queue, on the ledger itself: parts of a limit, starts, minutes, doors, rounds, and hosts."""

import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from support import postgres
from support.waiting import eventually

import watcher
from watcher.fleet import BudgetCredit, FailedFile, Fleet, LimitDemand
from watcher.ledger.sqlite import SqliteLedger

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from watcher.ledger.postgres import PostgresLedger

LEASE = 60.0
DAY = "2026-09-20"
ROOT = b"/srv/recordings"


class Hosts:
    """Ledgers of several hosts."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self.schema = url.rpartition("%3D")[2]
        self._directory = directory
        self._stack = ExitStack()

    def open(self, name: str, *, place: str = "/srv/recordings") -> PostgresLedger:
        ledger = PostgresLedger(self._directory / name, self.url, roots={"recordings": place})
        self._stack.callback(ledger.close)
        return ledger

    def fleets(self, count: int) -> list[Fleet]:
        return [self.open(f"host-{number}").hosts.fleet("h/v1", "us") for number in range(count)]

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        return postgres.cluster().sql(statement.replace("@", f"{self.schema}."))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with postgres.cluster().schema() as url:
        hosts = Hosts(tmp_path, url)
        yield hosts
        hosts.close()


# Places.


class Part:
    """A host that does as it is told: it begins no request beyond its places, and ends those it has when it likes."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.wanted = self.inside = self.places = 0

    def ask(self, limit: int) -> None:
        self.places = self._fleet.share(
            LimitDemand(limit=limit, wanted=max(self.wanted, self.inside), used=self.inside), lease=LEASE
        ).places

    def begin(self) -> None:
        self.inside += self.inside < min(self.places, self.wanted)

    def end(self) -> None:
        self.inside -= self.inside > 0


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_places_are_never_given_twice_and_none_is_lost(hosts: Hosts, limit: int) -> None:
    fleets = hosts.fleets(3)
    for seed in range(6):
        chance = random.Random(seed)
        hosts.sql("TRUNCATE @shares")
        parts = [Part(fleet) for fleet in fleets]
        most = 0
        for _ in range(60):
            part = chance.choice(parts)
            match chance.randrange(5):
                case 0:
                    part.wanted = chance.randrange(6)
                case 1:
                    part.end()
                case 2:
                    part.begin()
                case _:
                    part.ask(limit)
                    part.begin()
            most = max(most, sum(part.inside for part in parts))
        for part in parts:
            part.wanted, part.inside = 6, 0
        for part in parts * 8:
            part.ask(limit)
            part.begin()

        assert most <= limit
        assert sum(part.inside for part in parts) == limit
        assert limit < len(parts) or min(part.inside for part in parts) >= limit // len(parts)


HOLDER = """
import sys
from pathlib import Path
from watcher.fleet import LimitDemand
from watcher.ledger.postgres import PostgresLedger
fleet = PostgresLedger(Path(sys.argv[1]), sys.argv[2]).hosts.fleet("h/v1", "us")
share = fleet.share(LimitDemand(limit=2, wanted=2, used=2, budget=60.0, day="2026-09-20", flying=50.0), lease=2.0)
print(share.places, flush=True)
sys.stdin.read()
"""


def test_a_killed_hosts_places_and_minutes_come_back_within_its_lease(hosts: Hosts, tmp_path: Path) -> None:
    fleet = hosts.open("alive").hosts.fleet("h/v1", "us")
    need = LimitDemand(limit=2, wanted=2, budget=60.0, day=DAY, first=30.0, waiting=30.0)
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(watcher.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "killed", hosts.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        had = process.stdout.readline().strip()
        before = fleet.share(need, lease=LEASE)
        process.kill()

    eventually(lambda: fleet.share(need, lease=LEASE).places == 2)
    assert had == b"2"
    assert (before.places, before.credit) == (0, BudgetCredit.WAIT)
    assert fleet.share(need, lease=LEASE).credit is BudgetCredit.ALL


def test_a_host_that_leaves_gives_its_places_back_at_once(hosts: Hosts) -> None:
    one, two = hosts.fleets(2)
    one.share(LimitDemand(limit=3, wanted=3, used=3), lease=LEASE)
    one.leave()

    assert two.share(LimitDemand(limit=3, wanted=3), lease=LEASE).places == 3


# Starts.


def test_starts_of_all_hosts_are_spread_evenly(hosts: Hosts) -> None:
    one, two = hosts.fleets(2)
    need = LimitDemand(per_minute=60, starts=3)

    def asked(fleet: Fleet) -> list[tuple[float, float]]:
        """Return between which two moments each start lies: it is counted from the answer, which took its time."""
        before = time.monotonic()
        starts = fleet.share(need, lease=LEASE).starts
        after = time.monotonic()
        return [(before + start, after + start) for start in starts]

    starts = [*asked(one), *asked(two), *asked(one)]

    assert len(starts) == 9
    for (earliest, latest), (next_earliest, next_latest) in pairwise(starts):
        assert next_earliest - latest < 1.01
        assert next_latest - earliest > 0.99


def test_starts_of_a_clock_that_was_put_back_are_forgotten(hosts: Hosts) -> None:
    (fleet,) = hosts.fleets(1)
    need = LimitDemand(per_minute=60, starts=1)
    fleet.share(need, lease=LEASE)
    hosts.sql("UPDATE @gates SET next_start = next_start + 100000")

    assert fleet.share(need, lease=LEASE).starts[0] < 1.0


# Minutes.


def test_minutes_in_flight_count_until_they_are_bought_or_not(hosts: Hosts) -> None:
    one, two = hosts.fleets(2)

    def asked(fleet: Fleet, seconds: float, *, flying: float = 0.0) -> BudgetCredit:
        need = LimitDemand(budget=100.0, day=DAY, flying=flying, first=seconds, waiting=seconds)
        return fleet.share(need, lease=LEASE).credit

    assert asked(one, 60.0) is BudgetCredit.ALL
    assert asked(two, 60.0) is BudgetCredit.WAIT
    assert one.spend(DAY, 60.0) == 60.0
    assert asked(two, 60.0) is BudgetCredit.SPENT
    assert asked(two, 40.0) is BudgetCredit.ALL
    assert asked(one, 10.0) is BudgetCredit.WAIT
    assert one.spend(DAY, 0.0) == 60.0
    assert one.spend("2026-09-21", 0.0) == 0.0


# Doors.


def test_the_second_hold_for_the_same_reason_is_the_first(hosts: Hosts) -> None:
    one, two = hosts.fleets(2)
    first, same = one.shut({"reason": "key"}, wait=60.0), two.shut({"reason": "key"}, wait=0.0)
    other = two.shut({"reason": "balance"}, wait=60.0)
    one.open(first)

    assert first == same != other
    assert one.door().hold == {"reason": "balance"}


def test_each_host_knows_the_files_that_caused_a_hold_by_its_own_paths(hosts: Hosts) -> None:
    one = hosts.open("one").hosts.fleet("h/v1", "us")
    two = hosts.open("two", place="/mnt/nas").hosts.fleet("h/v1", "us")
    shared, own = FailedFile(ROOT + b"/a\xff.wav", ROOT), FailedFile(b"/home/b.wav", b"/home")
    number = one.shut({"reason": "key"}, wait=60.0, files=[shared, own])

    there = two.door()
    two.put_off(number, {"reason": "key"}, wait=60.0, files=there.files)

    first, second = there.files
    assert first == FailedFile(b"/mnt/nas/a\xff.wav", b"/mnt/nas")
    assert second.elsewhere
    assert tuple(one.door().files) == (shared, own)
    assert there.hold == {"reason": "key"}


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b", math.nan, math.inf])
def test_a_hold_with_whatever_a_server_said_can_be_put_off_and_resumed(hosts: Hosts, odd: object) -> None:
    (fleet,) = hosts.fleets(1)
    hold = {"reason": "key", "message": odd, "step": 3, "since": 5.0}
    number = fleet.shut(hold, wait=600.0)
    same = fleet.shut(hold, wait=600.0)
    fleet.put_off(number, hold, wait=600.0)
    fleet.resume()
    door = fleet.door()

    assert number == same == door.number
    assert door.hold is not None
    assert (door.hold["reason"], door.hold["step"]) == ("key", 0)
    # What is refused from now on is a new hold.
    assert door.hold["since"] == pytest.approx(time.time(), abs=600)
    assert door.due < 1.0


def test_an_old_hold_is_neither_put_off_nor_opened_nor_probed(hosts: Hosts) -> None:
    (fleet,) = hosts.fleets(1)
    old = fleet.shut({"reason": "key"}, wait=0.0)
    fleet.open(old)
    new = fleet.shut({"reason": "key"}, wait=0.0)
    fleet.put_off(old, {"reason": "key", "step": 5}, wait=600.0)
    fleet.open(old)

    assert not fleet.probe(old, lease=LEASE)
    assert fleet.probe(new, lease=LEASE)
    assert fleet.door().hold == {"reason": "key"}
    assert fleet.door().due < 1.0


def test_one_host_at_a_time_has_leave_to_probe_and_only_when_it_is_due(hosts: Hosts) -> None:
    one, two = hosts.fleets(2)
    number = one.shut({"reason": "key"}, wait=600.0)
    early = one.probe(number, lease=LEASE)
    two.resume()

    assert not early
    assert one.probe(number, lease=LEASE)
    assert not two.probe(number, lease=LEASE)
    assert two.door().probing
    one.give_back(number)
    assert two.probe(number, lease=LEASE)


def test_a_pause_only_grows(hosts: Hosts) -> None:
    one, two = hosts.fleets(2)
    one.pause({"reason": "rate"}, seconds=600.0)
    two.pause({"reason": "rate"}, seconds=5.0)

    assert two.door().pause == {"reason": "rate"}
    assert two.door().pause_left > 500.0


# Rounds.


def test_one_host_scans_a_root_until_it_lets_go_whatever_its_path(hosts: Hosts) -> None:
    one, two = hosts.open("one"), hosts.open("two", place="/mnt/nas")
    assert one.hosts.claim_scan(ROOT, "rules", lease=LEASE) == 0
    assert 0 < two.hosts.claim_scan(b"/mnt/nas", "rules", lease=LEASE) <= LEASE
    assert one.hosts.claim_scan(ROOT, "rules", lease=LEASE) == 0
    two.hosts.release_scan(b"/mnt/nas", "rules")
    assert two.hosts.claim_scan(b"/mnt/nas", "rules", lease=LEASE) > 0
    one.hosts.release_scan(ROOT, "rules")

    assert two.hosts.claim_scan(b"/mnt/nas", "rules", lease=LEASE) == 0
    assert one.hosts.common(ROOT) == two.hosts.common(b"/mnt/nas") == b"recordings:"


def test_hosts_that_look_for_different_files_scan_both(hosts: Hosts) -> None:
    one, two = hosts.open("one"), hosts.open("two")

    assert one.hosts.claim_scan(ROOT, "all", lease=LEASE) == two.hosts.claim_scan(ROOT, "some", lease=LEASE) == 0


def test_rounds_are_taken_over_when_their_lease_has_lapsed(hosts: Hosts) -> None:
    one, two = hosts.open("one"), hosts.open("two")
    one.hosts.claim_scan(ROOT, "rules", lease=LEASE)
    hosts.sql("UPDATE @rounds SET lease_until = lease_until - 60")

    assert two.hosts.claim_scan(ROOT, "rules", lease=LEASE) == 0
    assert one.hosts.claim_scan(ROOT, "rules", lease=LEASE) > 0


def test_a_host_that_ends_leaves_its_rounds(hosts: Hosts) -> None:
    one, two = hosts.open("one"), hosts.open("two")
    one.hosts.claim_scan(ROOT, "rules", lease=LEASE)
    one.memory.forget("service")

    assert two.hosts.claim_scan(ROOT, "rules", lease=LEASE) == 0


# Hosts.


def test_hosts_see_each_other_until_they_leave(hosts: Hosts) -> None:
    one, two = hosts.open("one"), hosts.open("two")
    one.hosts.beat()
    two.memory.remember("service", {"pid": 7})
    seen = {host.name: host for host in one.hosts.all()}
    two.memory.forget("service")

    assert set(seen) == {one.host, two.host}
    assert seen[one.host].myself
    assert not seen[two.host].myself
    assert all(host.alive for host in seen.values())
    assert seen[two.host].facts == {"pid": 7}
    assert two.memory.remembered("service") is None
    assert [host.name for host in one.hosts.all()] == [one.host]


def test_a_silent_host_counts_as_dead_and_is_forgotten_after_a_day(hosts: Hosts) -> None:
    one, two = hosts.open("one"), hosts.open("two")
    one.hosts.beat()
    two.hosts.beat()
    hosts.sql(f"UPDATE @hosts SET seen = seen - 3600 WHERE host = '{two.host}'")  # noqa: S608 - our own name
    silent = {host.name: host.alive for host in one.hosts.all()}
    hosts.sql(f"UPDATE @hosts SET seen = seen - 86400 WHERE host = '{two.host}'")  # noqa: S608 - our own name
    one.hosts.beat()

    assert silent == {one.host: True, two.host: False}
    assert [host.name for host in one.hosts.all()] == [one.host]


def test_a_ledger_of_its_own_knows_no_others(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path)
    ledger.hosts.beat()

    assert ledger.hosts.all() == ()
    assert ledger.hosts.fleet("h/v1", "us") is None
    assert ledger.hosts.claim_scan(ROOT, "rules", lease=LEASE) == 0
    ledger.hosts.release_scan(ROOT, "rules")
    assert ledger.hosts.common(ROOT) == ROOT
    ledger.close()
