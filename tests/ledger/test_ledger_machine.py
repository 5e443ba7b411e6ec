"""Any sequence of what finder, workers, clock, operator and crashes do, beside a model that is too simple to be wrong.

Nothing is lost, nothing is held twice, and no attempt is counted that was not made.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from support.ledger_engines import ENGINES, LEASE, ROOT, crowded, engine, found

from watcher.errors import FileError, LeaseLostError
from watcher.job import FoundRecording, Job, Outcome, State
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import PutResult

OTHER = b"/srv/others"
#: Each file by its root.
PATHS = {ROOT + b"/a.wav": ROOT, ROOT + b"/b.wav": ROOT, OTHER + b"/c.wav": OTHER, OTHER + b"/d.wav": OTHER}
#: What a worker makes of it: after so many attempts it gives up.
LIMIT = 4
CRASH_DELAY, CRASHES = 10.0, 3


@dataclass
class Source:
    """What the model knows of one source."""

    path: bytes
    size: int
    small: bool
    backlog: bool
    queued_at: float
    #: Ids grow in the order of their making; a tie in time goes to the older.
    number: int
    state: State = State.READY
    attempts: int = 0
    run_at: float = 0.0
    alone: bool = False
    crashes: int = 0
    reached: int = 0
    piece: int = 0
    job: Job | None = None

    @property
    def root(self) -> bytes:
        return PATHS[self.path]

    @property
    def turn(self) -> tuple[bool, float, int]:
        return (self.backlog, self.queued_at, self.number)


@dataclass
class Model:
    """All sources, by path, and whose turn it is."""

    sources: dict[bytes, Source] = field(default_factory=dict)
    #: Root of the last claim, by `small`; of this process.
    served: dict[bool, bytes] = field(default_factory=lambda: {False: b"", True: b""})

    def running(self) -> Iterator[Source]:
        return (source for source in self.sources.values() if source.state is State.RUNNING)

    def settle(self, wall: float) -> None:
        """Let what is due be due."""
        for source in self.sources.values():
            if source.state is State.DELAYED and source.run_at <= wall:
                source.state = State.READY

    def next(self, *, small: bool) -> Source | None:
        """Say whom the next claim takes."""
        ready = sorted((s for s in self.sources.values() if s.state is State.READY), key=lambda source: source.turn)
        busy = list(self.running())
        if any(source.alone for source in busy):
            return None
        for root in sorted(set(PATHS.values()), key=lambda root: (root <= self.served[small], root)):
            mine = [source for source in ready if source.root == root]
            if mine and mine[0].alone:
                return None if busy else mine[0]
            for source in mine:
                if not source.alone and (source.small or not small):
                    return source
        return None


class Machine(RuleBasedStateMachine):
    """The ledger and its model, side by side."""

    engine_name: str

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        directory = Path(self._stack.enter_context(TemporaryDirectory()))
        self.engine = self._stack.enter_context(engine(self.engine_name, directory / "state"))
        self.ledger: Ledger = self.engine.open()
        self.model = Model()
        self.made = 0
        #: Claims that were lost: nobody may write under them ever again.
        self.lost: list[Job] = []

    def teardown(self) -> None:
        self._stack.close()

    # Finding.

    @rule(path=st.sampled_from(sorted(PATHS)), size=st.integers(1, 3), small=st.booleans(), backlog=st.booleans())
    def put(self, path: bytes, size: int, *, small: bool, backlog: bool) -> None:
        (answer,) = self.ledger.queue.put([at(path, size=size, small=small, backlog=backlog)])
        known = self.model.sources.get(path)
        if known is not None and known.size == size:
            assert answer is PutResult.KNOWN
            return
        assert answer is (PutResult.QUEUED if known is None else PutResult.CHANGED)
        self._lose(path)
        if known is None:
            self.made += 1
        number = self.made if known is None else known.number
        self.model.sources[path] = Source(path, size, small, backlog, self.engine.clock.wall, number)

    @rule(path=st.sampled_from(sorted(PATHS)))
    def skip(self, path: bytes) -> None:
        self.ledger.queue.skip([at(path, size=1)])
        if path not in self.model.sources:
            self.made += 1
            self.model.sources[path] = Source(
                path,
                1,
                small=False,
                backlog=False,
                queued_at=self.engine.clock.wall,
                number=self.made,
                state=State.SKIPPED,
            )

    @rule(path=st.sampled_from(sorted(PATHS)))
    def forget(self, path: bytes) -> None:
        self.ledger.queue.forget(path)
        self._lose(path)
        self.model.sources.pop(path, None)

    # Working.

    @rule(small=st.booleans())
    def claim(self, *, small: bool) -> None:
        self.model.settle(self.engine.clock.wall)
        expected = self.model.next(small=small)
        job = self.ledger.queue.claim("worker", lease=LEASE, small=small)

        assert (job and job.path) == (expected and expected.path)
        if job is None or expected is None:
            return
        expected.attempts += 1
        assert (job.attempts, job.alone, job.fingerprint.size) == (expected.attempts, expected.alone, expected.size)
        assert job.attempts <= LIMIT
        expected.state, expected.job, expected.piece = State.RUNNING, job, 0
        self.model.served[small] = expected.root

    @precondition(lambda self: any(self.model.running()))
    @rule(data=st.data(), end=st.sampled_from(["done", "fail", "retry", "release", "drop", "renew", "progress"]))
    def work(self, data: st.DataObject, end: str) -> None:
        source = data.draw(st.sampled_from(sorted(self.model.running(), key=lambda source: source.turn)))
        job = source.job
        assert job is not None
        clock = self.engine.clock
        delay = data.draw(st.sampled_from([-1.0, 20.0, 40.0]))
        if end == "retry" and source.attempts >= LIMIT:
            end = "fail"
        match end:
            case "done":
                self.ledger.queue.done(job, Outcome(audio_seconds=1))
                if source.crashes:
                    self._exonerate()
                source.state, source.alone, source.crashes, source.reached = State.DONE, False, 0, 0
            case "fail":
                self.ledger.queue.fail(job, FileError("no sound in it"))
                source.state, source.alone, source.crashes, source.reached = State.FAILED, False, 0, 0
            case "retry":
                self.ledger.queue.retry(job, crowded(), run_at=clock.wall + delay)
                self._back(source, delay)
            case "release":
                self.ledger.queue.release(job, run_at=clock.wall + delay)
                self._back(source, delay)
                source.attempts -= 1
            case "drop":
                self.ledger.queue.drop(job)
                del self.model.sources[source.path]
            case "renew":
                self.ledger.queue.renew(job, lease=LEASE)
            case "progress":
                self.ledger.queue.progress(job, piece=source.piece + 1, pieces=9, seconds_done=1)
                source.piece += 1
                source.alone = source.alone and source.piece <= source.reached
        if end not in {"renew", "progress"}:
            source.job = None
        if end in {"retry", "release", "drop"}:
            # A concluded job's outputs may still be placed, until something comes after; these are over.
            self.lost.append(job)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def write_late(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.lost))

        assert not self.ledger.queue.holds(job)
        with pytest.raises(LeaseLostError):
            self.ledger.queue.done(job, Outcome())
        with pytest.raises(LeaseLostError):
            self.ledger.queue.release(job)

    # The world.

    @rule(seconds=st.sampled_from([1.0, 10.0, LEASE]))
    def advance(self, seconds: float) -> None:
        self.engine.clock.advance(seconds)

    @rule()
    def put_back(self) -> None:
        failed = [source for source in self.model.sources.values() if source.state is State.FAILED]
        for source in failed:
            source.state, source.attempts, source.crashes = State.READY, 0, 0

        assert sorted(self.ledger.queue.put_back()) == sorted(source.path for source in failed)

    @rule()
    def crash(self) -> None:
        self.ledger.close()
        running = list(self.model.running())
        for source in running:
            self._lose(source.path)
            source.attempts -= 1
            if source.piece > source.reached:
                source.crashes = 1 if len(running) == 1 else min(source.crashes, 1)
            elif len(running) == 1:
                source.crashes = max(source.crashes, source.alone) + 1
            source.alone, source.state = True, State.READY
            source.reached = max(source.reached, source.piece)
            if len(running) == 1 and source.crashes >= CRASHES:
                source.state = State.FAILED
                source.attempts += 1
                # Its last claim concluded it: under that one its failure is told of.
                self.lost.pop()
            elif len(running) == 1 and source.crashes > 1:
                source.state = State.DELAYED
                source.run_at = self.engine.clock.wall + CRASH_DELAY
        self.ledger = self.engine.open()
        self.model.served = {False: b"", True: b""}

    # What always holds.

    @invariant()
    def nothing_is_lost(self) -> None:
        known = {path: state for path, _, state in self.ledger.history.known(b"/srv")}

        assert known == {source.path: source.state for source in self.model.sources.values()}

    @invariant()
    def the_sums_are_right(self) -> None:
        counts = dict.fromkeys(State, 0)
        for source in self.model.sources.values():
            counts[source.state] += 1

        assert self.ledger.history.counts() == counts

    @invariant()
    def what_is_held_is_held_once(self) -> None:
        held = list(self.model.running())

        assert all(source.job is not None and self.ledger.queue.holds(source.job) for source in held)
        assert len({source.job.id for source in held if source.job}) == len(held)
        assert len(held) == 1 or not any(source.alone for source in held)
        assert not any(self.ledger.queue.holds(job) for job in self.lost)

    @invariant()
    def the_next_due_is_right(self) -> None:
        due = min((s.run_at for s in self.model.sources.values() if s.state is State.DELAYED), default=math.inf)

        assert (self.ledger.queue.next_due() or math.inf) == due

    def _back(self, source: Source, delay: float) -> None:
        source.run_at = self.engine.clock.wall + delay
        source.state = State.DELAYED if delay > 0 else State.READY

    def _exonerate(self) -> None:
        """Take a crash off the other suspects: one got through, and they may be as innocent."""
        for other in self.model.sources.values():
            if other.alone and other.crashes and other.state in {State.READY, State.DELAYED}:
                other.crashes -= 1

    def _lose(self, path: bytes) -> None:
        source = self.model.sources.get(path)
        if source is not None and source.job is not None:
            self.lost.append(source.job)
            source.job = None


def at(path: bytes, *, size: int, small: bool = False, backlog: bool = False) -> FoundRecording:
    """Make the file that is found at one of the paths."""
    root = PATHS[path]
    return found(path.removeprefix(root + b"/"), root=root, size=size, small=small, backlog=backlog)


def machine(name: str) -> type[Machine]:
    return type(f"{name.title()}Machine", (Machine,), {"engine_name": name})


@pytest.mark.slow_if("postgres")
@pytest.mark.hypothesis
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(ENGINES))
def test_any_history_keeps_its_promises(name: str) -> None:
    run_state_machine_as_test(machine(name), settings=settings(max_examples=settings().max_examples // 2))
