"""What the ledger costs, and that it costs the same however much it holds.

    python benchmarks/ledger.py [--million] [--directory DIR]

Prints a Markdown table: a line for each number of known files, each figure with its ratio to the first line. DIR (else
the directory for temporary files) should lie on the disk that the state will live on: durable changes wait for it, and
the last column says for how long. The limit beside it is SQLite alone: the same values into one bare table. Exits 1 when a
target is missed: 2,000 files put and 1,000 jobs worked off a second, and the CPU for each file flat, whatever the size.
"""

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.report import Row, write
from watcher.job import Fingerprint, FoundRecording, Job, Outcome, Output, State
from watcher.ledger import open_ledger
from watcher.ledger.ledger import Ledger

ROOT: Final = b"/srv/recordings"
BATCH: Final = 10_000
ROUNDS: Final = 3
#: Threads that work, and jobs for each of them.
WORK: Final = {1: 200, 4: 500, 16: 250}
DIGEST: Final = "ab" * 32
TARGETS: Final = {"put/s": 2_000.0, "jobs/s, 4 threads": 1_000.0}
#: The most that a file may cost at the largest size, in times of its cost at the smallest: noise, and deeper trees.
FLAT: Final = 1.5


@dataclass(frozen=True)
class Figure:
    """One column: its head, how many digits, and whether its ratio says something."""

    head: str
    digits: int = 0
    ratio: bool = True


FIGURES: Final = (
    Figure("put/s"),
    Figure("CPU µs/put", 1),
    Figure("put/s, anywhere"),
    *(Figure(f"jobs/s, {threads} threads" if threads > 1 else "jobs/s, 1 thread") for threads in WORK),
    Figure("CPU µs/job"),
    Figure("known/s"),
    Figure("look, ms", 2),
    Figure("MB", ratio=False),
    Figure("flush, ms", 2, ratio=False),
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the ledger costs.")
    parser.add_argument("--million", action="store_true", help="also with a million files (some minutes)")
    parser.add_argument("--directory", type=Path, help="where to make the ledger")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, whose medians count")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    sizes = [1_000, 10_000, 100_000, *([1_000_000] if options.million else [])]
    print("| files | " + " | ".join(figure.head for figure in FIGURES) + " |")
    print("| ---: |" + " ---: |" * len(FIGURES))
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        limit = statistics.median(bare(Path(directory), number) for number in range(ROUNDS))
        ledger = open_ledger(Path(directory))
        filled = 0
        for size in sizes:
            fill(ledger, filled, size)
            filled = size
            found[size] = measure(Path(directory), ledger, size, options.rounds)
            cells = " | ".join(cell(figure, found[size], found[sizes[0]]) for figure in FIGURES)
            print(f"| {size:,} | {cells} |", flush=True)
        ledger.close()
    judged = rows(found, limit)
    print("", *map(str, judged), sep="\n")
    if options.json:
        write(options.json, judged, {"sizes": {str(size): figures for size, figures in found.items()}})
    return 0 if all(row.met for row in judged) else 1


def rows(found: dict[int, dict[str, float]], limit: float) -> list[Row]:
    """Hold the worst of all sizes against the targets, and the largest against the smallest."""
    judged = []
    limits = {"put/s": {"SQLite alone": limit}}
    for head, target in TARGETS.items():
        worst = min(figures[head] for figures in found.values())
        what = f"ledger: {head}, worst of all sizes"
        judged.append(Row(what, f">= {target:,.0f}", worst, "/s", limits=limits.get(head, {}), met=worst >= target))
    smallest, largest = min(found), max(found)
    for head in ("CPU µs/put", "CPU µs/job"):
        ratio = found[largest][head] / found[smallest][head]
        what = f"ledger: {head} with {largest:,} files / with {smallest:,}"
        judged.append(Row(what, f"<= {FLAT:g}", ratio, "", met=ratio <= FLAT))
    return judged


def bare(directory: Path, number: int) -> float:
    """Give how many rows of the same values SQLite alone takes in a second, in one transaction."""
    connection = sqlite3.connect(directory / f"bare-{number}.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE sources (path BLOB PRIMARY KEY, root BLOB, size, mtime_ns, inode, backlog, small)")
    new = [file(one) for one in range(BATCH)]

    def put() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(one.path, one.root, one.fingerprint.size, one.fingerprint.mtime_ns, one.fingerprint.inode),
                    *(one.backlog, one.small),
                )
                for one in new
            ),
        )
        connection.execute("COMMIT")

    took = seconds(put)
    connection.close()
    return BATCH / took


