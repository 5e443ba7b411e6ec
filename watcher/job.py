"""Values that cross packages: found recordings, jobs, outcomes."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from watcher.text import one_line

#: The range of a signed 64-bit number, the integers of databases.
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
#: Inodes are unsigned.
_MOST_INODE: Final = (1 << 64) - 1
#: Samples per second for counting cuts, and of everything that is cut, sent and measured: Whisper's own rate.
SAMPLE_RATE: Final = 16_000
#: Parts of the names of notes beside a file, after the file's own name; and the name of a pause note.
FAILED_NOTE: Final = "transcription-failed"
WARNING_NOTE: Final = "transcription-warning"
PAUSE_NOTE: Final = "transcription-paused.txt"
#: The model of the trial engine (`watcher.engine`): recordings that it has transcribed do not count as done for other models.
TRIAL_MODEL: Final = "pocketsphinx-en-us"
#: Start of the names of the offline engine's Whisper models.
_OFFLINE: Final = "offline-whisper-"


#: End of the path of a session. No recording has such a name (`watcher.settle.names`).
SESSION_SUFFIX: Final = b".session"


def session_path(directory: bytes, name: str) -> bytes:
    """Return the path under which a session of a directory is known; `name`: that of its outputs."""
    return directory.rstrip(b"/") + b"/" + os.fsencode(name) + SESSION_SUFFIX


def is_session(path: bytes) -> bool:
    """Return whether this is the path of a session."""
    return path.endswith(SESSION_SUFFIX)


def shown_name(path: bytes) -> bytes:
    """Return the name of a source for people: that of the file, or that of the session."""
    return os.path.basename(path).removesuffix(SESSION_SUFFIX)  # noqa: PTH119 - bytes


def is_offline(model: str) -> bool:
    """Return whether the offline engine has this model: then nothing leaves the machine, and nothing is paid."""
    return model == TRIAL_MODEL or model.startswith(_OFFLINE)


class State(StrEnum):
    """State of a source in the ledger; `status` calls the first two queued."""

    #: Queued, not due before its `run_at`.
    DELAYED = "delayed"
    #: Queued and due.
    READY = "ready"
    #: Claimed by a worker, under a lease.
    RUNNING = "running"
    #: Its outputs are in place.
    DONE = "done"
    #: Failed for good: waits for a person, or for the file to change.
    FAILED = "failed"
    #: Not to be transcribed (``backlog = false``).
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Fields of a stat that show a change of content; a scan reads them for every file.

    `inode` is 0 if inode numbers change with a remount (network and FUSE mounts). Numbers outside a database's range
    become the nearest in it: a file may be dated 2300, and 64 bits of nanoseconds end in April 2262.
    """

    size: int
    mtime_ns: int
    inode: int = 0

    def __post_init__(self) -> None:
        """Bring every number into its range."""
        if not (_LEAST <= self.mtime_ns <= _MOST and _LEAST <= self.size <= _MOST and 0 <= self.inode <= _MOST_INODE):
            object.__setattr__(self, "size", _fitting(self.size))
            object.__setattr__(self, "mtime_ns", _fitting(self.mtime_ns))
            object.__setattr__(self, "inode", max(0, min(self.inode, _MOST_INODE)))

    def matches(self, status: os.stat_result) -> bool:
        """Return whether a stat shows this size and this modification time."""
        return (self.size, self.mtime_ns) == (_fitting(status.st_size), _fitting(status.st_mtime_ns))


def _fitting(number: int) -> int:
    return max(_LEAST, min(number, _MOST))


@dataclass(frozen=True, slots=True)
class FoundRecording:
    """A whole file that is no longer being written, to be put into the ledger.

    `root` and `path` are absolute; `path` lies below `root`. Both are bytes.
    """

    root: bytes
    path: bytes
    fingerprint: Fingerprint
    #: Whether it existed at the first start: newer arrivals in its root go first.
    backlog: bool = False
    #: Whether its container, length and size allow to send it as it is, in one request.
    small: bool = False
    #: Whether it was taken although it looks cut off.
    incomplete: bool = False
    #: Duration by its header; None if only decoding can tell.
    seconds: float | None = None
    #: The session that it is a stem of; None: it is a recording of its own.
    session: "SessionPlace | None" = None


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The settings of a folder's sessions; see `watcher.config.folder.FolderSettings`."""

    tracks: Literal["off", "folder", "channels", "streams"] = "off"
    #: Seconds without a further stem, before the outputs are written.
    quiet_seconds: float = 10.0
    #: Whether each stem gets outputs of its own, too.
    members: bool = False
    #: Speakers' names, and seconds from the session's start to the track's, by name of the stem or number of the track.
    speakers: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """The session of a stem: where it is, and how long nothing new must have come before its outputs are written."""

    #: Absolute path of the session: `session_path`.
    path: bytes
    #: Seconds.
    quiet_seconds: float


