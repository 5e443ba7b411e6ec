import time

from hypothesis import given
from hypothesis import strategies as st
from support.gate_scene import NOON
from support.memory import Memory

from watcher.fleet import BudgetCredit
from watcher.gate.pace import Budget, Pace, midnight_after, month_after


def test_no_limit_is_no_delay() -> None:
    pace = Pace(0)
    pace.started(0.0)

    assert pace.delay(0.0) == 0.0


@given(st.integers(1, 50), st.lists(st.floats(0, 30), min_size=1, max_size=150))
def test_no_minute_has_more_starts_than_allowed_whenever_they_are_wanted(most: int, gaps: list[float]) -> None:
    pace = Pace(most)
    now, starts = 0.0, []
    for gap in gaps:
        now += gap
        now += max(pace.delay(now), 0.0)
        pace.started(now)
        starts.append(now)

    for first in starts:
        # Half-open, and with room for the rounding of sums.
        assert sum(first <= start < first + 60.0 - 1e-6 for start in starts) <= most


def test_a_slower_pace_counts_what_was_started_before() -> None:
    pace = Pace(60)
    for start in (0.0, 1.0, 2.0):
        pace.started(start)

    pace.resize(2)

    assert pace.delay(2.0) == 59.0


def limited(memory: Memory, daily: float = 0.0, monthly: float = 0.0) -> Budget:
    return Budget("h", buy=memory.buy, bought=memory.sum_bought, daily_minutes=daily, monthly_minutes=monthly)


def buy(budget: Budget, seconds: float, now: float = NOON) -> None:
    """Make a request that is answered at once."""
    budget.end(seconds, budget.start(seconds, now), bought=True)
    budget.flush()


def test_without_a_limit_everything_fits_and_is_counted_nevertheless() -> None:
    memory = Memory()
    budget = limited(memory)

    budget.begin_day(NOON)
    buy(budget, 1e9)

    assert budget.credit(1e9) is BudgetCredit.ALL
    assert memory.bought == {("h", "2026-09-20"): 1e9}


def test_a_limit_that_is_set_later_counts_what_was_bought_and_what_is_in_flight() -> None:
    budget = limited(Memory())
    buy(budget, 500.0)
    day = budget.start(60.0, NOON)

    budget.resize(daily_minutes=10, monthly_minutes=0)
    budget.begin_day(NOON)

    assert budget.credit(41.0) is BudgetCredit.WAIT
    budget.end(60.0, day, bought=True)
    assert budget.credit(41.0) is BudgetCredit.SPENT
    assert budget.credit(40.0) is BudgetCredit.ALL


def test_a_month_counts_its_days_and_leaves_a_day_what_is_left_of_it() -> None:
    memory = Memory()
    for day, seconds in (("2026-08-31", 9000.0), ("2026-09-01", 1200.0), ("2026-09-19", 1200.0)):
        memory.buy("h", day, seconds)
    budget = limited(memory, daily=30, monthly=60)

    budget.begin_day(NOON)

    assert budget.seconds == 1200.0
    assert budget.of_month
    assert budget.credit(1200.0) is BudgetCredit.ALL
    assert budget.credit(1201.0) is BudgetCredit.SPENT
    buy(budget, 1200.0)
    budget.begin_day(NOON + 86400.0)
    # Not even as the first of the day.
    assert budget.credit(1.0) is BudgetCredit.SPENT
    budget.begin_day(NOON + 11 * 86400.0)
    assert budget.credit(5000.0) is BudgetCredit.ALL
    assert not budget.of_month


def test_a_month_ends_where_the_next_one_begins() -> None:
    assert time.localtime(month_after(NOON))[:6] == (2026, 10, 1, 0, 0, 0)
    assert time.localtime(month_after(month_after(NOON) + 70 * 86400.0))[:3] == (2027, 1, 1)


def test_the_days_are_kept_apart() -> None:
    memory = Memory()
    budget = limited(memory, 10)
    budget.begin_day(NOON)
    buy(budget, 600.0)
    assert budget.credit(1.0) is BudgetCredit.SPENT
    assert not budget.is_current(NOON + 86400.0)

    budget.begin_day(NOON + 86400.0)

    assert budget.credit(600.0) is BudgetCredit.ALL
    assert sorted(memory.bought.values()) == [0.0, 600.0]


