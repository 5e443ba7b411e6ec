"""Values that the ledger takes and gives."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watcher.job import Cut, Fingerprint, Job, Outcome, ResultWarning, State


class PutResult(StrEnum):
    """Result of putting a found file into the queue."""

    #: Not known before: queued.
    QUEUED = "queued"
    #: Known with another fingerprint: queued anew; a running job on it lost its lease.
    CHANGED = "changed"
    #: Known with this fingerprint: nothing to do.
    KNOWN = "known"


#: Before a source's id: the key under which the memory knows that a person wants it to be tried once more.
RETRIED: Final = "retried:"
#: Begins the key under which the memory has what a job has cost so far; its id follows.
SPENT: Final = "spent:"

#: The key under which the memory knows whom the last process asked: `name` and `party` of the endpoint; see `watcher.ledger.hosts.Hosts.fleet`.
ENDPOINT: Final = "endpoint"
#: Memory key: hook failures of the last run (`problems`), for `status`.
HOOKS: Final = "hooks"


def unreadable(digest: str) -> str:
    """Return under what an answer about a sound is kept that could not be read."""
    return f"{digest} garbled"


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
    #: What was not transcribed of these bytes, or is in doubt: true again for every copy of them.
    warnings: tuple[ResultWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnedOutput:
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
class SourceRecord:
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
    #: Of the last time it was done; kept while it is worked on again.
    outcome: Outcome | None = None
    #: As in `Job`.
    fence: int = 0
    content: str = ""
    alone: bool = False

    @property
    def job(self) -> Job:
        """The source as its last claim left it: who only has outputs to place (`watcher render`) needs no claim.

        See `Queue.holds` and `Outputs.enter`.
        """
        return Job(
            id=self.id,
            root=self.root,
            path=self.path,
            fingerprint=self.fingerprint,
            attempts=self.attempts,
            fence=self.fence,
            queued_at=self.queued_at,
            content=self.content,
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums since the ledger was made: what `status` says of money and work."""

    #: Of all sources that were done.
    audio_seconds: float
    #: All that was bought, of every endpoint and on every day (`Purchases.buy`), whatever came of it.
    paid_seconds: float
    #: Stored now.
    answers: int
    #: Of `audio_seconds`: those whose answers were stored when the source was claimed for the last time.
    saved_seconds: float


@dataclass(frozen=True, slots=True)
class FinishedSource:
    """What is needed to decide whether a finished source (done, failed or skipped) is kept."""

    path: bytes
    root: bytes
    #: Unix time since when it is known to be gone; 0: it is there, as far as anybody knows.
    gone_at: float


@dataclass(frozen=True, slots=True)
class HookCall:
    """A hook that has to be run at least once: kept until `Hooks.done`."""

    id: int
    kind: str
    payload: str
    attempts: int
    #: How often it has failed, and why the last time.
    failures: int
    message: str
