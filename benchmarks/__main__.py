"""Every benchmark, one after the other: ``python -m benchmarks [--quick]``.

Each compares with what people use instead, in the same run, and checks what came out: a fast wrong run is a failure. What
each prints is gathered into one Markdown report; figures in the README come from such a report.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

#: Module -> arguments of a full run, and of a quick one (all together within ten minutes on two cores).
BENCHMARKS: dict[str, tuple[list[str], list[str]]] = {
    "detection": ([], ["--scale", "0.1"]),
    "small": ([], ["--files", "300", "--singles", "40", "--rounds", "1"]),
    "gate": ([], ["--files", "300", "--runs", "1"]),
    "captions": ([], []),
    "ledger": (["--million"], []),
    "long": ([], ["--hours", "0.25", "--runs", "1", "--kills", "2"]),
    "idle": ([], ["--files", "20000", "--folders", "200", "--rounds", "1", "--quiet", "20"]),
}
_ROOT = Path(__file__).parent.parent


def main() -> int:
    """Run them; give 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, ten minutes at most")
    parser.add_argument("--only", nargs="*", default=list(BENCHMARKS), choices=list(BENCHMARKS), help="some of them")
    parser.add_argument("--report", type=Path, help="write the report there, too")
    given = parser.parse_args()
    report = [f"# Benchmarks\n\n{machine()}\n"]
    failed = []
    for name in given.only:
        arguments = BENCHMARKS[name][1 if given.quick else 0]
        command = ["python", "-m", f"benchmarks.{name}", *arguments]
        print(f"\n== {' '.join(command)}", flush=True)
        began = time.monotonic()
        environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
        done = subprocess.run(
            [sys.executable, *command[1:]], cwd=_ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=False
        )
        print(done.stdout, flush=True)
        if done.returncode:
            failed.append(name)
        report.append(f"## {name}\n\n`{' '.join(command)}` ({time.monotonic() - began:.0f} s)\n\n{done.stdout}")
    if given.report:
        given.report.write_text("\n".join(report))
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def machine() -> str:
    """Say what kind of machine this is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{cores} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}; "
        f"load average {load:.1f} at the start"
    )


if __name__ == "__main__":
    sys.exit(main())
