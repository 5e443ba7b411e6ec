"""The gate among threads: places, pace, pauses, holds, probes, and what each outcome does to the others."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.memory import Memory
from support.waiting import eventually

from watcher.errors import (
    AccountError,
    ChangedError,
    FileError,
    GarbledError,
    HeldError,
    JobError,
    NoChannelError,
    PassingError,
    Remedy,
    RemedyError,
    SourceError,
    StateBusyError,
    StoppedError,
)
from watcher.gate import Gate, GateOptions, GateStatus, ResumeOutcome, ask_resume, stored_state
from watcher.gate.limits import LocalLimits

#: A Sunday noon, far from midnight in any zone that matters to `daily_minutes` (local time is asked of the system).
NOON = time.mktime((2026, 9, 20, 12, 0, 0, 0, 0, -1))

CROWDED = PassingError("busy", reason="rate", crowded=True)
KEY = AccountError("no valid key", reason="key", hint="check api.key")
EMPTY = NoChannelError("nobody there", reason="no_channel", hint="ask the operator")
FAILED = PassingError("failed", reason="server")
GONE = PassingError("not there", reason="unreachable")


class World:
    """A clock moved by hand, a memory, and gates on both."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        #: Seconds that somebody has set the wall clock forward.
        self.set_forward = 0.0
        self.stop = threading.Event()
        self.memory = Memory(self.clock)

    def clock(self) -> float:
        return NOON + self.set_forward + self.elapsed

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    def gate(
        self, *, jitter: float = 0.0, on_held: Callable[[Mapping[str, object]], None] = lambda _: None, **options: Any
    ) -> Gate:
        return Gate(
            GateOptions(**options),
            endpoint_name="h/v1",
            memory=self.memory,
            buy=self.memory.buy,
            bought=self.memory.sum_bought,
            stop=self.stop,
            clock=self.clock,
            monotonic=self.monotonic,
            jitter=lambda: jitter,
            on_held=on_held,
        )


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.stop.set()


def ask(
    gate: Gate, error: BaseException | None = None, *, path: bytes = b"a", small: bool = True, seconds: float = 1.0
) -> BaseException | None:
    """Make one request that meets `error`; give what came out of the gate."""
    try:
        with gate.enter(seconds=seconds, small=small, path=path):
            if error is not None:
                raise error
    except (JobError, KeyError) as exc:
        return exc
    return None


def test_a_share_that_goes_away_under_many_requests_says_nothing_of_the_endpoint(world: World) -> None:
    gate = world.gate()
    for number in range(20):
        error = SourceError("not connected", reason="away")
        assert ask(gate, error, path=b"%d" % number) is error

    assert gate.state().status is GateStatus.OPEN


class Visitor:
    """A request in a thread of its own: in the gate from `inside` until `leave` is called."""

    def __init__(self, gate: Gate, *, small: bool = False, path: bytes = b"a", seconds: float = 1.0) -> None:
        self.inside = threading.Event()
        self.raised: BaseException | None = None
        self._leave = threading.Event()
        self._error: BaseException | None = None
        self._gate, self._small, self._path, self._seconds = gate, small, path, seconds
        self._thread = threading.Thread(target=self._visit, name="visitor")
        self._thread.start()

    def leave(self, error: BaseException | None = None) -> None:
        self._error = error
        self._leave.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _visit(self) -> None:
        try:
            with self._gate.enter(seconds=self._seconds, small=self._small, path=self._path):
                self.inside.set()
                assert self._leave.wait(30)
                if self._error is not None:
                    raise self._error
        except JobError as exc:
            self.raised = exc


def visitors(gate: Gate, count: int, **options: Any) -> list[Visitor]:
    """Let as many in, and wait until each has either a place or a place in the queue."""
    found = [Visitor(gate, **options) for _ in range(count)]
    eventually(lambda: gate.state().in_flight == sum(visitor.inside.is_set() for visitor in found))
    return found


def inside(found: list[Visitor]) -> int:
    return sum(visitor.inside.is_set() for visitor in found)


def grown(gate: Gate, before: int) -> bool:
    return queued(gate) > before


def queued(gate: Gate) -> int:
    return len(gate._line)


# Places.


def test_no_more_are_in_than_may_be(world: World) -> None:
    gate = world.gate(concurrency=3)
    most, now, lock = 0, 0, threading.Lock()

    def call() -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.002)
        with lock:
            now -= 1

    def work() -> None:
        for number in range(20):
            gate.run(call, seconds=1.0, small=number % 2 == 0, path=b"a")

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert most == 3
    assert gate.state().in_flight == 0


def test_a_place_is_free_again_whatever_happened_inside(world: World) -> None:
    gate = world.gate(concurrency=1)

    assert isinstance(ask(gate, KeyError()), KeyError)
    assert isinstance(ask(gate, ChangedError("x")), ChangedError)
    assert isinstance(ask(gate, FileError("x")), FileError)
    assert ask(gate) is None
    assert gate.state().in_flight == 0


def test_a_place_is_kept_free_for_small_files(world: World) -> None:
    gate = world.gate(concurrency=4)
    large = visitors(gate, 6)

    assert inside(large) == 3
    assert ask(gate, small=True) is None

    for visitor in large:
        visitor.leave()


def test_a_single_place_is_shared(world: World) -> None:
    gate = world.gate(concurrency=1)
    large = visitors(gate, 1)

    assert inside(large) == 1

    large[0].leave()
    assert ask(gate, small=True) is None


def test_the_reserve_can_be_given_up(world: World) -> None:
    gate = world.gate(concurrency=4, reserve=0)
    large = visitors(gate, 4)

    assert inside(large) == 4
    for visitor in large:
        visitor.leave()


