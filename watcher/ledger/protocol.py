"""The interface of every ledger engine; one contract suite tests them all.

Threads exchange work through the ledger alone, and it is the daemon's whole memory: a durable queue with leases and
fences, the paid answers, who owns which output path, what is known of the endpoint, and what `status` shows. Every
method may be called from any thread. Times are Unix seconds. Failures of the engine are raised as `StateError`; the
ledger can be used again as soon as their cause is gone.

Every change survives the death of the process the moment its method returns, and unless said otherwise power loss too.
The others ("cheap") survive power loss as soon as any later change does: changes are never lost out of their order.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from watcher.errors import JobError
from watcher.fleet import Fleet, Host
from watcher.job import AgainRequest, Cut, Fingerprint, FoundRecording, Job, Outcome, Output, ResultWarning, State
from watcher.ledger.hook_call import HookCall


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

#: The key under which the memory knows whom the last process asked: `name` and `party` of the endpoint; see `Ledger.fleet`.
ENDPOINT: Final = "endpoint"
#: Under this key the memory has the hooks that had failed when the last process ended: `problems`, as `status` shows them.
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

        See `Ledger.holds` and `Ledger.enter_output`.
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
    #: All that was bought, of every endpoint and on every day (`Ledger.buy`), whatever came of it.
    paid_seconds: float
    #: Stored now.
    answers: int
    #: Of `audio_seconds`: those whose answers were stored when the source was claimed for the last time.
    saved_seconds: float


@dataclass(frozen=True, slots=True)
class ConcludedSource:
    """A concluded source, as far as it takes to know whether it is kept on."""

    path: bytes
    root: bytes
    #: Unix time since when it is known to be gone; 0: it is there, as far as anybody knows.
    gone_at: float


class Ledger(Protocol):
    """A durable queue and memory; see the module's docstring for the common promises."""

    def close(self) -> None:
        """Close the engine and release the lock; the ledger can't be used afterwards."""

    def mount(self, roots: Mapping[str, str]) -> None:
        """Set where named roots lie on this host from now on; needed only by a ledger that hosts share."""

    # Finding.

    def put(self, found: Iterable[FoundRecording]) -> list[PutResult]:
        """Queue what is new or changed, all in one transaction; the answers are in the order given.

        A changed one starts anew (attempts 0, due now), whatever its state was, and its fence is raised; what was asked for
        (`queue_again`) is forgotten if it had failed. What was dropped before a request was carried out counts as not known. The same
        content under a new fingerprint is found out by the worker, through `Job.content`. An inode of 0, known or new,
        is not compared. Cheap: what power loss takes, the scan at the next start finds again.
        """

    def skip(self, found: Iterable[FoundRecording]) -> None:
        """Note files that are left alone (``backlog = false``), unless they are known already. Cheap."""

    def known(self, root: bytes) -> Iterator[tuple[bytes, Fingerprint, State]]:
        """Return every source below `root` without holding them all in memory, in no particular order.

        The ledger may be changed meanwhile, also by the caller: what is there all the time is given exactly once. Here as in
        every walk, `next` may be called again after a StateBusyError, and goes on where it was.
        """

    def lookup(self, path: bytes) -> SourceRecord | None:
        """Return the source at `path`, if it is known."""

    def namesakes(self, job: Job) -> list[SourceRecord]:
        """Return the sources of its root that were done under other paths and were the same file: its inode, stamp and content.

        Where the job's content is not known yet, anyone who asks has to compare it. Those that are looked at again
        count, too. Of many hard links the oldest 20. Those in another root are none of its: somebody who can write
        there made them, and would have outputs moved that lie here.
        """

    # Working.

    def claim(self, owner: str, *, lease: float, small: bool = False) -> Job | None:
        """Take the next due job, count the attempt, raise the fence. Cheap.

        Roots take turns, in the order of their names; within one, arrivals go before backlog, and the oldest first.
        `small`: only jobs that need one request. Where hosts share the ledger, the claim is under a lease of `lease` seconds;
        once it has lapsed, another host may claim. None: nothing is due, or has to wait for others to end: what was running
        in a crash is taken in its turn, but with nothing beside it (`Job.alone`; `small` does not matter then) until it has
        got further (`progress`) than when it crashed. A crash (any end of the process while it ran) costs no attempt. Three,
        all alone but maybe the first, without getting further in between, and it is `quarantined`; each other source that is
        done in spite of crashes alone takes one off.
        """

    def renew(self, job: Job, *, lease: float) -> None:
        """Extend the lease; LeaseLostError when it is somebody else's by now. Cheap."""

    def holds(self, job: Job) -> bool:
        """Return whether the job is still under this claim; or concluded by this claim, and nothing came after."""

    def done(self, job: Job, outcome: Outcome, *, hook: str = "") -> None:
        """Conclude; `hook`: the JSON payload of an on_done hook, kept in the same transaction. LeaseLostError.

        `outcome.content` becomes `Job.content` of the next claim. A source that was moved away has no fingerprint any more:
        what is found under its path from now on is another file, however alike. The content of the source's former outcome, done
        once more without a purchase (a file that was only touched, or renamed), adds nothing to the tally. What the source was called before it was
        renamed is forgotten, and `job.again` is carried out.
        """

    def fail(self, job: Job, error: JobError, *, hook: str = "") -> None:
        """Conclude as failed for good, with the error's reason, message and hint. LeaseLostError.

        A quarantined job may be failed once more, so that its hook runs; the first caller wins.
        """

    def retry(self, job: Job, error: JobError, *, run_at: float) -> None:
        """Put back, due at `run_at`, or at once where that is over two hours away; the attempt stays counted. LeaseLostError."""

    def release(self, job: Job, *, run_at: float = 0.0, error: JobError | None = None) -> None:
        """Put back, due at `run_at`, and give the attempt back: it was not the file's fault. LeaseLostError."""

    def relocate(self, path: bytes, found: FoundRecording) -> bool:
        """Know a source that was moved away after it was done (`Outcome.moved_to`) by the place where it was found.

        False where the source at `path` is none such, or one is known at that place already.
        """

    def forget(self, path: bytes) -> None:
        """Drop a source that is gone, or must be inspected and found again; its answers and outputs stay known. Cheap."""

    def drop(self, job: Job) -> None:
        """Forget a job's source, if the job is still under this claim. LeaseLostError. Cheap.

        One that was done before stays known as that, so that it is recognised under another name.
        One that a person asked for (`Job.again`) stays known as done, and the request with it: it is carried out once a file
        is found (`put`) under the path, or the same file, by inode and stamp, under another one. Durable then.
        """

    def progress(self, job: Job, *, piece: int, pieces: int, seconds_done: float) -> None:
        """Note how far a running job is. A lost lease is ignored. Cheap."""

    def wait(self, seconds: float) -> None:
        """Return when work may be due, when `wake` is called, or after `seconds`.

        Nothing is missed between a claim that found nothing and the wait of the same thread. Changes by another process
        are noticed within a second or so.
        """

    def wake(self) -> None:
        """Make every `wait` return now."""

    def next_due(self) -> float | None:
        """Unix time at which the earliest delayed job falls due; None when none waits."""

    # Paid answers.

    def keep(self, digest: str, parameters: str, body: bytes, *, seconds: float, model: str) -> None:
        """Store a paid answer (the server's body as it came) under what was heard and what was asked."""

    def recall(self, digest: str, parameters: str) -> bytes | None:
        """Return a stored answer's body; it counts as used again. Cheap. None, too, for one that was put aside (`quarantined`)."""

    def keep_cut(self, sketch: str, parameters: str, cut: Cut) -> None:
        """Store a cut before its piece is sent, so that a rerun asks for the same spans. Cheap: no answer outlives it."""

    def cuts(self, sketch: str, parameters: str) -> tuple[Cut, ...]:
        """Return the stored cuts of what looks like the same recording, by index."""

    def keep_content(self, content: Content, *, cut: Collection[str] = ()) -> None:
        """Store how a whole recording was cut; replaces the cuts kept one by one under its parameters. Cheap.

        `cut`: further parameters under which cuts of it were kept.
        """

    def content(self, *, digest: str = "", sketch: str = "", parameters: str = "") -> Content | None:
        """Return a known recording by digest or by sketch; with `parameters`, only one cut for them; else the newest."""

    def supersede(self, job: Job, content: Content, *, cut: Collection[str] = ()) -> None:
        """Replace stored answers by those to `job.again` about the same sounds, and keep the content with them.

        They were kept under the parameters followed by a dot and the token. All at once: what is claimed after a crash has
        a token of "" then, and finds everything under the plain parameters. `cut`: as for `keep_content`. LeaseLostError.
        """

    def erase(self, digest: str, sketch: str = "") -> int:
        """Drop all that is stored of a recording's sound: contents, cuts and answers; return the number of answers.

        `digest` and `sketch`: as of `Content`; "" where one of them is not known. The source stays: see `forget`.
        """

    def prune(self, *, answers_older_than: float, max_bytes: int = 0) -> int:
        """Drop answers last used before that Unix time, and what is known of contents; give the answers' number.

        `max_bytes`: also drop those used longest ago, until the others take no more than that on disk; 0: no limit. Days
        before that time, and before the last month, are dropped from what was bought. Free space goes back to the file
        system. Cheap, as is all that follows here.
        """

    def prune_some(self, *, answers_older_than: float, max_bytes: int = 0) -> int:
        """Drop some of what `prune` drops, in a few milliseconds; give how many rows, 0: nothing is left to drop."""

    # Keeping it bounded.

    def concluded(self) -> Iterator[ConcludedSource]:
        """Walk the sources that are done, failed or skipped, by path; see `known`. Only those that this host may see."""

    def note_gone(self, gone: Iterable[bytes], back: Iterable[bytes]) -> None:
        """Note that concluded sources are gone, from now on unless that was noted before, and that others are there."""

    def retire(self, paths: Iterable[bytes], *, gone_before: float) -> list[bytes]:
        """Drop those concluded sources of `paths` that are noted as gone since before that Unix time; give their paths.

        Their answers stay known, and so do their outputs: until they are `orphans` that are gone as well.
        """

    def orphans(self) -> Iterator[bytes]:
        """Walk the output paths whose source is not known any more. Only those that this host may see."""

    def disown_orphans(self, paths: Iterable[bytes]) -> None:
        """Drop those output paths whose source is still not known."""

    # What is looked at again.

    def trials(self, root: bytes) -> Iterator[tuple[bytes, float]]:
        """Walk the sources below `root` that are done by TRIAL_MODEL alone: path and seconds of audio; see `known`."""

    def outputs_below(self, folder: bytes) -> Iterator[OwnedOutput]:
        """Walk the output paths below a folder, without notes; see `known`."""

    def tidy(self) -> bool:
        """Return some free space to the file system, in a few milliseconds; False: there is no more."""

    # Output paths.

    def enter_output(self, job: Job, output: Output) -> bool:
        """Enter `output.path` as the job's source's, not yet placed, before the file is; False: another source owns it.

        An own row gets the new digest; the former digest stays acceptable until `placed`, also when it is entered once
        more before that (after a crash). A caller that then finds the entered digest on the disk calls `placed` before
        it enters the next. A concluded job's outputs may be entered, too, as long as nothing came after.
        LeaseLostError.
        """

    def enter_note(self, source: bytes, note: Output) -> bool:
        """Enter a note beside a file that is no recording, and so has no job; else as `enter_output`."""

    def placed(self, path: bytes) -> None:
        """Mark the file under `path` as the one that was entered last. Cheap."""

    def disown(self, path: bytes) -> None:
        """Drop an output path."""

    def owner(self, path: bytes) -> OwnedOutput | None:
        """Return whose the output path is."""

    def owned(self, source: bytes) -> tuple[OwnedOutput, ...]:
        """Return the outputs of a source, notes included."""

    def notes(self) -> Iterator[OwnedOutput]:
        """Yield all notes that are beside sources and beside other files."""

    def enter_temporary(self, path: bytes) -> None:
        """Note a temporary file before it is made. Cheap."""

    def drop_temporary(self, path: bytes) -> None:
        """Remove the entry of a temporary file that is gone. Cheap."""

    def temporaries(self) -> tuple[bytes, ...]:
        """Return the temporaries a crash may have left."""

    def abandoned(self) -> tuple[bytes, ...]:
        """Return the temporaries of hosts that died; a host that has their root may delete them."""

    # The endpoint's and the service's memory: small JSON values under a key.

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Store a value; `expires`: Unix time after which it is forgotten."""

    def remembered(self, key: str) -> dict[str, object] | None:
        """Return a value that has not expired."""

    def forget_memory(self, key: str) -> None:
        """Drop a value."""

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        """Add audio seconds bought on `day` (YYYY-MM-DD) to it and to the tally; return the day's sum. 0 only asks. Cheap."""

    def bought(self, endpoint: str | None, first: str, last: str) -> float:
        """Return the audio seconds bought from one day (YYYY-MM-DD) to another, both included; 0 where `last` is before.

        `endpoint` None: at all of them.
        """

    # Hooks.

    def add_hook(self, kind: str, payload: str) -> None:
        """Keep a hook call that belongs to no source; such calls are due one after the other."""

    def hooks_due(self, limit: int, *, heir_of: Collection[str] = ()) -> Sequence[HookCall]:
        """Claim up to `limit` hook calls that are not being run by this process, in order, at most one per source.

        `heir_of`: kinds of those that are taken over from hosts that died, with the paths of this one.

        A source's next call is due once its former one is done. Calls that died with their process are due again, with
        one more attempt. While very many wait after a failure, only such ones are.
        """

    def hooks_waiting(self) -> Sequence[HookCall]:
        """Return the calls that have failed and are not due yet."""

    def retry_hook(self, call: HookCall, *, delay: float, message: str) -> None:
        """Put a call back that failed for what `message` says: due in `delay` seconds, two hours at most, also after a restart."""

    def hook_done(self, call: HookCall) -> None:
        """Drop a hook call that was run."""

    # Other hosts on the same ledger.

    def fleet(self, endpoint: str, party: str) -> Fleet | None:
        """Return what all hosts share of an endpoint; None: there are no others.

        `party`: who comes with the same key and model; a hold is theirs alone.
        """

    def beat(self) -> None:
        """Update this host's heartbeat; every few seconds. Cheap."""

    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts by name, and those that have fallen silent within a day; none where there are no others.

        What a host remembers under ``service`` is what the others see of it.
        """

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:
        """Take the scanning of a root over, or keep it, for `lease` seconds; 0: it is ours.

        Else another host scans it by the same `rules`, and the answer is after how many seconds it may be free. Cheap.
        """

    def release_scan(self, root: bytes, rules: str) -> None:
        """Leave the scanning of a root to others. Cheap."""

    def common(self, path: bytes) -> bytes:
        """Return the name that a path of this host has on all hosts."""

    # Looking.

    def counts(self) -> dict[State, int]:
        """Count the sources by state; every state is there."""

    def records(self, *states: State, limit: int = 10) -> list[SourceRecord]:
        """Return the latest records in these states, newest first."""

    def upcoming(self, limit: int) -> list[SourceRecord]:
        """Return the sources that are due, in the order in which they will be claimed, as far as that is known."""

    def tally(self) -> Tally:
        """Return the sums."""

    def transcribed(self, since: float) -> float:
        """Return the audio seconds of what was done since that Unix time, to the minute; of the last hour at most."""

    def size(self) -> int:
        """Return the bytes the ledger takes on disk."""

    # Operator.

    def put_back(self, paths: Iterable[bytes] | None = None) -> list[bytes]:
        """Queue failed sources anew with fresh attempts (all of them, or those at or below `paths`); give their paths.

        For those that failed with the reason ``garbled`` this is remembered for 30 days, under the key RETRIED followed by the source's id.
        """

    def queue_again(self, paths: Iterable[bytes], again: AgainRequest | None = None) -> list[bytes]:
        """Queue known sources once more, with fresh attempts; return the paths that were.

        `again`: they are to be transcribed once more, whatever is stored; not those that are running, or were moved away. One
        that waits for the same keeps its token, so that what was paid for it is used. Without: those that are done, and
        nothing is asked for what is stored.
        """

    # After a crash.

    def quarantined(self) -> tuple[SourceRecord, ...]:
        """Return the sources that were failed because of their crashes (reason ``crashed``), and not reported yet.

        The answers that such a source used in its last run are put aside: kept, but not recalled until they are paid for anew.

        Their log line, note and hook are still to be made, through `SourceRecord.job`; `fail` says that this is done.
        """
