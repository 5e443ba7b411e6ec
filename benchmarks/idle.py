"""Start and rest with many known files, and what a command costs meanwhile.

    python -m benchmarks.idle [--files N] [--folders N] [--rounds R] [--quiet S]

Fills folders with small recordings and a ledger that knows them, starts the daemon on them, and prints the time to READY and
to the end of the first scan, peak and resting memory, CPU over a quiet while, and how long `watcher status` takes beside it.
Instead of it: a script with watchdog, which never looks at what is there already. The limits: a program that does nothing
but stat every file, and the import of the libraries that a command is made of. Exits 1 when a target is missed.
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
from typing import Final

from benchmarks.report import Row, write
from watcher.job import Fingerprint, FoundRecording
from watcher.ledger import open_ledger

#: Targets: seconds, MB, MB, percent of a core, seconds.
SCAN: Final = 3.0
PEAK: Final = 120.0
REST: Final = 70.0
CORE: Final = 0.3
STATUS: Final = 0.3
_PATIENCE: Final = 120.0
_ROOT: Final = Path(__file__).parent.parent
#: As installed packages are run: compiled before.
_ENVIRON: Final = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Figures:
    """One start."""

    ready_seconds: float
    first_scan_seconds: float
    peak_mb: float
    rest_mb: float
    core_percent: float
    status_seconds: float


@dataclass(frozen=True)
class Others:
    """What stands beside it: the script's start, memory and CPU; and the limits."""

    script_seconds: float
    script_mb: float
    script_core_percent: float
    stat_seconds: float
    bare_status_seconds: float


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
            found.append(FoundRecording(os.fsencode(root), os.fsencode(path), fingerprint))
        ledger.queue.skip(found)
    ledger.close()


def measure(root: Path, state: Path, quiet: float) -> Figures:
    """Start the daemon, wait for its first scan, let it rest, ask it how it is, end it."""
    settings = ("--config", os.devnull, "--set", f"state.dir={state}")
    began = time.monotonic()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "watcher", "run", str(root), *settings),
            *("--set", "api.url=http://127.0.0.1:9", "--set", "log.format=json"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=_ENVIRON,
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
    else:
        raise RuntimeError("the daemon ended before it was ready")
    reader = threading.Thread(target=lambda: [None for _ in stream])
    reader.start()
    time.sleep(5.0)
    share = rest(process.pid, quiet)
    memory = resident(process.pid)
    took = statistics.median(command("watcher", "status", *settings) for _ in range(5))
    process.send_signal(signal.SIGTERM)
    code = process.wait(_PATIENCE)
    reader.join()
    stream.close()
    assert code == 0
    return Figures(seen["service.ready"], seen["folder.rescanned"], memory["VmHWM"], memory["VmRSS"], 100 * share, took)


def beside(root: Path, quiet: float) -> Others:
    """Measure the script and the limits."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(root)], stdout=subprocess.PIPE, text=True, env=_ENVIRON
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    ready = time.monotonic() - began
    time.sleep(2.0)
    share = rest(process.pid, min(quiet, 20.0))
    memory = resident(process.pid)["VmRSS"]
    process.kill()
    process.wait(_PATIENCE)
    process.stdout.close()
    began = time.monotonic()
    for _, _, names, directory in os.fwalk(root):
        for name in names:
            os.stat(name, dir_fd=directory)
    stats = time.monotonic() - began
    bare = statistics.median(command("-c", "import pydantic_settings, sqlite3, structlog, typer") for _ in range(5))
    return Others(ready, memory, 100 * share, stats, bare)


_SCRIPT: Final = """
import sys
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer
observer = Observer()
observer.schedule(FileSystemEventHandler(), sys.argv[1], recursive=True)
observer.start()
print("ready", flush=True)
observer.join()
"""


def command(*arguments: str) -> float:
    """Give the seconds a command of this Python takes; `arguments` begin with -c or a module's name."""
    line = [sys.executable, *(() if arguments[0] == "-c" else ("-m",)), *arguments]
    began = time.monotonic()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, cwd=_ROOT, env=_ENVIRON)
    return time.monotonic() - began


def rest(pid: int, seconds: float) -> float:
    """Give the share of a core that a process takes for so long."""
    before, since = cpu(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu(pid) - before) / (time.monotonic() - since)


def resident(pid: int) -> dict[str, float]:
    """Give the memory of a process by its kernel's names, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("Vm")}


def cpu(pid: int) -> float:
    """Give the CPU seconds of a process: of all its threads, in nanoseconds' grain."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(path.read_text().split()[0])
    return total / 1e9


def rows(files: int, ours: Figures, others: Others) -> list[Row]:
    """Hold the medians against the targets."""
    many = f"{files:,} known files"
    script = "watchdog script"
    return [
        Row(
            f"start on {many}: first scan done",
            f"<= {SCAN:g} s",
            ours.first_scan_seconds,
            "s",
            {f"{script}, no scan": others.script_seconds},
            {"stat alone": others.stat_seconds},
            met=ours.first_scan_seconds <= SCAN,
        ),
        Row(f"start on {many}: READY", "", ours.ready_seconds, "s"),
        Row(f"start on {many}: peak memory", f"<= {PEAK:g} MB", ours.peak_mb, "MB", met=ours.peak_mb <= PEAK),
        Row(
            f"at rest with {many}: share of a core",
            f"<= {CORE:g} %",
            ours.core_percent,
            "%",
            {script: others.script_core_percent},
            met=ours.core_percent <= CORE,
        ),
        Row(
            f"at rest with {many}: memory",
            f"<= {REST:g} MB",
            ours.rest_mb,
            "MB",
            {script: others.script_mb},
            met=ours.rest_mb <= REST,
        ),
        Row(
            f"`watcher status` with {many}",
            f"<= {STATUS:g} s",
            ours.status_seconds,
            "s",
            limits={"importing its libraries": others.bare_status_seconds},
            met=ours.status_seconds <= STATUS,
        ),
    ]


def main() -> int:
    """Fill once, start several times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet", type=float, default=60.0, help="seconds of rest that are measured")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    command("compileall", "-q", str(_ROOT / "watcher"))
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as made:
        root, state = Path(made) / "in", Path(made) / "state"
        root.mkdir()
        state.mkdir()
        fill(root, state, given.files, given.folders)
        found, others = [], []
        for _ in range(given.rounds):
            found.append(measure(root, state, given.quiet))
            others.append(beside(root, given.quiet))
    ours = Figures(*(statistics.median(getattr(one, name) for one in found) for name in Figures.__dataclass_fields__))
    theirs = Others(*(statistics.median(getattr(one, name) for one in others) for name in Others.__dataclass_fields__))
    judged = rows(given.files, ours, theirs)
    print("| files | READY, s | first scan done, s | peak, MB | at rest, MB | of a core at rest, % | status, s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {given.files} | {ours.ready_seconds:.2f} | {ours.first_scan_seconds:.2f} | {ours.peak_mb:.0f} "
        f"| {ours.rest_mb:.0f} | {ours.core_percent:.2f} | {ours.status_seconds:.2f} |\n"
    )
    print(*map(str, judged), sep="\n")
    if given.json:
        write(given.json, judged, {"starts": [asdict(one) for one in found], "others": [asdict(one) for one in others]})
    return 0 if all(row.met is not False for row in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
