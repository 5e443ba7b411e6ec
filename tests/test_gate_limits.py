"""The gate's limits among threads: places, pace, and the budgets of a day and a month."""

import threading
import time
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs
from support.gate_scene import (
    CROWDED,
    FAILED,
    KEY,
    TO_MIDNIGHT,
    Calls,
    Visitor,
    World,
    admitted,
    ask,
    busy,
    entered,
    in_queue,
    inside,
    leave_all,
    queued,
    run,
    visitors,
)
from support.memory import Memory
from support.waiting import PATIENCE, eventually

from watcher.errors import (
    ChangedError,
    FileError,
    GarbledError,
    HeldError,
    JobError,
    PassingError,
    Remedy,
    RemedyError,
    StoppedError,
)
from watcher.gate import Gate, GateOptions, GateStatus, Receipt, ResumeOutcome, stored_state

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


@pytest.mark.parametrize(
    ("concurrency", "reserve", "most"),
    [
        pytest.param(4, 1, 3, id="one place is kept free for small files"),
        pytest.param(4, 0, 4, id="the reserve is given up"),
        pytest.param(1, 1, 1, id="a single place is shared"),
    ],
)
def test_large_files_get_all_places_but_the_reserve(world: World, concurrency: int, reserve: int, most: int) -> None:
    gate = world.gate(concurrency=concurrency, reserve=reserve)
    large = visitors(gate, 6)

    assert inside(large) == most
    if most < concurrency:
        assert ask(gate, small=True) is None
    leave_all(large)


def test_more_places_are_taken_at_once(world: World) -> None:
    gate = world.gate(concurrency=1)
    small = visitors(gate, 3, small=True)
    eventually(lambda: queued(gate) == 2)
    assert inside(small) == 1

    gate.reload(GateOptions(concurrency=3))

    eventually(lambda: inside(small) == 3 or gate.state().limit < 3)
    for visitor in small:
        visitor.leave()


def test_a_burst_of_refusals_halves_the_places_once_and_what_it_leaves_in_flight_is_asked_for_from_then_on(
    world: World,
) -> None:
    gate = world.gate(concurrency=8)
    small = visitors(gate, 8, small=True)
    for visitor in small[:2]:
        visitor.leave(CROWDED)
    assert gate.state().limit == 4

    for visitor in small[2:5]:
        visitor.leave(CROWDED)
    leave_all(small[5:])

    assert gate.state().limit == 3


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (PassingError("slow", reason="timeout"), 4),
        (FAILED, 8),
        (FileError("x"), 8),
        (RemedyError("x", remedy=Remedy.RECODE), 8),
    ],
)
def test_timeouts_cost_places_and_other_failures_do_not(world: World, error: JobError, limit: int) -> None:
    gate = world.gate(concurrency=8)

    ask(gate, error)

    assert gate.state().limit == limit


# Pace.


def test_starts_are_spread_evenly(world: World) -> None:
    gate = world.gate(requests_per_minute=60, concurrency=8)
    assert ask(gate) is None
    waiting = in_queue(gate)

    world.elapsed += 0.9
    assert not waiting.inside.wait(0.3)
    world.elapsed += 0.2
    assert waiting.inside.wait(60)
    waiting.leave()


def test_a_slower_pace_counts_what_was_started_before(world: World) -> None:
    gate = world.gate(requests_per_minute=60)
    for _ in range(3):
        ask(gate)
        world.elapsed += 1.0
    gate.reload(GateOptions(requests_per_minute=2))
    waiting = in_queue(gate)

    world.elapsed = 60.5  # the last but one start was at 1 s, the last one at 2 s
    assert not waiting.inside.wait(0.3)
    world.elapsed = 61.5
    assert waiting.inside.wait(60)
    waiting.leave()


# The daily budget.


