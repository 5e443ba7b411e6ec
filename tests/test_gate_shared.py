"""Gates of several hosts in front of one endpoint, on a real PostgreSQL ledger: what counts for all of them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import postgres
from support.gate_scene import FAILED, KEY, NOON, Visitor, ask, busy, inside
from support.memory import Memory
from support.postgres import Cluster
from support.waiting import PATIENCE, eventually

from watcher.errors import AccountError, HeldError, StateError
from watcher.fleet import BudgetCredit, LimitShare
from watcher.gate import Gate, GateOptions, GateStatus, Receipt, Ticket, ask_resume, stored_state
from watcher.gate.admission import AdmissionQueue, GateRequest
from watcher.gate.clock import GateClock
from watcher.gate.hold import _INTERVALS, HoldKind
from watcher.gate.pace import Budget
from watcher.gate.shared import SharedLimits

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from watcher.ledger.postgres import PostgresLedger
from watcher.ledger.postgres.fleet import PostgresFleet

ENDPOINT, PARTY = "h/v1", "us"


class Host:
    """A ledger, a gate on it, and the thread that keeps it up with the fleet."""

    def __init__(
        self,
        directory: Path,
        url: str,
        *,
        party: str = PARTY,
        lease: float = 15.0,
        clock: Callable[[], float] = time.time,
        roots: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.ledger = PostgresLedger(directory, url, roots=roots or {}, patience=0.2)
        self._over, self._stop = threading.Event(), threading.Event()
        self.gate = Gate(
            GateOptions(**options),
            endpoint_name=ENDPOINT,
            memory=Memory(),
            buy=lambda *_: 0.0,
            bought=self.ledger.purchases.bought,
            stop=self._stop,
            clock=clock,
            fleet=self.ledger.hosts.fleet(ENDPOINT, party),
            lease=lease,
        )
        self._visitors: list[Visitor] = []
        self._thread = threading.Thread(target=self._attend, name="fleet")
        self._thread.start()

    def visit(self, count: int = 1, *, seconds: float = 1.0) -> list[Visitor]:
        found = [Visitor(self.gate, small=True, seconds=seconds) for _ in range(count)]
        self._visitors += found
        return found

    def enter(self, *, seconds: float = 1.0) -> Visitor:
        """Return a visitor that is inside."""
        (visitor,) = self.visit(seconds=seconds)
        eventually(visitor.inside.is_set)
        return visitor

    def ask(self, error: BaseException | None = None, *, path: bytes = b"a", **options: Any) -> BaseException | None:
        return ask(self.gate, error, path=path, **options)

    @property
    def status(self) -> GateStatus:
        return self.gate.state().status

    def die(self) -> None:
        """Say nothing any more, as a host does that was killed."""
        self._over.set()
        self._thread.join(PATIENCE)

    def close(self) -> None:
        self._stop.set()
        for visitor in self._visitors:
            visitor.leave()
        self.die()
        self.gate.leave()
        self.ledger.close()

    def _attend(self) -> None:
        while not self._over.is_set():
            self.gate.attend(0.2)


def as_many(found: list[Visitor], most: int) -> bool:
    return inside(found) >= min(most, len(found))


class Fleet:
    """Hosts on one ledger."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory = directory
        self.url = url
        self._stack = ExitStack()

    def host(self, name: str, **options: Any) -> Host:
        host = Host(self._directory / name, self.url, **options)
        self._stack.callback(host.close)
        return host

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with postgres.cluster().schema() as url:
        fleet = Fleet(tmp_path, url)
        yield fleet
        fleet.close()


def held(fleet: Fleet) -> tuple[Host, Host]:
    """Return two hosts, the first of which met a wrong key, so that both are held."""
    one, two = fleet.host("one"), fleet.host("two")
    one.ask(KEY)
    eventually(lambda: two.status is GateStatus.HELD)
    return one, two


# Places.