@dataclass(frozen=True, slots=True)
class AgainRequest:
    """A person's request to transcribe a recording again (`watcher again`)."""

    #: Separates the answers to this request from stored ones about the same sound. "": the new answers are complete and have
    #: replaced the old ones.
    token: str
    #: The model and the language (ISO-639-1) to use; "": those of the settings.
    model: str = ""
    language: str = ""
    #: The title of the endpoint to ask; "": the order of the folder counts.
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A source under a worker's lease."""

    id: int
    root: bytes
    path: bytes
    fingerprint: Fingerprint
    #: Attempts, this claim included.
    attempts: int
    #: Raised by every claim; a write with an older fence is refused.
    fence: int
    #: Unix time at which it was queued.
    queued_at: float
    backlog: bool = False
    small: bool = False
    incomplete: bool = False
    seconds: float | None = None
    #: SHA-256 (hex) of the content last transcribed under this path, or of the same inode under another; "" if none.
    content: str = ""
    #: Whether it was running in a crash: nothing runs beside it until it is past that point, so that a second crash identifies it.
    alone: bool = False
    #: The request to transcribe it again, whatever is stored; None: there is none.
    again: AgainRequest | None = None
    #: Path of the session that it is a stem of, or that it is; b"": a recording of its own.
    session: bytes = b""

    @property
    def is_session(self) -> bool:
        """Whether this is the job of a session, which writes the outputs of its stems; it has no file."""
        return is_session(self.path)

    @property
    def is_stem(self) -> bool:
        """Whether it is a stem of a session, which has the outputs."""
        return bool(self.session) and not self.is_session


@dataclass(frozen=True, slots=True)
class Cut:
    """A span of a recording that is (or was) sent as one piece; in samples at `SAMPLE_RATE` from the recording's start."""

    index: int
    start: int
    end: int
    #: SHA-256 (hex) of the piece's 16-bit mono samples: stored answers are found by it.
    digest: str

    @property
    def start_seconds(self) -> float:
        """Its start, in seconds from the recording's start."""
        return self.start / SAMPLE_RATE

    @property
    def end_seconds(self) -> float:
        """Its end, in seconds from the recording's start."""
        return self.end / SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return (self.end - self.start) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Output:
    """One output beside the source."""

    #: One of `OUTPUT_KINDS`, or "note".
    kind: str
    path: bytes
    #: SHA-256 (hex) of the bytes that were placed.
    digest: str


@dataclass(frozen=True, slots=True)
class ResultWarning:
    """A warning about a result: something was not transcribed, or is in doubt."""

    #: Stable, for scripts: lower-case words joined by "_", such as "tracks_left_out".
    code: str
    #: One plain sentence.
    message: str
    #: What can be done about it; "" if nothing can or need be done.
    hint: str = ""
    #: Whether words may be missing, which only a person can check: then there is also a note beside the recording.
    note: bool = False

    def __post_init__(self) -> None:
        """Make each sentence one printable line, as it may quote a track's title."""
        object.__setattr__(self, "message", one_line(self.message))
        object.__setattr__(self, "hint", one_line(self.hint))


#: Most warnings of one code in a result; a long recording may have hundreds, and log, note and status show each of them.
_MOST_WARNINGS: Final = 20


def bounded(warnings: Sequence[ResultWarning]) -> tuple[ResultWarning, ...]:
    """Return the first 20 warnings of each code, in order, and one more that says how many others there are."""
    found: list[ResultWarning] = []
    others: defaultdict[str, list[ResultWarning]] = defaultdict(list)
    named = Counter[str]()
    for warning in warnings:
        named[warning.code] += 1
        if named[warning.code] <= _MOST_WARNINGS:
            found.append(warning)
        else:
            others[warning.code].append(warning)
    for code, left in others.items():
        message = f"and {len(left)} more such warnings ({code})"
        found.append(ResultWarning(code, message, left[0].hint, note=any(warning.note for warning in left)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a finished job; `job.done` and the hooks report it."""

    outputs: tuple[Output, ...] = ()
    #: SHA-256 (hex) of the source's bytes; "" if it did not have to be read to its end.
    content: str = ""
    language: str = ""
    audio_seconds: float = 0.0
    #: Seconds of audio bought in this run; those bought in earlier attempts, which failed; and those whose answers
    #: were stored already.
    paid_seconds: float = 0.0
    paid_before_seconds: float = 0.0
    saved_seconds: float = 0.0
    pieces: int = 0
    #: Number of pieces whose answers were stored already.
    cached_pieces: int = 0
    #: Whether the wanted outputs existed already and were not Watcher's.
    adopted: bool = False
    #: Whether the server gave text without times, so that no subtitles were made.
    untimed: bool = False
    #: Segments left out of captions and text, and segments only flagged, by the guard.
    left_out: int = 0
    flagged: int = 0
    warnings: tuple[ResultWarning, ...] = ()
    #: The source's path after it was moved away together with its outputs; else b"".
    moved_to: bytes = b""
    #: The recording's path before somebody renamed it; its outputs have followed. Else b"".
    renamed_from: bytes = b""
    #: The model used; "" if none was, or an earlier version did not store it.
    model: str = ""
    #: Whether the recording was done before, with the same content, so that nothing was transcribed now.
    unchanged: bool = False
    #: Kinds of outputs that were missing, and were made again from stored answers.
    restored: tuple[str, ...] = ()
    #: How many pieces each endpoint has answered, by its title; without answers of earlier versions, which did not store it.
    endpoints: tuple[tuple[str, int], ...] = ()
    #: Whether another endpoint than the preferred one has answered some of them.
    fallback: bool = False
    #: Of a session: the names of its tracks; and how many stems are missing, as they failed.
    stems: tuple[str, ...] = ()
    missing_stems: int = 0