def test_the_days_minutes_are_kept_also_over_a_restart(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    assert ask(gate, seconds=300.0) is None
    assert ask(gate, seconds=300.0) is None

    with capture_logs() as logs:
        raised = ask(gate, seconds=1.0)

    assert isinstance(raised, HeldError)
    assert raised.reason == "budget"
    assert gate.admit(timeout=0.0) is None
    assert [(log["event"], log["reason"]) for log in logs] == [("gate.held", "budget")]
    assert isinstance(ask(world.gate(daily_minutes=10), seconds=60.0), HeldError)
    world.elapsed += TO_MIDNIGHT
    assert ask(gate, seconds=600.0) is None


@pytest.mark.parametrize(
    ("error", "bought"),
    [
        *((PassingError("x", reason=why), True) for why in ("timeout", "truncated", "connection", "oversized_answer")),
        (GarbledError("x", body=b""), True),
        *((error, False) for error in (FileError("x"), FAILED, CROWDED)),
    ],
)
def test_what_was_bought_or_may_have_been_counts_and_nothing_else(
    world: World, error: JobError, *, bought: bool
) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, error, seconds=600.0)
    world.elapsed += 5.0

    assert gate.paid_seconds == (600.0 if bought else 0.0)
    assert isinstance(ask(gate, seconds=600.0), HeldError) is bought


@pytest.mark.parametrize("bought", [True, False])
def test_requests_in_flight_are_waited_for_before_the_daily_limit_counts_as_reached(world: World, bought: bool) -> None:  # noqa: FBT001 - a case
    gate = world.gate(daily_minutes=10)
    first = entered(gate, seconds=500.0)
    second = in_queue(gate, seconds=200.0)

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


@pytest.mark.parametrize("stopped", [False, True])
def test_a_ledger_that_is_away_at_midnight_is_waited_for_until_a_stop(world: World, *, stopped: bool) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=600.0)
    world.elapsed += TO_MIDNIGHT
    world.memory.full = True
    waiting = in_queue(gate, seconds=600.0)
    assert not waiting.inside.wait(0.6)

    if stopped:
        world.stop.set()
        eventually(waiting.ended)
        assert isinstance(waiting.raised, StoppedError)
    else:
        world.memory.full = False
        assert waiting.inside.wait(PATIENCE)
        waiting.leave()


def bought(gate: Gate, seconds: float) -> Receipt:
    """Buy so much through the gate; return what it was booked with."""
    receipt = Receipt()
    gate.run(lambda: "text", seconds=seconds, small=True, path=b"a", receipt=receipt)
    return receipt