def test_what_another_daemon_bought_counts() -> None:
    memory = Memory()
    one, other = limited(memory, 10), limited(memory, 10)
    for budget in (one, other):
        budget.begin_day(NOON)
    buy(one, 500.0)
    buy(other, 60.0)

    assert other.credit(60.0) is BudgetCredit.SPENT


def test_what_is_in_flight_counts_until_it_comes_back() -> None:
    budget = limited(Memory(), 10)
    budget.begin_day(NOON)
    day = budget.start(600.0, NOON)
    assert budget.credit(1.0) is BudgetCredit.WAIT
    assert budget.booked == 600.0

    budget.end(600.0, day, bought=False)

    assert budget.credit(1.0) is BudgetCredit.ALL
    assert budget.booked == 0.0


def test_a_process_that_is_killed_has_counted_what_was_in_flight() -> None:
    memory = Memory()
    budget = limited(memory, 10)
    budget.begin_day(NOON)
    day = budget.start(60.0, NOON)
    budget.flush()
    next_start = limited(memory, 10)
    next_start.begin_day(NOON)

    assert next_start.credit(541.0) is BudgetCredit.SPENT
    # In the process that lives on, it may still have cost nothing.
    assert budget.credit(541.0) is BudgetCredit.WAIT
    budget.end(60.0, day, bought=False)
    budget.flush()
    assert list(memory.bought.values()) == [0.0]
    assert budget.credit(600.0) is BudgetCredit.ALL


def test_a_request_that_is_made_again_is_written_once() -> None:
    memory = Memory()
    written: list[float] = []

    def buy_one(endpoint: str, day: str, seconds: float) -> float:
        written.append(seconds)
        return memory.buy(endpoint, day, seconds)

    budget = Budget("h", buy=buy_one, bought=memory.sum_bought)
    for bought in (False, False, True):
        day = budget.start(60.0, NOON)
        budget.flush()
        budget.end(60.0, day, bought=bought)
    budget.flush()

    assert written == [60.0]


def test_hosts_that_share_a_limit_tell_each_other_only_what_was_bought_for_good() -> None:
    memory = Memory()
    budget = Budget("h", buy=memory.buy, bought=memory.sum_bought, shared=True)
    days = [budget.start(60.0, NOON), budget.start(30.0, NOON)]
    budget.flush()
    assert sum(memory.bought.values()) == 90.0

    # What is in flight when a limit is set is taken back, and counts as such.
    budget.resize(daily_minutes=10, monthly_minutes=0)
    budget.begin_day(NOON)
    budget.end(60.0, days[0], bought=True)
    budget.flush()

    assert sum(memory.bought.values()) == 60.0
    assert budget.booked == 30.0


def test_what_the_ledger_does_not_take_counts_and_is_written_with_the_next() -> None:
    memory = Memory()
    budget = limited(memory, 10)
    budget.begin_day(NOON)
    memory.full = True
    buy(budget, 500.0)
    assert budget.credit(101.0) is BudgetCredit.SPENT
    assert budget.booked == 500.0

    memory.full = False
    buy(budget, 50.0)

    assert list(memory.bought.values()) == [550.0]
    assert budget.booked == 0.0


def test_rounding_keeps_nobody_out() -> None:
    """Ten times a tenth of a second is a little less than a second, and what is left of it is not nothing."""
    budget = limited(Memory(), 1)
    budget.begin_day(NOON)
    days = [budget.start(seconds, NOON) for seconds in (0.1,) * 10]
    for day in days:
        budget.end(0.1, day, bought=False)

    assert budget.credit(3600.0) is BudgetCredit.ALL


def test_midnight_is_the_local_days_end() -> None:
    midnight = midnight_after(NOON)

    assert time.localtime(midnight)[:6] == (2026, 9, 21, 0, 0, 0)
    assert time.localtime(midnight_after(midnight))[:3] == (2026, 9, 22)
