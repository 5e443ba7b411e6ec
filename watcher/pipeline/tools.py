"""The parts that a run uses, and the settings of its job."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from watcher.client import Client, Request
from watcher.cues import CaptionRules
from watcher.formats import TextLayout
from watcher.gate import Gate
from watcher.job import Job, SessionOptions
from watcher.ledger.ledger import Ledger
from watcher.media import MediaOptions, SoundChoice
from watcher.pipeline.handover import Handovers
from watcher.pipeline.keyed_locks import KeyedLocks
from watcher.pipeline.remedies import ExhaustedForms
from watcher.sidecar import OutputTemplates
from watcher.timecode import TimecodeOptions
from watcher.transcript import AnswerOrigin

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Settings of one job."""

    request: Request
    #: Kinds of outputs (`watcher.output_kinds`).
    formats: tuple[str, ...]
    #: Templates of the outputs' names.
    names: OutputTemplates
    rules: CaptionRules
    text: TextLayout
    #: Folder below the root to which source and outputs are moved afterwards; "": they stay.
    after: str = ""
    #: Whose files count as outputs that are there already: "own", or "any"; see `existing.has_outputs`.
    skip_existing: str = "own"
    #: Spelling to replace, and what by; see `cues.replaced`.
    replacements: tuple[tuple[str, str], ...] = ()
    #: The sound to transcribe: track and channel.
    choice: SoundChoice = field(default_factory=SoundChoice)
    #: What is done with its tracks.
    session: SessionOptions = field(default_factory=SessionOptions)
    #: Whether this is one track of a session: then the file is decoded, so that its loudness is known and silence is not sent.
    as_track: bool = False
    #: Of the recording's timecode, which goes before what the file says.
    timecode: TimecodeOptions = field(default_factory=TimecodeOptions)

    #: Seconds of a recording that are transcribed while it is being recorded; 0: none.
    ahead: float = 0.0

    def media_options(self, options: MediaOptions) -> MediaOptions:
        """Return the options for cutting, from those of the settings."""
        steady = options.for_growing() if self.ahead and not self.is_split else options
        return steady.for_track() if self.as_track else steady

    @property
    def is_split(self) -> bool:
        """Whether the channels or the streams of each recording are different speakers."""
        return self.session.tracks in {"channels", "streams"}


class Submit(Protocol):
    """Runs a callable in another thread."""

    def __call__(self, call: Callable[[], _Result], /) -> "Future[_Result]":
        """Return the future of its result."""


class AliveCallback(Protocol):
    """Callback that extends a thread's time until the watchdog counts it as hung."""

    def __call__(self, seconds: float = ..., /) -> None:
        """Note that the thread is alive, and announce the next sign of life within `seconds`."""


class HeartbeatCallback(AliveCallback, Protocol):
    """Callback for signs of life, also of threads that work for this one; `heartbeat.Heartbeat` is one."""

    def beside(self) -> AbstractContextManager["HeartbeatCallback"]:
        """Yield a callback with which another thread that works for this one gives signs of life."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts that a run uses; shared by all workers."""

    ledger: Ledger
    client: Client
    gate: Gate
    media: MediaOptions
    #: Folder for pieces that are cut and not sent yet.
    spool: Path
    stop: threading.Event
    submit: Submit
    wanted: Callable[[Job], JobSettings]
    sound_locks: KeyedLocks
    #: Of this endpoint.
    exhausted: ExhaustedForms
    #: Of recordings that are followed while they grow.
    handovers: Handovers = field(default_factory=Handovers)
    #: The endpoints that may get the recording, the preferred first; and the models of the others of them, whose stored answers are used.
    order: tuple[str, ...] = ()
    other_models: tuple[str, ...] = ()
    #: Returns whether a recording that waits for a place should rather go to another endpoint; asked until it has sent something.
    leaves: Callable[[], bool] = lambda: False
    #: Called for each answer of the endpoint.
    answered: Callable[[], None] = lambda: None
    #: Called once the last piece of a recording is cut: from then on the job only waits for answers.
    all_cut: Callable[[], None] = lambda: None

    @property
    def origin(self) -> AnswerOrigin:
        """The origin of answers that are given now."""
        return AnswerOrigin(self.client.endpoint.title, self.client.endpoint.model)
