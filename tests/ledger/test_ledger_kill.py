"""kill -9 at random instants: what the ledger said it had, it has; nothing is done twice."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.ledger_engines import LEASE, ROOT, recalled_body

import watcher
from watcher.job import Outcome, State
from watcher.ledger.sqlite import SqliteLedger

#: A finder and three workers that say what they have done, the moment the ledger has said so.
CHILD = """
import os, sys, threading, time
from pathlib import Path
from watcher.job import Fingerprint, FoundRecording, Outcome, Output, State
from watcher.ledger.sqlite import SqliteLedger

ledger = SqliteLedger(Path(sys.argv[1]), clock=lambda: time.time() + float(sys.argv[3]))
root = b"/srv/recordings"

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def find():
    number = int(sys.argv[2])
    while True:
        names = [f"{number + n}.wav" for n in range(4)]
        ledger.queue.put([FoundRecording(root, root + b"/" + name.encode(), Fingerprint(1, 1)) for name in names])
        for name in names:
            say("put", name)
        number += 4
        while ledger.history.counts()[State.READY] > 20:
            ledger.queue.wait(0.01)

def work():
    while True:
        job = ledger.queue.claim("worker", lease=30)
        if job is None:
            ledger.queue.wait(5)
            continue
        name = os.path.basename(job.path).decode()
        say("claimed", name)
        if ledger.answers.recall(name, "asked") is None:
            say("pay", name)
            ledger.answers.keep(name, "asked", b"answer to " + name.encode(), seconds=1, model="m")
            say("kept", name)
        ledger.outputs.enter(job, Output("txt", job.path + b".txt", "digest of " + name))
        say("entered", name)
        ledger.queue.done(job, Outcome(audio_seconds=1, content=name), hook=name)
        say("done", name)

threads = [threading.Thread(target=find), *(threading.Thread(target=work) for _ in range(int(sys.argv[4])))]
for thread in threads:
    thread.start()
"""


WORDS = ("put", "claimed", "pay", "kept", "entered", "done")
WORKERS = 3


@dataclass
class Said:
    """What all children said before they died."""

    words: dict[str, Counter[str]] = field(default_factory=lambda: {word: Counter() for word in WORDS})
    #: How often a kill met a job in work.
    met: Counter[str] = field(default_factory=Counter)

    def add(self, lines: Iterable[bytes]) -> None:
        """Add all that one child said."""
        in_work = set()
        for line in lines:
            word, name = line.decode().split()
            self.words[word][name] += 1
            if word == "claimed":
                in_work.add(name)
            elif word == "done":
                in_work.discard(name)
        self.met.update(in_work)


def run_and_kill(directory: Path, first: int, ahead: float, seconds: float, *, after: bytes) -> Iterator[bytes]:
    """Start a child and kill it `seconds` after it has first said the word `after`; yield the whole lines it said."""
    arguments = [sys.executable, "-c", CHILD, os.fspath(directory), str(first), str(ahead), str(WORKERS)]
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(watcher.__file__).parents[1])}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                yield line
                if line.startswith(after):
                    break
            # The instant is the point of the test: no condition to wait for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
        finally:
            # Also where the test's time is over: else its end would wait for the child.
            child.kill()
        rest = child.stdout.read()
    assert child.returncode == -signal.SIGKILL
    yield from (line for line in rest.splitlines(keepends=True) if line.endswith(b"\n"))


def drain(ledger: SqliteLedger) -> None:
    """Work off what the last child left."""
    while (job := ledger.queue.claim("heir", lease=LEASE)) is not None:
        ledger.queue.done(job, Outcome(audio_seconds=1), hook=os.path.basename(job.path).decode())  # noqa: PTH119 - bytes


def check(directory: Path, kills: int) -> None:
    said = Said()
    dice = random.Random(kills)
    for number in range(kills):
        # Each child lives an hour after the one before, so that what crashed twice is due.
        # Every other one has done something, however slow the machine is.
        after = b"done" if number % 2 else b"put"
        said.add(run_and_kill(directory, number * 1_000_000, number * 3600.0, dice.uniform(0.0, 0.15), after=after))
    ahead = [(kills + 1) * 3600.0]
    ledger = SqliteLedger(directory, clock=lambda: time.time() + ahead[-1])
    try:
        known = {os.path.basename(path).decode(): state for path, _, state in ledger.history.known(ROOT)}  # noqa: PTH119 - bytes
        not_done = {name for name in said.words["done"] if known.get(name) is not State.DONE}
        not_kept = {
            name for name in said.words["kept"] if recalled_body(ledger, name, "asked") != f"answer to {name}".encode()
        }
        not_ours = {
            name for name in said.words["entered"] if ledger.outputs.owner(ROOT + f"/{name}.txt".encode()) is None
        }
        drain(ledger)
        # What the last kill met is due a little later.
        ahead.append(ahead[-1] + 3600.0)
        drain(ledger)
        # A job that three kills met in work is set aside, and its answers with it: on a slow machine there may be one.
        failed = [path for path, _, state in ledger.history.known(ROOT) if state is State.FAILED]
        set_aside = {path.rpartition(b"/")[2].decode() for path in failed}
        hooks = Counter(call.payload for call in ledger.hooks.due(10_000_000))
        counts = ledger.history.counts()
    finally:
        ledger.close()

    assert len(said.words["done"]) >= kills // 2
    assert set(said.words["put"]) - set(known) == set()
    assert (not_done, not_kept - set_aside, not_ours) == (set(), set(), set())
    assert [name for name, times in said.words["done"].items() if times > 1] == []
    assert [name for name, times in said.words["kept"].items() if times > 1] == []
    assert said.words["pay"].total() - len(said.words["pay"]) <= kills * WORKERS
    # Whether all three did, nobody knows: a kill may come before a child has said what it claimed.
    assert {name for name in set_aside if not said.met[name]} == set()
    assert hooks == Counter(dict.fromkeys(known.keys() - set_aside, 1))
    assert counts[State.DONE] == len(known) - len(set_aside)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [8, pytest.param(250, marks=pytest.mark.slow)])
def test_kills_lose_nothing_and_double_nothing(kills: int, tmp_path: Path) -> None:
    check(tmp_path, kills=kills)
