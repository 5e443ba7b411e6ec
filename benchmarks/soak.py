"""A long day: tens of thousands of small files at the pace the server allows, and what the daemon holds meanwhile.

    python -m benchmarks.soak [--files N] [--minutes M] [--quick]

Files arrive, a folder after the other, as fast as a server that takes 8 at a time gets through them in M minutes. Sampled all
the time: resident memory, descriptors, threads, CPU and the size of the state. At the end every file must have been asked
for exactly once and have its outputs, and nothing else may lie in the folders. Exits 1 when descriptors or threads grew, or
memory by more than the table of known files takes.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import Row, write
from benchmarks.small import PLACES, cpu, recording, watcher
from benchmarks.upstream import upstream

#: Files that wait to be asked for, at most; and files in each folder.
WAITING: Final = 64
FOLDER: Final = 500
#: What may be added to memory by each known file: an entry in the table of fingerprints, its share of SQLite's cache and
#: of the allocator's slack; and by whatever else, in MB.
BYTES_PER_FILE: Final = 200
SLACK_MB: Final = 8.0
_PATIENCE: Final = 300.0
_SHOWN: Final = 12


@dataclass(frozen=True)
class Sample:
    """A moment of the daemon."""

    seconds: float
    files: int
    memory_mb: float
    descriptors: int
    threads: int
    cpu_seconds: float
    state_mb: float


def soak(files: int, minutes: float, *, every: float) -> list[Sample]:
    """Feed the daemon; give the samples, the first one before any file."""
    seconds = minutes * 60 * PLACES / files
    with tempfile.TemporaryDirectory(prefix="bench-soak-") as made:
        base = Path(made)
        folder, outside, state = base / "in", base / "outside", base / "state"
        folder.mkdir()
        outside.mkdir()
        with upstream(base, seconds=seconds) as server, watcher(folder, state, server) as pid:
            began = time.monotonic()
            samples = [sample(pid, state, 0, 0.0)]
            fed, moved = 0, began
            while (done := len(server.requests())) < files:
                now = time.monotonic()
                if done + fed == 0 or done > samples[-1].files:
                    moved = now
                assert now - moved < _PATIENCE, f"it stands still at {done} of {files}"
                while fed < files and fed - done < WAITING:
                    feed(folder, outside, fed)
                    fed += 1
                if now - began >= len(samples) * every:
                    samples.append(sample(pid, state, done, now - began))
                time.sleep(0.05)
            settled(folder, files)
            samples.append(sample(pid, state, files, time.monotonic() - began))
        assert sorted(heard.number for heard in server.requests()) == list(range(files)), "lost or doubled files"
        check(folder, files)
    return samples


def feed(folder: Path, outside: Path, number: int) -> None:
    """Let a file arrive as most do: by a rename, or written in place."""
    target = folder / f"{number // FOLDER:04}" / f"{number:06}.wav"
    target.parent.mkdir(exist_ok=True)
    if number % 2:
        recording(target, number)
    else:
        recording(outside / target.name, number)
        (outside / target.name).rename(target)


def sample(pid: int, state: Path, files: int, seconds: float) -> Sample:
    """Look at the daemon from outside."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    size = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
    return Sample(
        seconds=seconds,
        files=files,
        memory_mb=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        cpu_seconds=cpu(pid),
        state_mb=size / 1e6,
    )


def settled(folder: Path, files: int) -> None:
    """Wait until the last answers are outputs."""
    deadline = time.monotonic() + _PATIENCE
    while sum(1 for _ in folder.glob("*/*.srt")) < files:
        assert time.monotonic() < deadline, "outputs are missing"
        time.sleep(0.2)


def check(folder: Path, files: int) -> None:
    """Hold the folders against what should be there."""
    there = {path.name for path in folder.glob("*/*")}
    wanted = {f"{number:06}.{suffix}" for number in range(files) for suffix in ("wav", "srt", "txt")}
    assert there == wanted, f"missing {len(wanted - there)}, too many {sorted(there - wanted)[:5]}"
    assert all(path.stat().st_size for path in folder.glob("*/*.srt")), "an output is empty"


def rows(samples: Sequence[Sample]) -> list[Row]:
    """Judge: the second half of the run against its first quarter's end, when everything was met once."""
    first = samples[max(1, len(samples) // 4)]
    late = samples[len(samples) // 2 :]
    files = samples[-1].files - first.files
    growth = statistics.median(one.memory_mb for one in late[-3:]) - first.memory_mb
    allowed = SLACK_MB + files * BYTES_PER_FILE / 1e6
    fds, threads = (
        max(getattr(one, name) for one in late) - getattr(first, name) for name in ("descriptors", "threads")
    )
    pace = samples[-1].files / samples[-1].seconds
    spent = 1000 * (samples[-1].cpu_seconds - samples[0].cpu_seconds) / samples[-1].files
    grown = 1000 * (samples[-1].state_mb - first.state_mb) / max(files, 1)
    hours = f"{samples[-1].files:,} files, {samples[-1].seconds / 60:.0f} min"
    return [
        Row(f"soak, {hours}: memory growth", f"<= {allowed:.0f} MB", growth, "MB", met=growth <= allowed),
        Row(
            "soak: peak resident memory",
            "",
            max(one.memory_mb for one in samples),
            "MB",
        ),
        # What is in flight has descriptors and connections of its own, and differs from moment to moment.
        Row("soak: more descriptors than after a quarter", f"<= {4 * PLACES}", fds, "", met=fds <= 4 * PLACES),
        Row("soak: more threads than after a quarter", "<= 0", threads, "", met=threads <= 0),
        Row("soak: files a second", "", pace, "/s"),
        Row("soak: CPU per file", "<= 15 ms", spent, "ms", met=spent <= 15),
        Row("soak: state per file", "", grown, "kB"),
    ]


def table(samples: Sequence[Sample]) -> str:
    """Show a dozen of the samples."""
    lines = [
        "| minute | files | memory, MB | descriptors | threads | CPU ms per file | state, MB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    shown = sorted({round(number * (len(samples) - 1) / _SHOWN) for number in range(_SHOWN + 1)})
    for number in shown:
        one = samples[number]
        spent = 1000 * (one.cpu_seconds - samples[0].cpu_seconds) / one.files if one.files else 0.0
        lines.append(
            f"| {one.seconds / 60:.1f} | {one.files} | {one.memory_mb:.1f} | {one.descriptors} | {one.threads} "
            f"| {spent:.1f} | {one.state_mb:.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--quick", action="store_true", help="1,600 files in 40 s")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    files = given.files or (1_600 if given.quick else 50_000)
    minutes = given.minutes or (40 / 60 if given.quick else 60.0)
    samples = soak(files, minutes, every=max(1.0, minutes * 60 / 120))
    judged = rows(samples)
    print(table(samples), "", *(str(row) for row in judged), sep="\n")
    if given.json:
        write(given.json, judged, {"samples": [asdict(one) for one in samples]})
    return 0 if all(row.met is not False for row in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
