"""Rounds of everything at once, each drawn from its seed; `--chaos-rounds 200 --chaos-seed 1000` plays others, or more."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from chaos.faults import GENTLE
from chaos.rounds import Report, drawn, killing, play, play_all

#: What a daemon that has nothing to do may take after a round, whatever has happened to it.
_DESCRIPTORS = 60
_MEBIBYTES = 110
#: Kept connections differ from round to round; memory that a longer life takes is a few pages of the allocator's.
_CONNECTIONS = 6
_GROWTH = 8


@pytest.mark.timeout(400)
def test_nothing_is_lost_doubled_half_overwritten_or_left_behind(
    chaos_seed: int, tmp_path: Path, tell: Callable[[Report], None]
) -> None:
    report = play(drawn(chaos_seed), tmp_path)
    tell(report)

    assert not report.wrong, report.story
    assert report.vitals is not None
    assert report.vitals.descriptors <= _DESCRIPTORS
    assert report.vitals.resident_kib <= _MEBIBYTES * 1024


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_daemon_that_lives_through_rounds_does_not_grow(
    chaos_turns: range, tmp_path: Path, tell: Callable[[Report], None]
) -> None:
    played = play_all([drawn(seed, faults=GENTLE, files=12) for seed in chaos_turns], tmp_path)
    for report in played:
        tell(report)
    vitals = [report.vitals for report in played if report.vitals is not None]
    third = len(vitals) // 3

    assert not played[-1].wrong, played[-1].story
    assert played[-1].ends == {"term": 1}
    assert len(vitals) == len(chaos_turns)
    descriptors = [one.descriptors for one in vitals]
    assert max(descriptors[-third:]) <= max(descriptors[:third]) + _CONNECTIONS
    resident = [one.resident_kib for one in vitals]
    assert median(resident[-third:]) <= median(resident[:third]) + _GROWTH * 1024


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_random_instants_it_loses_doubles_and_halves_nothing(
    tmp_path: Path, tell: Callable[[Report], None]
) -> None:
    report = play(killing(1, kills=20, files=50), tmp_path)
    tell(report)

    assert not report.wrong, report.story
    assert report.ends["kill"] == 20


def test_a_short_round_ends_well(tmp_path: Path, tell: Callable[[Report], None]) -> None:
    report = play(drawn(1, span=1.0, files=8), tmp_path)
    tell(report)

    assert not report.wrong, report.story


def test_a_seed_draws_the_same_round_again(tmp_path: Path) -> None:
    assert drawn(7) == drawn(7) != drawn(8)