def test_no_more_are_in_flight_than_the_fleet_may_have_and_every_host_gets_its_part(fleet: Fleet) -> None:
    one, two = (fleet.host(name, concurrency=4, fleet_concurrency=4) for name in ("one", "two"))
    first = one.visit(6)
    eventually(lambda: inside(first) == 4)
    second = two.visit(6)
    most = 0
    while first or second:
        most = max(most, inside(first) + inside(second))
        done = [visitor for visitor in (*first, *second) if visitor.inside.is_set()]
        for visitor in done[:2]:
            visitor.leave()
        first, second = ([v for v in found if v not in done[:2]] for found in (first, second))
        eventually(partial(as_many, [*first, *second], 4))

    assert most == 4


@pytest.mark.slow
def test_a_host_that_wants_more_gets_what_another_one_does_not_use(fleet: Fleet) -> None:
    one, two = (fleet.host(name, concurrency=8, fleet_concurrency=6) for name in ("one", "two"))
    single = two.enter()
    many = one.visit(8)

    eventually(lambda: inside(many) == 5)
    single.leave()
    eventually(lambda: inside(many) == 6)


@pytest.mark.slow
def test_where_there_are_more_hosts_than_places_all_have_their_turn(fleet: Fleet) -> None:
    hosts = [fleet.host(f"host-{number}", concurrency=2, fleet_concurrency=1) for number in range(3)]
    found = [host.visit(2) for host in hosts]
    waiting = {visitor: number for number, visitors in enumerate(found) for visitor in visitors}
    order: list[int] = []

    def settled() -> bool:
        """One is inside, and its host knows that others wait."""
        numbers = [number for visitor, number in waiting.items() if visitor.inside.is_set()]
        return len(numbers) == 1 and (len(set(waiting.values())) == 1 or hosts[numbers[0]].gate.state().limit == 0)

    while waiting:
        eventually(settled)
        current = next(visitor for visitor in waiting if visitor.inside.is_set())
        order.append(waiting.pop(current))
        current.leave()

    assert set(order[:3]) == {0, 1, 2}


@pytest.mark.slow
def test_the_places_of_a_host_that_died_come_back_within_its_lease(fleet: Fleet) -> None:
    one = fleet.host("one", concurrency=4, fleet_concurrency=2, lease=1.0)
    two = fleet.host("two", concurrency=4, fleet_concurrency=2)
    held = one.visit(2)
    eventually(lambda: inside(held) == 2)
    one.die()
    found = two.visit(2)

    eventually(lambda: inside(found) == 2)
    assert one.gate.state().limit == 0


def test_another_limit_counts_after_a_reload(fleet: Fleet) -> None:
    one = fleet.host("one", concurrency=4, fleet_concurrency=1)
    found = one.visit(3)
    eventually(lambda: inside(found) == 1)

    one.gate.reload(GateOptions(concurrency=4, fleet_concurrency=3))

    eventually(lambda: inside(found) == 3)
    assert one.gate.places() == 2


def test_without_a_limit_of_the_fleet_nobody_asks_it_for_anything(fleet: Fleet) -> None:
    one = fleet.host("one", concurrency=3)
    found = one.visit(4)

    eventually(lambda: inside(found) == 3)
    assert postgres.cluster().sql(f"TABLE {_schema(fleet.url)}.shares") == []


# Pace.


@pytest.mark.slow
def test_the_hosts_take_turns_at_the_pace_of_the_fleet(fleet: Fleet) -> None:
    one, two = (fleet.host(name, requests_per_minute=120) for name in ("one", "two"))
    found = [*one.visit(2), *two.visit(2)]
    eventually(lambda: inside(found) == 4)

    began = sorted(visitor.began for visitor in found)
    # 0.504 s apart each, and each up to half a second late.
    assert began[-1] - began[0] > 3 * 0.504 - 0.5


# Pauses and holds.


@pytest.mark.slow
def test_a_pause_of_one_is_a_pause_of_all(fleet: Fleet) -> None:
    one, two = fleet.host("one"), fleet.host("two")
    one.ask(busy(300.0))

    eventually(lambda: two.status is GateStatus.PAUSED)
    raised = two.ask()
    assert isinstance(raised, HeldError)
    assert raised.reason == "paused"


