import pytest
from support.gate_scene import KEY, NOON, World, ask
from support.memory import Memory

from watcher.errors import HeldError
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
    budget = Hold(HoldKind.BUDGET, "budget", "spent", "", WALL, NOW, ends_at=WALL + 50.0)

    LocalHoldRecord(memory, "h").note_hold(budget, next_probe=WALL + 50.0)

    assert LocalHoldRecord(memory, "h").read(now=NOW, wall=WALL) is None
    assert stored_state(memory, "h") is None


@pytest.mark.parametrize("minutes", [0.0, 1.0])
def test_a_hold_by_a_limit_that_another_run_does_not_know_is_not_stored_any_more(world: World, minutes: float) -> None:
    """`watcher status` reads what is stored, long after the run that had no such limit has done the work."""
    gate = world.gate(daily_minutes=1)
    for _ in range(2):
        ask(gate, seconds=60.0)

    other = world.gate(daily_minutes=minutes)
    assert stored_state(world.memory, "h/v1") is None
    ask(other, seconds=60.0)

    # Where it is reached all the same, the first request finds out.
    assert (stored_state(world.memory, "h/v1") is not None) is bool(minutes)


def test_a_hold_that_could_not_be_probed_for_a_spent_budget_is_stored_again_in_its_place() -> None:
    memory = Memory(lambda: WALL)
    budget = Hold(HoldKind.BUDGET, "budget", "spent", "", WALL, NOW, ends_at=WALL + 50.0, former=hold())
    LocalHoldRecord(memory, "h").note_hold(budget, next_probe=WALL + 50.0)

    found = LocalHoldRecord(memory, "h").read(now=NOW, wall=WALL)

    stored = stored_state(memory, "h")
    assert isinstance(found, Hold)
    assert stored is not None
    assert (found.reason, stored.reason, stored.next_probe) == ("key", "key", WALL)


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
    gate = world.gate_after(KEY, 60.0)
    world.memory.full = True
    assert ask(gate) is None
    assert stored_state(world.memory, "h/v1") is not None

    world.memory.full = False
    world.elapsed += 3.0
    assert ask(gate) is None

    assert stored_state(world.memory, "h/v1") is None


def test_a_ledger_that_cannot_be_read_changes_nothing_about_a_hold(world: World) -> None:
    gate = world.gate_after(KEY)
    world.memory.gone = True
    world.elapsed += 3.0

    assert gate.admit(timeout=0.0) is None
    assert gate.state().next_probe == NOON + 60.0
