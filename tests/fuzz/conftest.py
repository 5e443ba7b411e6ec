"""Options of the fuzzing campaigns, and what they came to, at the end of the run."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

import pytest
from fuzz.campaign import Report

#: Minutes of a campaign at most; then the next one begins, with another seed and an empty state.
_CAMPAIGN = 10.0
_PROPERTY = "fuzz"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person ask for more time, or for certain seeds."""
    group = parser.getgroup("fuzz")
    group.addoption("--fuzz-minutes", type=float, default=1.0, help="minutes of fuzzing in all")
    group.addoption("--fuzz-seed", type=int, default=1, help="the first campaign's seed; the others follow it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Share the minutes out to campaigns."""
    if "fuzz_seed" in metafunc.fixturenames:
        minutes = metafunc.config.getoption("--fuzz-minutes", 1.0)
        first = metafunc.config.getoption("--fuzz-seed", 1)
        campaigns = ceil(minutes / _CAMPAIGN)
        metafunc.parametrize(
            ("fuzz_seed", "fuzz_minutes"), [(first + number, minutes / campaigns) for number in range(campaigns)]
        )


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[Report], None]:
    """Hand a report to the run's summary; also from a process of pytest-xdist's."""

    def tell(report: Report) -> None:
        record_property(_PROPERTY, json.dumps({**vars(report), "wrong": len(report.wrong), "story": ""}))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what all campaigns came to."""
    campaigns: list[dict[str, Any]] = [
        json.loads(value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in getattr(report, "user_properties", ())
        if name == _PROPERTY
    ]
    if campaigns:
        terminalreporter.write_sep("=", "fuzzing")
        for line in _summary(campaigns):
            terminalreporter.write_line(line)


def _summary(campaigns: Sequence[dict[str, Any]]) -> Iterator[str]:
    minutes = sum(one["minutes"] for one in campaigns)
    wrong = sum(one["wrong"] > 0 for one in campaigns)
    awake = sum(one["awake"] for one in campaigns)
    yield f"campaigns: {len(campaigns)}, {minutes:g} minutes ({awake:.1f} with a processor), of these went wrong: {wrong}"
    for what in ("served", "deeds", "events"):
        counts = sum((Counter(one[what]) for one in campaigns), Counter[str]())
        yield f"{what}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    yield f"outputs read: {sum(one['outputs'] for one in campaigns)}; stops: {sum(one['stops'] for one in campaigns)}"
    yield "at most: " + ", ".join(
        f"{max(one['most'][name] for one in campaigns):.1f} {name}" for name in campaigns[0]["most"]
    )