def test_what_a_request_turns_out_to_have_bought_takes_the_place_of_what_it_was_booked_with(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    receipt = bought(gate, 1.0)

    gate.correct(receipt, 540.0)
    gate.correct(receipt, 540.0)

    assert gate.paid_seconds == 540.0
    assert world.memory.buy("h/v1", "2026-09-20", 0.0) == 540.0
    with pytest.raises(HeldError, match="daily_minutes"):
        bought(gate, 61.0)


def test_less_than_was_booked_ends_a_hold_for_the_days_minutes(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    receipt = bought(gate, 600.0)
    with pytest.raises(HeldError, match="daily_minutes"):
        bought(gate, 60.0)

    gate.correct(receipt, 570.0)
    assert gate.state().status is GateStatus.HELD, "there is too little room"
    gate.correct(receipt, 8.0)

    assert gate.state().status is GateStatus.OPEN
    bought(gate, 60.0)
    assert world.memory.buy("h/v1", "2026-09-20", 0.0) == 68.0


def test_a_correction_counts_on_the_day_of_the_request_and_nothing_is_corrected_that_was_not_bought(
    world: World,
) -> None:
    gate = world.gate()
    receipt = bought(gate, 100.0)
    world.elapsed += TO_MIDNIGHT
    gate.correct(receipt, 1.0)
    nothing = Receipt()
    with pytest.raises(FileError):
        run(gate, Calls(FileError("refused")), receipt=nothing)

    gate.correct(nothing, 50.0)

    assert world.memory.buy("h/v1", "2026-09-20", 0.0) == 1.0
    assert gate.paid_seconds == 1.0


def test_a_request_that_crosses_midnight_is_its_first_days(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    first = entered(gate, seconds=600.0)
    world.elapsed += TO_MIDNIGHT

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
    world.elapsed += TO_MIDNIGHT

    assert ask(gate, seconds=600.0) is None

    assert world.memory.bought["h/v1", "2026-09-20"] == 501.0
    assert world.memory.bought["h/v1", "2026-09-21"] == 600.0


def test_a_wait_over_midnight_counts_on_the_new_day(world: World) -> None:
    gate = world.gate(daily_minutes=10, concurrency=1)
    first = entered(gate, seconds=600.0)
    second = in_queue(gate, seconds=600.0)
    world.elapsed += TO_MIDNIGHT

    first.leave()

    assert second.inside.wait(60)
    second.leave()


def test_a_piece_longer_than_a_days_budget_goes_first_of_the_day_and_then_only_a_higher_budget_goes_on(
    world: World,
) -> None:
    gate = world.gate(daily_minutes=1)
    assert ask(gate, seconds=600.0) is None
    assert isinstance(ask(gate, seconds=1.0), HeldError)
    gate.resume()
    assert isinstance(ask(gate, seconds=1.0), HeldError)

    gate.reload(GateOptions(daily_minutes=20))

    assert ask(gate, seconds=60.0) is None


def test_a_pause_that_the_server_asks_for_after_the_days_minutes_are_bought_leaves_midnight_in_the_ledger(
    world: World,
) -> None:
    gate = world.gate(daily_minutes=1)
    (in_flight,) = visitors(gate, 1)
    assert ask(gate, seconds=59.0) is None
    assert isinstance(ask(gate, seconds=60.0), HeldError)

    in_flight.leave(busy(60.0))

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


def test_a_spent_day_ends_when_the_clock_is_set_to_another_one(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=600.0)
    ask(gate, seconds=60.0)
    assert gate.state().status is GateStatus.HELD

    world.set_forward = -86_400.0

    assert ask(gate, seconds=60.0) is None


def test_a_limit_of_the_operators_own_that_is_reached_holds_what_would_still_fit_and_says_so(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=540.0)
    ask(gate, seconds=120.0)
    gate.resume()

    held = ask(gate, seconds=30.0)

    assert isinstance(held, HeldError)
    assert "all recordings wait, even one that would still fit" in held.message


def test_the_limit_of_one_of_several_endpoints_does_not_say_that_all_recordings_wait(world: World) -> None:
    gate = world.gate(daily_minutes=1, section="endpoints.relay")
    ask(gate, seconds=60.0)

    held = ask(gate, seconds=1.0)

    assert isinstance(held, HeldError)
    assert "it gets no recording, even one that would still fit" in held.message


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


# Probes keep to the limits.


def test_a_probe_waits_for_the_pace(world: World) -> None:
    gate = world.gate_after(KEY, requests_per_minute=1)
    gate.resume()
    probe = in_queue(gate)

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
    probe = in_queue(gate, small=True)

    assert not probe.inside.wait(0.3)
    second.leave()
    assert probe.inside.wait(60)
    probe.leave()


def test_a_probe_buys_no_more_than_the_day_allows(world: World) -> None:
    gate = world.gate(daily_minutes=10)
    ask(gate, seconds=600.0)
    ask(gate, KEY, seconds=0.0)
    gate.resume()
    ticket = admitted(gate)

    assert isinstance(ask(gate, seconds=60.0), HeldError)
    ticket.close()

    assert gate.admit(timeout=0.0) is None
    world.elapsed += TO_MIDNIGHT
    assert ask(gate, seconds=60.0) is None


def test_a_limit_that_was_raised_after_the_request_leaves_no_outcome_behind(world: World) -> None:
    """`watcher resume` said "it is still held" where it looked between the new settings and the first request."""
    gate = world.gate(daily_minutes=1)
    ask(gate, seconds=60.0)
    assert isinstance(ask(gate, seconds=60.0), HeldError)

    gate.expect_outcome()
    gate.reload(GateOptions(daily_minutes=5))
    lifted = gate.outcome
    gate.resume()
    resumed = gate.outcome
    ask(gate, seconds=60.0)

    assert (lifted, resumed, gate.outcome) == (ResumeOutcome.UNKNOWN, ResumeOutcome.UNKNOWN, ResumeOutcome.OPEN)


def test_a_hold_that_cannot_be_probed_for_a_limit_of_the_operators_own_names_that_limit_and_is_probed_once_it_is_over(
    world: World,
) -> None:
    told: list[Mapping[str, object]] = []
    gate = world.gate(daily_minutes=1, on_held=told.append)
    ask(gate, seconds=60.0)
    ask(gate, KEY, seconds=0.0)
    gate.resume()
    ticket = admitted(gate)

    raised = ask(gate, seconds=48.0)
    ticket.close()

    assert isinstance(raised, HeldError)
    assert "api.daily_minutes is reached" in raised.message
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
        ticket = admitted(other)
        assert ticket.probe
        assert other.admit(timeout=0.0) is None
        assert other.state().reason == "key"
        ticket.close()
