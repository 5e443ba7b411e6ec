"""Options of the chaos rounds, and what they came to, at the end of the run."""

from collections import Counter

import pytest
from chaos.rounds import Report

#: Rounds of `-m slow`: the same seeds every time.
SLOW = range(1, 17)
REPORTS = pytest.StashKey[list[Report]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person ask for more rounds, or for a certain one."""
    group = parser.getgroup("chaos")
    group.addoption("--chaos-rounds", type=int, default=0, help="play so many rounds, instead of the usual ones")
    group.addoption("--chaos-seed", type=int, default=1, help="the first round's seed; the others follow it")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no reports."""
    config.stash[REPORTS] = []


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
def reports(request: pytest.FixtureRequest) -> list[Report]:
    """Where a round's report belongs."""
    return request.config.stash[REPORTS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what all rounds came to."""
    reports = config.stash.get(REPORTS, [])
    if not reports:
        return
    ends, faults = Counter[str](), Counter[str]()
    for report in reports:
        ends.update(report.ends)
        faults.update(report.faults)
    vitals = [report.vitals for report in reports if report.vitals is not None]
    lines = [
        f"rounds: {len(reports)}, failed: {sum(bool(report.wrong) for report in reports)}",
        f"recordings: {sum(report.recordings for report in reports)}",
        f"requests: {sum(report.requests for report in reports)}, paid: {sum(report.paid for report in reports)}",
        f"paid again, as the daemon was ended meanwhile: {sum(report.paid_again for report in reports)}",
        "ends of the daemon: " + ", ".join(f"{how} {count}" for how, count in sorted(ends.items())),
        "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())),
        f"outputs looked at by readers: {sum(report.looks for report in reports)}",
    ]
    if vitals:
        descriptors = sorted(one.descriptors for one in vitals)
        resident = sorted(one.resident_kib for one in vitals)
        lines.append(
            f"at rest after a round: descriptors {descriptors[0]}-{descriptors[-1]}, "
            f"memory {resident[0] / 1024:.0f}-{resident[-1] / 1024:.0f} MiB"
        )
    terminalreporter.write_sep("=", "chaos")
    for line in lines:
        terminalreporter.write_line(line)
