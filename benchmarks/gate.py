"""The door under load: 1,000 small files against a server that takes 8 at a time, with and without faults.

    python benchmarks/gate.py [--files N] [--runs R]

The server (a process of its own) answers after 0.2 s, refuses whatever is beyond 8 in flight with 429, and in the runs
with faults turns 30 % of all requests into a 429, a 500, a 502 with a page, a reset, or an answer cut off half-way. Each
run says: wall time against the ideal (files x 0.2 s / 8), requests per file, 429s, and what the client's process cost.
Exits 1 when a target is missed: wall <= 1.05 x ideal without faults, <= 1.5 requests per file with them, every file done.

Then the daemon with two endpoints (`benchmarks.endpoints`): the places of both at once, and when the first one is killed.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, PriorityQueue
from typing import Final

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import endpoints
from benchmarks.report import Row, write
from watcher.client import Client, Endpoint, Request, Upload
from watcher.errors import AccountError, HeldError, PassingError, RemedyError
from watcher.gate import Gate, GateOptions

SECONDS: Final = 0.2
PLACES: Final = 8
ANSWER: Final = json.dumps(
    {"text": "Hello.", "language": "english", "segments": [{"start": 0, "end": 1, "text": "Hello."}]}
)


@dataclass(frozen=True)
class Scenario:
    """One set of circumstances, and what may not be exceeded (0: no target)."""

    name: str
    concurrency: int
    faults: float = 0.0
    #: A 429 asks everybody to wait for a second.
    retry_after: bool = False
    #: Wall time, in times of the ideal; requests per file.
    wall: float = 0.0
    calls: float = 0.0


SCENARIOS: Final = (
    Scenario("8 asked for, 8 taken", 8, wall=1.05, calls=1.0),
    Scenario("16 asked for, 8 taken", 16, wall=1.05, calls=1.1),
    Scenario("16, 8 taken, Retry-After: 1", 16, retry_after=True, calls=1.1),
    Scenario("8 asked for, 30 % faults", 8, faults=0.3, calls=1.5),
    Scenario("16 asked for, 30 % faults", 16, faults=0.3, calls=1.6),
)


def main() -> int:
    """Run all scenarios and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="scenarios whose name holds this, or endpoints")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"{'':28} {'wall':>8} {'x ideal':>8} {'calls/file':>11} {'429':>6} {'ms CPU/file':>12}  missed")
    rows: list[Row] = []
    for scenario in SCENARIOS:
        if options.only in scenario.name:
            runs = [measure(scenario, options.files, seed) for seed in range(options.runs)]
            rows += report(scenario, runs, options.files)
    rows.append(wrong_key(options.files))
    if not options.only or options.only == "endpoints":
        several = endpoints.measure(options.files, options.runs, min(200, options.files))
        print("\n".join(map(str, several)))
        rows += several
    if options.json:
        write(options.json, rows, {})
    return 1 if any(row.met is False for row in rows) else 0


@dataclass(frozen=True)
class Run:
    """What one run came to."""

    wall: float
    cpu: float
    done: int
    counts: Mapping[str, int]

    @property
    def calls(self) -> int:
        """All requests."""
        return sum(self.counts.values())


def report(scenario: Scenario, runs: list[Run], files: int) -> list[Row]:
    """Print the medians; give them held against the targets."""
    ideal = files * SECONDS / PLACES
    wall = statistics.median(run.wall for run in runs)
    calls = statistics.median(run.calls for run in runs) / files
    crowded = statistics.median(run.counts.get("429", 0) for run in runs)
    cpu = statistics.median(run.cpu for run in runs) / files * 1000
    done = min(run.done for run in runs)
    rows = [
        Row(f"gate, {scenario.name}: requests per file", f"<= {scenario.calls}", calls, "", met=calls <= scenario.calls)
    ]
    if scenario.wall:
        met = wall <= scenario.wall * ideal
        rows.append(Row(f"gate, {scenario.name}: wall / ideal", f"<= {scenario.wall}", wall / ideal, "", met=met))
    if done != files:
        rows.append(Row(f"gate, {scenario.name}: files done", f"{files}", done, "", met=False))
    missed = "; ".join(row.what.partition(": ")[2] for row in rows if not row.met) or "-"
    print(f"{scenario.name:28} {wall:7.2f}s {wall / ideal:8.3f} {calls:11.3f} {crowded:6.0f} {cpu:12.2f}  {missed}")
    return rows