def test_a_pause_that_somebody_ends_is_over_for_all(fleet: Fleet) -> None:
    one, two = fleet.host("one"), fleet.host("two")
    one.ask(busy(300.0))
    eventually(lambda: two.status is GateStatus.PAUSED)
    looker = PostgresLedger(Path("/nowhere"), fleet.url, exclusive=False)
    door = looker.hosts.fleet(ENDPOINT, PARTY)
    state = stored_state(looker.memory, ENDPOINT, door)
    ask_resume(looker.memory, ENDPOINT, door)
    looker.close()

    eventually(lambda: one.status is two.status is GateStatus.OPEN)
    assert state is not None
    assert (state.status, state.message) == (GateStatus.PAUSED, "busy")


def test_a_hold_of_one_closes_the_door_for_all_and_one_probe_opens_it(fleet: Fleet) -> None:
    one, two, three = (fleet.host(name) for name in ("one", "two", "three"))
    one.ask(KEY)
    eventually(lambda: two.status is three.status is GateStatus.HELD)
    refused = two.ask()
    assert isinstance(refused, HeldError)
    assert refused.reason == "key"
    eventually(lambda: stored_state(two.ledger.memory, ENDPOINT, two.ledger.hosts.fleet(ENDPOINT, PARTY)) is not None)

    two.gate.resume()
    eventually(lambda: (ticket := three.gate.admit(timeout=0.1)) is not None and ticket.probe)
    assert two.gate.admit(timeout=0.1) is None
    assert one.gate.admit(timeout=0.1) is None
    assert three.ask() is None

    eventually(lambda: one.status is two.status is three.status is GateStatus.OPEN)
    assert stored_state(two.ledger.memory, ENDPOINT, two.ledger.hosts.fleet(ENDPOINT, PARTY)) is None


