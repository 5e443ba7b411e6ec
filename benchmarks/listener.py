"""What the operator's listener costs: at rest, and while it is asked 200 times a second.

    python -m benchmarks.listener [--starts N] [--quiet S] [--rounds R] [--seconds S]

At rest: daemons with and without it, started in turns on the same folder; their memory, and their CPU over a quiet while. Asked: one
daemon with it; recordings of half a second, one at a time, from the close of the file until its transcript is there, with nobody
asking and with a process that asks for /metrics, /healthz, /status.json and / in turns, in alternating stretches of S seconds. The
server takes 0.2 s for an answer. Figures are medians. Exits 1 when a target is missed.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.idle import resident, rest
from benchmarks.report import Row, conclude, write
from benchmarks.small import recording, until
from benchmarks.upstream import Upstream, upstream

#: Targets: MB, percent of a core, and how much slower a file's way may be.
MEMORY: Final = 8.0
CORE: Final = 0.05
SLOWER: Final = 1.1
#: Requests a second, from so many connections.
ASKED: Final = 200
_CONNECTIONS: Final = 4
_PATHS: Final = ("/metrics", "/healthz", "/status.json", "/")
_SERVER_SECONDS: Final = 0.2
_ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True)
class Start:
    """A daemon at rest."""

    has_listener: bool
    mb: float
    core_percent: float


@dataclass(frozen=True)
class Stretch:
    """Files of one stretch: milliseconds from close to transcript; and how often the listener was asked a second."""

    asked_per_second: float
    ways: list[float]


@contextmanager
def daemon(base: Path, server: Upstream, *, has_listener: bool) -> Iterator[tuple[int, str]]:
    """Run the daemon on a folder; give its pid, and the address of its listener."""
    settings = [f"api.url={server.url}", f"state.dir={base / 'state'}", "log.format=json"]
    settings += ["http.listen=127.0.0.1:0"] if has_listener else []
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "watcher", "run", str(base / "in"), "--config", os.devnull),
            *(part for one in settings for part in ("--set", one)),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    assert process.stderr is not None
    stream, address = process.stderr, ""
    for line in stream:
        event = json.loads(line)
        address = event["address"] if event["event"] == "http.listening" else address
        if event["event"] == "service.ready":
            break
    reader = threading.Thread(target=lambda: [None for _ in stream])
    reader.start()
    try:
        yield process.pid, address.removeprefix("http://")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        reader.join()
        stream.close()


def at_rest(server: Upstream, starts: int, quiet: float) -> Iterator[Start]:
    """Start daemons in turns, and let each rest."""
    for number in range(2 * starts):
        with tempfile.TemporaryDirectory(prefix="bench-listener-") as made:
            (Path(made) / "in").mkdir()
            has_listener = number % 2 == 1
            with daemon(Path(made), server, has_listener=has_listener) as (pid, _):
                time.sleep(3.0)
                share = rest(pid, quiet)
                yield Start(has_listener, resident(pid)["VmRSS"], 100 * share)


def while_asked(server: Upstream, rounds: int, seconds: float) -> Iterator[Stretch]:
    """Let files go their way, in stretches with and without requests."""
    with tempfile.TemporaryDirectory(prefix="bench-listener-") as made:
        base, number = Path(made), 0
        (base / "in").mkdir()
        with daemon(base, server, has_listener=True) as (_, address):
            for one in range(2 * rounds):
                with asking(address) if one % 2 else nobody() as answered:
                    began, before, ways = time.monotonic(), answered(), []
                    while time.monotonic() < began + seconds:
                        ways.append(way(base, number))
                        number += 1
                    took = time.monotonic() - began
                    yield Stretch((answered() - before) / took, ways)


def way(base: Path, number: int) -> float:
    """Write a file; give the milliseconds from its close until its transcript is there."""
    recording(base / "outside.wav", number)
    body, place = (base / "outside.wav").read_bytes(), base / "in" / f"{number:05}.wav"
    with place.open("wb") as file:
        file.write(body)
    closed, made = time.monotonic(), place.with_suffix(".txt")
    # In steps that do not count: a thousandth of a second.
    while not made.exists():
        assert time.monotonic() < closed + 60, "no transcript came"
        time.sleep(0.001)
    return 1000 * (time.monotonic() - closed)


@contextmanager
def nobody() -> Iterator[Callable[[], int]]:
    """Ask nothing."""
    yield lambda: 0


@contextmanager
def asking(address: str) -> Iterator[Callable[[], int]]:
    """Ask from a process of its own; give what returns how many answers came."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.listener", "--ask", address], stdout=subprocess.PIPE, cwd=_ROOT
    )
    assert process.stdout is not None
    stream, answers = process.stdout, [0]

    def count() -> None:
        for line in stream:
            answers[0] = int(line)

    reader = threading.Thread(target=count)
    reader.start()
    until(lambda: answers[0] > ASKED // 2)
    try:
        yield lambda: answers[0]
    finally:
        process.kill()
        process.wait(10)
        reader.join()
        stream.close()


def ask(address: str) -> None:
    """Ask until killed, and print how many answers came so far."""
    host, _, port = address.rpartition(":")
    answers = [0] * _CONNECTIONS

    def run(own: int) -> None:
        connection, due = http.client.HTTPConnection(host, int(port)), time.monotonic()
        while True:
            connection.request("GET", _PATHS[answers[own] % len(_PATHS)])
            answer = connection.getresponse()
            assert answer.status == http.HTTPStatus.OK, answer.status
            answer.read()
            answers[own] += 1
            due = max(due + _CONNECTIONS / ASKED, time.monotonic() - 1.0)
            time.sleep(max(0.0, due - time.monotonic()))

    for own in range(_CONNECTIONS):
        threading.Thread(target=run, args=(own,), daemon=True).start()
    while True:
        print(sum(answers), flush=True)
        time.sleep(0.1)


def rows(starts: list[Start], stretches: list[Stretch]) -> list[Row]:
    """Hold the medians against the targets."""
    on, off = ([one for one in starts if one.has_listener is has] for has in (True, False))
    mb = statistics.median(one.mb for one in on), statistics.median(one.mb for one in off)
    core = statistics.median(one.core_percent for one in on), statistics.median(one.core_percent for one in off)
    asked = [one for one in stretches if one.asked_per_second]
    quiet = [one for one in stretches if not one.asked_per_second]
    slow, fast = (statistics.median(way for one in some for way in one.ways) for some in (asked, quiet))
    number = statistics.median(one.asked_per_second for one in asked)
    grown, used, ratio = mb[0] - mb[1], core[0] - core[1], slow / fast
    return [
        Row(
            "listener at rest: further memory",
            f"<= {MEMORY:g} MB",
            grown,
            "MB",
            limits={"without": mb[1]},
            met=grown <= MEMORY,
        ),
        Row(
            "listener at rest: further share of a core",
            f"<= {CORE:g} %",
            used,
            "%",
            limits={"without": core[1]},
            met=used <= CORE,
        ),
        Row("listener: answers a second", f">= {0.95 * ASKED:g}", number, "/s", met=number >= 0.95 * ASKED),
        Row(
            "a file's way while it is asked / while it is not",
            f"<= {SLOWER:g}",
            ratio,
            "",
            {"asked, ms": slow, "not asked, ms": fast},
            met=ratio <= SLOWER,
        ),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="of daemons with it, and without")
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds of rest that are measured")
    parser.add_argument("--rounds", type=int, default=6, help="stretches with requests, and without")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a stretch")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        ask(given.ask)
    with tempfile.TemporaryDirectory(prefix="bench-listener-") as made:
        with upstream(Path(made), seconds=_SERVER_SECONDS) as server:
            starts = list(at_rest(server, given.starts, given.quiet))
            stretches = list(while_asked(server, given.rounds, given.seconds))
    judged = rows(starts, stretches)
    code = conclude(judged, None)
    if given.json:
        write(given.json, judged, {"starts": list(map(asdict, starts)), "stretches": list(map(asdict, stretches))})
    return code


if __name__ == "__main__":
    sys.exit(main())