def measure(scenario: Scenario, files: int, seed: int) -> Run:
    """Work off `files` with as many workers as may be in flight."""
    with server(scenario, seed=seed) as (url, counts), audio() as upload:
        memory, stop = Memory(), threading.Event()
        client = Client(Endpoint(url), memory=memory)
        gate = Gate(
            GateOptions(concurrency=scenario.concurrency),
            endpoint_name=client.endpoint.name,
            memory=memory,
            buy=lambda *_: 0.0,
            stop=stop,
        )
        backlog = Backlog(files, gate, lambda: client.ask(upload, Request()))
        began, cpu = time.monotonic(), time.process_time()
        threads = [threading.Thread(target=backlog.work, name=f"worker-{n}") for n in range(scenario.concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
        client.close()
        return Run(wall, cpu, len(backlog.done), counts())


class Backlog:
    """The queue, as the daemon's workers treat it: a passing failure goes back, due a little later."""

    def __init__(self, files: int, gate: Gate, ask: Callable[[], object]) -> None:
        """Queue all files."""
        self._files = files
        self._gate = gate
        self._ask = ask
        #: When it is due, which file it is, and how often it was tried.
        self._waiting: PriorityQueue[tuple[float, int, int]] = PriorityQueue()
        for number in range(files):
            self._waiting.put((0.0, number, 1))
        self.done: set[int] = set()

    def work(self) -> None:
        """Be a worker until every file is done, or has been tried ten times."""
        while len(self.done) < self._files:
            try:
                due, number, attempt = self._waiting.get(timeout=0.05)
            except Empty:
                continue
            if due > time.monotonic():
                self._waiting.put((due, number, attempt))
                time.sleep(0.01)
                continue
            self._try(number, attempt)

    def _try(self, number: int, attempt: int) -> None:
        try:
            self._gate.run(self._ask, seconds=1.0, small=True, path=b"%d" % number)
        except (PassingError, RemedyError):
            # A remedy is the same recording in another form; all files have the same bytes here.
            if attempt < 10:
                self._waiting.put((time.monotonic() + 2.0 ** (attempt - 1), number, attempt + 1))
        except HeldError:
            self._waiting.put((time.monotonic() + 0.1, number, attempt))
        else:
            self.done.add(number)


def wrong_key(files: int) -> Row:
    """Count the requests a wrong key costs while many files wait: one burst, then one for each probe."""
    with server(Scenario("wrong key", 4), status=401) as (url, counts), audio() as upload:
        memory, stop, probes = Memory(), threading.Event(), 5
        clock = Clock()
        client = Client(Endpoint(url), memory=memory)
        gate = Gate(
            GateOptions(concurrency=4),
            endpoint_name=client.endpoint.name,
            memory=memory,
            buy=lambda *_: 0.0,
            stop=stop,
            monotonic=clock,
            jitter=lambda: 0.0,
        )

        def ask(number: int) -> None:
            with contextlib.suppress(AccountError, HeldError):
                gate.run(lambda: client.ask(upload, Request()), seconds=1.0, small=True, path=b"%d" % number)

        for number in range(files):
            ask(number)
        first = counts()["401"]
        for _ in range(probes):
            clock.now += 1801.0
            for number in range(files):
                ask(number)
        client.close()
        each = (counts()["401"] - first) / probes
        print(f"{'wrong key, ' + str(files) + ' files':28} {first} at first, {each:g} for each probe")
        met = each == 1 and first <= 4
        return Row(f"gate, wrong key, {files} files: requests for each probe", "1, after 4 at first", each, "", met=met)


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


class Memory:
    """The ledger's memory, without a ledger."""

    def __init__(self) -> None:
        """Begin empty."""
        self._values: dict[str, dict[str, object]] = {}

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Keep."""
        del expires
        self._values[key] = dict(value)

    def remembered(self, key: str) -> dict[str, object] | None:
        """Give."""
        return self._values.get(key)

    def forget(self, key: str) -> None:
        """Drop."""
        self._values.pop(key, None)


@contextlib.contextmanager
def audio() -> Iterator[Upload]:
    """Make a file of the size of a few seconds of FLAC."""
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(60_000))
        file.flush()
        yield Upload(file.fileno(), 60_000, 1.0, "audio.flac", "audio/flac")


@contextlib.contextmanager
def server(scenario: Scenario, *, seed: int = 0, status: int = 200) -> Iterator[tuple[str, Callable[[], Counter[str]]]]:
    """Run the server in a process of its own; give its address, and a function that fetches its counts."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given = {"faults": scenario.faults, "retry_after": scenario.retry_after, "seed": seed, "status": status}
    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.flush()
    port = int(process.stdout.readline())

    def counts() -> Counter[str]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("counts\n")
        process.stdin.flush()
        return Counter(json.loads(process.stdout.readline()))

    try:
        yield f"http://127.0.0.1:{port}/v1", counts
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def serve() -> None:
    """Be the server: its circumstances come as the first line of stdin, and each further line asks for the counts."""
    given = json.loads(sys.stdin.readline())
    chance = random.Random(given["seed"])
    counts: Counter[str] = Counter()
    in_flight = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal in_flight
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                if in_flight >= PLACES:
                    await reader.readexactly(length)
                    await answer(writer, 429, "", counts, extra="Retry-After: 1\r\n" * given["retry_after"])
                    continue
                in_flight += 1
                try:
                    await reader.readexactly(length)
                    fault = chance.choice(FAULTS) if chance.random() < given["faults"] else ""
                    # A server is seldom slow to fail.
                    await asyncio.sleep(SECONDS if fault in {"", "truncated", "reset"} else 0.01)
                finally:
                    in_flight -= 1
                if fault in {"reset", "truncated"}:
                    counts[fault] += 1
                    if fault == "truncated":
                        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{ANSWER[:30]}".encode())
                        await writer.drain()
                    else:
                        writer.transport.abort()
                    break
                status = int(fault) if fault else given["status"]
                await answer(writer, status, ANSWER if status == 200 else "<html>oops</html>", counts)
        writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=256)
    print(listener.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(counts), flush=True)
    listener.close()


FAULTS: Final = ("429", "500", "502", "reset", "truncated")


async def answer(
    writer: asyncio.StreamWriter, status: int, body: str, counts: Counter[str], *, extra: str = ""
) -> None:
    """Write one whole answer."""
    counts[str(status)] += 1
    writer.write(f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()


if __name__ == "__main__":
    sys.exit(main())
