"""Values that the ledger takes and returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from watcher.job import Cut, Fingerprint, Job, Outcome, ResultWarning, State
from watcher.loudness import UNMEASURED, Loudness
from watcher.timecode import RecordedStart


class PutResult(StrEnum):
    """Result of putting a found file into the queue."""

    #: Not known before: queued.
    QUEUED = "queued"
    #: Known with another fingerprint: queued again; a running job on it lost its lease.
    CHANGED = "changed"
    #: Known with this fingerprint: nothing to do.
    KNOWN = "known"


#: Start of the memory key, followed by a source's id, of a person's request to try it once more.
RETRIED: Final = "retried:"
#: Start of the memory key, followed by a job's id, of what the job has cost so far.
SPENT: Final = "spent:"

#: Memory key of the endpoint that the last process used: its `name` and `party`; see `watcher.ledger.hosts.Hosts.fleet`.
#: If it had several: also `endpoints`, each with its `server` and `model`, too.
ENDPOINT: Final = "endpoint"
#: Memory key: hook failures of the last run (`problems`), for `status`.
HOOKS: Final = "hooks"


def unreadable(digest: str) -> str:
    """Return the memory key under which the notes about the garbled answers for a sound are stored."""
    return f"{digest} garbled"


@dataclass(frozen=True, slots=True)
class ContentPart:
    """One track of a session: the content that has its answers, and what it is in the session."""

    #: `Content.digest` of the stem, channel or stream.
    digest: str
    #: The speaker's name, and the name of the track: of the stem's file, the channel or the stream.
    speaker: str
    track: str
    #: Seconds from the start of the session to the start of the track.
    offset: float = 0.0
    #: Of a stem: Unix time at which its job was concluded.
    concluded_at: float = 0.0
    #: Of a channel or stream: its number, from 1. Its speaker and offset follow from the settings when outputs are made.
    number: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """A recording identified by its bytes, whatever its name: how it was cut, and its loudness."""

    #: SHA-256 (hex) of all its bytes.
    digest: str
    #: SHA-256 (hex) of its size and samples of its bytes: cheap, a hint and never a proof.
    sketch: str
    #: Parameters of the request and of the cutting (hex digest): other parameters, other cuts.
    parameters: str
    seconds: float
    cuts: tuple[Cut, ...]
    loudness: Loudness = UNMEASURED
    #: What was not transcribed of these bytes, or is in doubt; the same for every copy of them.
    warnings: tuple[ResultWarning, ...] = ()
    #: Further parameters under which some of its answers are stored: several endpoints with different models gave them.
    others: tuple[str, ...] = ()
    #: Of a session: its tracks, whose contents have the answers; then it has no cuts of its own.
    parts: tuple[ContentPart, ...] = ()
    #: What its header says about the time at which it begins; None: nobody has read that yet, as in earlier versions.
    start: RecordedStart | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A paid answer: the server's body, and where it is from."""

    body: bytes
    model: str = ""
    #: Title of the endpoint; "" if an earlier version stored it.
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class OwnedOutput:
    """A path of an output that Watcher wrote or is about to write."""

    path: bytes
    source: bytes
    kind: str
    digest: str
    #: False from the moment it is entered until `placed` is called; a crash may come in between.
    placed: bool
    #: Digest of the file that was there when it was entered again; "" once `placed` was called, or if there was none.
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
    #: Of a running job: pieces done and planned, and seconds done.
    piece: int = 0
    pieces: int = 0
    seconds_done: float = 0.0
    #: Of the last time it was done; kept while the source is transcribed again.
    outcome: Outcome | None = None
    #: As in `Job`.
    fence: int = 0
    content: str = ""
    alone: bool = False
    session: bytes = b""

    @property
    def job(self) -> Job:
        """The source as a job, as its last claim left it, for callers that only place outputs (`watcher render`) and need no claim.

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
            session=self.session,
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums since the ledger was made, for `status`."""

    #: Audio of all sources that were done.
    audio_seconds: float
    #: Everything that was bought, from all endpoints on all days (`Purchases.buy`), whether or not it was of use.
    paid_seconds: float
    #: Number of answers stored now.
    answers: int
    #: Part of `audio_seconds` whose answers were stored already when the source was claimed for the last time.
    saved_seconds: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What was done in a stretch of time, by all hosts."""

    #: Recordings that were transcribed, a session being one; and sources that failed for good.
    done: int = 0
    failed: int = 0
    #: Audio of those that were done.
    audio_seconds: float = 0.0
    #: From the moment at which each of those done was queued until the work that succeeded began, all together.
    waited_seconds: float = 0.0
    #: Seconds of audio that were bought, by endpoint; below 0 where more was taken back than was bought.
    bought: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishedSource:
    """A finished source (done, failed or skipped), with what decides whether its row is kept."""

    path: bytes
    root: bytes
    #: Unix time since when it is known to be gone; 0: it exists, as far as is known.
    gone_at: float


@dataclass(frozen=True, slots=True)
class HookCall:
    """A hook call that must be run at least once: stored until `Hooks.done`."""

    id: int
    kind: str
    payload: str
    attempts: int
    #: How often it has failed, and why the last time.
    failures: int
    message: str
    #: Name of the webhook that gets it; "": a program is run.
    receiver: str = ""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A delivery to store together with the result that it is about."""

    #: The webhook's name.
    receiver: str
    #: The event, such as ``job.done``.
    kind: str
    #: JSON.
    payload: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """How many deliveries of one webhook have failed."""

    #: Those that will be tried again.
    failing: int
    #: Those that were given up.
    given_up: int
    #: Why the last of either failed; "" if none did.
    message: str
