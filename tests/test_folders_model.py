"""Any history of a folder and its daemon, held against a model: in the end every whole file is done, and done once."""

import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from support.clock import present
from support.finding import Log, wave

from watcher.folders import Finder, Folder
from watcher.job import Outcome
from watcher.ledger import Ledger, open_ledger

DIRECTORIES = st.sampled_from(["", "d0", "d1", "d0/s"])
NAMES = st.sampled_from(["a.wav", "b.wav", "c.WAV", ".h.wav.part"])
SIZES = st.integers(1, 30).map(lambda size: size * 200)


@dataclass
class Growing:
    """A file somebody writes."""

    file: BinaryIO
    content: bytes
    written: int = 0


class History(RuleBasedStateMachine):
    """Writers, people and daemons at work on one folder. The clock stands still unless a rule turns it."""

    detect = "auto"

    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp(prefix="watcher-model-"))
        self.base = self.scratch / "in"
        self.outside = self.scratch / "outside"
        self.base.mkdir()
        self.outside.mkdir()
        self.log = Log()
        self.time = present()
        self.growing: list[Growing] = []
        #: Size and inode of what was done at each path, in order.
        self.done: dict[bytes, list[tuple[int, int]]] = {}
        self.serial = 0
        self.ledger: Ledger = open_ledger(self.scratch / "state", clock=self.time.time)
        self.finder: Finder | None = None

    @initialize()
    def begin(self) -> None:
        self.start()

    def start(self) -> None:
        self.finder = Finder(
            [Folder("a", str(self.base), detect=self.detect)],
            self.ledger,
            stop=threading.Event(),
            clock=self.time.time,
            monotonic=self.time.monotonic,
        )
        self.finder.start_watching()

    def end(self) -> None:
        if self.finder is not None:
            self.finder.close()
            self.finder = None

    # People and their programs.

    @rule(directory=DIRECTORIES, name=NAMES, size=SIZES)
    def write(self, directory: str, name: str, size: int) -> None:
        """Write a whole file and close it."""
        where = self.base / directory
        if where.is_dir() and not self.is_growing(where / name):
            (where / name).write_bytes(self.content(size))

    @rule(directory=DIRECTORIES, name=NAMES, size=SIZES)
    def begin_writing(self, directory: str, name: str, size: int) -> None:
        """Open a file under its final name and write its header."""
        where = self.base / directory
        if where.is_dir() and len(self.growing) < 4 and not self.is_growing(where / name):
            growing = Growing((where / name).open("wb", buffering=0), self.content(size))
            self.growing.append(growing)
            self.advance(growing, 50)

    @precondition(lambda self: self.growing)
    @rule(data=st.data(), amount=st.integers(1, 4000))
    def go_on_writing(self, data: st.DataObject, amount: int) -> None:
        self.advance(data.draw(st.sampled_from(self.growing)), amount)

    @precondition(lambda self: self.growing)
    @rule(data=st.data())
    def finish_writing(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(self.growing)))

    @rule(directory=DIRECTORIES, name=NAMES, size=SIZES)
    def move_in(self, directory: str, name: str, size: int) -> None:
        where = self.base / directory
        if where.is_dir() and not self.is_growing(where / name):
            (self.outside / "x").write_bytes(self.content(size))
            (self.outside / "x").rename(where / name)

    @rule(before=DIRECTORIES, after=DIRECTORIES, one=NAMES, two=NAMES)
    def rename(self, before: str, after: str, one: str, two: str) -> None:
        there, then = self.base / before / one, self.base / after / two
        if there.is_file() and then.parent.is_dir() and not self.is_growing(then):
            there.rename(then)

    @rule(directory=DIRECTORIES, name=NAMES)
    def delete(self, directory: str, name: str) -> None:
        (self.base / directory / name).unlink(missing_ok=True)

    @rule(directory=DIRECTORIES.filter(bool))
    def make_directory(self, directory: str) -> None:
        (self.base / directory).mkdir(parents=True, exist_ok=True)

    @rule(directory=DIRECTORIES.filter(bool))
    def delete_directory(self, directory: str) -> None:
        shutil.rmtree(self.base / directory, ignore_errors=True)

    @rule(directory=st.sampled_from(["d0", "d1"]))
    def move_directory_out(self, directory: str) -> None:
        self.serial += 1
        if (self.base / directory).is_dir():
            (self.base / directory).rename(self.outside / f"{directory}.{self.serial}")

    @rule(directory=st.sampled_from(["d0", "d1"]))
    def move_directory_in(self, directory: str) -> None:
        away = sorted(self.outside.glob(f"{directory}.*"))
        if away and not (self.base / directory).exists():
            away[-1].rename(self.base / directory)

    # The daemon and time.

    @rule(steps=st.integers(1, 5))
    def look(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    @rule(seconds=st.sampled_from([0.3, 3.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.time.advance(seconds)
        self.step()

    @rule()
    def restart(self) -> None:
        self.end()
        self.start()

    @rule()
    def work(self) -> None:
        self.do_all()

    def step(self) -> None:
        assert self.finder is not None
        self.finder.step(0.0)

    # The model.

    def content(self, size: int) -> bytes:
        """Give a sound of its own: its size tells it apart, and its header its end."""
        self.serial += 1
        return wave(size + 2 * self.serial)

    def is_growing(self, path: Path) -> bool:
        """Say whether writing there would cut off somebody's file."""
        if not path.exists():
            return False
        return any(os.path.samestat(path.stat(), os.fstat(growing.file.fileno())) for growing in self.growing)

    def advance(self, growing: Growing, amount: int) -> None:
        chunk = growing.content[growing.written : growing.written + amount]
        growing.file.write(chunk)
        growing.written += len(chunk)

    def finish(self, growing: Growing) -> None:
        self.advance(growing, len(growing.content))
        growing.file.close()
        self.growing.remove(growing)

    def do_all(self) -> None:
        """Do every job that is due, as workers do: with a second look, on one descriptor."""
        while (job := self.ledger.queue.claim("model", lease=60.0)) is not None:
            path = Path(os.fsdecode(job.path))
            try:
                status = path.stat()
            except FileNotFoundError:
                self.ledger.queue.forget(job.path)
                self.again(job.path)
                continue
            if (status.st_size, status.st_mtime_ns) != (job.fingerprint.size, job.fingerprint.mtime_ns):
                self.ledger.queue.forget(job.path)
                self.again(job.path)
                continue
            assert not self.is_growing(path), f"{path} was taken while somebody wrote it"
            self.ledger.queue.done(job, Outcome(content="f" * 64))
            same = (status.st_size, status.st_ino)
            assert self.done.get(job.path, [None])[-1] != same, f"{path} was done twice"
            self.done.setdefault(job.path, []).append(same)

    def again(self, path: bytes) -> None:
        assert self.finder is not None
        self.finder.inspect(path)

    def teardown(self) -> None:
        """Let every writer end and all time pass; then everything that is there is done, at its last size, once."""
        try:
            for growing in list(self.growing):
                self.finish(growing)
            if self.finder is not None:
                for _ in range(4):
                    self.finder.rescan()
                    self.settle()
                    self.do_all()
                wanted = {
                    (os.fsencode(path), path.stat().st_size)
                    for path in self.base.rglob("*")
                    if path.is_file() and path.suffix.lower() == ".wav"
                }
                done = {(path, history[-1][0]) for path, history in self.done.items()}
                assert wanted <= done, (wanted - done, self.log.talk())
        finally:
            self.end()
            self.ledger.close()
            shutil.rmtree(self.scratch)

    def settle(self) -> None:
        for _ in range(3):
            self.time.advance(700.0)
            for _ in range(100):
                self.step()
                monitor = self.finder._monitor_thread.monitors[0] if self.finder is not None else None
                if (
                    monitor is not None
                    and not monitor.busy
                    and self.finder is not None
                    and self.finder._monitor_thread.inbox.empty()
                ):
                    break


class HistoryByScan(History):
    """The same without events."""

    detect = "scan"


@pytest.mark.slow_if("History")
@pytest.mark.hypothesis
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("history", [History, HistoryByScan])
def test_any_history_ends_with_every_file_done_once(history: type[History]) -> None:
    run_state_machine_as_test(
        history,
        settings=settings(
            max_examples=settings().max_examples // 2,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
