"""Options of the chaos rounds, and what they came to, at the end of the run."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import pytest
from chaos.rounds import Report

#: Rounds of `-m slow`: the same seeds every time.
SLOW = range(1, 13)
_PROPERTY = "chaos"
#: Takes what a round came to.
Tell = Callable[[Report], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person ask for more rounds, or for a certain one."""
    group = parser.getgroup("chaos")
    group.addoption("--chaos-rounds", type=int, default=0, help="play so many rounds, instead of the usual ones")
    group.addoption("--chaos-seed", type=int, default=1, help="the first round's seed; the others follow it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each round its seed."""
    if "chaos_seed" not in metafunc.fixturenames:
        return
    rounds = metafunc.config.getoption("--chaos-rounds", 0)
    if rounds:
        first = metafunc.config.getoption("--chaos-seed")
        seeds = [pytest.param(seed) for seed in range(first, first + rounds)]
    else:
        seeds = [pytest.param(seed, marks=pytest.mark.slow) for seed in SLOW]
    metafunc.parametrize("chaos_seed", seeds)


@pytest.fixture
def chaos_turns(request: pytest.FixtureRequest) -> range:
    """Seeds of the rounds that one daemon lives through."""
    rounds = request.config.getoption("--chaos-rounds", 0)
    first = request.config.getoption("--chaos-seed", 1)
    return range(first, first + (rounds // 5 or 9))


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Hand a report to the run's summary; also from a process of pytest-xdist's."""

    def tell(report: Report) -> None:
        facts = {**vars(report), "wrong": len(report.wrong), "vitals": report.vitals and asdict(report.vitals)}
        del facts["story"]
        record_property(_PROPERTY, json.dumps(facts))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what all rounds came to."""
    rounds: list[dict[str, Any]] = [
        json.loads(value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in getattr(report, "user_properties", ())
        if name == _PROPERTY
    ]
    if rounds:
        terminalreporter.write_sep("=", "chaos")
        for line in _summary(rounds):
            terminalreporter.write_line(line)


def _summary(rounds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    def total(key: str) -> int:
        return sum(int(one[key]) for one in rounds)

    def counted(key: str) -> str:
        counts = Counter[str]()
        for one in rounds:
            counts.update(one[key])
        return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))

    yield f"rounds: {len(rounds)}, of these went wrong: {sum(one['wrong'] > 0 for one in rounds)}"
    yield f"recordings: {total('recordings')}; takes: {total('takes')}; requests: {total('requests')}, paid: {total('paid')}"
    yield f"paid again, as the daemon was ended meanwhile: {total('paid_again')}"
    yield f"damaged ledgers made anew: {total('salvaged')}"
    yield f"ends of the daemon: {counted('ends')}"
    yield f"faults: {counted('faults')}"
    yield f"outputs looked at by readers: {total('looks')}"
    settled = sorted(one["settled"] for one in rounds)
    yield f"seconds until all was done, once all was in order: median {median(settled):.1f}, longest {settled[-1]:.1f}"
    if vitals := [one["vitals"] for one in rounds if one["vitals"]]:
        descriptors = sorted(one["descriptors"] for one in vitals)
        resident = sorted(one["resident_kib"] / 1024 for one in vitals)
        yield (
            f"at rest after a round: descriptors {descriptors[0]}-{descriptors[-1]}, "
            f"memory {resident[0]:.0f}-{resident[-1]:.0f} MiB"
        )
