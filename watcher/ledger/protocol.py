"""What every ledger engine promises; `sqlite` is the one that needs nothing, and one contract suite holds them all.

The ledger is the only door between threads, and the daemon's whole memory: a durable queue with leases and fences, the
paid answers, who owns which output path, what is known of the endpoint, and what `status` shows. Unless said otherwise
a change is durable (it survives power loss) when its method returns, and every method may be called from any thread.
Times are Unix seconds. Engine failures are raised as `StateError`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from watcher.errors import JobError
from watcher.job import Cut, Fingerprint, Found, Job, Outcome, Output, State


class Put(StrEnum):
    """What became of a found file."""

    #: Not known before: queued.
    QUEUED = "queued"
    #: Known with another fingerprint: queued anew; a running job on it lost its lease.
    CHANGED = "changed"
    #: Known with this fingerprint: nothing to do.
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Content:
    """A recording known by its bytes, whatever its name: how it was cut, and what it sounded like."""

    #: SHA-256 (hex) of all its bytes.
    digest: str
    #: SHA-256 (hex) of its size and samples of its bytes: cheap, a hint and never a proof.
    sketch: str
    #: Parameters of the request and of the cutting (hex digest): other parameters, other cuts.
    parameters: str
    seconds: float
    cuts: tuple[Cut, ...]
    #: Loudness for the guard: one unsigned byte per 0.1 s, minus dBFS (0 loudest, 255 silence); b"" if not measured.
    loudness: bytes = b""


@dataclass(frozen=True, slots=True)
class Owned:
    """An output path that is ours."""

    path: bytes
    source: bytes
    kind: str
    digest: str
    #: False from the moment it is entered until `placed` is called: a crash may have fallen in between.
    placed: bool
    #: Digest of the file that stood there when it was entered anew; "" once `placed` was called, or if there was none.
    former: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A source as `status` shows it."""

    id: int
    root: bytes
    path: bytes
    state: State
    attempts: int
    run_at: float
    queued_at: float
    updated_at: float
    fingerprint: Fingerprint
    #: Why it failed or waits: the stable reason, the sentence, the remedy.
    reason: str = ""
    message: str = ""
    hint: str = ""
    #: Of a running job: pieces done and planned, seconds done; of a done one: what came out.
    piece: int = 0
    pieces: int = 0
    seconds_done: float = 0.0
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over the whole ledger: what `status` says of money and work."""

    audio_seconds: float
    paid_seconds: float
    answers: int
    #: Audio seconds of answers that were used again instead of being bought again.
    saved_seconds: float


@dataclass(frozen=True, slots=True)
class HookCall:
    """A hook that has to be run at least once: kept until `hook_done`."""

    id: int
    kind: str
    payload: str
    attempts: int


class Ledger(Protocol):
    """A durable queue and memory; see the module's docstring for the common promises."""

    def close(self) -> None:
        """Let go of the engine and of the lock; the ledger can't be used afterwards."""

    # Finding.

    def put(self, found: Iterable[Found]) -> list[Put]:
        """Queue what is new or changed, all in one transaction; the answers are in the order given.

        A changed one starts anew (attempts 0, due now), whatever its state was, and its fence is raised. The same
        content under a new fingerprint is found out by the worker, through `Job.content`.
        """

    def skip(self, found: Iterable[Found]) -> None:
        """Note files that are left alone (``backlog = false``), unless they are known already."""

    def known(self, root: bytes) -> Iterator[tuple[bytes, Fingerprint, State]]:
        """Give every source below `root` without holding them all in memory, in no particular order."""

    def lookup(self, path: bytes) -> Record | None:
        """Give the source at `path`, if it is known."""

    # Working.

    def claim(self, owner: str, *, lease: float, small: bool = False, exclusive: bool = False) -> Job | None:
        """Take the next due job: arrivals before backlog, oldest first; count the attempt; raise the fence.

        `small`: only jobs that need one request. `exclusive`: see `Job` recovery after a crash. None: nothing due.
        The lease lasts `lease` seconds.
        """

    def renew(self, job: Job, *, lease: float) -> None:
        """Extend the lease; LeaseLostError when it is somebody else's by now."""

    def holds(self, job: Job) -> bool:
        """Say whether the job is still under this claim's lease."""

    def done(self, job: Job, outcome: Outcome, *, hook: str = "") -> None:
        """Conclude; `hook`: the JSON payload of an on_done hook, kept in the same transaction. LeaseLostError."""

    def fail(self, job: Job, error: JobError, *, hook: str = "") -> None:
        """Conclude as failed for good, with the error's reason, message and hint. LeaseLostError."""

    def retry(self, job: Job, error: JobError, *, run_at: float) -> None:
        """Put back, due at `run_at`; the attempt stays counted. LeaseLostError."""

    def release(self, job: Job, *, run_at: float = 0.0, error: JobError | None = None) -> None:
        """Put back and give the attempt back: it was not the file's fault. LeaseLostError."""

    def forget(self, path: bytes) -> None:
        """Drop a source that is gone, or must be inspected and found again; its answers and outputs stay known."""

    def refresh(self, job: Job, fingerprint: Fingerprint) -> None:
        """Note a new fingerprint for unchanged content. LeaseLostError."""

    def progress(self, job: Job, *, piece: int, pieces: int, seconds_done: float) -> None:
        """Note how far a running job is; need not survive power loss. A lost lease is ignored."""

    def wait(self, seconds: float) -> None:
        """Return when work may be due, when `wake` is called, or after `seconds`."""

    def wake(self) -> None:
        """Make every `wait` return now."""

    def next_due(self) -> float | None:
        """Unix time at which the earliest delayed job falls due; None when none waits."""

    # Paid answers.

    def keep(self, digest: str, parameters: str, body: bytes, *, seconds: float, model: str) -> None:
        """Store a paid answer (the server's body as it came) under what was heard and what was asked."""

    def recall(self, digest: str, parameters: str) -> bytes | None:
        """Give a stored answer's body; counts as used again."""

    def keep_cut(self, sketch: str, parameters: str, cut: Cut) -> None:
        """Store a cut before its piece is sent, so that a rerun asks for the same spans."""

    def cuts(self, sketch: str, parameters: str) -> tuple[Cut, ...]:
        """Give the stored cuts of what looks like the same recording, by index."""

    def keep_content(self, content: Content) -> None:
        """Store how a whole recording was cut; replaces the cuts kept one by one."""

    def content(self, *, digest: str = "", sketch: str = "", parameters: str = "") -> Content | None:
        """Give a known recording by digest or by sketch; with `parameters`, only one cut for them; else the newest."""

    def prune(self, *, answers_older_than: float) -> int:
        """Drop answers last used before that Unix time, and what refers to them; give their number."""

    # Output paths.

    def enter_output(self, job: Job, output: Output) -> bool:
        """Enter `output.path` as the job's source's, not yet placed, before the file is; False: another source owns it.

        An own row gets the new digest; the former digest stays acceptable until `placed`, also when it is entered once
        more before that (after a crash). LeaseLostError.
        """

    def placed(self, path: bytes) -> None:
        """Say that the file under `path` is the one that was entered last."""

    def disown(self, path: bytes) -> None:
        """Drop an output path."""

    def owner(self, path: bytes) -> Owned | None:
        """Say whose the output path is."""

    def owned(self, source: bytes) -> tuple[Owned, ...]:
        """Give the outputs of a source, notes included."""

    def notes(self) -> Iterator[Owned]:
        """Give all failure notes that stand beside sources."""

    def enter_temporary(self, path: bytes) -> None:
        """Note a temporary file before it is made."""

    def drop_temporary(self, path: bytes) -> None:
        """Say that a temporary file is gone."""

    def temporaries(self) -> tuple[bytes, ...]:
        """Give the temporaries a crash may have left."""

    # The endpoint's and the service's memory: small JSON values under a key.

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Store a value; `expires`: Unix time after which it is forgotten."""

    def remembered(self, key: str) -> dict[str, object] | None:
        """Give a value that has not expired."""

    def forget_memory(self, key: str) -> None:
        """Drop a value."""

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        """Add audio seconds bought on `day` (YYYY-MM-DD); give the day's sum. 0 seconds only asks."""

    # Hooks.

    def hooks_due(self, limit: int) -> Sequence[HookCall]:
        """Claim up to `limit` hook calls that are not being run by this process, in order."""

    def hook_done(self, call: HookCall) -> None:
        """Drop a hook call that was run."""

    # Looking.

    def counts(self) -> dict[State, int]:
        """Count the sources by state; every state is there."""

    def records(self, *states: State, limit: int = 10) -> list[Record]:
        """Give the latest records in these states, newest first."""

    def tally(self) -> Tally:
        """Give the sums."""

    def size(self) -> int:
        """Give the bytes the ledger takes on disk."""

    # Operator.

    def put_back(self, paths: Iterable[bytes] | None = None) -> list[bytes]:
        """Queue failed sources anew with fresh attempts (all of them, or those at or below `paths`); give their paths."""
