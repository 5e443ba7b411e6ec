import pytest
from support.memory import Memory

from watcher.gate.hold import Hold, HoldKind
from watcher.gate.record import LocalHoldRecord, Pause, ask_resume, stored_state
from watcher.gate.state import GateStatus

#: Unix time and the monotonic clock have nothing to do with each other.
WALL, NOW = 1_790_000_000.0, 500.0


def hold(**options: float) -> Hold:
    return Hold(HoldKind.ACCOUNT, "key", "no valid key", "check api.key", WALL - 60.0, NOW + 60.0, **options)  # type: ignore[arg-type] # only `until` is given


def test_a_hold_comes_back_with_its_times() -> None:
    record = LocalHoldRecord(Memory(), "h")
    record.note_hold(hold(), next_probe=WALL + 60.0)

    assert record.read(now=NOW, wall=WALL) == hold()


def test_a_pause_comes_back_with_its_times() -> None:
    record = LocalHoldRecord(Memory(), "h")
    pause = Pause(NOW + 30.0, WALL, "rate", "busy", "")
    record.note_pause(pause, until=WALL + 30.0)

    assert pause.noted == WALL + 30.0
    assert record.read(now=NOW, wall=WALL) == pause
    assert not record.is_gone()
    assert record.read(now=NOW + 31.0, wall=WALL + 31.0) is None


def test_a_spent_budget_is_shown_until_midnight_but_not_taken_up() -> None:
    memory = Memory(lambda: WALL + 100.0)
    budget = Hold(HoldKind.BUDGET, "budget", "spent", "", WALL, NOW, until=WALL + 50.0)

    LocalHoldRecord(memory, "h").note_hold(budget, next_probe=WALL + 50.0)

    assert LocalHoldRecord(memory, "h").read(now=NOW, wall=WALL) is None
    assert stored_state(memory, "h") is None


def test_endpoints_are_kept_apart() -> None:
    memory = Memory()
    LocalHoldRecord(memory, "h").note_hold(hold(), next_probe=WALL)

    assert LocalHoldRecord(memory, "i").read(now=NOW, wall=WALL) is None
    ask_resume(memory, "i")
    assert stored_state(memory, "h") is not None
    ask_resume(memory, "h")
    assert stored_state(memory, "h") is None


@pytest.mark.parametrize(
    "junk",
    [
        *({}, {"status": "x"}, {"status": "held"}, {"status": "held", "kind": 5}),
        *({"status": "paused"}, {"status": "paused", "next_probe": None}, {"status": "paused", "next_probe": "soon"}),
    ],
)
def test_junk_is_nothing(junk: dict[str, object]) -> None:
    memory = Memory()
    memory.remember("gate:h", junk)

    assert LocalHoldRecord(memory, "h").read(now=NOW, wall=WALL) is None


def test_junk_shows_as_a_pause_without_words() -> None:
    memory = Memory()
    memory.remember("gate:h", {"since": "x"})

    state = stored_state(memory, "h")

    assert state is not None
    assert (state.status, state.since, state.message) == (GateStatus.PAUSED, 0.0, "")
