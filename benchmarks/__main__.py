"""Every benchmark, one after the other: ``python -m benchmarks [--quick]``.

Each compares with what people use instead, in the same run, and checks what came out: a fast wrong run is a failure. Written
are one Markdown report (first the table of all figures with their targets, then what each printed) and the same as JSON;
figures in docs/benchmarks.md come from such a report.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.report import Row, machine, read, table

#: Module -> arguments of a full run, and of a quick one (all together within ten minutes on two cores). One that takes
#: --json and writes rows there (`report.write`) is in the table.
BENCHMARKS: Final[dict[str, tuple[list[str], list[str]]]] = {
    "captions": ([], ["--quick"]),
    "formats": ([], ["--quick"]),
    "guard": ([], []),
    "quiet": ([], []),
    "words": ([], []),
    "month": ([], ["--quick", "--files", "2400"]),
    "kills": ([], ["--kills", "10", "--files", "30"]),
    "fleet": ([], ["--quick"]),
    "soak": ([], ["--files", "1200", "--minutes", "0.5"]),
    "ledger": (["--million"], ["--rounds", "1"]),
    "gate": ([], ["--files", "200", "--runs", "1"]),
    "long": ([], ["--hours", "0.25", "--runs", "1", "--kills", "0"]),
    "while_recording": ([], ["--hours", "0.25", "--recorder", "workstation", "--kills", "0"]),
    "sessions": ([], ["--minutes", "5"]),
    "stems": (["--runs", "3"], ["--minutes", "10"]),
    "detection": ([], ["--scale", "0.1"]),
    "idle": ([], ["--rounds", "1", "--quiet", "15"]),
    "listener": ([], ["--starts", "1", "--quiet", "10", "--rounds", "2", "--seconds", "4"]),
    "small": ([], ["--files", "400", "--singles", "30", "--rounds", "1"]),
}
_ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True)
class Done:
    """One benchmark's run."""

    name: str
    command: str
    seconds: float
    exit_code: int
    printed: str
    rows: list[Row]
    details: dict[str, Any]


def main() -> int:
    """Run them; give 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, ten minutes at most")
    parser.add_argument("--only", nargs="*", default=list(BENCHMARKS), choices=list(BENCHMARKS), help="some of them")
    parser.add_argument("--report", type=Path, default=Path("benchmarks.md"), help="default: benchmarks.md")
    parser.add_argument("--json", type=Path, help="default: the report's name with .json")
    given = parser.parse_args()
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    where, began, results = machine(), time.monotonic(), []
    for name in given.only:
        results.append(run(name, BENCHMARKS[name][1 if given.quick else 0]))
        # Written again after each: what was measured is not lost with what comes after.
        spent = time.monotonic() - began
        given.report.write_text(markdown(command, where, spent, results))
        (given.json or given.report.with_suffix(".json")).write_text(as_json(command, where, spent, results))
    print(table([row for done in results for row in done.rows]))
    failed = [done.name for done in results if done.exit_code]
    print(f"\n{spent:.0f} s; {given.report}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def run(name: str, arguments: list[str]) -> Done:
    """Run one in a process of its own; what it prints is shown."""
    command = ["python", "-m", f"benchmarks.{name}", *arguments]
    print(f"\n== {' '.join(command)}", flush=True)
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        figures = Path(made) / "figures.json"
        done = subprocess.run(
            [sys.executable, *command[1:], "--json", str(figures)],
            cwd=_ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        rows, details = read(figures)
    print(done.stdout, flush=True)
    return Done(name, " ".join(command), time.monotonic() - began, done.returncode, done.stdout, rows, details)


def markdown(command: str, where: str, spent: float, results: list[Done]) -> str:
    """Give the report."""
    head = (
        f"# Benchmarks\n\n`{command}`, {spent:.0f} s, on {where}.\n\nEach figure beside what people use instead, and beside "
        "what no program can do better than, measured in the same run.\n"
    )
    parts = [head]
    parts.append(table([row for done in results for row in done.rows]) + "\n")
    for done in results:
        failed = f", FAILED with exit code {done.exit_code}" if done.exit_code else ""
        parts.append(f"## {done.name}\n\n`{done.command}` ({done.seconds:.0f} s{failed})\n\n{done.printed}")
    return "\n".join(parts)


def as_json(command: str, where: str, spent: float, results: list[Done]) -> str:
    """Give the same for programs."""
    found = {"command": command, "machine": where, "seconds": spent, "benchmarks": [asdict(done) for done in results]}
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
