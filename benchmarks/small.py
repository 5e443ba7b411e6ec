"""Small files: a thousand at once, and one at a time, beside what people use instead.

    python -m benchmarks.small [--files N] [--singles N] [--rounds R]

The server, a process of its own, takes 0.2 s for each of 8 at a time. The others: inotifywait with xargs -P8 and curl; and a
script with watchdog, a pool of 8 threads and OpenAI's client, which waits until a file's size has not changed for 2 s
(fewer files: its share of the ideal does not depend on their number). The limit is a program that knows all files and has
its requests ready: 8 kept connections, nothing read, nothing written. Rounds are interleaved, figures are medians. Every
file must have been asked for exactly once and have its output. Exits 1 when a target is missed.
"""

import argparse
import importlib.util
import os
import shlex
import shutil
import signal
import socket
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
from queue import Empty, SimpleQueue
from typing import Final
from urllib.parse import urlsplit

from benchmarks.report import Row, write
from benchmarks.upstream import Upstream, upstream

#: Requests in flight, and the server's time for each.
PLACES: Final = 8
SERVER_SECONDS: Final = 0.2
#: Targets: wall time in times of the ideal, and CPU per file.
WALL: Final = 1.05
CPU_MS: Final = 15.0
_ROOT: Final = Path(__file__).parent.parent
_PATIENCE: Final = 300.0
_HALF_SECOND: Final = 16_000


@dataclass(frozen=True)
class Round:
    """What one contender did; `delays`: milliseconds from close to the first byte at the server."""

    contender: str
    files: int
    wall: float
    ideal: float
    cpu_ms_per_file: float
    delays: list[float]


