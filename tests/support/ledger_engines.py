"""The engines that the ledger's contract is held against, each with a clock that the test sets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from support import postgres
from support.clock import Clock
from watcher.errors import FileError, PassingError
from watcher.job import Fingerprint, FoundRecording, Job, Outcome, Output, State
from watcher.ledger.ledger import Ledger
from watcher.ledger.sqlite import NAME, SqliteLedger

if TYPE_CHECKING:
    from watcher.ledger.postgres import PostgresLedger

ROOT = b"/srv/recordings"
LEASE = 30.0
DIGEST = "ab" * 32
#: Every way to write under a claim; each is refused once the claim is over.
WRITES: list[Callable[[Ledger, Job], object]] = [
    lambda ledger, job: ledger.queue.renew(job, lease=LEASE),
    lambda ledger, job: ledger.queue.done(job, Outcome()),
    lambda ledger, job: ledger.queue.fail(job, FileError("no sound in it")),
    lambda ledger, job: ledger.queue.retry(job, crowded(), run_at=0),
    lambda ledger, job: ledger.queue.release(job),
    lambda ledger, job: ledger.queue.drop(job),
    lambda ledger, job: ledger.outputs.enter(job, Output("txt", b"/srv/recordings/talk.txt", DIGEST)),
]


class Engine(Protocol):
    """One way to keep a ledger."""

    clock: Clock

    def open(self, *, exclusive: bool = True) -> Ledger:
        """Open the one ledger of this test; a second opening after `close` is what comes after a crash."""

    def close(self) -> None:
        """Close whatever is open."""


class Sqlite:
    """SQLite in a directory."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self._directory = directory
        directory.mkdir(mode=0o700)
        (directory / NAME).write_bytes(_empty())
        self._opened: list[SqliteLedger] = []

    def open(self, *, exclusive: bool = True) -> SqliteLedger:
        ledger = SqliteLedger(self._directory, exclusive=exclusive, clock=self.clock.time)
        self._opened.append(ledger)
        return ledger

    def close(self) -> None:
        for ledger in self._opened:
            ledger.close()


@cache
def _empty() -> bytes:
    """Give an empty ledger, made once: making one takes a dozen flushes, and is tested where it is done."""
    with TemporaryDirectory() as directory:
        SqliteLedger(Path(directory)).close()
        return (Path(directory) / NAME).read_bytes()


class Postgres:
    """PostgreSQL, as the one host of an empty ledger."""

    def __init__(self, directory: Path) -> None:
        self._stack = ExitStack()
        self.url = self._stack.enter_context(postgres.cluster().tables())
        self.clock = Clock()
        self._directory = directory
        self._opened: list[PostgresLedger] = []

    def open(self, *, exclusive: bool = True) -> "PostgresLedger":
        from watcher.ledger.postgres import PostgresLedger  # noqa: PLC0415 - where the extra is missing, nobody comes here

        ledger = PostgresLedger(
            self._directory,
            self.url,
            exclusive=exclusive,
            clock=self.clock.time,
            database_clock=(self.clock.time, self.clock.monotonic),
            grace=0,
        )
        self._opened.append(ledger)
        return ledger

    def close(self) -> None:
        for ledger in self._opened:
            ledger.close()
        self._stack.close()


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": Sqlite, "postgres": Postgres}


@contextmanager
def engine(name: str, directory: Path) -> Iterator[Engine]:
    """Give a fresh engine, closed at the end."""
    made = ENGINES[name](directory)
    try:
        yield made
    finally:
        made.close()


def found(
    name: str | bytes = "talk.wav",
    *,
    size: int = 1000,
    mtime_ns: int = 5,
    inode: int = 0,
    backlog: bool = False,
    small: bool = False,
    root: bytes = ROOT,
) -> FoundRecording:
    """Make a found file below the root."""
    below = name if isinstance(name, bytes) else name.encode()
    return FoundRecording(root, root + b"/" + below, Fingerprint(size, mtime_ns, inode), backlog=backlog, small=small)


def claimed(ledger: Ledger, *, small: bool = False, lease: float = LEASE) -> Job:
    """Claim a job that has to be there."""
    job = ledger.queue.claim("worker", lease=lease, small=small)
    assert job is not None
    return job


def name(job: Job | None) -> str | None:
    """Give the file name of a job."""
    return None if job is None else job.path.rpartition(b"/")[2].decode()


def state(ledger: Ledger, file: str) -> State:
    """Give the state of a source that has to be known."""
    record = ledger.history.lookup(ROOT + b"/" + file.encode())
    assert record is not None
    return record.state


def crowded() -> PassingError:
    """Make an error that may pass."""
    return PassingError("the server is busy", hint="wait", reason="busy")


def recalled_body(ledger: Ledger, digest: str, parameters: str) -> bytes | None:
    """Return the body of a stored answer, or None."""
    answer = ledger.answers.recall(digest, parameters)
    return None if answer is None else answer.body
