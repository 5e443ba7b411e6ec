import time
from typing import Any

import pytest

from watcher.errors import ConfigError
from watcher.gate import GateOptions, GateState, GateStatus


def test_an_open_gate_says_how_busy_it_is() -> None:
    assert GateState(GateStatus.OPEN, 0.0, in_flight=3, limit=4).sentence == "open, 3 of 4 requests in flight"


def test_a_held_gate_says_since_when_why_and_what_to_do() -> None:
    now = time.time()
    moments = [time.strftime("%H:%M:%S", time.localtime(moment)) for moment in (now, now + 60)]
    state = GateState(GateStatus.HELD, now, "key", "the server refuses the key", "check api.key", next_probe=now + 60)

    assert state.fact == f"held since {moments[0]}: the server refuses the key"
    if time.strftime("%d") == time.strftime("%d", time.localtime(now + 60)):
        assert state.sentence == f"{state.fact}; check api.key; next try at {moments[1]}"


def test_a_probe_whose_moment_is_over_waits_for_a_file() -> None:
    state = GateState(GateStatus.HELD, 0.0, "key", "no", next_probe=time.time() - 1)

    assert state.sentence.endswith(": no; next try with the next file")


def test_a_probing_gate_says_so() -> None:
    assert GateState(GateStatus.PROBING, 0.0, "key", "no", "", next_probe=0.0).sentence.endswith(": no; trying now")


def test_a_paused_gate_says_until_when() -> None:
    now = time.time()
    moment = time.strftime("%H:%M:%S", time.localtime(now))

    state = GateState(GateStatus.PAUSED, now, "rate", "the server is busy", next_probe=now)

    assert state.sentence == f"paused since {moment} until {moment}: the server is busy"


def test_a_spent_budget_goes_on_by_itself() -> None:
    state = GateState(GateStatus.HELD, time.time(), "budget", "spent", "wait", next_probe=time.time())

    assert "; goes on at " in state.sentence


def test_another_day_is_said_with_its_date() -> None:
    assert "1970-01-" in GateState(GateStatus.HELD, 86400.0 * 5, "key", "no").sentence


@pytest.mark.parametrize(
    "options",
    [{"concurrency": 0}, {"requests_per_minute": -1}, {"daily_minutes": -1}, {"reserve": -1}],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        GateOptions(**options)
