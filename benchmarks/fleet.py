"""Many hosts on one queue: files per minute with 1, 2, 4 and 8 of them, what the database does for it, and a host's death.

Each host is a daemon with a state directory of its own; all have one folder, one PostgreSQL (of the benchmark's own, with
its usual durability) and one server, which takes 0.2 s for each file and any number at a time. A host has so few requests
in flight that this machine, which plays all hosts, the server and the database, is not the limit with 8; how busy it was
is printed beside each figure. The first host finds, as on a network share, where the others hear of no events: here, each
would look at each file, and all of that on the one machine. Needs PostgreSQL's programs and the extra ``postgres``.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.postgres import Cluster

from benchmarks.report import Row, write
from benchmarks.small import recording
from benchmarks.upstream import Upstream, upstream
from watcher.ledger import open_ledger
from watcher.worker import LEASE

SERVER_SECONDS: Final = 0.2
#: Requests that a host may have in flight.
PLACES: Final = 1
HOSTS: Final = (1, 2, 4, 8)
#: Claims a second whose time is taken, beside those of the hosts.
_CLAIMS: Final = 10.0
_PATIENCE: Final = 300.0


@dataclass(frozen=True)
class Round:
    """What so many hosts did with a pile of files."""

    hosts: int
    files: int
    per_minute: float
    database_ms_per_file: float
    commits_per_file: float
    claim_p50_ms: float
    claim_p99_ms: float
    machine_busy: float


@dataclass(frozen=True)
class Quiet:
    """What so many hosts with nothing to do cost the database: standing by, and for each single file that comes."""

    hosts: int
    standby_ms_per_second: float
    single_ms_per_file: float


class Host:
    """One running daemon."""

    def __init__(
        self, folder: Path, state: Path, server: Upstream, url: str, *, places: int = PLACES, watches: bool = True
    ) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "watcher", "run", str(folder), "--config", os.devnull),
                *("--set", f"api.url={server.url}", "--set", f"api.concurrency={places}"),
                *("--set", f"state.dir={state}", "--set", f"state.url={url}", "--set", f"state.workers={places}"),
                *("--set", "log.format=json", *(() if watches else ("--no-watch",))),
            ],
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name="log")
        self._reader.start()
        self.state = state

    def await_ready(self) -> None:
        """Wait until it works."""
        assert self._ready.wait(_PATIENCE), f"a host did not get ready: exit code {self._process.poll()}"

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def stop(self) -> None:
        """End it in peace."""
        self._process.terminate()
        self._process.wait(60)
        self._reader.join()

    def _read(self) -> None:
        # Whoever does not read its log would block it.
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                if "service.ready" in line:
                    self._ready.set()


class Claimer(threading.Thread):
    """One more host, which only claims and gives back: so long does a claim take while the others work."""

    def __init__(self, state: Path, folder: Path, url: str) -> None:
        super().__init__(name="claimer")
        self.took: list[float] = []
        self._over = threading.Event()
        self._ledger = open_ledger(state, url, roots={folder.name: str(folder)})

    def run(self) -> None:
        """Claim a few times a second."""
        while not self._over.wait(1 / _CLAIMS):
            began = time.perf_counter()
            job = self._ledger.queue.claim("claimer", lease=LEASE)
            if job is not None:
                self.took.append((time.perf_counter() - began) * 1000)
                self._ledger.queue.release(job)

    def close(self) -> None:
        """Stop."""
        self._over.set()
        self.join()
        self._ledger.close()


class Meter:
    """CPU of the database and of the whole machine, and the database's commits, since it was made."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._postmaster = int((cluster.directory / "data/postmaster.pid").read_text().split()[0])
        self._began = self._look()

    def read(self) -> tuple[float, float, float]:
        """Give the database's CPU seconds, its commits, and the busy part of the machine (0 to 1)."""
        now = self._look()
        database, commits, busy, total = (b - a for a, b in zip(self._began, now, strict=True))
        return database, commits, busy / total

    def _look(self) -> tuple[float, float, float, float]:
        ((commits,),) = self._cluster.sql("SELECT sum(xact_commit) FROM pg_stat_database")
        used = sum(_cpu(pid) for pid in (self._postmaster, *_children(self._postmaster)))
        fields = list(map(float, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
        return used, float(commits), sum(fields) - fields[3] - fields[4], sum(fields)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return list(map(int, text.split()))


def _cpu(pid: int) -> float:
    """Give the CPU seconds of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def fleet(cluster: Cluster, count: int, *, places: int = PLACES) -> Iterator[tuple[Path, Upstream, list[Host], str]]:
    """Run so many hosts on an empty queue; give their folder, their server, themselves, and the ledger's url."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-fleet-") as made,
        upstream(Path(made), seconds=SERVER_SECONDS) as server,
        cluster.schema() as url,
        ExitStack() as stack,
    ):
        folder = Path(made) / "recordings"
        folder.mkdir()
        hosts = []
        for number in range(count):
            state = Path(made) / f"host-{number}"
            hosts.append(Host(folder, state, server, url, places=places, watches=number == 0))
            stack.callback(hosts[-1].stop)
        for host in hosts:
            host.await_ready()
        yield folder, server, hosts, url


def pile(cluster: Cluster, hosts: int, files: int) -> Round:
    """Give so many hosts a pile of files."""
    with fleet(cluster, hosts) as (folder, server, _, url), ExitStack() as stack:
        outside = folder.parent / "outside"
        outside.mkdir()
        for number in range(files):
            recording(outside / f"{number:05}.wav", number)
        claimer = Claimer(folder.parent / "claimer", folder, url)
        stack.callback(claimer.close)
        meter = Meter(cluster)
        claimer.start()
        outside.rename(folder / "pile")
        until(lambda: len(server.requests()) >= files)
        until(lambda: sum(1 for _ in (folder / "pile").glob("*.srt")) >= files)
        database, commits, busy = meter.read()
        numbers = sorted(heard.number for heard in server.requests())
        assert numbers == list(range(files)), "lost or doubled files"
        # Between the first tenth and the last: how it is while all have enough to do.
        answers = sorted(heard.answered for heard in server.requests())
        first, last = files // 10, files - files // 10 - 1
        took = sorted(claimer.took)
    return Round(
        hosts,
        files,
        60e9 * (last - first) / (answers[last] - answers[first]),
        1000 * database / files,
        commits / files,
        statistics.median(took),
        took[int(len(took) * 0.99) - 1],
        busy,
    )


def quiet(cluster: Cluster, hosts: int, *, seconds: float, singles: int) -> Quiet:
    """Let so many hosts stand by, and then give them files one by one."""
    with fleet(cluster, hosts, places=4) as (folder, server, _, _):
        outside = folder.parent / "outside"
        outside.mkdir()
        for number in range(singles):
            recording(outside / f"{number:05}.wav", number)
        # Scans, and what else a start brings, are over.
        time.sleep(3.0)
        meter = Meter(cluster)
        time.sleep(seconds)
        standby = meter.read()[0] / seconds
        began, meter = time.monotonic(), Meter(cluster)
        for number in range(singles):
            (outside / f"{number:05}.wav").rename(folder / f"{number:05}.wav")
            until(lambda number=number: (folder / f"{number:05}.srt").exists())  # type: ignore[misc] # a lambda's default
        until(lambda: len(server.requests()) >= singles)
        used = meter.read()[0] - standby * (time.monotonic() - began)
    return Quiet(hosts, 1000 * standby, 1000 * used / singles)


def takeover(cluster: Cluster) -> float:
    """Kill one of two hosts over its work; give the seconds until the other one has all of it."""
    with fleet(cluster, 2, places=4) as (folder, _, hosts, url):
        schema = url.rpartition("%3D")[2]
        dying = (hosts[1].state / "host").read_text().strip()
        left = f"SELECT count(*) FROM {schema}.sources WHERE state = 'running' AND host = '{dying}'"  # noqa: S608 - our own
        count = 0
        while cluster.sql(left)[0][0] < 2:
            recording(folder / f"{count:05}.wav", count)
            count += 1
        killed = time.monotonic()
        hosts[1].kill()
        assert cluster.sql(left)[0][0] > 0
        until(lambda: cluster.sql(left)[0][0] == 0)
        taken = time.monotonic() - killed
        until(lambda: sum(1 for _ in folder.glob("*.srt")) >= count)
    return taken


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def table(rounds: list[Round]) -> str:
    """Give all rounds as Markdown."""
    heads = ("hosts", "files", "files a minute", "times one", "database CPU per file, ms", "commits per file")
    lines = [
        f"| {' | '.join((*heads, 'claim p50, ms', 'claim p99, ms', 'machine busy'))} |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one.hosts} | {one.files} | {one.per_minute:.0f} | {one.per_minute / rounds[0].per_minute:.2f} "
        f"| {one.database_ms_per_file:.1f} | {one.commits_per_file:.1f} | {one.claim_p50_ms:.1f} "
        f"| {one.claim_p99_ms:.1f} | {100 * one.machine_busy:.0f} % |"
        for one in rounds
    ]
    return "\n".join(lines)


def rows(rounds: list[Round], stood_by: list[Quiet], taken: float) -> list[Row]:
    """Give the figures with their targets."""
    one, many = rounds[0], rounds[-1]
    few, all_of_them = stood_by
    more = all_of_them.hosts - few.hosts
    times = many.per_minute / one.per_minute
    return [
        Row(
            f"{many.hosts} hosts: files per minute, times those of one",
            f">= {many.hosts * 7 / 8:g}",
            times,
            "x",
            limits={"machine busy, %": 100 * many.machine_busy},
            met=times >= many.hosts * 7 / 8,
        ),
        Row(f"{many.hosts} hosts: database CPU per file", "", many.database_ms_per_file, "ms"),
        Row(f"{many.hosts} hosts: claim, p50", "", many.claim_p50_ms, "ms"),
        Row(f"{many.hosts} hosts: claim, p99", "", many.claim_p99_ms, "ms"),
        Row(
            "each host that stands by: database CPU per second",
            "",
            (all_of_them.standby_ms_per_second - few.standby_ms_per_second) / more,
            "ms",
        ),
        Row(
            "each host that stands by: database CPU per file that comes",
            "",
            (all_of_them.single_ms_per_file - few.single_ms_per_file) / more,
            "ms",
        ),
        # What was claimed the moment before it died has a whole lease; then somebody has to look.
        Row("a dead host's files are taken over after", f"<= {LEASE + 1:g} s", taken, "s", met=taken <= LEASE + 1),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer files, and only 1 and 4 hosts")
    parser.add_argument("--files", type=int, default=0, help="files for each host (default: 100; quick: 40)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    counts = (1, 4) if given.quick else HOSTS
    files = given.files or (40 if given.quick else 100)
    cluster = Cluster()
    try:
        rounds = [pile(cluster, hosts, files * hosts) for hosts in counts]
        seconds, singles = (5.0, 20) if given.quick else (10.0, 40)
        stood_by = [quiet(cluster, hosts, seconds=seconds, singles=singles) for hosts in (counts[0], counts[-1])]
        taken = takeover(cluster)
    finally:
        cluster.remove()
    judged = rows(rounds, stood_by, taken)
    print(f"{PLACES} request in flight per host, {SERVER_SECONDS:g} s each; all on this machine; the first finds.\n")
    print(table(rounds), "", *map(str, judged), sep="\n")
    if given.json:
        write(given.json, judged, {"rounds": list(map(asdict, rounds)), "stood_by": list(map(asdict, stood_by))})
    return 0 if all(row.met is not False for row in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
