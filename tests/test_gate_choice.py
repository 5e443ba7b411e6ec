"""The choice between endpoints: cases in words, and what holds for all states and orders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.gate import GateState, GateStatus, availability
from watcher.gate.choice import Availability, choose, is_preferred

NAMES = ("studio", "relay", "cloud")
OPEN = Availability(is_open=True, places=4, busy=0)
FULL = Availability(is_open=True, places=4, busy=4)
CLOSED = Availability(is_open=False)
STATES = st.fixed_dictionaries(
    {name: st.builds(Availability, st.booleans(), places=st.integers(0, 4), busy=st.integers(0, 9)) for name in NAMES}
)
ORDERS = st.lists(st.sampled_from(NAMES), unique=True).map(tuple)


@pytest.mark.parametrize(
    ("states", "began", "spread", "chosen"),
    [
        ((OPEN, OPEN), "", False, "studio"),
        ((CLOSED, OPEN), "", False, "relay"),
        ((FULL, OPEN), "", False, "studio"),
        ((FULL, OPEN), "", True, "relay"),
        ((FULL, FULL), "", True, "studio"),
        ((OPEN, OPEN), "relay", False, "relay"),
        ((OPEN, CLOSED), "relay", False, "studio"),
        ((FULL, OPEN), "studio", True, "studio"),
        ((CLOSED, CLOSED), "studio", False, ""),
        ((OPEN, OPEN), "cloud", False, "studio"),
    ],
)
def test_the_first_that_is_open_takes_it(
    states: tuple[Availability, Availability], began: str, chosen: str, *, spread: bool
) -> None:
    order = ("studio", "relay")

    assert choose(order, dict(zip(order, states, strict=True)), began=began, spread=spread) == chosen


@given(order=ORDERS, states=STATES, began=st.sampled_from(("", *NAMES)), spread=st.booleans())
def test_a_recording_goes_to_an_open_endpoint_of_its_order_or_waits(
    order: tuple[str, ...], states: dict[str, Availability], began: str, *, spread: bool
) -> None:
    chosen = choose(order, states, began=began, spread=spread)

    usable = [name for name in order if states[name].is_open]
    assert chosen in usable or (chosen, usable) == ("", [])
    assert began not in usable or chosen == began


@given(ORDERS, STATES, st.sampled_from(NAMES))
def test_places_and_endpoints_of_others_change_nothing_without_spread(
    order: tuple[str, ...], states: dict[str, Availability], other: str
) -> None:
    chosen = choose(order, states)

    assert choose(order, {**states, other: Availability(states[other].is_open, 1, 9)}) == chosen
    if other not in order:
        assert choose(order, {**states, other: OPEN}) == chosen


@given(ORDERS, STATES)
def test_nothing_waits_for_a_place_while_another_endpoint_has_one_free(
    order: tuple[str, ...], states: dict[str, Availability]
) -> None:
    chosen = choose(order, states, spread=True)

    if any(states[name].is_open and states[name].busy < states[name].places for name in order):
        assert states[chosen].busy < states[chosen].places


@given(ORDERS, STATES, st.sampled_from(NAMES))
def test_an_endpoint_is_probed_only_if_it_would_get_files_then(
    order: tuple[str, ...], states: dict[str, Availability], name: str
) -> None:
    assert is_preferred(name, order, states) == (choose(order, {**states, name: OPEN}) == name)


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        (GateState(GateStatus.OPEN, 0.0), True),
        (GateState(GateStatus.HELD, 0.0), False),
        (GateState(GateStatus.PROBING, 0.0), False),
        (GateState(GateStatus.PAUSED, 100.0, next_probe=129.0), True),
        (GateState(GateStatus.PAUSED, 100.0, next_probe=131.0), False),
    ],
)
def test_a_hold_and_a_long_pause_close_an_endpoint(state: GateState, *, is_open: bool) -> None:
    assert availability(state, failover_seconds=30.0).is_open is is_open
