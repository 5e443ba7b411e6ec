"""kill -9 of hosts and immediate restarts of the server at random instants: nothing is lost, nothing is done twice."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.ledger_engines import LEASE, ROOT, recalled_body
from support.postgres import Cluster

import watcher
from watcher.job import State

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from watcher.ledger.postgres import PostgresLedger

#: A host: a finder and workers that say what they have done, the moment the ledger has said so.
HOST = """
import os, sys, threading
from pathlib import Path
from typing import Any
from watcher.errors import LeaseLostError
from watcher.job import Fingerprint, FoundRecording, Outcome, Output, State
from watcher.ledger.postgres import PostgresLedger

directory, url, first, workers, limit = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
root = b"/srv/recordings"
ledger = PostgresLedger(directory, url, roots={"recordings": "/srv/recordings"}, patience=60, grace=4)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def find():
    for number in range(first, first + limit, 4):
        names = [f"{n}.wav" for n in range(number, number + 4)]
        ledger.queue.put([FoundRecording(root, root + b"/" + name.encode(), Fingerprint(1, 1)) for name in names])
        for name in names:
            say("put", name)
        while ledger.history.counts()[State.READY] > 40:
            ledger.queue.wait(0.02)

def work(owner):
    # An owner has one job at a time: if the reply to a claim was lost, the next claim returns the job that runs under its name.
    while True:
        job = ledger.queue.claim(owner, lease=3)
        if job is None:
            ledger.queue.wait(0.5)
            continue
        name = os.path.basename(job.path).decode()
        try:
            if ledger.answers.recall(name, "asked") is None:
                say("pay", name)
                ledger.answers.keep(name, "asked", b"answer to " + name.encode(), seconds=1, model="m")
                say("kept", name)
            ledger.outputs.enter(job, Output("txt", job.path + b".txt", "digest of " + name))
            say("entered", name)
            ledger.queue.done(job, Outcome(audio_seconds=1, content=name))
            say("done", name)
        except LeaseLostError:
            say("lost", name)

threads = [threading.Thread(target=find), *(threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(workers))]
say("ready", "-")
for thread in threads:
    thread.start()
"""
WORDS = ("put", "pay", "kept", "entered", "done", "lost", "ready")
WORKERS = 2


class Host:
    """One host that is killed and started again; what it said is kept."""

    def __init__(self, directory: Path, url: str, number: int) -> None:
        self.said: dict[str, Counter[str]] = {word: Counter() for word in WORDS}
        self._arguments = [os.fspath(directory / f"host-{number}"), url]
        self._number = number
        self._life = 0
        self.start()

    def start(self) -> None:
        first = (self._number * 1000 + self._life) * 10_000
        self._life += 1
        environment = {**os.environ, "PYTHONPATH": os.fspath(Path(watcher.__file__).parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOST, *self._arguments, str(first), str(WORKERS), "4000"],
            stdout=subprocess.PIPE,
            env=environment,
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self._process, ready))
        self._reader.start()
        assert ready.wait(60)

    def kill(self) -> int:
        """Kill it; give how it ended."""
        self._process.kill()
        self._reader.join()
        return self._process.wait()

    def _read(self, process: "subprocess.Popen[bytes]", ready: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.endswith(b"\n"):
                    ready.set()
                    word, name = line.decode().split()
                    self.said[word][name] += 1


def check(cluster: Cluster, directory: Path, *, hosts: int, kills: int, restarts: int, pause: float) -> None:
    dice = random.Random(kills)
    plan = ["kill"] * kills + ["restart"] * restarts
    dice.shuffle(plan)
    clock = threading.Event()
    with cluster.schema() as url, ExitStack() as stack:
        fleet = [Host(directory, url, number) for number in range(hosts)]
        for host in fleet:
            stack.callback(host.kill)
        for step in plan:
            # The instant is the point of the test: no condition to wait for.
            clock.wait(dice.uniform(0.0, pause))
            if step == "restart":
                cluster.stop("immediate")
                cluster.start()
                continue
            host = dice.choice(fleet)
            assert host.kill() == -9
            host.start()
        clock.wait(pause)
        codes = [host.kill() for host in fleet]
        later = (lambda: time.time() + 3600.0, lambda: time.time() + 3600.0)
        ledger = PostgresLedger(
            directory / "heir", url, roots={"recordings": os.fsdecode(ROOT)}, database_clock=later, grace=0
        )
        stack.callback(ledger.close)
        said = {word: sum((host.said[word] for host in fleet), Counter()) for word in WORDS}
        known = {os.path.basename(path).decode(): state for path, _, state in ledger.history.known(ROOT)}  # noqa: PTH119 - bytes
        not_done = {name for name in said["done"] if known.get(name) is not State.DONE}
        not_kept = {
            name for name in said["kept"] if recalled_body(ledger, name, "asked") != f"answer to {name}".encode()
        }
        not_ours = {name for name in said["entered"] if ledger.outputs.owner(ROOT + f"/{name}.txt".encode()) is None}
        while (job := ledger.queue.claim("heir", lease=LEASE)) is not None:
            ledger.queue.drop(job)
        left = ledger.history.counts()

    assert codes == [-9] * hosts
    assert len(said["done"]) > kills
    assert set(said["put"]) - set(known) == set()
    assert (not_done, not_kept, not_ours) == (set(), set(), set())
    assert [name for name, times in said["done"].items() if times > 1] == []
    assert said["pay"].total() - len(said["pay"]) <= (kills + hosts) * WORKERS
    assert {state: number for state, number in left.items() if number and state is not State.DONE} == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "storm",
    [
        {"hosts": 3, "kills": 4, "restarts": 1, "pause": 0.8},
        {"hosts": 4, "kills": 40, "restarts": 8, "pause": 1.5},
    ],
    ids=["few", "many"],
)
def test_kills_and_restarts_lose_nothing_and_double_nothing(
    storm: dict[str, Any], cluster: Cluster, tmp_path: Path
) -> None:
    check(cluster, tmp_path, **storm)
