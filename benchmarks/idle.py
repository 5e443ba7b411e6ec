"""Start and idle with many known files: how soon the first scan is done, and what the daemon costs while nothing happens.

Fills folders with small recordings and a ledger that knows them as done, starts the daemon on them, and prints the time to
READY and to the end of the first scan, peak and resting memory, and CPU over a quiet minute.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from watcher.job import Fingerprint, Found
from watcher.ledger import open_ledger

_PATIENCE = 120.0


@dataclass(frozen=True)
class Figures:
    """One start."""

    files: int
    ready_seconds: float
    first_scan_seconds: float
    peak_mb: float
    rest_mb: float
    core_percent: float


def fill(root: Path, state: Path, files: int, folders: int) -> None:
    """Make the files, and a ledger to which they are not new."""
    ledger = open_ledger(state)
    each = files // folders
    for number in range(folders):
        folder = root / f"{number:04}"
        folder.mkdir()
        found = []
        for index in range(each):
            path = folder / f"{index:04}.wav"
            path.write_bytes(b"RIFF")
            status = path.stat()
            fingerprint = Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino)
            found.append(Found(os.fsencode(root), os.fsencode(path), fingerprint))
        ledger.skip(found)
    ledger.close()


def measure(root: Path, state: Path, files: int, quiet: float) -> Figures:
    """Start the daemon, wait for its first scan, let it rest, end it."""
    began = time.monotonic()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "watcher", "run", str(root), "--config", os.devnull),
            *("--set", "api.url=http://127.0.0.1:9", "--set", f"state.dir={state}", "--set", "log.format=json"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stderr is not None
    stream = process.stderr
    seen: dict[str, float] = {}
    for line in stream:
        event = json.loads(line)
        assert event["event"] != "file.queued", "a known file was taken for new"
        seen.setdefault(event["event"], time.monotonic() - began)
        if {"service.ready", "folder.rescanned"} <= set(seen):
            break
    reader = threading.Thread(target=lambda: [None for _ in stream])
    reader.start()
    time.sleep(5.0)
    before, since = cpu(process.pid), time.monotonic()
    time.sleep(quiet)
    share = (cpu(process.pid) - before) / (time.monotonic() - since)
    status = Path(f"/proc/{process.pid}/status").read_text()
    memory = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("Vm")}
    process.send_signal(signal.SIGTERM)
    code = process.wait(_PATIENCE)
    reader.join()
    stream.close()
    assert code == 0
    return Figures(
        files, seen["service.ready"], seen["folder.rescanned"], memory["VmHWM"], memory["VmRSS"], 100 * share
    )


def cpu(pid: int) -> float:
    """Give the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Fill once, start several times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet", type=float, default=60.0, help="seconds of rest that are measured")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as made:
        root, state = Path(made) / "in", Path(made) / "state"
        root.mkdir()
        state.mkdir()
        fill(root, state, given.files, given.folders)
        found = [measure(root, state, given.files, given.quiet) for _ in range(given.rounds)]
    print("| files | READY, s | first scan done, s | peak, MB | at rest, MB | of a core at rest, % |")
    print("| --- | --- | --- | --- | --- | --- |")
    keys = ("ready_seconds", "first_scan_seconds", "peak_mb", "rest_mb", "core_percent")
    cells = [statistics.median(getattr(figures, key) for figures in found) for key in keys]
    print(f"| {given.files} | {cells[0]:.2f} | {cells[1]:.2f} | {cells[2]:.0f} | {cells[3]:.0f} | {cells[4]:.2f} |")
    if given.json:
        given.json.write_text(json.dumps([asdict(figures) for figures in found], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
