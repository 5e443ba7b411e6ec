"""Answers that cannot be read, at the gate: when they hold the queue, and when their file fails."""

import threading
from contextlib import closing
from typing import Any

import pytest
from support.gate_scene import (
    BAD,
    Calls,
    World,
    admitted,
    entered,
    run,
)
from support.memory import Memory
from support.waiting import PATIENCE

from watcher.errors import (
    FileError,
    GarbledError,
    HeldError,
    JobError,
    SourceError,
    StateBusyError,
)
from watcher.gate import Gate, GateStatus, ask_resume
from watcher.gate.garbled import GarbledCounts


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


def test_a_third_request_is_made_neither_by_the_next_probe_nor_after_a_restart(world: World) -> None:
    gate = world.gate()
    for _ in range(2):
        asked(gate, garbled())
    for _ in range(5):
        world.elapsed += 3600.0
        ticket = admitted(gate)
        ticket.offer(b"a")
        calls = Calls("answer")
        with pytest.raises(HeldError):
            run(gate, calls, sound="sound")
        ticket.close()
        assert calls.made == 0
        gate = world.gate() if world.elapsed > 3 * 3600.0 else gate


def test_a_skipped_probe_is_delayed_if_no_other_file_exists(world: World) -> None:
    gate = world.gate()
    for _ in range(2):
        asked(gate, garbled())
    gate = world.gate()
    for due in (True, False):
        ticket = admitted(gate)
        ticket.offer(b"a")
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


def test_readable_answers_from_before_a_restart_count(world: World) -> None:
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
    with closing(admitted(gate)), pytest.raises(HeldError):
        run(gate, calls, sound="sound")
    world.elapsed += 61.0
    gate.resume()
    with closing(admitted(gate)):
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
    flying = entered(gate, small=True, path=b"good")
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
    with closing(admitted(gate)):
        asked(gate, error, path=b"new", sound="new")

    assert gate.state().status is GateStatus.HELD


def test_a_full_disk_forgets_no_unreadable_answer(world: World) -> None:
    gate = world.gate()
    world.memory.full = True
    asked(gate, garbled())
    asked(gate, garbled())
    calls = Calls("answer")

    with pytest.raises(HeldError):
        run(gate, calls, sound="sound")

    assert calls.made == 0


def test_what_a_full_disk_kept_from_being_stored_of_very_many_sounds_is_forgotten(world: World) -> None:
    known = GarbledCounts(world.memory, "api", clock=lambda: 0.0)
    world.memory.full = True

    def fail() -> None:
        raise garbled()

    for number in range(1500):
        with pytest.raises(GarbledError):
            known.read(fail, str(number), None)

    assert known.about("1") is None
    assert known.about("1499") is not None


class Rereading:
    """Reads an answer again in a thread of its own: `begun`, and over once `go_on` is called."""

    def __init__(self, gate: Gate, outcome: str | JobError, *, path: bytes = b"a", root: bytes = b"") -> None:
        self.begun, self._over = threading.Event(), threading.Event()
        self.result: str | JobError = "nothing yet"
        self._outcome = outcome
        arguments = {"path": path, "root": root, "sound": path.decode(), "reread": self._reread}
        self._thread = threading.Thread(target=self._ask, args=(gate, arguments))
        self._thread.start()
        assert self.begun.wait(PATIENCE)

    def go_on(self) -> str | JobError:
        self._over.set()
        self._thread.join(PATIENCE)
        return self.result

    def _ask(self, gate: Gate, arguments: dict[str, Any]) -> None:
        try:
            self.result = run(gate, Calls(GarbledError("too much", body=b"{}", excess=True)), **arguments)
        except JobError as error:
            self.result = error

    def _reread(self, error: GarbledError) -> str:
        self.begun.set()
        assert self._over.wait(PATIENCE)
        if isinstance(self._outcome, JobError):
            raise self._outcome
        return self._outcome


def test_an_answer_that_is_read_again_takes_no_place_and_counts_for_nothing_until_then(world: World) -> None:
    gate = world.gate(concurrency=1)
    readings = [Rereading(gate, f"text {number}", path=b"%d" % number) for number in range(6)]

    assert gate.state().in_flight == 0
    assert gate.state().status is GateStatus.OPEN
    assert gate.paid_seconds == 6.0
    assert [reading.go_on() for reading in readings] == [f"text {number}" for number in range(6)]
    assert gate.paid_seconds == 6.0


def test_answers_that_still_cannot_be_read_hold_the_queue_as_any_others(world: World) -> None:
    gate = world.gate(concurrency=4)
    readings = [Rereading(gate, garbled(), path=path) for path in BAD]

    assert [type(reading.go_on()) for reading in readings] == [GarbledError, GarbledError, HeldError]
    assert gate.state().reason == "garbled"


def test_a_sound_that_is_read_again_in_vain_is_asked_for_twice(world: World) -> None:
    gate = world.gate(concurrency=4)
    asked(gate, None, path=b"good", sound="good")

    outcomes = [type(Rereading(gate, garbled()).go_on()) for _ in range(2)]

    assert outcomes == [GarbledError, FileError]
    assert isinstance(asked(gate, None, sound="a"), FileError)


@pytest.mark.parametrize("error", [FileError("undecodable"), SourceError("unreadable")])
def test_a_file_that_cannot_be_measured_does_not_count_against_the_server(world: World, error: JobError) -> None:
    gate = world.gate(concurrency=4)

    outcomes = [Rereading(gate, error, path=b"%d" % number).go_on() for number in range(9)]

    assert outcomes == [error] * 9
    assert gate.state().status is GateStatus.OPEN
    assert gate.paid_seconds == 9.0


def test_while_the_answer_to_a_probe_is_read_again_others_may_probe_in_their_turn(world: World) -> None:
    gate = world.gate(concurrency=4, folders=2)
    for number in range(9):
        asked(gate, garbled(), path=b"%d" % number, sound=f"{number}")
    world.elapsed += 61.0
    reading = Rereading(gate, garbled(), path=b"new")

    assert gate.state().status is GateStatus.HELD
    assert gate.state().next_probe == pytest.approx(world.clock() + 120.0)
    with closing(admitted(gate)) as ticket:
        assert ticket.before_due
        run(gate, Calls("answer"), path=b"good", root=b"/other", sound="good")

    assert gate.state().status is GateStatus.OPEN
    assert isinstance(reading.go_on(), GarbledError)
    assert gate.state().status is GateStatus.OPEN


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
