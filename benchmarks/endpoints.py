"""Two endpoints, for `benchmarks.gate`: the daemon with the places of two servers, and when the first one is killed.

The servers are processes of their own (`benchmarks.upstream`), so a kill is a real one: connections break, and then nobody
listens. Their journals hold what they answered, which is what a server charges for.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.report import Row
from benchmarks.small import recording
from benchmarks.upstream import Upstream, upstream

SERVER_SECONDS: Final = 0.2
PLACES: Final = 8
#: The default of `api.failover_seconds`.
FAILOVER_SECONDS: Final = 30.0
#: A closed endpoint is probed at least this often.
_PROBED: Final = 60.0
_PATIENCE: Final = 300.0
_LOOK: Final = 0.01


def measure(files: int, runs: int, killed_files: int) -> list[Row]:
    """Give all figures: `files` for the places, `runs` times; the first endpoint killed in the middle of `killed_files`."""
    return [spread(files, runs), alone(), *killed(killed_files)]


def spread(files: int, runs: int) -> Row:
    """Compare two endpoints of 4 places, all used at once, with one of 8; the median of the runs' ratios."""
    ratios, shares = [], []
    with tempfile.TemporaryDirectory(prefix="bench-endpoints-") as made:
        for run in range(runs):
            place = Path(made) / str(run)
            place.mkdir()
            with upstream(place, seconds=SERVER_SECONDS) as one:
                single = _wall(place / "one", [one], PLACES, files)
            with upstream(place, seconds=SERVER_SECONDS) as first, upstream(place, seconds=SERVER_SECONDS) as second:
                both = _wall(place / "two", [first, second], PLACES // 2, files)
                shares.append(min(len(first.requests()), len(second.requests())) / files)
            ratios.append(both / single)
            print(f"one endpoint of 8 places {single:.2f} s, two of 4 {both:.2f} s: {ratios[-1]:.3f}", flush=True)
    ratio = statistics.median(ratios)
    return Row(
        f"{files:,} files, two endpoints of 4 places with `spread`: wall / that of one of 8",
        "<= 1.05",
        ratio,
        "",
        limits={"files at the one that got fewer, %": 100 * min(shares)},
        met=ratio <= 1.05,
    )


def _wall(place: Path, servers: list[Upstream], places: int, files: int) -> float:
    folder, outside = place / "in", place / "outside"
    folder.mkdir(parents=True)
    outside.mkdir()
    for number in range(files):
        recording(outside / f"{number:05}.wav", number)
    with daemon(folder, place / "state", servers, f"spread = true\nconcurrency = {places}"):
        began = time.monotonic()
        outside.rename(folder / "pile")
        until(lambda: sum(1 for _ in folder.glob("pile/*.srt")) >= files)
        wall = time.monotonic() - began
    numbers = sorted(heard.number for server in servers for heard in server.requests())
    assert numbers == list(range(files)), "lost or doubled files"
    return wall


def alone() -> Row:
    """Kill the first endpoint while nothing is to do, then bring one file: until its request is at the other."""
    with two_endpoints() as (folder, first, second):
        recording(folder / "0.wav", 0)
        until((folder / "0.srt").exists)
        die(first)
        recording(folder / "1.wav", 1)
        came = time.monotonic_ns()
        until((folder / "1.srt").exists)
        pause = (second.requests()[0].first_byte - came) / 1e9
    most = FAILOVER_SECONDS + 1
    return Row(
        "failover: endpoint dead, one new file -> its request at the next one",
        f"<= {most:g} s (failover_seconds + 1 s)",
        pause,
        "s",
        met=pause <= most,
    )


def killed(files: int) -> list[Row]:
    """Kill the first endpoint in the middle of a pile, start it again when the next one is asked, and let files come."""
    with two_endpoints() as (folder, first, second):
        outside = folder.parent / "outside"
        outside.mkdir()
        for number in range(files):
            recording(outside / f"{number:05}.wav", number)
        outside.rename(folder / "pile")
        until(lambda: len(first.requests()) >= files // 3)
        died = die(first)
        until(lambda: sum(1 for _ in folder.glob("pile/*.srt")) >= files)
        port = int(first.url.rpartition(":")[2].partition("/")[0])
        with upstream(folder.parent, seconds=SERVER_SECONDS, port=port) as back:
            until_back, more = _seconds_until_asked(back, folder, files)
        answered = [heard.number for server in (first, second, back) for heard in server.requests()]
        pause = (min(heard.first_byte for heard in second.requests()) - died) / 1e9
        lost = files + more - len(set(answered))
    twice = len(answered) - len(set(answered))
    said, most = f"first of two endpoints killed in the middle of {files} files", FAILOVER_SECONDS + 1
    return [
        Row(f"{said}: lost", "0", lost, "", met=lost == 0),
        Row("the same: answered twice, so paid twice", "0", twice, "", met=twice == 0),
        Row(
            "the same: death -> next request at the other",
            f"<= {most:g} s (failover_seconds + 1 s)",
            pause,
            "s",
            met=pause <= most,
        ),
        Row(
            "the same: first one is back -> it is asked again, with a new file every 0.5 s",
            f"<= {_PROBED:g} s",
            until_back,
            "s",
            met=until_back <= _PROBED,
        ),
    ]


def _seconds_until_asked(back: Upstream, folder: Path, number: int) -> tuple[float, int]:
    """Bring files until one is asked of this server; give how long that took, and how many there were."""
    began, more = time.monotonic_ns(), 0
    while not back.requests():
        recording(folder / f"{number + more:05}.wav", number + more)
        more += 1
        time.sleep(0.5)
    until(lambda: sum(1 for _ in folder.glob("*.srt")) >= more)
    return (min(heard.first_byte for heard in back.requests()) - began) / 1e9, more


def die(server: Upstream) -> int:
    """End a server as a power cut would; give the time (monotonic ns)."""
    server.process.kill()
    died = time.monotonic_ns()
    server.process.wait(10)
    return died


@contextmanager
def two_endpoints() -> Iterator[tuple[Path, Upstream, Upstream]]:
    """Run the daemon with two endpoints of 8 places, in order of preference; give its folder and the servers."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-endpoints-") as made,
        upstream(Path(made), seconds=SERVER_SECONDS) as first,
        upstream(Path(made), seconds=SERVER_SECONDS) as second,
    ):
        folder = Path(made) / "in"
        folder.mkdir()
        general = f"failover_seconds = {FAILOVER_SECONDS}\nconcurrency = {PLACES}"
        with daemon(folder, Path(made) / "state", [first, second], general):
            yield folder, first, second


@contextmanager
def daemon(folder: Path, state: Path, servers: list[Upstream], general: str) -> Iterator[None]:
    """Run the daemon with these endpoints until the block ends; the block begins when it watches."""
    tables = [
        f'[endpoints.number_{number}]\nurl = "{server.url}"\nmodel = "model-{number}"\n'
        for number, server in enumerate(servers)
    ]
    settings = folder.parent / "watcher.toml"
    last = f'[[folders]]\npath = "{folder}"\n[state]\ndir = "{state}"\nworkers = {PLACES}\n[log]\nformat = "json"\n'
    settings.write_text("\n".join([f"[api]\n{general}\n", *tables, last]))
    process = subprocess.Popen(
        [sys.executable, "-m", "watcher", "run", "--config", str(settings)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={key: value for key, value in os.environ.items() if not key.startswith("WATCHER_")},
    )
    ready = threading.Event()

    def read() -> None:
        # Whoever does not read its log would block it.
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                if "service.ready" in line:
                    ready.set()

    reader = threading.Thread(target=read, name="log")
    reader.start()
    try:
        until(ready.is_set)
        yield
    finally:
        process.terminate()
        process.wait(60)
        reader.join()


def until(happened: Callable[[], bool]) -> None:
    """Wait for it; give up after five minutes."""
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "nothing more happened"
        time.sleep(_LOOK)