@pytest.mark.slow
def test_requesting_a_probe_is_one_update(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = held(fleet)
    put_off: list[int] = []
    monkeypatch.setattr(PostgresFleet, "put_off", lambda _self, number, _hold, *, wait: put_off.append(number))  # noqa: ARG005

    two.gate.resume()

    eventually(lambda: one.gate.admit(timeout=0.1) is not None)
    assert put_off == []


def test_a_probe_that_fails_puts_the_next_one_off_for_all_and_all_say_what_it_met(fleet: Fleet) -> None:
    one, two = held(fleet)
    two.gate.resume()
    eventually(lambda: two.gate.admit(timeout=0.1) is not None)
    two.ask(FAILED)

    now = time.time()
    eventually(lambda: (one.gate.state().next_probe or 0) > now + 90)
    assert (one.status, one.gate.state().message) == (GateStatus.HELD, "no valid key; the last try met: failed")


def test_leave_to_probe_that_is_not_used_goes_to_another_host(fleet: Fleet) -> None:
    one, two = held(fleet)
    one.gate.resume()
    tickets: list[Ticket] = []

    def admitted() -> bool:
        if (ticket := one.gate.admit(timeout=0.1)) is not None:
            tickets.append(ticket)
        return bool(tickets)

    eventually(admitted)

    tickets[0].close()

    eventually(lambda: two.gate.admit(timeout=0.1) is not None)


@pytest.mark.slow
def test_a_probe_of_a_host_that_died_is_made_by_another_one(fleet: Fleet) -> None:
    one, two = fleet.host("one", lease=1.0), fleet.host("two")
    one.ask(KEY)
    eventually(lambda: two.status is GateStatus.HELD)
    one.gate.resume()
    eventually(lambda: one.gate.admit(timeout=0.1) is not None)
    one.die()

    eventually(lambda: two.gate.admit(timeout=0.1) is not None)


def test_a_host_that_starts_meets_the_hold_and_has_it_probed_at_once(fleet: Fleet) -> None:
    one = fleet.host("one")
    one.ask(KEY)
    eventually(lambda: stored_state(one.ledger.memory, ENDPOINT, one.ledger.hosts.fleet(ENDPOINT, PARTY)) is not None)

    two = fleet.host("two")

    assert two.status is GateStatus.HELD
    eventually(lambda: two.gate.admit(timeout=0.1) is not None)


@pytest.mark.slow
def test_a_probe_keeps_to_the_fleets_limits(fleet: Fleet) -> None:
    options = {"fleet_concurrency": 1, "requests_per_minute": 600, "daily_minutes": 1}
    one, two = (fleet.host(name, **options) for name in ("one", "two"))
    flying = one.enter()
    flying.leave(KEY)
    eventually(lambda: two.status is GateStatus.HELD)
    two.gate.resume()
    ticket = two.gate.admit(timeout=PATIENCE)
    assert ticket is not None

    probe = two.enter()
    probe.leave()
    ticket.close()

    eventually(lambda: one.status is GateStatus.OPEN)


@pytest.mark.slow
def test_a_host_with_another_key_is_not_held(fleet: Fleet) -> None:
    one, other, same = fleet.host("one"), fleet.host("two", party="others"), fleet.host("three")
    one.ask(KEY)
    eventually(lambda: same.status is GateStatus.HELD)

    assert other.ask() is None
    assert other.status is GateStatus.OPEN


def test_a_host_that_is_given_another_key_leaves_the_hold_to_those_with_the_former_one(fleet: Fleet) -> None:
    one, two = held(fleet)

    one.gate.use_fleet(one.ledger.hosts.fleet(ENDPOINT, "others"))

    assert one.status is GateStatus.OPEN
    assert one.ask() is None
    assert two.status is GateStatus.HELD
    one.ask(AccountError("no money", reason="balance"))
    eventually(lambda: one.ledger.hosts.fleet(ENDPOINT, "others").door().hold is not None)
    assert two.gate.state().reason == "key"


@pytest.mark.slow
def test_a_host_without_waiting_requests_requests_nothing(fleet: Fleet) -> None:
    one, two = (fleet.host(name, concurrency=2, fleet_concurrency=1) for name in ("one", "two"))
    one.enter()
    (waits,) = two.visit()
    limits = two.gate._limits
    assert isinstance(limits, SharedLimits)
    eventually(lambda: limits._asked)
    one.gate.reload(GateOptions(concurrency=2, fleet_concurrency=2))
    two.gate.reload(GateOptions(concurrency=2, fleet_concurrency=2))

    eventually(lambda: inside([waits]) == 1)
    waits.leave()
    eventually(lambda: limits.wait(time.monotonic()) > 1.0)


@pytest.mark.slow
def test_an_outage_reported_by_others_is_ignored_by_a_host_that_gets_answers(fleet: Fleet) -> None:
    one, two, idle = (fleet.host(name) for name in ("one", "two", "three"))
    assert two.ask() is None
    for number in range(8):
        one.ask(FAILED, path=b"%d" % number)
    eventually(lambda: idle.status is GateStatus.HELD)

    assert one.status is GateStatus.HELD
    assert two.status is GateStatus.OPEN
    assert two.ask() is None


# Minutes.


def test_todays_minutes_are_the_fleets_also_those_of_a_host_without_a_limit(fleet: Fleet) -> None:
    free, limited = fleet.host("free"), fleet.host("limited", daily_minutes=1)
    free.enter(seconds=50.0).leave()
    eventually(lambda: limited.ledger.purchases.bought(ENDPOINT, "0", "9") == 50.0)

    (second,) = limited.visit(seconds=30.0)

    eventually(lambda: second.raised is not None)
    assert isinstance(second.raised, HeldError)
    assert second.raised.reason == "budget"
    assert free.status is GateStatus.OPEN


def test_what_was_bought_after_all_counts_for_the_whole_fleet(fleet: Fleet) -> None:
    one, two = (fleet.host(name, daily_minutes=10) for name in ("one", "two"))
    receipt = Receipt()
    one.gate.run(lambda: "text", seconds=1.0, small=True, path=b"a", receipt=receipt)
    day = receipt.day

    one.gate.correct(receipt, 599.5)
    assert one.ledger.purchases.bought(ENDPOINT, day, day) == pytest.approx(599.5)
    assert isinstance(two.ask(seconds=60.0), HeldError)
    one.gate.correct(receipt, 8.0)

    assert one.ledger.purchases.bought(ENDPOINT, day, day) == pytest.approx(8.0)
    assert one.ask(seconds=60.0) is None


@pytest.mark.slow
def test_a_hold_that_rests_on_files_of_one_folder_is_probed_at_once_with_one_of_another(fleet: Fleet) -> None:
    one, two = (fleet.host(name, folders=2, concurrency=4) for name in ("one", "two"))
    for number in range(8):
        one.ask(FAILED, path=b"%d" % number, root=b"/one")
    eventually(lambda: two.status is GateStatus.HELD)

    ticket = admitted(one)

    assert (ticket.before_due, ticket.without) == (True, frozenset({b"/one"}))
    assert one.ask(path=b"good", root=b"/other") is None
    eventually(lambda: two.status is GateStatus.OPEN)


@pytest.fixture
def rarely_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no probe of an outage fall due while a test runs."""
    monkeypatch.setitem(_INTERVALS, HoldKind.OUTAGE, (3600.0, 3600.0))


def admitted(host: Host) -> Ticket:
    found: list[Ticket] = []

    def admit() -> bool:
        found.extend(ticket for ticket in (host.gate.admit(timeout=0.1),) if ticket is not None)
        return bool(found)

    eventually(admit)
    return found[0]


@pytest.mark.usefixtures("rarely_due")
def test_another_host_probes_at_once_with_a_file_that_has_not_failed_on_any(fleet: Fleet) -> None:
    one = fleet.host("one", roots={"a": "/one"}, concurrency=4)
    two = fleet.host("two", roots={"a": "/mnt/a"}, concurrency=4)
    for _ in range(8):
        for number in range(3):
            one.ask(FAILED, path=b"/one/%d" % number, root=b"/one")
    eventually(lambda: two.status is GateStatus.HELD)

    ticket = admitted(two)

    assert (ticket.before_due, ticket.without) == (True, frozenset())
    assert not ticket.offer(b"/mnt/a/0")
    assert ticket.offer(b"/mnt/a/new")
    assert two.ask(path=b"/mnt/a/new", root=b"/mnt/a") is None
    eventually(lambda: one.status is GateStatus.OPEN)


@pytest.mark.usefixtures("rarely_due")
@pytest.mark.parametrize("has_it", [True, False])
def test_another_host_probes_at_once_with_a_file_of_a_folder_that_has_not_failed(fleet: Fleet, *, has_it: bool) -> None:
    one = fleet.host("one", roots={"a": "/one"}, concurrency=4)
    here = {"a": "/mnt/a", "b": "/mnt/b"} if has_it else {"b": "/mnt/b"}
    two = fleet.host("two", roots=here, folders=len(here), concurrency=4)
    for number in range(12):
        one.ask(FAILED, path=b"/one/%d" % number, root=b"/one")
    eventually(lambda: two.status is GateStatus.HELD)

    ticket = admitted(two)

    assert ticket.before_due
    assert (b"/mnt/a" in ticket.without) == has_it
    assert b"/mnt/b" not in ticket.without
    assert one.gate.admit(timeout=0.0) is None, "it has no other folder"
    assert isinstance(two.ask(FAILED, path=b"/mnt/b/bad", root=b"/mnt/b"), HeldError)
    ticket = admitted(two)
    assert not ticket.offer(b"/mnt/b/bad")
    assert two.ask(path=b"/mnt/b/good", root=b"/mnt/b") is None
    eventually(lambda: one.status is GateStatus.OPEN)


def test_a_months_minutes_count_for_the_whole_fleet(fleet: Fleet) -> None:
    one, other = (fleet.host(name, monthly_minutes=10, clock=lambda: NOON) for name in ("one", "other"))
    one.ledger.purchases.buy(ENDPOINT, "2026-09-19", 500.0)
    one.ledger.purchases.buy(ENDPOINT, "2026-08-31", 9000.0)
    first = one.enter(seconds=100.0)
    first.leave()

    (second,) = other.visit(seconds=1.0)

    eventually(lambda: second.raised is not None)
    state = other.gate.state()
    assert (state.status, state.reason) == (GateStatus.HELD, "budget")
    assert state.next_probe == time.mktime((2026, 10, 1, 0, 0, 0, 0, 0, -1))


@pytest.mark.slow
def test_what_is_in_flight_anywhere_counts_as_bought(fleet: Fleet) -> None:
    one, two = (fleet.host(name, daily_minutes=1) for name in ("one", "two"))
    first = one.enter(seconds=50.0)
    (second,) = two.visit(seconds=30.0)
    one.enter(seconds=5.0)
    assert inside([second]) == 0
    first.leave(FAILED)

    eventually(lambda: inside([second]) == 1)


def test_what_was_answered_is_not_asked_again_at_once() -> None:
    """Places are short, and the minutes suffice for the first of many alone."""
    options = GateOptions(concurrency=4, fleet_concurrency=2, daily_minutes=5)
    budget = Budget(ENDPOINT, buy=lambda *_: 0.0, bought=lambda *_: 0.0, daily_minutes=5)
    clock, line, wake = GateClock(time.time, time.monotonic, lambda: 0.0), AdmissionQueue(), threading.Condition()
    limits = SharedLimits(options, budget, clock, line=line, wake=wake, lease=15.0)
    limits.begin_day()
    inside, *others = (GateRequest(threading.Condition(), seconds, small=True) for seconds in (1.0, *[100.0] * 5))
    for request in (inside, *others):
        line.join(request)
    with inside.signal:
        line.enter(inside)
    limits.start(inside.seconds, 1000.0)
    asked = 0
    while (need := limits.need(1000.0)) is not None and asked < 10:
        asked += 1
        limits.taken(need, LimitShare(1, 1, contended=True, credit=BudgetCredit.FIRST), sent=1000.0, now=1000.0)

    assert asked <= 2


# The ledger is away.


@pytest.mark.slow
def test_while_the_database_is_away_a_host_goes_on_with_what_it_has_in_hand(tmp_path: Path) -> None:
    cluster = Cluster("fsync=off")
    try:
        with cluster.schema() as url, ExitStack() as stack:
            fleet = Fleet(tmp_path, url)
            stack.callback(fleet.close)
            lasting = fleet.host("lasting", concurrency=2, fleet_concurrency=8, lease=3600.0)
            brief = fleet.host("brief", concurrency=2, fleet_concurrency=8, lease=2.0)
            found = [*lasting.visit(2), *brief.visit(2)]
            eventually(lambda: inside(found) == 4)
            cluster.stop("immediate")
            eventually(lambda: lasting.gate.trouble is not None and brief.gate.trouble is not None)
            for visitor in found:
                visitor.leave()
            eventually(lambda: brief.gate.state().limit == 0)
            goes, waits = lasting.visit(2), brief.visit(2)
            eventually(lambda: inside(goes) == 2)
            assert inside(waits) == 0
            goes[0].leave(KEY)
            cluster.start()

            eventually(lambda: brief.status is GateStatus.HELD)
            eventually(lambda: all(visitor.raised is not None or visitor.inside.is_set() for visitor in waits))
            assert isinstance(brief.ask(), HeldError)
    finally:
        cluster.remove()


@pytest.mark.slow
def test_a_database_that_is_away_when_a_day_begins_is_waited_for(tmp_path: Path) -> None:
    cluster = Cluster("fsync=off")
    try:
        with cluster.schema() as url, ExitStack() as stack:
            fleet = Fleet(tmp_path, url)
            stack.callback(fleet.close)
            host = fleet.host("one", daily_minutes=1)
            cluster.stop("immediate")
            (visitor,) = host.visit()
            eventually(lambda: len(host.gate._line) == 1 and host.gate.trouble is not None)
            cluster.start()

            eventually(visitor.inside.is_set)
    finally:
        cluster.remove()


def test_a_gate_that_can_not_ask_says_why(fleet: Fleet) -> None:
    one = fleet.host("one", fleet_concurrency=1)
    postgres.cluster().sql(f"DROP TABLE {_schema(fleet.url)}.shares")
    (waits,) = one.visit()

    eventually(lambda: one.gate.trouble is not None)
    assert isinstance(one.gate.trouble, StateError)
    assert inside([waits]) == 0


def _schema(url: str) -> str:
    return url.rpartition("%3D")[2]
