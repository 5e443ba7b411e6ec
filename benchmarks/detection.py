"""Measure how long after its last close or rename a file is queued, and that it is never lost or taken half.

    python benchmarks/detection.py [--scale 1.0] [--only WRITER …] [--directory DIR]

Each writer is a process of its own that notes the monotonic time at which its last `close`, `rename` or `link` returned.
The detector is the real one with the real ledger, in a process of its own; a file counts when its `file.queued` is
logged, which is after it is durable. Beside it, on the same writers in the same run: `inotifywait -m -r -e
close_write,moved_to`, which takes a file at its first event. "half" counts files taken at another size than their last.
Exits 1 when the detector lost or halved a file.
"""

import argparse
import json
import mmap
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Seconds the last file of a writer gets to be found, and inotifywait to go quiet.
PATIENCE = 30.0
QUIET = 1.5


def wave(payload: int, *, claimed: int | None = None) -> bytes:
    """Give a WAV of so many bytes of sound; its header may claim another number."""
    size = payload if claimed is None else claimed
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
    return header + b"\x01\x02" * (payload // 2)


# The writers: each yields the path of a finished file the moment it is finished.

Writer = Callable[[Path, Path, int], Iterator[Path]]


def plain(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Write and close."""
    for number in range(count):
        path = root / f"plain{number}.wav"
        path.write_bytes(wave(20_000))
        yield path
        time.sleep(0.01)


def moved_in(root: Path, outside: Path, count: int) -> Iterator[Path]:
    """Write elsewhere and rename."""
    for number in range(count):
        (outside / "x.wav").write_bytes(wave(20_000))
        path = root / f"moved{number}.wav"
        (outside / "x.wav").rename(path)
        yield path
        time.sleep(0.01)


def renamed(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Write under a dot name and rename."""
    for number in range(count):
        path = root / f"renamed{number}.wav"
        temporary = root / f".renamed{number}.wav.part"
        temporary.write_bytes(wave(20_000))
        temporary.rename(path)
        yield path
        time.sleep(0.01)


def linked(root: Path, outside: Path, count: int) -> Iterator[Path]:
    """Write elsewhere and link."""
    for number in range(count):
        (outside / "x.wav").unlink(missing_ok=True)
        (outside / "x.wav").write_bytes(wave(20_000))
        path = root / f"linked{number}.wav"
        path.hardlink_to(outside / "x.wav")
        yield path
        time.sleep(0.01)


def nested(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Make three directories and write at once."""
    for number in range(count):
        path = root / f"n{number}" / "m" / "o" / "deep.wav"
        path.parent.mkdir(parents=True)
        path.write_bytes(wave(20_000))
        yield path
        time.sleep(0.01)


def tree_moved_in(root: Path, outside: Path, count: int) -> Iterator[Path]:
    """Fill a directory elsewhere and rename it."""
    for number in range(count):
        (outside / "d").mkdir()
        (outside / "d" / "in.wav").write_bytes(wave(20_000))
        (outside / "d").rename(root / f"tree{number}")
        yield root / f"tree{number}" / "in.wav"
        time.sleep(0.01)


def slow(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Write a final header first, then the sound with pauses."""
    for number in range(max(1, count // 30)):
        path = root / f"slow{number}.wav"
        sound = wave(40_000)
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(sound), 10_000):
                file.write(sound[at : at + 10_000])
                time.sleep(0.2)
        yield path


def recorder(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Rewrite a valid header at every flush, as audio workstations do."""
    for number in range(max(1, count // 30)):
        path = root / f"recorder{number}.wav"
        with path.open("wb", buffering=0) as file:
            for flushed in range(1, 5):
                file.seek(0)
                file.write(wave(10_000 * flushed))
                time.sleep(0.2)
        yield path


def appender(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Open, append and close for every chunk; the header counts the whole from the start."""
    for number in range(max(1, count // 30)):
        path = root / f"append{number}.wav"
        sound = wave(40_000)
        for at in range(0, len(sound), 10_000):
            with path.open("ab", buffering=0) as file:
                file.write(sound[at : at + 10_000])
            if at + 10_000 < len(sound):
                time.sleep(0.2)
        yield path


def mapped(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Set the size, map, close the descriptor, fill the map, unmap."""
    for number in range(max(1, count // 10)):
        path = root / f"mapped{number}.wav"
        sound = wave(40_000)
        with path.open("w+b") as file:
            file.truncate(len(sound))
            memory = mmap.mmap(file.fileno(), len(sound))
        for at in range(0, len(sound), 10_000):
            memory[at : at + 10_000] = sound[at : at + 10_000]
            time.sleep(0.02)
        memory.close()
        yield path


def preallocated(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Reserve the space, write the header, close; open again and fill."""
    for number in range(max(1, count // 30)):
        path = root / f"preallocated{number}.wav"
        sound = wave(400_000)
        with path.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, len(sound))
            file.write(sound[:4096])
        time.sleep(0.1)
        with path.open("r+b", buffering=0) as file:
            file.seek(4096)
            file.write(sound[4096:])
        yield path


def killed_and_redone(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Cut a copy half-way, and do it again half a second later."""
    for number in range(max(1, count // 30)):
        path = root / f"redone{number}.wav"
        sound = wave(40_000)
        path.write_bytes(sound[:20_000])
        time.sleep(0.5)
        path.write_bytes(sound)
        yield path


def rsync(root: Path, outside: Path, count: int, *options: str) -> Iterator[Path]:
    """Copy with rsync: a dot name and a rename."""
    for number in range(max(1, count // 15)):
        name = f"rsync{number}{''.join(options)}.wav"
        (outside / name).write_bytes(wave(200_000))
        subprocess.run(["rsync", *options, str(outside / name), f"{root}/"], check=True)
        yield root / name


def rsync_inplace(root: Path, outside: Path, count: int) -> Iterator[Path]:
    """Copy with rsync into the final name."""
    yield from rsync(root, outside, count, "--inplace")


def copied_trees(root: Path, outside: Path, count: int) -> Iterator[Path]:
    """Copy nested trees with cp -r; all files of a tree count from the end of cp."""
    for number in range(max(1, count // 30)):
        source = outside / f"tree{number}"
        for directory in ("a", "a/b", "a/b/c", "d"):
            (source / directory).mkdir(parents=True)
            for take in range(5):
                (source / directory / f"take{take}.wav").write_bytes(wave(20_000))
        subprocess.run(["cp", "-r", str(source), str(root / f"tree{number}")], check=True)
        yield from (root / f"tree{number}").rglob("*.wav")


def encoder(suffix: str) -> Writer:
    """Record two seconds live with ffmpeg."""

    def write(root: Path, _outside: Path, count: int) -> Iterator[Path]:
        for number in range(max(1, count // 100)):
            path = root / f"live{number}.{suffix}"
            source = ["-re", "-f", "lavfi", "-i", "sine=frequency=300:duration=2"]
            subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", *source, str(path)], check=True)
            yield path

    return write


def sox(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Write with sox."""
    for number in range(max(1, count // 15)):
        path = root / f"sox{number}.wav"
        subprocess.run(["sox", "-n", "-r", "16000", str(path), "synth", "2", "sine", "300"], check=True)
        yield path


def burst(root: Path, _outside: Path, count: int) -> Iterator[Path]:
    """Write many files into one directory without a pause."""
    sound = wave(2_000)
    for number in range(count * 5000 // 300):
        path = root / f"burst{number}.wav"
        path.write_bytes(sound)
        yield path


def burst_in_directories(*within: str) -> Writer:
    """Make a writer of many files, each into a new directory of its own and `within` it, without a pause."""

    def run(root: Path, _outside: Path, count: int) -> Iterator[Path]:
        sound = wave(2_000)
        for number in range(count * 5000 // 300):
            path = Path(root, f"burst{number}", *within, "take.wav")
            path.parent.mkdir(parents=True)
            path.write_bytes(sound)
            yield path

    return run


WRITERS: dict[str, Writer] = {
    "write and close": plain,
    "rename from outside": moved_in,
    "rename from a dot name": renamed,
    "hard link in": linked,
    "new nested directories": nested,
    "directory moved in": tree_moved_in,
    "slow, final header first": slow,
    "header rewritten at each flush": recorder,
    "open-append-close": appender,
    "mmap": mapped,
    "preallocated, then filled": preallocated,
    "killed half-way, redone": killed_and_redone,
    "rsync": rsync,
    "rsync --inplace": rsync_inplace,
    "cp -r": copied_trees,
    "sox": sox,
    "ffmpeg live wav": encoder("wav"),
    "ffmpeg live flac": encoder("flac"),
    "ffmpeg live m4a": encoder("m4a"),
    "ffmpeg live mka": encoder("mka"),
    "burst, one directory": burst,
    "burst, new directories": burst_in_directories(),
    "burst, new nested directories": burst_in_directories("a"),
}
TOOLS = {"rsync": "rsync", "rsync --inplace": "rsync", "sox": "sox"}


# The processes.


def write(name: str, root: str, outside: str, count: str) -> None:
    """Run a writer: a line with time and path per finished file."""
    lines = [f"{time.monotonic_ns()} {path}" for path in WRITERS[name](Path(root), Path(outside), int(count))]
    print("\n".join(lines))


def detect(root: str, state: str) -> None:
    """Run the detector: a line with time, size and path per file queued, until stdin ends."""
    import structlog  # noqa: PLC0415  only this process needs the package

    from watcher.folders import Finder, Folder  # noqa: PLC0415  likewise
    from watcher.ledger import open_ledger  # noqa: PLC0415  likewise

    def hear(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        if event["event"] == "file.queued":
            print(time.monotonic_ns(), event["bytes"], event["path"], flush=True)
        raise structlog.DropEvent

    structlog.configure(processors=[hear], cache_logger_on_first_use=True)
    ledger = open_ledger(Path(state))
    stop = threading.Event()
    finder = Finder([Folder("bench", root)], ledger, stop=stop)
    finder.start_watching()
    thread = threading.Thread(target=finder.run, name="finder")
    thread.start()
    finder.ready.wait()
    time.sleep(0.5)  # the proof that events arrive
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    thread.join()
    finder.close()
    ledger.close()


def listen(root: str) -> None:
    """Run inotifywait: a line with time, size and path per event, until stdin ends."""
    command = ["inotifywait", "-m", "-r", "-e", "close_write,moved_to", "--format", "%w%f", root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "established" not in process.stderr.readline():
            pass
        print("ready", flush=True)

        def end() -> None:
            sys.stdin.read()
            process.terminate()

        threading.Thread(target=end, name="end").start()
        for line in process.stdout:
            now = time.monotonic_ns()
            try:
                size = os.stat(line.rstrip("\n")).st_size  # noqa: PTH116  the way with the least delay
            except OSError:
                continue
            print(now, size, line.rstrip("\n"), flush=True)


@dataclass
class Row:
    """What one side did with one writer's files."""

    count: int
    lost: int
    half: int
    milliseconds: list[float]

    def __str__(self) -> str:
        """Lay out the columns."""
        if not self.milliseconds:
            return f"{self.lost:5} {self.half:5} {'-':>8} {'-':>8} {'-':>8}"
        ordered = sorted(self.milliseconds)
        p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        median = statistics.median(ordered)
        return f"{self.lost:5} {self.half:5} {median:8.2f} {p99:8.2f} {ordered[-1]:8.1f}"


def measure(name: str, count: int, base: Path, side: str) -> Row:
    """Run one writer against one side, in directories of their own."""
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        root, outside, state = (Path(scratch, part) for part in ("in", "outside", "state"))
        root.mkdir()
        outside.mkdir()
        arguments = ["detect", str(root), str(state)] if side == "detect" else ["listen", str(root)]
        with watching(arguments) as heard:
            writer = [sys.executable, __file__, "write", name, str(root), str(outside), str(count)]
            output = subprocess.run(writer, check=True, capture_output=True, text=True).stdout
            done = {path: int(at) for at, _, path in (line.partition(" ") for line in output.splitlines())}
            settle(done, heard, patient=side == "detect")
            first: dict[str, tuple[int, int]] = {}
            for at, size, path in list(heard):
                if side == "detect" or path not in first:
                    first[path] = (at, size)
            found = [path for path in done if path in first]
            half = [path for path in found if first[path][1] != Path(path).stat().st_size]
            late = [(first[path][0] - done[path]) / 1e6 for path in found if path not in half]
            return Row(len(done), len(done) - len(found), len(half), [max(0.0, delay) for delay in late])


@contextmanager
def watching(arguments: list[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Run a side; yield the list that its lines are added to."""
    heard: list[tuple[int, int, str]] = []
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = process.stdout
        assert lines.readline() == "ready\n"

        def read() -> None:
            for line in lines:
                at, size, path = line.rstrip("\n").split(" ", 2)
                heard.append((int(at), int(size), path))

        thread = threading.Thread(target=read, name="reader")
        thread.start()
        try:
            yield heard
        finally:
            process.stdin.close()
            thread.join()


def settle(done: dict[str, int], heard: list[tuple[int, int, str]], *, patient: bool) -> None:
    """Wait until every file was heard of; inotifywait is only waited for while it talks."""
    until = time.monotonic() + (PATIENCE if patient else QUIET)
    seen = len(heard)
    while not done.keys() <= {path for _, _, path in list(heard)} and time.monotonic() < until:
        time.sleep(0.1)
        if not patient and len(heard) > seen:
            seen, until = len(heard), time.monotonic() + QUIET
    time.sleep(0.3)


def main() -> int:
    """Run all writers and print the table."""
    parser = argparse.ArgumentParser(description="close or rename to file.queued, beside inotifywait")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of files (1: 300, and 5000 in bursts)")
    parser.add_argument("--only", nargs="*", default=list(WRITERS), help="writers to run")
    parser.add_argument("--directory", type=Path, help="where to write; default: the temporary directory")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    base = Path(options.directory or tempfile.gettempdir())
    count = max(30, int(300 * options.scale))
    rival = shutil.which("inotifywait") is not None
    print(f"{'':32} {'':6} {'watcher':^37}   {'inotifywait':^37}")
    columns = f"{'lost':>5} {'half':>5} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"
    print(f"{'writer':32} {'files':>6} {columns}   {columns}")
    failed = False
    figures: dict[str, dict[str, Row]] = {}
    for name in options.only:
        tool = "ffmpeg" if name.startswith("ffmpeg") else TOOLS.get(name)
        if tool is not None and shutil.which(tool) is None:
            print(f"{name:32} {tool} is not installed")
            continue
        ours = measure(name, count, base, "detect")
        theirs = measure(name, count, base, "listen") if rival else None
        failed = failed or bool(ours.lost or ours.half)
        figures[name] = {"watcher": ours} | ({"inotifywait": theirs} if theirs is not None else {})
        print(f"{name:32} {ours.count:6} {ours}   {theirs or ''}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": summary(figures), "writers": figures}, default=vars, indent=1))
    return int(failed)


#: Files that end, or come, with one event: nothing but the way from it to the queue is measured.
SINGLE = (
    "write and close",
    "rename from outside",
    "rename from a dot name",
    "hard link in",
    "new nested directories",
    "directory moved in",
)


def summary(figures: dict[str, dict[str, Row]]) -> list[dict[str, object]]:
    """Give what is held against the targets, as `benchmarks.report.Row` has it."""
    found = []
    single = [figures[name] for name in SINGLE if name in figures]
    for share, target in ((50, 3.0), (99, 50.0)):
        worst = {
            side: max((percentile(one[side].milliseconds, share) for one in single if side in one), default=0.0)
            for side in ("watcher", "inotifywait")
        }
        what = f"close or rename -> queued, worst of {len(SINGLE)} ways to arrive, p{share}"
        beside = {"inotifywait": worst["inotifywait"]}
        found.append(
            {
                "what": what,
                "target": f"<= {target:g} ms",
                "figure": worst["watcher"],
                "unit": "ms",
                "beside": beside,
                "met": worst["watcher"] <= target,
            }
        )
    for fault, what in (("lost", "lost"), ("half", "taken half")):
        counts = {
            side: sum(getattr(one[side], fault) for one in figures.values() if side in one)
            for side in ("watcher", "inotifywait")
        }
        files = sum(one["watcher"].count for one in figures.values())
        found.append(
            {
                "what": f"of {files:,} files by {len(figures)} kinds of writers: {what}",
                "target": "0",
                "figure": counts["watcher"],
                "unit": "",
                "beside": {"inotifywait": counts["inotifywait"]},
                "met": counts["watcher"] == 0,
            }
        )
    return found


def percentile(values: list[float], share: int) -> float:
    """Give the value that so many percent do not exceed; 0 where there is none: what is lost is counted elsewhere."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)] if ordered else 0.0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", name, root, outside, count]:
            write(name, root, outside, count)
        case ["detect", root, state]:
            detect(root, state)
        case ["listen", root]:
            listen(root)
        case _:
            sys.exit(main())
