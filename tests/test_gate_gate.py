"""One request with its retries, and the end of a gate."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.gate_scene import (
    CROWDED,
    EMPTY,
    FAILED,
    GONE,
    KEY,
    Calls,
    World,
    ask,
    entered,
    in_queue,
    real,
    run,
)
from support.waiting import PATIENCE, eventually

from watcher.errors import (
    ChangedError,
    FileError,
    HeldError,
    JobError,
    PassingError,
    Remedy,
    RemedyError,
    StoppedError,
)
from watcher.gate import Gate


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests are seconds by design; here only their number matters."""
    monkeypatch.setattr("watcher.gate.gate._LONGEST_REST", 0.001)


@pytest.mark.parametrize(
    ("outcomes", "made"),
    [
        pytest.param(["answer"], 1, id="it passes"),
        pytest.param([FAILED, FAILED, "answer"], 3, id="a passing failure is tried again in place"),
        pytest.param([*[CROWDED] * 3, "answer"], 4, id="being turned away costs nothing"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_a_request_is_made_until_it_passes(outcomes: list[BaseException | str], made: int) -> None:
    calls = Calls(*outcomes)

    assert (run(real(concurrency=64), calls), calls.made) == ("answer", made)


@pytest.mark.parametrize("reason", ["timeout", "truncated", "connection", "oversized_answer"])
def test_what_may_have_been_paid_is_not_tried_again_in_place(reason: str) -> None:
    assert made_until_raised(PassingError("slow", reason=reason)) == 1


def test_an_error_that_the_server_may_want_to_be_paid_for_is_counted_and_not_tried_again_in_place() -> None:
    gate, error = real(), PassingError("failed", reason="server")
    error.maybe_paid = True
    calls = Calls(error)

    with pytest.raises(PassingError):
        run(gate, calls)

    assert calls.made == 1
    assert gate.paid_seconds == 1.0


def test_a_busy_server_that_says_so_in_an_answer_of_success_is_not_asked_again_and_again_in_place() -> None:
    """It may charge for each answer, and one file alone never shows that the server is down."""
    gate, error = real(), PassingError("busy", reason="rate", crowded=True)
    error.maybe_paid = True
    calls = Calls(error)

    with pytest.raises(PassingError):
        run(gate, calls)

    assert calls.made == 1


def test_requests_beside_the_one_that_is_counted_are_charged(world: World) -> None:
    gate = world.gate(daily_minutes=1)

    with gate.enter(seconds=20.0, small=True, path=b"a"):
        gate.charge(20.0)

    assert gate.paid_seconds == 40.0
    assert isinstance(ask(gate, seconds=30.0), HeldError)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(PassingError("down", retry_after=300.0), id="it asks for minutes"),
        *(KEY, EMPTY, FileError("x"), RemedyError("x", remedy=Remedy.RECODE), ChangedError("x"), StoppedError("x")),
    ],
)
def test_what_is_not_passing_soon_is_raised_at_once(error: JobError) -> None:
    assert made_until_raised(error) == 1


@pytest.mark.usefixtures("quick")
def test_an_unreachable_server_is_waited_for_until_the_gate_holds() -> None:
    assert made_until_raised(GONE, HeldError) == 8


def made_until_raised(error: JobError, raised: type[JobError] | None = None) -> int:
    """Return how often a call that meets an error is made until that is raised, or what is."""
    calls = Calls(error)
    with pytest.raises(raised or type(error)):
        run(real(), calls)
    return calls.made


@pytest.mark.parametrize("tries", [1, 2, 3])
@pytest.mark.usefixtures("quick")
def test_tries_in_place_are_counted(tries: int) -> None:
    calls = Calls(FAILED)

    with pytest.raises(PassingError):
        run(real(), calls, tries=tries)

    assert calls.made == tries


class Rush(threading.Event):
    """A stop event that never comes; while somebody rests on it, others pass through the gate."""

    gate: Gate

    def wait(self, timeout: float | None = None) -> bool:
        for _ in range(8):
            ask(self.gate)
        return False


def test_a_request_turned_away_again_and_again_while_others_pass_has_failed_by_itself() -> None:
    stop = Rush()
    gate = real(stop=stop, concurrency=8)
    stop.gate = gate
    calls = Calls(CROWDED)

    with pytest.raises(PassingError):
        run(gate, calls)

    assert calls.made == 11


# The end.


def test_those_who_wait_or_rest_leave_on_stop(world: World) -> None:
    gate = world.gate(concurrency=1)
    first = entered(gate)
    waiting = in_queue(gate)
    asked = threading.Event()

    def call() -> str:
        asked.set()
        raise PassingError("down", reason="server", retry_after=100.0)

    with ThreadPoolExecutor(1) as pool:
        resting = pool.submit(world.gate().run, call, seconds=1.0, small=True, path=b"a")
        assert asked.wait(PATIENCE)

        world.stop.set()

        assert isinstance(resting.exception(PATIENCE), StoppedError)
    eventually(waiting.ended)
    first.leave()
    assert isinstance(waiting.raised, StoppedError)
    with pytest.raises(StoppedError):
        run(world.gate(), Calls("answer"))


def test_nobody_is_admitted_on_stop(world: World) -> None:
    gate = world.gate()
    world.stop.set()

    assert gate.admit(timeout=60.0) is None


def test_a_worker_waits_for_a_ticket_until_the_gate_opens(world: World) -> None:
    gate = world.gate_after(KEY)
    admitted: list[bool] = []
    thread = threading.Thread(target=lambda: admitted.append(gate.admit(timeout=1e6) is not None))
    thread.start()

    gate.resume()
    thread.join(60)

    assert admitted == [True]
