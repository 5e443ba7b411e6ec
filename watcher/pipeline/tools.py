"""What a run works with, and what is wanted of it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from watcher.client import Client, Request
from watcher.cues import Rules
from watcher.formats import Text
from watcher.gate import Gate
from watcher.job import Job
from watcher.ledger.protocol import Ledger
from watcher.media import Choice, MediaOptions
from watcher.pipeline.remedies import Exhausted
from watcher.pipeline.turns import Turns

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made of one source."""

    request: Request
    #: srt, txt, vtt, json.
    formats: tuple[str, ...]
    #: Name of the outputs; {stem} {name} {language}.
    output: str
    rules: Rules
    text: Text
    #: Folder below the root that source and outputs move to afterwards; "": they stay.
    after: str = ""
    #: Which sound of it is heard.
    choice: Choice = field(default_factory=Choice)


class Submit(Protocol):
    """Runs a callable beside the caller."""

    def __call__(self, call: Callable[[], _Result], /) -> "Future[_Result]":
        """Give the future of its result."""


class Beat(Protocol):
    """A thread's sign of life, for the watchdog; `worker.Beat` is one."""

    def __call__(self, seconds: float = ..., /) -> None:
        """Note that the thread is alive, and announce the next sign of life within `seconds`."""

    def beside(self) -> AbstractContextManager["Beat"]:
        """Yield the sign of life of another thread that works for this one, from that thread."""


class Progress(Protocol):
    """Hears how far a job is."""

    def __call__(self, *, piece: int, pieces: int, seconds: float) -> None:
        """`piece` of `pieces` are answered (0: not known yet), `seconds` of audio in sum."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run works with; shared by all workers."""

    ledger: Ledger
    client: Client
    gate: Gate
    media: MediaOptions
    #: Where pieces live between being cut and being sent.
    spool: Path
    stop: threading.Event
    submit: Submit
    wanted: Callable[[Job], Wanted]
    turns: Turns
    exhausted: Exhausted
