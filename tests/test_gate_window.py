import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.gate.window import ConcurrencyWindow


def succeed(window: ConcurrencyWindow, times: int) -> None:
    for _ in range(times):
        window.passed()


def refuse(window: ConcurrencyWindow) -> None:
    window.crowded(window.epoch, staying=window.limit - 1)


def test_all_places_are_there_from_the_start() -> None:
    assert ConcurrencyWindow(8).limit == 8


def test_a_burst_of_refusals_halves_once() -> None:
    window = ConcurrencyWindow(16)
    epoch = window.epoch

    for staying in range(15, 7, -1):
        window.crowded(epoch, staying=staying)

    assert window.limit == 8


def test_what_a_burst_leaves_in_flight_is_what_the_server_takes() -> None:
    window = ConcurrencyWindow(64)
    epoch = window.epoch

    for staying in range(63, 4, -1):
        window.crowded(epoch, staying=staying)
    succeed(window, 6)

    assert window.limit == 5


@pytest.mark.parametrize(("all_wait", "windows"), [(False, 2), (True, 8)])
def test_one_place_more_is_tried_the_sooner_the_less_it_costs(*, all_wait: bool, windows: int) -> None:
    window = ConcurrencyWindow(8)
    epoch = window.epoch
    for staying in range(7, 3, -1):
        window.crowded(epoch, staying=staying, all_wait=all_wait)
    limits = []
    for _ in range(windows * 4):
        window.passed()
        limits.append(window.limit)

    assert limits[-2:] == [4, 5]


def test_a_failed_try_of_one_more_place_doubles_the_wait_for_the_next() -> None:
    window = ConcurrencyWindow(8)
    epoch = window.epoch
    for staying in range(7, 3, -1):
        window.crowded(epoch, staying=staying)
    waits = []
    for _ in range(7):
        times = 0
        while window.limit < 5:
            window.passed()
            times += 1
        waits.append(times)
        refuse(window)

    assert waits == [8, 18, 34, 66, 130, 258, 258]


def test_a_refusal_of_long_ago_says_nothing() -> None:
    window = ConcurrencyWindow(16)
    epoch = window.epoch
    refuse(window)
    refuse(window)

    window.crowded(epoch, staying=1)
    succeed(window, 20)

    assert window.limit == 16


def test_a_refusal_of_a_later_start_halves_again() -> None:
    window = ConcurrencyWindow(16)
    refuse(window)
    refuse(window)

    assert window.limit == 4


def test_there_is_always_one_place() -> None:
    window = ConcurrencyWindow(4)
    for _ in range(10):
        refuse(window)

    assert window.limit == 1


def test_each_success_gives_one_place_back() -> None:
    window = ConcurrencyWindow(8)
    succeed(window, 20)
    refuse(window)
    limits = []
    for _ in range(5):
        window.passed()
        limits.append(window.limit)

    assert limits == [5, 6, 7, 8, 8]


def test_stray_refusals_do_not_lower_the_ceiling() -> None:
    window = ConcurrencyWindow(8)
    for _ in range(50):
        succeed(window, 20)
        refuse(window)
    succeed(window, 8)

    assert window.limit == 8


@pytest.mark.parametrize(("taken", "most"), [(8, 16), (8, 9), (3, 16), (1, 4), (5, 64)])
def test_the_window_settles_at_what_the_server_takes(taken: int, most: int) -> None:
    window = ConcurrencyWindow(most)
    limits = []
    refusals = 0
    for _ in range(3000):
        if window.limit > taken:
            refuse(window)
            refusals += 1
        else:
            window.passed()
        limits.append(min(window.limit, taken))

    assert sum(limits[500:]) / len(limits[500:]) > 0.95 * taken
    assert refusals < 100


def test_a_server_that_takes_more_again_gets_more_again() -> None:
    window = ConcurrencyWindow(8)
    for _ in range(200):
        if window.limit > 2:
            refuse(window)
        else:
            window.passed()

    succeed(window, 3000)

    assert window.limit == 8


def test_after_a_hold_places_come_back_one_by_one() -> None:
    window = ConcurrencyWindow(4)

    window.restart()

    limits = [window.limit]
    for _ in range(4):
        window.passed()
        limits.append(window.limit)
    assert limits == [1, 2, 3, 4, 4]


def test_late_refusals_of_a_burst_while_one_more_place_is_tried_leave_one_place() -> None:
    window = ConcurrencyWindow(2)

    def refuse_late(times: int) -> None:
        for _ in range(times):
            window.crowded(window.epoch - 1, staying=0)

    refuse_late(1)
    window.passed()
    refuse_late(2)
    window.passed()  # two places are tried
    refuse_late(1)
    refuse(window)
    refuse_late(2)

    assert window.limit == 1


def test_a_new_maximum_holds_at_once() -> None:
    window = ConcurrencyWindow(4)
    window.resize(2)
    assert window.limit == 2

    window.resize(6)
    succeed(window, 10)
    assert window.limit == 6


def test_a_new_maximum_leaves_what_was_learned() -> None:
    window = ConcurrencyWindow(16)
    for _ in range(100):
        if window.limit > 4:
            refuse(window)
        else:
            window.passed()

    window.resize(12)
    succeed(window, 4)

    assert window.limit == 4


@pytest.mark.slow
@given(st.integers(1, 20), st.lists(st.sampled_from(["passed", "crowded", "stale", "restart"]), max_size=300))
def test_the_window_stays_within_its_bounds_and_comes_back(most: int, steps: list[str]) -> None:
    window = ConcurrencyWindow(most)
    for step in steps:
        match step:
            case "passed":
                window.passed()
            case "crowded":
                refuse(window)
            case "stale":
                window.crowded(window.epoch - 1, staying=0)
            case _:
                window.restart()
        assert 1 <= window.limit <= most

    succeed(window, 64 * 20 * 22)
    assert window.limit == most
