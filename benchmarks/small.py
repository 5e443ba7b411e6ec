"""Small files: a thousand at once, and one at a time, beside what people script with inotifywait and curl.

Prints, for each round's median: wall time for a burst against the ideal (files x server time / requests in flight), CPU
per file of the daemon, and close -> first byte at the server. Every file must have been asked for exactly once.
"""

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.upstream import Upstream, upstream

#: Requests in flight, and the server's time for each.
PLACES: Final = 8
SERVER_SECONDS: Final = 0.2
_PATIENCE: Final = 300.0


@dataclass(frozen=True)
class Round:
    """What one contender did."""

    contender: str
    files: int
    wall: float
    ideal: float
    cpu_ms_per_file: float
    p50_ms: float
    p99_ms: float


def recording(path: Path, number: int) -> None:
    """Write half a second of sound that bears its number."""
    mark = f"<<bench:{number}>>".encode()
    frames = (
        (mark + os.urandom(16_000 - len(mark) - len(mark) % 2))
        if len(mark) % 2 == 0
        else mark + b" " + os.urandom(16_000 - len(mark) - 1)
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(frames[: len(frames) // 2 * 2])


@contextmanager
def watcher(folder: Path, state: Path, server: Upstream) -> Iterator[int]:
    """Run the daemon; yield its process id once it is ready."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "watcher", "run", str(folder), "--config", os.devnull),
            *("--set", f"api.url={server.url}", "--set", f"api.concurrency={PLACES}"),
            *("--set", f"state.dir={state}", "--set", f"state.workers={PLACES}", "--set", "log.format=json"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stderr is not None
    stream = process.stderr
    for line in stream:
        if "service.ready" in line:
            break
    # Whoever does not read its log would block it.
    reader = threading.Thread(target=lambda: [None for _ in stream])
    reader.start()
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        reader.join()
        stream.close()


@contextmanager
def script(folder: Path, _state: Path, server: Upstream) -> Iterator[int]:
    """Run what people write: inotifywait, xargs -P8, curl; yield the shell's process id once it watches."""
    curl = f'curl -s -F file=@"$1" -F model=whisper-1 -F response_format=srt -o "${{1%.wav}}.srt" {server.url}/audio/transcriptions'
    line = (
        f"inotifywait -m -q -e close_write,moved_to --format '%w%f' --include '\\.wav$' {shlex.quote(str(folder))} "
        f"| xargs -P {PLACES} -n 1 -d '\\n' sh -c {shlex.quote(curl)} _"
    )
    process = subprocess.Popen(["bash", "-c", line], process_group=0)
    time.sleep(1.0)  # inotifywait -q says nothing once it watches
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


Contender = Callable[[Path, Path, Upstream], AbstractContextManager[int]]
CONTENDERS: Final[dict[str, Contender]] = {"watcher": watcher, "inotifywait + xargs -P8 curl": script}


def measure(name: str, files: int, singles: int) -> Round:
    """Let one contender do a burst, then single files."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-small-") as made,
        upstream(Path(made), seconds=SERVER_SECONDS) as server,
    ):
        base = Path(made)
        folder, outside = base / "in", base / "outside"
        folder.mkdir()
        outside.mkdir()
        for number in range(files + singles):
            recording(outside / f"{number:05}.wav", number)
        with CONTENDERS[name](folder, base / "state", server) as pid:
            before = cpu(pid)
            began = time.monotonic_ns()
            for number in range(files):
                (outside / f"{number:05}.wav").rename(folder / f"{number:05}.wav")
            until(lambda: len(server.requests()) >= files)
            until(lambda: sum(1 for _ in folder.glob("*.srt")) >= files)
            wall = (max(heard.answered for heard in server.requests()) - began) / 1e9
            used = cpu(pid) - before
            delays = list(one_by_one(folder, outside, server, range(files, files + singles)))
        numbers = sorted(heard.number for heard in server.requests())
        assert numbers == list(range(files + singles)), f"{name}: lost or doubled files"
    delays.sort()
    return Round(
        name,
        files,
        wall,
        files * SERVER_SECONDS / PLACES,
        1000 * used / files,
        statistics.median(delays),
        delays[int(len(delays) * 0.99) - 1],
    )


def one_by_one(folder: Path, outside: Path, server: Upstream, numbers: range) -> Iterator[float]:
    """Write files one after the other; give the milliseconds from close to the first byte at the server."""
    for number in numbers:
        body = (outside / f"{number:05}.wav").read_bytes()
        with (folder / f"{number:05}.wav").open("wb") as file:
            file.write(body)
        closed = time.monotonic_ns()
        until(lambda wanted=number: any(heard.number == wanted for heard in server.requests()[-3:]))  # type: ignore[misc] # a lambda's default
        yield next((heard.first_byte - closed) / 1e6 for heard in server.requests() if heard.number == number)


def cpu(pid: int) -> float:
    """Give the CPU seconds of a process and its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.005)


def table(rounds: list[Round]) -> str:
    """Give the medians of each contender as Markdown."""
    lines = [
        "| contender | files | wall / ideal | CPU per file, ms | close -> first byte p50, ms | p99, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in CONTENDERS:
        own = [found for found in rounds if found.contender == name]
        if own:
            ratio = statistics.median(found.wall / found.ideal for found in own)
            cells = [
                statistics.median(getattr(found, key) for found in own)
                for key in ("cpu_ms_per_file", "p50_ms", "p99_ms")
            ]
            lines.append(
                f"| {name} | {own[0].files} | {ratio:.3f} | {cells[0]:.1f} | {cells[1]:.1f} | {cells[2]:.1f} |"
            )
    return "\n".join(lines)


def main() -> int:
    """Run the rounds, contenders taking turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    rounds = [measure(name, given.files, given.singles) for _ in range(given.rounds) for name in CONTENDERS]
    print(table(rounds))
    if given.json:
        given.json.write_text(json.dumps([asdict(found) for found in rounds], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