def cell(figure: Figure, found: dict[str, float], first: dict[str, float]) -> str:
    """Write one cell."""
    value = found[figure.head]
    ratio = f" ({value / first[figure.head]:.2f})" if figure.ratio else ""
    return f"{value:,.{figure.digits}f}{ratio}"


def fill(ledger: Ledger, start: int, stop: int) -> None:
    """Bring the ledger to a size: a tenth of it worked off, the rest a backlog that nobody has got to."""
    for number in range(start, stop, BATCH):
        some = range(number, min(number + BATCH, stop))
        ledger.queue.put(file(one) for one in some if one % 10 == 0)
        work(ledger, 16, len(some) // 160)
        ledger.queue.put(file(one, backlog=True) for one in some)


def measure(directory: Path, ledger: Ledger, size: int, count: int) -> dict[str, float]:
    """Measure at the present size, which is the same afterwards."""
    rounds = [once(directory, ledger, size) for _ in range(count)]
    return {head: statistics.median(one[head] for one in rounds) for head in rounds[0]}


def once(directory: Path, ledger: Ledger, size: int) -> dict[str, float]:
    """Measure everything once."""
    found: dict[str, float] = {}
    new = [file(size + number) for number in range(BATCH)]
    busy = time.process_time()
    found["put/s"] = BATCH / seconds(lambda: ledger.queue.put(new))
    found["CPU µs/put"] = (time.process_time() - busy) / BATCH * 1e6
    busy = time.process_time()
    for threads, jobs in WORK.items():
        head = f"jobs/s, {threads} threads" if threads > 1 else "jobs/s, 1 thread"
        found[head] = threads * jobs / seconds(lambda threads=threads, jobs=jobs: work(ledger, threads, jobs))  # type: ignore[misc] # a loop's arguments
    found["CPU µs/job"] = (time.process_time() - busy) / sum(threads * jobs for threads, jobs in WORK.items()) * 1e6
    for one in new:
        ledger.queue.forget(one.path)
    # The worst order for an index by path: each file in a folder of its own, anywhere between the known ones.
    anywhere = [
        FoundRecording(ROOT, ROOT + b"/%05d-%d/x.wav" % (n * 7919 % (size // 100 + 1), n), Fingerprint(n, n))
        for n in range(BATCH)
    ]
    found["put/s, anywhere"] = BATCH / seconds(lambda: ledger.queue.put(anywhere))
    for one in anywhere:
        ledger.queue.forget(one.path)
    found["known/s"] = size / seconds(lambda: sum(1 for _ in ledger.history.known(ROOT)))
    found["look, ms"] = seconds(lambda: look(directory)) * 1e3
    found["MB"] = ledger.history.size() / 1e6
    found["flush, ms"] = statistics.median(flush(directory) for _ in range(50)) * 1e3
    return found


def file(number: int, *, backlog: bool = False) -> FoundRecording:
    """Make a file as a scan finds it: a hundred to a folder."""
    path = ROOT + b"/%05d/interview-%07d.wav" % (number // 100, number)
    fingerprint = Fingerprint(50_000_000 + number, 1_700_000_000_000_000_000 + number, number + 1)
    return FoundRecording(ROOT, path, fingerprint, backlog=backlog, small=number % 2 == 0)


def work(ledger: Ledger, threads: int, jobs: int) -> None:
    """Claim and conclude, so many jobs in each thread."""

    def run() -> None:
        for _ in range(jobs):
            job = ledger.queue.claim("worker", lease=30)
            assert job is not None
            ledger.queue.done(job, outcome(job))

    workers = [threading.Thread(target=run, name=f"worker-{number}") for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def outcome(job: Job) -> Outcome:
    """Make an outcome of the usual length."""
    outputs = tuple(Output(kind, job.path[:-3] + kind.encode(), DIGEST) for kind in ("srt", "txt"))
    return Outcome(outputs=outputs, content=DIGEST, language="en", audio_seconds=61.5, paid_seconds=60.0, pieces=1)


def look(directory: Path) -> None:
    """Do what `watcher status` does."""
    looker = open_ledger(directory, exclusive=False)
    looker.history.counts()
    looker.history.records(*State)
    looker.history.tally()
    looker.close()


def flush(directory: Path) -> float:
    """Give the seconds that one flush of a few written pages takes on this disk."""
    descriptor = os.open(directory / "flush", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, bytes(16_384))
        return seconds(lambda: os.fdatasync(descriptor))
    finally:
        os.close(descriptor)


def seconds(call: Callable[[], object]) -> float:
    """Say how long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
