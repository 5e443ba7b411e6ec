"""Hand the cutting of a recording over, from who followed it while it was being recorded to the run of the whole file.

The child of the cutting has decoded all but the last seconds: the run need not decode the whole recording once more.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from watcher import media
from watcher.errors import StoppedError
from watcher.pipeline.question import Question
from watcher.transcript import Transcript

#: Seconds between two looks.
_GLANCE: Final = 0.25
#: Seconds to wait for who follows a recording: it reads a stored answer, or cuts samples of voices.
_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """An answer that who follows a recording has asked for, and pays for."""

    #: Index of the piece. Its file goes when the answer is there.
    index: int
    question: Question
    #: The name of the endpoint that is asked.
    endpoint: str
    #: The answer, and True: for the run of the whole recording it counts as stored.
    answer: "Future[tuple[Transcript, bool]]"


@dataclass(frozen=True, slots=True)
class Followed:
    """What who follows a recording hands over."""

    cutting: media.Cutting
    pending: PendingAnswer | None


class _Offer:
    """What is offered, or may be."""

    def __init__(self, stop: threading.Event) -> None:
        #: Set to end the following.
        self.stop = stop
        self.followed: Followed | None = None
        self.is_taken = False
        #: Set once `followed` is there, or will not be any more; and once who has taken it needs it no more.
        self.decided = threading.Event()
        self.ended = threading.Event()


class Handovers:
    """The recordings that are followed on this host, by their files. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offers: dict[tuple[int, int], _Offer] = {}

    @contextmanager
    def following(self, descriptor: int, stop: threading.Event) -> Iterator[Callable[..., None]]:
        """In the block, the recording is followed; `stop` ends this. Yield a callable to offer what was followed: see `_offered`."""
        key, offer = _file(descriptor), _Offer(stop)
        with self._lock:
            self._offers[key] = offer
        try:
            yield partial(self._offered, offer)
        finally:
            with self._lock:
                if self._offers.get(key) is offer:
                    del self._offers[key]
            offer.decided.set()

    @contextmanager
    def taken(self, descriptor: int, waiting: Callable[[], object], stop: threading.Event) -> Iterator[Followed | None]:
        """Yield what who follows this file hands over, which ends with this; None if nobody does, or does not stop soon.

        `waiting` is called several times a second meanwhile. Raises StoppedError once `stop` is set.
        """
        with self._lock:
            offer = self._offers.pop(_file(descriptor), None)
        if offer is None:
            yield None
            return
        offer.stop.set()
        until = time.monotonic() + _PATIENCE
        while not offer.decided.wait(_GLANCE) and time.monotonic() < until:
            if stop.is_set():
                raise StoppedError("the daemon stops")
            waiting()
        with self._lock:
            followed = offer.followed
            offer.is_taken = followed is not None
        try:
            yield followed
        finally:
            offer.ended.set()

    def _offered(
        self, offer: _Offer, followed: Followed, seconds: float, alive: Callable[[], object], stop: threading.Event
    ) -> None:
        """Offer what was followed for so many seconds or until `stop` is set, and return once nobody needs it any more.

        Nobody iterates over its cutting here. Who has taken it may be reading from it when `stop` is set, and is waited for.
        `alive` is called several times a second.
        """
        until = time.monotonic() + seconds
        with self._lock:
            offer.followed = followed
        offer.decided.set()
        try:
            while not offer.ended.wait(_GLANCE):
                alive()
                with self._lock:
                    if not offer.is_taken:
                        if stop.is_set() or time.monotonic() >= until:
                            offer.followed = None
                            return
                        followed.cutting.check_spool()
        finally:
            with self._lock:
                offer.followed = None


def _file(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
