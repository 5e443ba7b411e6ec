"""A month of the real daemon by a clock of our own: what it holds, writes and keeps stays bounded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_days_on_end_leave_memory_state_log_and_descriptors_as_they_were(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.month", "--quick", "--files", "2400", "--json", str(figures)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    rows = json.loads(figures.read_text())["rows"]
    known = next(row["figure"] for row in rows if row["what"] == "sources known at the end")
    assert 0 < known < 1200, "what is gone was forgotten, and what is there was not"
