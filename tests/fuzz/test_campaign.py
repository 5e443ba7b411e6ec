"""Hours of hostile answers and folders, if asked for; `--fuzz-minutes 60 --fuzz-seed 1` plays six campaigns of ten minutes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.campaign import Report, play


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_nothing_hostile_ends_freezes_or_escapes(
    fuzz_seed: int, fuzz_minutes: float, tmp_path: Path, tell: Callable[[Report], None]
) -> None:
    report = play(fuzz_seed, fuzz_minutes, tmp_path)
    tell(report)

    assert not report.wrong, report.story
    # The server was hostile indeed, and the daemon took it for what it was.
    assert len(report.served) > 3
    assert report.events["api.refused"] or report.events["job.retry"] or report.events["gate.held"]