def recording(path: Path, number: int) -> None:
    """Write half a second of sound that bears its number."""
    mark = f"<<bench:{number}>>".encode()
    mark += b" " * (len(mark) % 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(mark + os.urandom(_HALF_SECOND - len(mark)))


# The contenders. Each yields the process group that it runs in, once it watches.


@contextmanager
def watcher(folder: Path, state: Path, server: Upstream) -> Iterator[int]:
    """Run the daemon."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "watcher", "run", str(folder), "--config", os.devnull),
            *("--set", f"api.url={server.url}", "--set", f"api.concurrency={PLACES}"),
            *("--set", f"state.dir={state}", "--set", f"state.workers={PLACES}", "--set", "log.format=json"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        process_group=0,
    )
    assert process.stderr is not None
    stream = process.stderr
    assert any("service.ready" in line for line in stream), "the daemon ended before it was ready"
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
def shell(folder: Path, _state: Path, server: Upstream) -> Iterator[int]:
    """Run inotifywait, xargs and curl."""
    form = '-F file=@"$1" -F model=whisper-1 -F response_format=srt'
    curl = f'curl -s {form} -o "${{1%.wav}}.srt" {server.url}/audio/transcriptions'
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


@contextmanager
def script(folder: Path, _state: Path, server: Upstream) -> Iterator[int]:
    """Run the script that people write with watchdog and OpenAI's client."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(folder), server.url, str(PLACES)],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


_SCRIPT: Final = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from openai import OpenAI
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

folder, url, places = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = OpenAI(api_key="none", base_url=url)
pool = ThreadPoolExecutor(places)

def transcribe(path):
    size = -1
    while size != (size := path.stat().st_size):
        time.sleep(2)
    with path.open("rb") as audio:
        text = client.audio.transcriptions.create(model="whisper-1", file=audio, response_format="srt")
    path.with_suffix(".srt").write_text(str(text))

class Handler(FileSystemEventHandler):
    def on_created(self, event):
        if event.src_path.endswith(".wav"):
            pool.submit(transcribe, Path(event.src_path))

    def on_moved(self, event):
        if event.dest_path.endswith(".wav"):
            pool.submit(transcribe, Path(event.dest_path))

observer = Observer()
observer.schedule(Handler(), folder, recursive=True)
observer.start()
print("ready", flush=True)
observer.join()
"""

Contender = Callable[[Path, Path, Upstream], AbstractContextManager[int]]
WATCHER: Final = "Watcher"
SHELL: Final = "inotifywait + xargs -P8 curl"
SCRIPT: Final = "watchdog + 2 s + openai"
LIMIT: Final = "server alone"


def contenders() -> dict[str, Contender]:
    """Give those that can run here, by name."""
    found: dict[str, Contender] = {WATCHER: watcher}
    if shutil.which("inotifywait") and shutil.which("curl"):
        found[SHELL] = shell
    else:
        print(f"without {SHELL}: inotifywait and curl are not installed")
    if importlib.util.find_spec("openai"):
        found[SCRIPT] = script
    else:
        print(f"without {SCRIPT}: pip install openai")
    return found


def measure(name: str, contender: Contender, files: int, singles: int) -> Round:
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
        with contender(folder, base / "state", server) as group:
            before = cpu(group)
            began = time.monotonic_ns()
            for number in range(files):
                (outside / f"{number:05}.wav").rename(folder / f"{number:05}.wav")
            until(lambda: len(server.requests()) >= files)
            until(lambda: sum(1 for _ in folder.glob("*.srt")) >= files)
            wall = (max(heard.answered for heard in server.requests()) - began) / 1e9
            used = cpu(group) - before
            delays = list(one_by_one(folder, outside, server, range(files, files + singles)))
            until(lambda: sum(1 for _ in folder.glob("*.srt")) >= files + singles)
        numbers = sorted(heard.number for heard in server.requests())
        assert numbers == list(range(files + singles)), f"{name}: lost or doubled files"
        assert all(path.stat().st_size for path in folder.glob("*.srt")), f"{name}: an empty output"
    return Round(name, files, wall, files * SERVER_SECONDS / PLACES, 1000 * used / files, delays)


def one_by_one(folder: Path, outside: Path, server: Upstream, numbers: range) -> Iterator[float]:
    """Write files one after the other; give the milliseconds from close to the first byte at the server."""
    for number in numbers:
        body = (outside / f"{number:05}.wav").read_bytes()
        with (folder / f"{number:05}.wav").open("wb") as file:
            file.write(body)
        closed = time.monotonic_ns()
        until(lambda wanted=number: any(heard.number == wanted for heard in server.requests()[-3:]))  # type: ignore[misc] # a lambda's default
        yield next((heard.first_byte - closed) / 1e6 for heard in server.requests()[-3:] if heard.number == number)


def bare(files: int, singles: int) -> Round:
    """Post requests that are ready over connections that are kept: what no program can be faster than."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-small-") as made,
        upstream(Path(made), seconds=SERVER_SECONDS) as server,
    ):
        recording(Path(made) / "a.wav", 0)
        sound = (Path(made) / "a.wav").read_bytes()
        work: SimpleQueue[int] = SimpleQueue()
        for number in range(files):
            work.put(number)
        address = urlsplit(server.url)
        assert address.hostname is not None
        assert address.port is not None
        place = (address.hostname, address.port)

        def post(connection: socket.socket, number: int) -> None:
            body = sound.replace(b"<<bench:0>>", f"<<bench:{number}>>".encode(), 1)
            connection.sendall(b"POST /v1 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            connection.recv(65536)

        def run() -> None:
            with socket.create_connection(place) as connection:
                while True:
                    try:
                        post(connection, work.get_nowait())
                    except Empty:
                        return

        threads = [threading.Thread(target=run) for _ in range(PLACES)]
        used, began = time.process_time(), time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall, used = time.monotonic() - began, time.process_time() - used
        delays = []
        with socket.create_connection(place) as connection:
            for number in range(files, files + singles):
                sent = time.monotonic_ns()
                post(connection, number)
                until(lambda: len(server.requests()) > number)  # noqa: B023 - called at once
                delays.append((server.requests()[-1].first_byte - sent) / 1e6)
    return Round(LIMIT, files, wall, files * SERVER_SECONDS / PLACES, 1000 * used / files, delays)


def cpu(group: int) -> float:
    """Give the CPU seconds of all processes of a group, and of those that ended."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


def medians(rounds: list[Round]) -> dict[str, dict[str, float]]:
    """Give each contender's medians; the delays of all its rounds are taken together."""
    found = {}
    for name in dict.fromkeys(one.contender for one in rounds):
        own = [one for one in rounds if one.contender == name]
        delays = sorted(delay for one in own for delay in one.delays)
        found[name] = {
            "files": own[0].files,
            "wall": statistics.median(one.wall / one.ideal for one in own),
            "cpu": statistics.median(one.cpu_ms_per_file for one in own),
            "p50": statistics.median(delays),
            "p99": delays[min(len(delays) - 1, len(delays) * 99 // 100)],
        }
    return found


def rows(figures: dict[str, dict[str, float]]) -> list[Row]:
    """Hold Watcher's figures against the targets and the others."""
    ours = figures[WATCHER]

    def row(what: str, key: str, unit: str, target: str = "", *, met: bool | None = None) -> Row:
        beside = {name: found[key] for name, found in figures.items() if name not in {WATCHER, LIMIT}}
        return Row(what, target, ours[key], unit, beside, {LIMIT: figures[LIMIT][key]}, met=met)

    theirs = figures.get(SHELL, {"wall": float("inf"), "p50": float("inf")})
    wall = ours["wall"] <= min(WALL, theirs["wall"])
    return [
        row(
            f"{ours['files']:,.0f} small files at once: wall / (files x {SERVER_SECONDS} s / {PLACES})",
            "wall",
            "",
            f"<= {WALL}, <= {SHELL}",
            met=wall,
        ),
        row("CPU per small file", "cpu", "ms", f"<= {CPU_MS:g} ms", met=ours["cpu"] <= CPU_MS),
        row("close -> first byte at the server, p50", "p50", "ms", f"<= {SHELL}", met=ours["p50"] <= theirs["p50"]),
        row("close -> first byte at the server, p99", "p99", "ms"),
    ]


def table(figures: dict[str, dict[str, float]]) -> str:
    """Give the medians of each contender as Markdown."""
    lines = [
        "| contender | files | wall / ideal | CPU per file, ms | close -> first byte p50, ms | p99, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {one['files']:.0f} | {one['wall']:.3f} | {one['cpu']:.1f} | {one['p50']:.1f} | {one['p99']:.1f} |"
        for name, one in figures.items()
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the rounds, contenders taking turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    there = contenders()
    rounds = []
    for _ in range(given.rounds):
        for name, contender in there.items():
            slow = name == SCRIPT
            files, singles = (min(given.files, 6 * PLACES), 3) if slow else (given.files, given.singles)
            rounds.append(measure(name, contender, files, singles))
        rounds.append(bare(given.files, given.singles))
    figures = medians(rounds)
    judged = rows(figures)
    print(table(figures), "", *map(str, judged), sep="\n")
    if given.json:
        write(given.json, judged, {"rounds": [asdict(one) for one in rounds]})
    return 0 if all(row.met is not False for row in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