def test_small_files_go_first_but_never_starve_a_large_one(world: World) -> None:
    gate = world.gate(concurrency=1)
    order: list[str] = []
    first = visitors(gate, 1)[0]

    def call(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    threads = []
    for name in ("L1", "L2", "S1", "S2", "S3", "S4", "S5"):
        before = queued(gate)
        thread = threading.Thread(
            target=gate.run, args=(call(name),), kwargs={"seconds": 1.0, "small": name[0] == "S", "path": b"a"}
        )
        thread.start()
        threads.append(thread)
        eventually(partial(grown, gate, before))
    first.leave()
    for thread in threads:
        thread.join(60)

    assert order == ["S1", "S2", "S3", "L1", "S4", "S5", "L2"]


# Crowds.


def test_a_refused_burst_halves_the_places_once(world: World) -> None:
    gate = world.gate(concurrency=8)
    small = visitors(gate, 8, small=True)

    for visitor in small[:2]:
        visitor.leave(CROWDED)

    assert gate.state().limit == 4
    for visitor in small[2:]:
        visitor.leave()
    assert gate.state().limit == 8


def test_what_a_burst_of_refusals_leaves_in_flight_is_what_is_asked_for_from_then_on(world: World) -> None:
    gate = world.gate(concurrency=8)
    small = visitors(gate, 8, small=True)

    for visitor in small[:5]:
        visitor.leave(CROWDED)
    for visitor in small[5:]:
        visitor.leave()

    assert gate.state().limit == 3


def test_timeouts_cost_places_too(world: World) -> None:
    gate = world.gate(concurrency=8)

    ask(gate, PassingError("slow", reason="timeout"))

    assert gate.state().limit == 4


def test_other_failures_cost_none(world: World) -> None:
    gate = world.gate(concurrency=8)

    for error in (FAILED, FileError("x"), RemedyError("x", remedy=Remedy.RECODE)):
        ask(gate, error)

    assert gate.state().limit == 8


# Pauses.


def test_what_the_server_asks_for_pauses_everybody(world: World) -> None:
    gate = world.gate(concurrency=4)
    with capture_logs() as logs:
        ask(gate, PassingError("busy", reason="rate", crowded=True, retry_after=30.0))
        state = gate.state()
        waiting = Visitor(gate)
        eventually(lambda: queued(gate) == 1)

        world.elapsed += 29.0
        assert not waiting.inside.wait(0.3)
        world.elapsed += 1.1
        assert waiting.inside.wait(60)
        waiting.leave()

    assert (state.status, state.message, state.next_probe) == (GateStatus.PAUSED, "busy", NOON + 30.0)
    events = [(log["event"], log["reason"], log.get("asked_by_server")) for log in logs]
    assert events == [("gate.paused", "rate", True), ("gate.resumed", "rate", None)]


def test_jitter_only_makes_pauses_longer(world: World) -> None:
    gate = world.gate(jitter=1.0)

    ask(gate, PassingError("busy", crowded=True, retry_after=30.0))

    until = gate.state().next_probe
    assert until is not None
    assert NOON + 30.0 < until <= NOON + 33.0


def test_a_longer_pause_wins_and_a_shorter_one_does_not_cut_it(world: World) -> None:
    gate = world.gate(concurrency=4)
    small = visitors(gate, 3, small=True)

    for visitor, seconds in zip(small, (10.0, 60.0, 20.0), strict=True):
        visitor.leave(PassingError("busy", crowded=True, retry_after=seconds))

    assert gate.state().next_probe == NOON + 60.0


def test_a_long_pause_sends_the_jobs_back_and_lets_nobody_claim(world: World) -> None:
    gate = world.gate(concurrency=1)
    first = visitors(gate, 1)[0]
    second = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    first.leave(PassingError("busy", reason="rate", crowded=True, retry_after=600.0))

    eventually(second.ended)
    assert isinstance(second.raised, HeldError)
    assert isinstance(ask(gate), HeldError)
    assert gate.admit(timeout=0.0) is None
    world.elapsed += 500.0
    assert gate.admit(timeout=0.0) is not None


def test_no_pause_is_longer_than_an_hour(world: World) -> None:
    gate = world.gate()

    ask(gate, PassingError("busy", crowded=True, retry_after=1e9))

    assert gate.state().next_probe == NOON + 3600.0


def test_a_pause_outlives_a_restart(world: World) -> None:
    ask(world.gate(), PassingError("busy", reason="rate", crowded=True, retry_after=300.0))
    world.elapsed += 100.0

    state = world.gate().state()

    assert (state.status, state.reason, state.next_probe) == (GateStatus.PAUSED, "rate", NOON + 300.0)
    world.elapsed += 201.0
    assert world.gate().state().status is GateStatus.OPEN


def test_a_short_pause_is_not_worth_writing_down(world: World) -> None:
    ask(world.gate(), PassingError("busy", crowded=True, retry_after=1.0))

    assert world.memory.writes == 0


def test_a_server_that_refuses_even_one_at_a_time_gets_growing_rest(world: World) -> None:
    gate = world.gate(concurrency=1)
    pauses = []
    with capture_logs() as logs:
        for _ in range(7):
            ask(gate, CROWDED)
            until = gate.state().next_probe
            assert until is not None
            pauses.append(until - world.clock())
            world.elapsed = until - NOON

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert {log["asked_by_server"] for log in logs if log["event"] == "gate.paused"} == {False}


def test_eleven_hundred_refusals_of_a_lone_file_are_survived(world: World) -> None:
    gate = world.gate(concurrency=4)
    for _ in range(1100):
        ask(gate, CROWDED)
        world.elapsed += 30.0

    assert gate.state().status is GateStatus.OPEN


def test_the_longest_of_several_stated_pauses_counts_to_its_end(world: World) -> None:
    gate = world.gate(concurrency=4)
    small = visitors(gate, 3, small=True)
    for visitor, seconds in zip(small, (10.0, 100.0, 20.0), strict=True):
        visitor.leave(PassingError("busy", reason="rate", crowded=True, retry_after=seconds))

    for elapsed in (11.0, 21.0, 99.0):
        world.elapsed = elapsed
        gate.admit(timeout=0.0)
        assert gate.state().status is GateStatus.PAUSED
        assert stored_state(world.memory, "h/v1") is not None
        assert world.gate().state().next_probe == NOON + 100.0
    world.elapsed = 100.1
    assert gate.state().status is GateStatus.OPEN
    assert stored_state(world.memory, "h/v1") is None


def test_a_clock_that_is_set_forward_does_not_end_a_pause(world: World) -> None:
    gate = world.gate(concurrency=4)
    ask(gate, PassingError("busy", reason="rate", crowded=True, retry_after=100.0))
    world.set_forward = 3600.0
    world.elapsed += 5.0

    gate.admit(timeout=0.0)

    assert gate.state().status is GateStatus.PAUSED


def test_a_clock_that_is_set_back_before_a_restart_makes_no_pause_longer_than_an_hour(world: World) -> None:
    ask(world.gate(), PassingError("busy", reason="rate", crowded=True, retry_after=100.0))
    world.set_forward = -1e9

    gate = world.gate()
    world.elapsed += 3600.0

    assert gate.state().status is GateStatus.OPEN


@pytest.mark.parametrize("asked", [1000.0, 0.0])
def test_a_hold_is_not_probed_before_the_pause_that_was_asked_for_is_over(world: World, asked: float) -> None:
    gate = world.gate(concurrency=4)
    small = visitors(gate, 2, small=True)
    first, second = PassingError("busy", crowded=True, retry_after=1000.0), KEY
    for visitor, error in zip(small, (first, second) if asked else (second, first), strict=True):
        visitor.leave(error)

    world.elapsed = 999.0
    assert gate.state().status is GateStatus.HELD
    assert gate.admit(timeout=0.0) is None
    world.elapsed = 1000.1
    assert gate.admit(timeout=0.0) is not None


def test_a_pause_that_outlasts_a_hold_outlives_a_restart(world: World) -> None:
    gate = world.gate(concurrency=4)
    small = visitors(gate, 3, small=True)
    for number in range(8):
        ask(gate, FAILED, path=b"%d" % number)
    small[0].leave(PassingError("busy", reason="rate", crowded=True, retry_after=1000.0))
    small[1].leave()

    state = world.gate().state()

    assert (state.status, state.next_probe) == (GateStatus.PAUSED, NOON + 1000.0)
    small[2].leave()


def test_resume_ends_a_pause(world: World) -> None:
    gate = world.gate()
    ask(gate, PassingError("busy", crowded=True, retry_after=100.0))

    gate.resume()

    assert gate.state().status is GateStatus.OPEN
    assert ask(gate) is None


def test_a_resumed_pause_tells_what_the_server_says_and_not_that_it_is_asked(world: World) -> None:
    """A server that goes on answering 429 was said to work, as soon as a request went in."""
    busy = PassingError("busy", reason="rate", crowded=True, retry_after=100.0)
    gate = world.gate()
    ask(gate, busy)
    outcomes = []

    for answer in (busy, None):
        gate.resume()
        visitor = Visitor(gate)
        assert visitor.inside.wait(60)
        outcomes.append(gate.outcome)
        visitor.leave(answer)
        outcomes.append(gate.outcome)

    unknown = ResumeOutcome.UNKNOWN
    assert outcomes == [unknown, ResumeOutcome.PAUSED, unknown, ResumeOutcome.OPEN]


# Pace.


def test_starts_are_spread_evenly(world: World) -> None:
    gate = world.gate(requests_per_minute=60, concurrency=8)
    assert ask(gate) is None
    waiting = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    world.elapsed += 0.9
    assert not waiting.inside.wait(0.3)
    world.elapsed += 0.2
    assert waiting.inside.wait(60)
    waiting.leave()


def test_no_minute_ever_has_more_starts_than_allowed() -> None:
    gate = Gate(
        GateOptions(requests_per_minute=1200, concurrency=8),
        endpoint_name="h",
        memory=Memory(),
        buy=lambda *_: 0.0,
        stop=threading.Event(),
    )
    calls = Calls("answer")

    def work() -> None:
        for _ in range(5):
            run(gate, calls)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert isinstance(gate._limits, LocalLimits)
    starts = list(gate._limits.pace.starts)
    assert len(starts) == calls.made == 20
    assert all(later - earlier >= 60.0 / 1200 for earlier, later in pairwise(starts))


def test_a_slower_pace_counts_what_was_started_before(world: World) -> None:
    gate = world.gate(requests_per_minute=60)
    for _ in range(3):
        ask(gate)
        world.elapsed += 1.0
    gate.reload(GateOptions(requests_per_minute=2))
    waiting = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    world.elapsed = 60.5  # the last but one start was at 1 s, the last one at 2 s
    assert not waiting.inside.wait(0.3)
    world.elapsed = 61.5
    assert waiting.inside.wait(60)
    waiting.leave()


# The daily budget.


def test_the_days_minutes_are_kept(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    assert ask(gate, seconds=300.0) is None
    assert ask(gate, seconds=300.0) is None

    with capture_logs() as logs:
        raised = ask(gate, seconds=1.0)

    assert isinstance(raised, HeldError)
    assert raised.reason == "budget"
    assert gate.admit(timeout=0.0) is None
    assert [(log["event"], log["reason"]) for log in logs] == [("gate.held", "budget")]
    world.elapsed += 12 * 3600.0 + 1
    assert ask(gate, seconds=600.0) is None


def test_a_restart_does_not_give_the_minutes_back(world: World) -> None:
    ask(world.gate(daily_minutes=10), seconds=600.0)

    assert isinstance(ask(world.gate(daily_minutes=10), seconds=60.0), HeldError)


def test_what_was_not_bought_does_not_count(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    for error in (FileError("x"), FAILED, CROWDED):
        ask(gate, error, seconds=500.0)
        world.elapsed += 5.0

    assert ask(gate, seconds=600.0) is None


@pytest.mark.parametrize("reason", ["timeout", "truncated", "connection", "oversized_answer"])
def test_what_may_have_been_paid_counts(world: World, reason: str) -> None:
    gate = world.gate(daily_minutes=10)

    ask(gate, PassingError("x", reason=reason), seconds=600.0)

    assert isinstance(ask(gate, seconds=60.0), HeldError)
    assert gate.paid_seconds == 600.0


def test_an_answer_that_cannot_be_read_is_bought(world: World) -> None:
    gate = world.gate(daily_minutes=10)

    ask(gate, GarbledError("x", body=b""), seconds=600.0)

    assert isinstance(ask(gate, seconds=60.0), HeldError)
    assert gate.paid_seconds == 600.0


@pytest.mark.parametrize("bought", [True, False])
def test_what_is_in_flight_is_waited_for_before_the_day_is_called_spent(world: World, bought: bool) -> None:  # noqa: FBT001 - a case
    gate = world.gate(daily_minutes=10)
    first = Visitor(gate, seconds=500.0)
    assert first.inside.wait(60)
    second = Visitor(gate, seconds=200.0)
    eventually(lambda: queued(gate) == 1)

    assert not second.inside.wait(0.3)
    assert gate.state().status is GateStatus.OPEN
    first.leave(None if bought else FAILED)

    if bought:
        eventually(second.ended)
        assert isinstance(second.raised, HeldError)
    else:
        assert second.inside.wait(60)
        second.leave()


def test_what_is_being_written_down_as_bought_counts_once(world: World) -> None:
    writing, written = threading.Event(), threading.Event()

    class Slow(Memory):
        def buy(self, endpoint: str, day: str, seconds: float) -> float:
            if seconds:
                writing.set()
                assert written.wait(60)
            return super().buy(endpoint, day, seconds)

    world.memory = Slow(world.clock)
    gate = world.gate(daily_minutes=15)
    first = Visitor(gate, seconds=600.0)
    assert writing.wait(60)

    second = Visitor(gate, seconds=300.0)

    eventually(lambda: gate.state().in_flight == 2)
    written.set()
    for visitor in (first, second):
        visitor.leave()
    eventually(lambda: gate.state().in_flight == 0)
    assert gate.state().status is GateStatus.OPEN


def test_a_ledger_that_is_away_at_midnight_is_waited_for(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=600.0)
    world.elapsed += 12 * 3600.0 + 1
    world.memory.full = True
    waiting = Visitor(gate, seconds=600.0)

    assert not waiting.inside.wait(0.6)
    world.memory.full = False

    assert waiting.inside.wait(60)
    waiting.leave()


def test_whoever_waits_for_the_ledger_at_midnight_leaves_on_stop(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    world.memory.full = True
    waiting = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    world.stop.set()

    eventually(waiting.ended)
    assert isinstance(waiting.raised, StoppedError)


def test_a_request_that_crosses_midnight_is_its_first_days(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    first = Visitor(gate, seconds=600.0)
    assert first.inside.wait(60)
    world.elapsed += 12 * 3600.0 + 1

    assert ask(gate, seconds=400.0) is None
    first.leave()

    assert ask(gate, seconds=200.0) is None
    assert sorted(world.memory.bought.items()) == [
        (("h/v1", "2026-09-20"), 600.0),
        (("h/v1", "2026-09-21"), 600.0),
    ]


def test_what_a_full_disk_kept_from_being_written_stays_with_its_day(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    assert ask(gate, seconds=1.0) is None
    world.memory.full = True
    assert ask(gate, seconds=500.0) is None
    world.memory.full = False
    world.elapsed += 12 * 3600.0 + 1

    assert ask(gate, seconds=600.0) is None

    assert world.memory.bought["h/v1", "2026-09-20"] == 501.0
    assert world.memory.bought["h/v1", "2026-09-21"] == 600.0


def test_whoever_waits_over_midnight_is_not_measured_by_the_day_before(world: World) -> None:
    gate = world.gate(daily_minutes=10, concurrency=1)
    first = Visitor(gate, seconds=600.0)
    assert first.inside.wait(60)
    second = Visitor(gate, seconds=600.0)
    eventually(lambda: queued(gate) == 1)
    world.elapsed += 12 * 3600.0 + 1

    first.leave()

    assert second.inside.wait(60)
    second.leave()


def test_a_piece_longer_than_a_days_budget_goes_first_of_the_day(world: World) -> None:
    gate = world.gate(daily_minutes=1)

    assert ask(gate, seconds=600.0) is None
    assert isinstance(ask(gate, seconds=1.0), HeldError)


def test_a_higher_budget_goes_on_at_once(world: World) -> None:
    gate = world.gate(daily_minutes=1)
    ask(gate, seconds=60.0)
    ask(gate, seconds=60.0)
    assert gate.state().status is GateStatus.HELD

    gate.reload(GateOptions(daily_minutes=10))

    assert ask(gate, seconds=60.0) is None


def test_a_pause_that_the_server_asks_for_after_the_days_minutes_are_bought_leaves_midnight_in_the_ledger(
    world: World,
) -> None:
    gate = world.gate(daily_minutes=1)
    (in_flight,) = visitors(gate, 1)
    assert ask(gate, seconds=59.0) is None
    assert isinstance(ask(gate, seconds=60.0), HeldError)

    in_flight.leave(PassingError("busy", reason="rate", crowded=True, retry_after=60.0))

    stored = stored_state(world.memory, "h/v1")
    assert stored is not None
    assert (stored.reason, stored.next_probe) == ("budget", gate.state().next_probe)
    assert stored.next_probe == time.mktime((2026, 9, 21, 0, 0, 0, 0, 0, -1))


def test_what_was_bought_before_a_limit_was_set_counts_in_this_run_and_in_the_next(world: World) -> None:
    gate = world.gate()
    assert ask(gate, seconds=70.0) is None

    gate.reload(GateOptions(daily_minutes=1))

    assert isinstance(ask(gate, seconds=1.0), HeldError)
    assert isinstance(ask(world.gate(daily_minutes=1), seconds=1.0), HeldError)


def test_a_months_minutes_are_kept_over_its_days_and_the_hold_names_the_key_and_ends_with_the_month(
    world: World,
) -> None:
    gate = world.gate(monthly_minutes=10, daily_minutes=8)
    assert ask(gate, seconds=400.0) is None
    world.elapsed += 86400.0
    assert ask(gate, seconds=100.0) is None

    raised = ask(gate, seconds=101.0)

    assert isinstance(raised, HeldError)
    state = gate.state()
    assert (state.status, state.reason, "api.monthly_minutes" in state.hint) == (GateStatus.HELD, "budget", True)
    assert time.localtime(state.next_probe)[:6] == (2026, 10, 1, 0, 0, 0)
    world.elapsed += 86400.0
    assert gate.admit(timeout=0.0) is None
    world.elapsed += 9 * 86400.0
    assert ask(gate, seconds=101.0) is None


def test_resume_cannot_buy_more_than_the_budget(world: World) -> None:
    gate = world.gate(daily_minutes=1)
    ask(gate, seconds=60.0)
    ask(gate, seconds=60.0)

    gate.resume()

    assert isinstance(ask(gate, seconds=60.0), HeldError)


# Holds of the account.


def test_an_account_error_holds_the_queue(world: World) -> None:
    gate = world.gate()
    with capture_logs() as logs:
        raised = ask(gate, KEY)
        after = [ask(gate, path=b"%d" % number) for number in range(50)]

    assert raised is KEY
    assert {type(error) for error in after} == {HeldError}
    assert [log["event"] for log in logs] == ["gate.held"]
    assert (logs[0]["reason"], logs[0]["message"], logs[0]["hint"], logs[0]["log_level"]) == (
        "key",
        "no valid key",
        "check api.key",
        "error",
    )
    state = gate.state()
    assert (state.status, state.since, state.next_probe) == (GateStatus.HELD, NOON, NOON + 60.0)
    assert gate.admit(timeout=0.0) is None


@pytest.mark.parametrize(
    ("error", "reason", "level"),
    [
        (KEY, "key", "error"),
        (EMPTY, "no_channel", "error"),
        (GONE, "unreachable", "error"),
        (None, "budget", "warning"),
    ],
)
def test_every_hold_is_told_once_and_a_person_should_look_at_all_but_limits_of_their_own(
    world: World, error: JobError | None, reason: str, level: str
) -> None:
    told: list[Mapping[str, object]] = []
    gate = world.gate(on_held=told.append, daily_minutes=1)
    with capture_logs() as logs:
        for number in range(20):
            ask(gate, error, path=b"%d" % number, seconds=30.0)
        for _ in range(5):
            world.elapsed += 3600.0 if error else 0.0
            gate.admit(timeout=0.0)
            ask(gate, error, seconds=30.0)

    held = [log for log in logs if log["event"] == "gate.held"]
    assert {log["log_level"] for log in held} == {level}
    assert [(facts["endpoint"], facts["reason"]) for facts in told] == [("h/v1", reason)]
    assert {key: told[0][key] for key in ("message", "hint", "since", "retry_at")} == {
        key: held[0][key] for key in ("message", "hint", "since", "retry_at")
    }
    # Who takes up a hold of a former life tells nobody again.
    world.gate(on_held=told.append)
    assert len(told) == 1


def test_requests_in_flight_finish_when_a_hold_begins_and_those_waiting_go_back(world: World) -> None:
    gate = world.gate(concurrency=2, reserve=0)
    first, second = visitors(gate, 2)
    third = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    first.leave(KEY)
    eventually(third.ended)
    second.leave()

    assert isinstance(third.raised, HeldError)
    assert second.raised is None
    assert gate.state().status is GateStatus.HELD


def test_one_recording_that_alone_is_refused_like_a_key_holds_the_queue_once(world: World) -> None:
    """As by a filter that reads what it says; it made every probe, so that nobody else got through."""
    gate = world.gate()
    assert ask(gate, path=b"good") is None
    assert ask(gate, KEY, path=b"refused") is KEY
    world.elapsed += 3600
    ticket = gate.admit(timeout=0.1)
    assert ticket is not None
    assert not ticket.suits(b"refused", attempts=1)
    assert ticket.suits(b"other", attempts=1)
    assert ask(gate, path=b"other") is None

    raised = ask(gate, KEY, path=b"refused")

    assert isinstance(raised, PassingError), "it spends its attempts"
    assert (raised.reason, raised.message, raised.hint) == (KEY.reason, KEY.message, KEY.hint)
    assert gate.state().status is GateStatus.OPEN


def test_a_key_that_is_refused_while_nothing_passes_holds_the_queue_whoever_asks(world: World) -> None:
    gate = world.gate()
    assert ask(gate, KEY, path=b"a") is KEY
    for _ in range(3):
        world.elapsed += 7200
        assert ask(gate, KEY, path=b"a") is KEY
        assert gate.state().status is GateStatus.HELD


def test_a_wrong_key_costs_one_request_for_each_probe(world: World) -> None:
    gate = world.gate()
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        raise KEY

    def everybody() -> None:
        for number in range(100):
            with contextlib.suppress(AccountError, HeldError):
                gate.run(call, seconds=1.0, small=True, path=b"%d" % number)

    everybody()
    probes = []
    for minutes in (1, 2, 4, 8, 16, 30, 30):
        world.elapsed += minutes * 60 - 1
        everybody()
        before = calls
        world.elapsed += 1.5
        everybody()
        probes.append((before, calls))

    assert probes == [(number, number + 1) for number in range(1, 8)]


def test_only_one_worker_gets_leave_to_probe(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0

    tickets = [gate.admit(timeout=0.0) for _ in range(4)]

    assert [ticket is not None and ticket.probe for ticket in tickets] == [True, False, False, False]


def test_leave_that_was_not_used_is_given_to_the_next(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0
    first = gate.admit(timeout=0.0)
    assert first is not None
    assert gate.admit(timeout=0.0) is None

    with first:
        pass

    second = gate.admit(timeout=0.0)
    assert second is not None
    assert second.probe
    first.close()
    assert gate.admit(timeout=0.0) is None


def test_leave_may_be_given_back_after_the_hold(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0
    ticket = gate.admit(timeout=0.0)
    assert ticket is not None
    ask(gate)

    ticket.close()
    ticket.close()

    assert gate.state().status is GateStatus.OPEN


def test_an_open_gate_gives_leave_to_everybody(world: World) -> None:
    gate = world.gate(concurrency=1)

    tickets = [gate.admit(timeout=0.0) for _ in range(10)]

    assert [ticket is not None and not ticket.probe for ticket in tickets] == [True] * 10


def test_a_probe_that_passes_lets_everybody_in(world: World) -> None:
    gate = world.gate(concurrency=4)
    ask(gate, KEY)
    world.elapsed += 60.0
    with capture_logs() as logs:
        probe = Visitor(gate)
        assert probe.inside.wait(60)
        status = gate.state().status
        others = [Visitor(gate) for _ in range(2)]
        eventually(lambda: queued(gate) == 2)
        probe.leave()
        for visitor in others:
            assert visitor.inside.wait(60)
            visitor.leave()

    assert status is GateStatus.PROBING
    assert [log["event"] for log in logs] == ["gate.probing", "gate.resumed"]
    assert gate.state().status is GateStatus.OPEN
    assert world.memory.values == {}


def test_those_who_wait_for_a_probe_go_back_when_it_fails(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0
    probe = Visitor(gate)
    assert probe.inside.wait(60)
    other = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    probe.leave(KEY)

    eventually(other.ended)
    assert isinstance(other.raised, HeldError)
    assert gate.state().next_probe == world.clock() + 120.0


@pytest.mark.parametrize(
    "error", [FileError("x", reason="too_short"), RemedyError("x", remedy=Remedy.SHRINK, reason="too_large")]
)
def test_an_answer_about_the_file_shows_that_the_key_is_good(world: World, error: JobError) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0

    assert ask(gate, error) is error
    assert gate.state().status is GateStatus.OPEN


def test_a_probe_that_fails_for_another_reason_changes_nothing_but_the_next_one(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0

    raised = ask(gate, FAILED)

    assert isinstance(raised, HeldError)
    assert raised.retry_after == 60.0
    assert (gate.state().reason, gate.state().next_probe) == ("key", world.clock() + 120.0)


def test_a_probe_that_is_broken_off_is_made_again_at_once(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0
    ask(gate, ChangedError("x"))

    ticket = gate.admit(timeout=0.0)

    assert ticket is not None
    assert ticket.probe


def test_a_probe_that_meets_another_trouble_tells_of_that(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0
    with capture_logs() as logs:
        ask(gate, AccountError("no money", reason="quota"))

    assert [(log["event"], log["reason"]) for log in logs] == [("gate.probing", "key"), ("gate.held", "quota")]
    assert gate.state().message == "no money"


def test_a_probe_that_meets_the_same_trouble_tells_of_it_as_it_is_now(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0
    with capture_logs() as logs:
        ask(gate, AccountError("this key has expired", reason="key", hint="put the key into /etc/key"))

    assert [log["event"] for log in logs] == ["gate.probing"]
    assert (gate.state().message, gate.state().hint) == ("this key has expired", "put the key into /etc/key")
    assert gate.state().since == NOON


@pytest.mark.parametrize("former", [KEY, EMPTY])
def test_a_probe_that_is_answered_with_a_pause_puts_the_pause_in_the_place_of_the_hold(
    world: World, former: JobError
) -> None:
    gate = world.gate()
    ask(gate, former)
    gate.resume()
    with capture_logs() as logs:
        ask(gate, PassingError("busy", reason="rate", crowded=True, retry_after=300.0))
    state, outcome = gate.state(), gate.outcome
    stored = world.gate().state()
    world.elapsed += 301.0

    assert (state.status, state.message, state.next_probe) == (GateStatus.PAUSED, "busy", NOON + 300.0)
    assert outcome is ResumeOutcome.PAUSED
    assert (stored.status, stored.message, stored.next_probe) == (GateStatus.PAUSED, "busy", NOON + 300.0)
    # Work does not go on yet.
    assert [log["event"] for log in logs] == ["gate.probing", "gate.paused"]
    assert ask(gate) is None
    assert gate.state().status is GateStatus.OPEN


def test_a_pause_that_a_probe_meets_counts_though_a_person_has_resumed_since(world: World) -> None:
    """It puts off the next probe, too, so that nothing else would be known for as long."""
    gate = world.gate(concurrency=2)
    ask(gate, KEY)
    gate.resume()
    probe = Visitor(gate)
    assert probe.inside.wait(60)
    gate.resume()

    probe.leave(PassingError("busy", reason="rate", crowded=True, retry_after=600.0))

    assert (gate.state().status, gate.outcome) == (GateStatus.PAUSED, ResumeOutcome.PAUSED)


def test_a_probe_that_is_turned_away_as_one_too_many_tells_of_that(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    gate.resume()

    ask(gate, CROWDED)

    assert (gate.state().status, gate.state().message, gate.outcome) == (GateStatus.HELD, "busy", ResumeOutcome.HELD)
    world.elapsed += 1.0
    assert ask(gate) is None
    assert gate.state().status is GateStatus.OPEN


def test_a_second_refusal_of_the_same_burst_is_not_said_again(world: World) -> None:
    gate = world.gate(concurrency=3, reserve=0)
    with capture_logs() as logs:
        for visitor in visitors(gate, 3):
            visitor.leave(KEY)

    assert [log["event"] for log in logs] == ["gate.held"]
    assert gate.state().next_probe == NOON + 60.0


def test_success_in_flight_says_nothing_about_a_key(world: World) -> None:
    gate = world.gate(concurrency=2, reserve=0)
    first, second = visitors(gate, 2)

    first.leave(KEY)
    second.leave()

    assert gate.state().status is GateStatus.HELD


@pytest.mark.parametrize("error", [KEY, EMPTY, None])
def test_resume_probes_at_once_with_one_request(world: World, error: JobError | None) -> None:
    gate = world.gate()
    ask(gate, KEY)

    gate.resume()

    first, second = gate.admit(timeout=0.0), gate.admit(timeout=0.0)
    assert first is not None
    assert first.probe
    assert second is None
    ask(gate, error)
    assert (gate.state().status is GateStatus.OPEN) is (error is None)


def test_a_resume_does_not_wait_for_the_probe_that_is_in_flight(world: World) -> None:
    """A server that accepts and never answers kept the person waiting until the probe's deadline, ten minutes or more."""
    gate = world.gate(concurrency=2)
    ask(gate, KEY)
    gate.resume()
    slow = Visitor(gate)
    assert slow.inside.wait(60)

    gate.resume()
    ticket = gate.admit(timeout=0.0)

    assert ticket is not None
    assert ticket.probe
    assert ask(gate) is None
    assert (gate.outcome, gate.state().status) == (ResumeOutcome.OPEN, GateStatus.OPEN)
    slow.leave(FAILED)
    assert gate.state().status is GateStatus.OPEN


@pytest.mark.parametrize(
    ("error", "status"), [(None, GateStatus.OPEN), (KEY, GateStatus.HELD), (FAILED, GateStatus.HELD)]
)
def test_of_a_probe_that_was_in_flight_at_a_resume_only_an_answer_counts(
    world: World, error: JobError | None, status: GateStatus
) -> None:
    gate = world.gate(concurrency=2)
    ask(gate, KEY)
    gate.resume()
    first = Visitor(gate)
    assert first.inside.wait(60)
    gate.resume()

    first.leave(error)

    assert gate.state().status is status
    assert gate.outcome is (ResumeOutcome.OPEN if error is None else ResumeOutcome.UNKNOWN)
    if error is not None:
        assert ask(gate) is None
        assert gate.state().status is GateStatus.OPEN


@pytest.mark.parametrize(("reason", "longest"), [("server", 60.0), ("truncated", 1800.0)])
def test_probes_that_may_be_charged_for_become_rare(world: World, reason: str, longest: float) -> None:
    """A server that cuts off each answer was paid for one every minute, as long as it did."""
    gate = world.gate()
    error = PassingError("failed", reason=reason)
    for number in range(8):
        ask(gate, error, path=b"%d" % number)
    gaps = []
    for _ in range(14):
        due = gate.state().next_probe
        assert due is not None
        gaps.append(due - world.clock())
        world.elapsed += gaps[-1]
        ask(gate, error)

    assert gaps[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(gaps) == longest


def test_a_hold_that_follows_a_resume_is_a_new_one(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    first = gate.state().since
    world.elapsed += 100.0
    still = gate.state().since

    gate.resume()
    ask(gate, KEY)

    assert (first, still, gate.state().since) == (NOON, NOON, NOON + 100.0)


def test_what_came_of_a_resume_is_known_once_the_server_was_asked(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    outcomes = []

    def resume() -> None:
        gate.resume()
        outcomes.append(gate.outcome)

    resume()
    ask(gate, KEY)
    outcomes.append(gate.outcome)
    resume()
    ask(gate, AccountError("no money", reason="quota"))
    outcomes.append(gate.outcome)
    resume()
    ask(gate)
    outcomes.append(gate.outcome)

    assert outcomes == [
        *(ResumeOutcome.UNKNOWN, ResumeOutcome.HELD),
        *(ResumeOutcome.UNKNOWN, ResumeOutcome.HELD),
        *(ResumeOutcome.UNKNOWN, ResumeOutcome.OPEN),
    ]


def test_a_resume_of_a_spent_budget_helps_only_where_the_budget_was_raised(world: World) -> None:
    gate = world.gate(daily_minutes=1)
    for _ in range(3):
        ask(gate, seconds=60.0)
    with capture_logs() as logs:
        gate.reload(GateOptions(daily_minutes=1))
        gate.resume()
        resumed = gate.outcome
        ask(gate, seconds=60.0)
    again = gate.outcome

    gate.reload(GateOptions(daily_minutes=5))
    gate.resume()
    ask(gate, seconds=60.0)

    assert (resumed, again, gate.outcome) == (ResumeOutcome.HELD, ResumeOutcome.HELD, ResumeOutcome.OPEN)
    # Nothing was tried, and nothing went on.
    assert logs == []


def test_a_file_that_is_done_between_new_settings_and_the_resume_that_read_them_is_its_outcome(world: World) -> None:
    """The daemon expects an outcome, reads its settings, and resumes: a raised limit lets a file in before the last step."""
    gate = world.gate(daily_minutes=1)
    for _ in range(2):
        ask(gate, seconds=60.0)

    gate.expect_outcome()
    gate.reload(GateOptions(daily_minutes=5))
    ask(gate, seconds=60.0)
    gate.resume()

    assert gate.outcome is ResumeOutcome.OPEN


def test_resume_by_way_of_the_ledger_is_noticed(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    assert gate.admit(timeout=0.0) is None

    ask_resume(world.memory, "h/v1")
    world.elapsed += 3.0

    ticket = gate.admit(timeout=0.0)
    assert ticket is not None
    assert ticket.probe


def test_resume_by_way_of_the_ledger_ends_a_long_pause(world: World) -> None:
    gate = world.gate()
    ask(gate, PassingError("busy", crowded=True, retry_after=600.0))
    assert gate.admit(timeout=0.0) is None

    ask_resume(world.memory, "h/v1")
    world.elapsed += 3.0

    assert gate.admit(timeout=0.0) is not None


def test_a_hold_outlives_a_restart_and_is_probed_at_once_with_one_request(world: World) -> None:
    ask(world.gate(), KEY)
    world.elapsed += 10.0

    gate = world.gate(concurrency=8)
    state = gate.state()
    tickets = [gate.admit(timeout=0.0) for _ in range(4)]

    assert (state.status, state.since, state.message) == (GateStatus.HELD, NOON, "no valid key")
    assert sum(ticket is not None for ticket in tickets) == 1
    assert ask(gate) is None
    assert world.gate().state().status is GateStatus.OPEN


def test_other_processes_read_the_hold_in_the_ledger(world: World) -> None:
    assert stored_state(world.memory, "h/v1") is None
    gate = world.gate()
    ask(gate, KEY)

    state = stored_state(world.memory, "h/v1")

    assert state is not None
    assert (state.status, state.since, state.message, state.hint, state.next_probe) == (
        GateStatus.HELD,
        NOON,
        "no valid key",
        "check api.key",
        NOON + 60.0,
    )


def test_other_processes_read_a_pause_in_the_ledger(world: World) -> None:
    ask(world.gate(), PassingError("busy", crowded=True, retry_after=60.0))

    state = stored_state(world.memory, "h/v1")

    assert state is not None
    assert (state.status, state.next_probe) == (GateStatus.PAUSED, NOON + 60.0)


@pytest.mark.parametrize(
    "junk", [{}, {"status": "held"}, {"status": "paused"}, {"status": "paused", "next_probe": "soon"}]
)
def test_junk_in_the_ledger_holds_nobody(world: World, junk: dict[str, object]) -> None:
    world.memory.remember("gate:h/v1", junk)

    assert world.gate().state().status is GateStatus.OPEN


# A ledger that takes no change.


def test_a_full_disk_keeps_a_hold_as_it_is_and_the_ledger_hears_of_it_later(world: World) -> None:
    gate = world.gate()
    world.memory.full = True
    assert ask(gate, KEY) is KEY
    world.elapsed += 10.0
    assert isinstance(ask(gate), HeldError)
    assert gate.state().next_probe == NOON + 60.0

    world.memory.full = False
    world.elapsed += 3.0
    assert isinstance(ask(gate), HeldError)

    state = stored_state(world.memory, "h/v1")
    assert state is not None
    assert state.next_probe == NOON + 60.0


def test_the_end_of_a_hold_is_noted_later_too(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 60.0
    world.memory.full = True
    assert ask(gate) is None
    assert stored_state(world.memory, "h/v1") is not None

    world.memory.full = False
    world.elapsed += 3.0
    assert ask(gate) is None

    assert stored_state(world.memory, "h/v1") is None


def test_a_paid_answer_is_not_lost_for_the_note_of_its_price(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=60.0)
    world.memory.full = True
    assert ask(gate, seconds=400.0) is None
    world.memory.full = False
    assert ask(gate, seconds=100.0) is None

    assert sum(world.memory.bought.values()) == 560.0
    assert isinstance(ask(gate, seconds=60.0), HeldError)


def test_a_ledger_that_cannot_be_read_changes_nothing_about_a_hold(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.memory.gone = True
    world.elapsed += 3.0

    assert gate.admit(timeout=0.0) is None
    assert gate.state().next_probe == NOON + 60.0


# A station without a channel.


def test_a_station_without_a_channel_holds_the_queue_and_is_told_again_after_hours(world: World) -> None:
    gate = world.gate()
    with capture_logs() as logs:
        ask(gate, EMPTY)
        for _ in range(12):
            world.elapsed += 1800.0
            ask(gate, EMPTY)

    held = [(log["log_level"], log["reason"]) for log in logs if log["event"] == "gate.held"]
    assert held == [("error", "no_channel"), ("error", "no_channel")]


# Outages.


def outage(gate: Gate) -> list[BaseException | None]:
    return [ask(gate, FAILED, path=b"%d" % (number % 4)) for number in range(8)]


def test_an_outage_holds_the_queue_and_the_last_failure_costs_no_attempt(world: World) -> None:
    gate = world.gate()
    with capture_logs() as logs:
        raised = outage(gate)

    assert [type(error) for error in raised] == [PassingError] * 7 + [HeldError]
    assert [(log["event"], log["log_level"]) for log in logs] == [("gate.held", "error")]
    assert (gate.state().reason, gate.state().next_probe) == ("server", NOON + 1.0)


def test_an_outage_is_probed_ever_more_rarely_up_to_a_minute(world: World) -> None:
    gate = world.gate()
    outage(gate)
    intervals = []
    for _ in range(8):
        until = gate.state().next_probe
        assert until is not None
        intervals.append(until - world.clock())
        world.elapsed = until - NOON
        assert isinstance(ask(gate, FAILED), HeldError)

    assert intervals == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_probe_of_an_outage_waits_for_what_the_server_asks(world: World) -> None:
    gate = world.gate()
    outage(gate)
    world.elapsed += 1.0

    ask(gate, PassingError("busy", crowded=True, retry_after=40.0))

    assert gate.state().next_probe == world.clock() + 40.0


def test_an_outage_ends_with_the_first_answer(world: World) -> None:
    gate = world.gate(concurrency=4)
    late = Visitor(gate, path=b"late")
    assert late.inside.wait(60)
    outage(gate)
    assert gate.state().status is GateStatus.HELD

    late.leave()

    assert (gate.state().status, gate.state().limit) == (GateStatus.OPEN, 1)


def test_a_probe_that_ends_after_the_outage_did_changes_nothing(world: World) -> None:
    gate = world.gate(concurrency=4)
    late = Visitor(gate, path=b"late")
    assert late.inside.wait(60)
    outage(gate)
    world.elapsed += 1.0
    probe = Visitor(gate)
    assert probe.inside.wait(60)

    late.leave()
    probe.leave(FAILED)

    assert isinstance(probe.raised, PassingError)
    assert gate.state().status is GateStatus.OPEN


def test_a_probe_of_a_former_hold_says_nothing_about_the_next(world: World) -> None:
    gate = world.gate(concurrency=4)
    late, later = visitors(gate, 2)
    outage(gate)
    world.elapsed += 1.0
    probe = Visitor(gate)
    assert probe.inside.wait(60)
    late.leave()
    later.leave(KEY)

    probe.leave()

    assert (gate.state().status, gate.state().reason) == (GateStatus.HELD, "key")


def test_an_answer_about_a_file_in_flight_leaves_a_hold_of_the_account(world: World) -> None:
    gate = world.gate(concurrency=2, reserve=0)
    first, second = visitors(gate, 2)
    first.leave(KEY)

    second.leave(FileError("x", reason="too_short"))

    assert isinstance(second.raised, FileError)
    assert gate.state().status is GateStatus.HELD


def test_a_probe_of_an_outage_that_meets_a_wrong_key_holds_for_that(world: World) -> None:
    gate = world.gate()
    outage(gate)
    world.elapsed += 1.0

    assert ask(gate, KEY) is KEY

    assert (gate.state().reason, gate.state().next_probe) == ("key", world.clock() + 60.0)


def test_a_file_that_always_fails_is_no_outage(world: World) -> None:
    gate = world.gate()

    raised = [ask(gate, FAILED, path=b"poison") for _ in range(30)]

    assert {type(error) for error in raised} == {PassingError}
    assert gate.state().status is GateStatus.OPEN


def test_a_failed_probe_asks_to_be_made_with_another_file(world: World) -> None:
    gate = world.gate()
    outage(gate)
    world.elapsed += 1.0

    raised = ask(gate, FAILED, path=b"poison")

    assert isinstance(raised, HeldError)
    assert raised.retry_after > 0


def test_being_turned_away_for_a_minute_without_a_success_is_an_outage(world: World) -> None:
    gate = world.gate(concurrency=1)
    raised = []
    for number in range(12):
        raised.append(ask(gate, CROWDED, path=b"%d" % number))
        world.elapsed += 31.0
        gate.state()

    assert isinstance(raised[8], HeldError)
    assert gate.state().reason == "rate"


# Files refused alike.


def test_five_files_refused_alike_hold_the_queue_before_the_fifth_fails(world: World) -> None:
    gate = world.gate()
    error = FileError("no such form", reason="form")

    raised = [ask(gate, error, path=b"%d" % number) for number in range(5)]

    assert raised[:4] == [error] * 4
    assert isinstance(raised[4], HeldError)
    assert "refused alike" in gate.state().message


def test_files_refused_alike_are_probed_until_one_passes(world: World) -> None:
    gate = world.gate()
    error = FileError("no such form", reason="form")
    for number in range(5):
        ask(gate, error, path=b"%d" % number)
    world.elapsed += 60.0

    assert isinstance(ask(gate, error, path=b"9"), HeldError)
    world.elapsed += 120.0
    assert isinstance(ask(gate, FileError("x", reason="too_short"), path=b"8"), FileError)
    assert gate.state().status is GateStatus.HELD
    world.elapsed += 240.0
    assert ask(gate) is None
    assert gate.state().status is GateStatus.OPEN


def test_bad_files_never_hold_the_good_ones(world: World) -> None:
    gate = world.gate()

    raised = [ask(gate, FileError("bad", reason="undecodable"), path=b"%d" % number) for number in range(50)]

    assert {type(error) for error in raised} == {FileError}
    assert gate.state().status is GateStatus.OPEN


# Probes keep to the limits.


def test_a_probe_waits_for_the_pace(world: World) -> None:
    gate = world.gate(requests_per_minute=1)
    ask(gate, KEY)
    gate.resume()
    probe = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    assert not probe.inside.wait(0.3)
    world.elapsed += 60.1
    assert probe.inside.wait(60)
    probe.leave()

    assert gate.state().status is GateStatus.OPEN


def test_a_probe_waits_for_a_place(world: World) -> None:
    gate = world.gate(concurrency=2)
    first, second = visitors(gate, 2, small=True)
    gate.reload(GateOptions(concurrency=1))
    first.leave(KEY)
    gate.resume()
    probe = Visitor(gate, small=True)
    eventually(lambda: queued(gate) == 1)

    assert not probe.inside.wait(0.3)
    second.leave()
    assert probe.inside.wait(60)
    probe.leave()


def test_a_probe_buys_no_more_than_the_day_allows(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=600.0)
    ask(gate, KEY, seconds=0.0)
    gate.resume()
    ticket = gate.admit(timeout=0.0)
    assert ticket is not None

    assert isinstance(ask(gate, seconds=60.0), HeldError)
    ticket.close()

    assert gate.admit(timeout=0.0) is None
    world.elapsed += 12 * 3600.0 + 1
    assert ask(gate, seconds=60.0) is None


def test_a_limit_of_the_operators_own_that_is_reached_holds_what_would_still_fit_and_says_so(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=540.0)
    ask(gate, seconds=120.0)
    gate.resume()

    held = ask(gate, seconds=30.0)

    assert isinstance(held, HeldError)
    assert "all recordings wait, even one that would still fit" in held.message


def test_a_hold_that_cannot_be_probed_for_a_limit_of_the_operators_own_names_that_limit_and_is_probed_once_it_is_over(
    world: World,
) -> None:
    told: list[Mapping[str, object]] = []
    gate = world.gate(daily_minutes=1, on_held=told.append)
    ask(gate, seconds=60.0)
    ask(gate, KEY, seconds=0.0)
    gate.resume()
    ticket = gate.admit(timeout=0.0)
    assert ticket is not None

    raised = ask(gate, seconds=48.0)
    ticket.close()

    assert isinstance(raised, HeldError)
    assert "your own limit" in raised.message
    stored = stored_state(world.memory, "h/v1")
    assert stored is not None
    for state in (gate.state(), stored):
        assert (state.status, state.reason, state.due) == (GateStatus.HELD, "budget", False)
        assert "raise api.daily_minutes" in state.hint
        assert time.localtime(state.next_probe)[:6] == (2026, 9, 21, 0, 0, 0)
    assert gate.outcome is ResumeOutcome.HELD
    assert [one["reason"] for one in told] == ["key", "budget"]
    # Another life knows both of it; where the limit is raised, one request probes the former hold.
    gate.reload(GateOptions(daily_minutes=5))
    for other in (world.gate(daily_minutes=5), gate):
        ticket = other.admit(timeout=0.0)
        assert ticket is not None
        assert ticket.probe
        assert other.admit(timeout=0.0) is None
        assert other.state().reason == "key"
        ticket.close()


def test_a_spent_day_ends_when_the_clock_is_set_to_another_one(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=600.0)
    ask(gate, seconds=60.0)
    assert gate.state().status is GateStatus.HELD

    world.set_forward = -86_400.0

    assert ask(gate, seconds=60.0) is None


def test_a_restart_does_not_probe_before_the_server_wants_to_be_asked_again(world: World) -> None:
    gate = world.gate(concurrency=4)
    flying = Visitor(gate, small=True)
    assert flying.inside.wait(60)
    ask(gate, KEY)
    flying.leave(PassingError("busy", crowded=True, retry_after=1000.0))

    gate = world.gate()

    assert gate.admit(timeout=0.0) is None
    world.elapsed += 1000.1
    assert gate.admit(timeout=0.0) is not None


# Failures that follow the file.


BAD = tuple(b"bad %d" % number for number in range(3))


def fail_on(gate: Gate, paths: tuple[bytes, ...] = BAD) -> None:
    """Have these files fail until that holds the queue."""
    for number in range(9):
        if gate.state().status is GateStatus.OPEN:
            ask(gate, FAILED, path=paths[number % len(paths)])


def test_a_hold_that_rests_on_a_few_files_is_probed_at_once_with_one_that_has_not_failed(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    assert gate.state().status is GateStatus.HELD
    assert gate.state().due

    ticket = gate.admit(timeout=0.0)

    assert ticket is not None
    assert ticket.early
    assert [ticket.suits(path) for path in (*BAD, b"good")] == [False, False, False, True]
    assert isinstance(ask(gate, path=BAD[0]), HeldError)
    assert ask(gate, path=b"good") is None
    assert gate.state().status is GateStatus.OPEN


def test_leave_for_which_there_is_no_job_says_that_nobody_is_about_to_probe(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    ticket = gate.admit(timeout=0.0)
    assert ticket is not None

    ticket.close(vain=True)

    assert not gate.state().due
    assert gate.admit(timeout=0.0) is not None


def test_no_server_is_asked_early_that_many_files_failed_on(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    tickets = 0
    for number in range(8):
        if (ticket := gate.admit(timeout=0.0)) is not None:
            tickets += 1
            ask(gate, FAILED, path=b"%d" % number)
            ticket.close()

    assert tickets == 5
    assert gate.admit(timeout=0.0) is None
    assert not gate.state().due


@pytest.mark.parametrize(
    "errors",
    [
        [GONE] * 8,
        [KEY],
        [PassingError("failed", reason="server", retry_after=600.0)] * 8,
    ],
)
def test_nobody_is_early_where_it_is_no_matter_of_files_or_the_server_asked_for_time(
    world: World, errors: list[JobError]
) -> None:
    gate = world.gate(concurrency=4)
    for number, error in enumerate(errors):
        ask(gate, error, path=BAD[number % 3])
    assert gate.state().status is GateStatus.HELD

    assert gate.admit(timeout=0.0) is None


def test_a_failure_that_only_another_encoding_may_meet_ends_no_outage(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    world.elapsed += 2.0
    with gate.admit(timeout=0.0) or pytest.fail("nobody may probe"):
        raised = ask(gate, RemedyError("failed", remedy=Remedy.RECODE, reason="server", passing=True), path=BAD[0])

    assert isinstance(raised, HeldError)
    assert gate.state().status is GateStatus.HELD


def test_files_that_failed_while_others_passed_hold_nobody_any_more(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    ticket = gate.admit(timeout=0.0)
    assert ticket is not None
    ask(gate, path=b"good")

    raised = [ask(gate, FAILED, path=path) for path in BAD * 20]

    assert set(raised) == {FAILED}
    assert gate.state().status is GateStatus.OPEN


def test_a_server_that_nobody_has_passed_for_long_is_held_for_them_too(world: World) -> None:
    gate = world.gate(concurrency=4)
    for path in BAD:
        ask(gate, FAILED, path=path)
    ask(gate, path=b"good")
    world.elapsed += 901.0

    fail_on(gate)

    assert gate.state().status is GateStatus.HELD


def test_a_file_that_passed_is_like_any_other_again(world: World) -> None:
    gate = world.gate(concurrency=4)
    for path in BAD:
        ask(gate, FAILED, path=path)
        ask(gate, path=path)

    fail_on(gate)

    assert gate.state().status is GateStatus.HELD


def test_the_files_kept_in_mind_for_their_failures_are_bounded(world: World) -> None:
    gate = world.gate(concurrency=4)
    for number in range(1100):
        ask(gate, FileError("x", reason="undecodable"), path=b"%d" % number)

    assert sum(gate._history.has_failed(b"%d" % number) for number in range(1100)) == 1000
    assert not gate._history.has_failed(b"0")


# Answers that cannot be read.


def garbled(text: str = "x") -> GarbledError:
    return GarbledError(text, body=b"{}")


def asked(gate: Gate, error: BaseException | None, *, path: bytes = b"a", sound: str = "sound") -> BaseException | None:
    """Ask for a sound once; give what came out of it."""
    try:
        run(gate, Calls("answer" if error is None else error), path=path, sound=sound)
    except JobError as exc:
        return exc
    return None


def test_two_unreadable_answers_about_the_only_file_hold_the_queue(world: World) -> None:
    gate = world.gate()

    first, second, third = (asked(gate, garbled("{}")) for _ in range(3))

    assert isinstance(first, GarbledError)
    assert isinstance(second, HeldError)
    assert isinstance(third, HeldError)
    assert (gate.state().reason, gate.state().status) == ("garbled", GateStatus.HELD)
    assert "{}" in gate.state().message
    assert gate.paid_seconds == 2.0


def test_a_third_request_is_not_made_by_the_next_probe_nor_by_another_life(world: World) -> None:
    gate = world.gate()
    for _ in range(2):
        asked(gate, garbled())
    for _ in range(5):
        world.elapsed += 3600.0
        ticket = gate.admit(timeout=0.0)
        assert ticket is not None
        ticket.suits(b"a")
        calls = Calls("answer")
        with pytest.raises(HeldError):
            run(gate, calls, sound="sound")
        ticket.close()
        assert calls.made == 0
        gate = world.gate() if world.elapsed > 3 * 3600.0 else gate


def test_a_probe_that_is_left_to_others_is_put_off_when_there_are_none(world: World) -> None:
    gate = world.gate()
    for _ in range(2):
        asked(gate, garbled())
    gate = world.gate()
    for due in (True, False):
        ticket = gate.admit(timeout=0.0)
        assert ticket is not None
        ticket.suits(b"a")
        asked(gate, None)
        ticket.close()
        assert gate.state().due is due
    assert gate.admit(timeout=0.0) is None


def test_three_files_with_unreadable_answers_in_a_row_hold_the_queue(world: World) -> None:
    gate = world.gate(concurrency=4)
    asked(gate, None, path=b"good", sound="good")

    raised = [type(asked(gate, garbled(), path=path, sound=path.decode())) for path in BAD]

    assert raised == [GarbledError, GarbledError, HeldError]


def test_where_others_get_readable_answers_the_file_fails_without_a_third_request(world: World) -> None:
    gate = world.gate(concurrency=4)
    asked(gate, garbled("{}"))
    asked(gate, None, path=b"good", sound="good")

    raised = asked(gate, garbled("{}"))

    assert isinstance(raised, FileError)
    assert (raised.reason, "{}" in raised.message, "watcher retry" in raised.hint) == ("garbled", True, True)
    assert gate.state().status is GateStatus.OPEN


def test_readable_answers_of_a_former_life_count(world: World) -> None:
    asked(world.gate(), None, path=b"good", sound="good")
    gate = world.gate()

    raised = [type(asked(gate, garbled())) for _ in range(2)]

    assert raised == [GarbledError, FileError]


def test_retry_and_resume_allow_one_request_more(world: World) -> None:
    gate = world.gate()
    for _ in range(2):
        asked(gate, garbled())
    ask_resume(world.memory, "h/v1")
    world.elapsed += 3.0
    calls = Calls(garbled())
    with gate.admit(timeout=0.0) or pytest.fail("nobody may probe"), pytest.raises(HeldError):
        run(gate, calls, sound="sound")
    world.elapsed += 61.0
    gate.resume()
    with gate.admit(timeout=0.0) or pytest.fail("nobody may probe"):
        assert asked(gate, None) is None

    assert calls.made == 1


def test_what_failed_is_asked_for_once_more_where_a_person_wants_it_and_not_by_another_attempt(world: World) -> None:
    gate = world.gate()
    asked(gate, None, path=b"good", sound="good")
    for _ in range(2):
        asked(gate, garbled())
    calls = Calls(garbled("third"))
    for times, wanted in ((2, False), (3, True), (3, False)):
        if wanted:
            world.memory.remember("retried:7", {})
        with pytest.raises(FileError, match=f"it was asked for {times} times"):
            run(gate, calls, sound="sound", retried="retried:7")
    assert calls.made == 1
    world.memory.remember("retried:7", {})
    run(gate, Calls("answer"), sound="sound", retried="retried:7")
    assert isinstance(asked(gate, garbled()), GarbledError)


def test_an_answer_in_flight_that_can_be_read_ends_a_hold_for_unreadable_ones(world: World) -> None:
    gate = world.gate(concurrency=4)
    flying = Visitor(gate, small=True, path=b"good")
    assert flying.inside.wait(60)
    for path in BAD:
        asked(gate, garbled(), path=path, sound=path.decode())
    assert gate.state().status is GateStatus.HELD

    flying.leave()

    assert gate.state().status is GateStatus.OPEN


@pytest.mark.parametrize("error", [FileError("x"), garbled()])
def test_only_an_answer_that_can_be_read_ends_a_hold_for_unreadable_ones(world: World, error: JobError) -> None:
    gate = world.gate(concurrency=4)
    for path in BAD:
        asked(gate, garbled(), path=path, sound=path.decode())
    world.elapsed += 61.0
    with gate.admit(timeout=0.0) or pytest.fail("nobody may probe"):
        asked(gate, error, path=b"new", sound="new")

    assert gate.state().status is GateStatus.HELD


def test_an_unreadable_answer_shows_that_a_key_is_good(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 61.0
    with gate.admit(timeout=0.0) or pytest.fail("nobody may probe"):
        asked(gate, garbled())

    assert gate.state().status is GateStatus.OPEN


def test_a_full_disk_forgets_no_unreadable_answer(world: World) -> None:
    gate = world.gate()
    world.memory.full = True
    asked(gate, garbled())
    asked(gate, garbled())
    calls = Calls("answer")

    with pytest.raises(HeldError):
        run(gate, calls, sound="sound")

    assert calls.made == 0


def test_a_ledger_that_is_away_is_waited_for_before_anything_is_asked(world: World) -> None:
    away = threading.Event()

    class Away(Memory):
        def remembered(self, key: str) -> dict[str, object] | None:
            if key.startswith("garbled") and not away.is_set():
                away.set()
                raise StateBusyError("the database is away")
            return super().remembered(key)

    world.memory = Away(world.clock)
    gate = world.gate()
    away.clear()

    assert asked(gate, None) is None


# run(): one request with its retries.


class Calls:
    """A call that meets these outcomes in turn; the last one from then on."""

    def __init__(self, *outcomes: BaseException | str) -> None:
        self._outcomes = list(outcomes)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests are seconds by design; here only their number matters."""
    monkeypatch.setattr("watcher.gate.gate._LONGEST_REST", 0.001)


def run(gate: Gate, calls: Calls, *, path: bytes = b"a", **options: Any) -> str:
    return gate.run(calls, seconds=1.0, small=True, path=path, **options)


def real(**options: Any) -> Gate:
    return Gate(
        GateOptions(**options),
        endpoint_name="h",
        memory=Memory(),
        buy=lambda *_: 0.0,
        stop=threading.Event(),
        jitter=lambda: 0.0,
    )


def test_a_request_is_made_once_when_it_passes() -> None:
    calls = Calls("answer")

    assert (run(real(), calls), calls.made) == ("answer", 1)


@pytest.mark.usefixtures("quick")
def test_a_passing_failure_is_tried_again_in_place() -> None:
    calls = Calls(FAILED, FAILED, "answer")

    assert (run(real(), calls), calls.made) == ("answer", 3)


@pytest.mark.parametrize("tries", [1, 2, 3])
@pytest.mark.usefixtures("quick")
def test_tries_in_place_are_counted(tries: int) -> None:
    calls = Calls(FAILED)

    with pytest.raises(PassingError):
        run(real(), calls, tries=tries)

    assert calls.made == tries


@pytest.mark.parametrize("reason", ["timeout", "truncated", "connection", "oversized_answer"])
def test_what_may_have_been_paid_is_not_tried_again_in_place(reason: str) -> None:
    calls = Calls(PassingError("slow", reason=reason))

    with pytest.raises(PassingError):
        run(real(), calls)

    assert calls.made == 1


def test_a_failure_that_asks_for_minutes_is_not_waited_for_in_place() -> None:
    calls = Calls(PassingError("down", retry_after=300.0))

    with pytest.raises(PassingError):
        run(real(), calls)

    assert calls.made == 1


@pytest.mark.usefixtures("quick")
def test_being_turned_away_costs_nothing() -> None:
    calls = Calls(*[CROWDED] * 3, "answer")

    assert (run(real(concurrency=64), calls), calls.made) == ("answer", 4)


@pytest.mark.usefixtures("quick")
def test_an_unreachable_server_is_waited_for_until_the_gate_holds() -> None:
    calls = Calls(GONE)

    with pytest.raises(HeldError):
        run(real(), calls)

    assert calls.made == 8


class Rush(threading.Event):
    """A stop event that never comes; while somebody rests on it, others pass through the gate."""

    gate: Gate

    def wait(self, timeout: float | None = None) -> bool:
        for _ in range(8):
            ask(self.gate)
        return False


def test_a_request_turned_away_again_and_again_while_others_pass_has_failed_by_itself() -> None:
    stop = Rush()
    gate = Gate(GateOptions(concurrency=8), endpoint_name="h", memory=Memory(), buy=lambda *_: 0.0, stop=stop)
    stop.gate = gate
    calls = Calls(CROWDED)

    with pytest.raises(PassingError):
        run(gate, calls)

    assert calls.made == 11


@pytest.mark.parametrize(
    "error", [KEY, EMPTY, FileError("x"), RemedyError("x", remedy=Remedy.RECODE), ChangedError("x"), StoppedError("x")]
)
def test_what_is_not_passing_is_raised_at_once(error: JobError) -> None:
    calls = Calls(error)

    with pytest.raises(type(error)):
        run(real(), calls)

    assert calls.made == 1


# The end.


def test_those_who_wait_or_rest_leave_on_stop(world: World) -> None:
    gate = world.gate(concurrency=1)
    raised: list[BaseException] = []
    first = visitors(gate, 1)[0]
    waiting = Visitor(gate)
    eventually(lambda: queued(gate) == 1)

    world.stop.set()
    eventually(waiting.ended)
    first.leave()

    assert isinstance(waiting.raised, StoppedError)
    with pytest.raises(StoppedError):
        run(world.gate(), Calls("answer"))
    assert raised == []


def test_a_resting_request_leaves_on_stop(world: World) -> None:
    raised: list[BaseException] = []
    asked = threading.Event()

    def call() -> str:
        asked.set()
        raise PassingError("down", reason="server", retry_after=100.0)

    def rest() -> None:
        try:
            world.gate().run(call, seconds=1.0, small=True, path=b"a")
        except StoppedError as exc:
            raised.append(exc)

    thread = threading.Thread(target=rest)
    thread.start()
    assert asked.wait(60)
    world.stop.set()
    thread.join(60)

    assert len(raised) == 1


def test_nobody_is_admitted_on_stop(world: World) -> None:
    gate = world.gate()
    world.stop.set()

    assert gate.admit(timeout=60.0) is None


def test_a_worker_waits_for_leave_until_the_gate_opens(world: World) -> None:
    gate = world.gate()
    ask(gate, KEY)
    admitted: list[bool] = []
    thread = threading.Thread(target=lambda: admitted.append(gate.admit(timeout=1e6) is not None))
    thread.start()

    gate.resume()
    thread.join(60)

    assert admitted == [True]


def test_more_places_are_taken_at_once(world: World) -> None:
    gate = world.gate(concurrency=1)
    small = visitors(gate, 3, small=True)
    eventually(lambda: queued(gate) == 2)
    assert inside(small) == 1

    gate.reload(GateOptions(concurrency=3))

    eventually(lambda: inside(small) == 3 or gate.state().limit < 3)
    for visitor in small:
        visitor.leave()


def test_what_changes_while_the_ledger_is_read_is_not_overwritten(world: World) -> None:
    class Slow(Memory):
        meanwhile: Callable[[], object] | None = None

        def remembered(self, key: str) -> dict[str, object] | None:
            value = super().remembered(key)
            if (meanwhile := self.meanwhile) is not None:
                self.meanwhile = None
                meanwhile()
            return value

    world.memory = memory = Slow(world.clock)
    gate = world.gate()
    ask(gate, KEY)
    world.elapsed += 61.0
    probe = Visitor(gate)
    assert probe.inside.wait(60)
    ask_resume(memory, "h/v1")
    world.elapsed += 3.0
    memory.meanwhile = lambda: probe.leave(EMPTY)

    ticket = gate.admit(timeout=0.0)

    assert ticket is None
    assert gate.state().reason == "no_channel"


def test_a_gate_of_its_own_does_not_look_for_other_holds(world: World) -> None:
    one, other = world.gate(), world.gate()
    ask(one, KEY)
    world.elapsed += 3.0

    assert ask(other) is None
