"""The requests that wait for a place, and how many are in flight. Small files go first and have a reserved place. Not locked."""

import threading
from collections import Counter, deque
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from watcher.gate.hold import Hold

#: While both kinds wait, one of four places goes to a large file.
_SMALL_IN_A_ROW: Final = 3


@dataclass(slots=True)
class Receipt:
    """The seconds of audio counted for a request, and the day on which they count; "": nothing was bought."""

    seconds: float = 0.0
    day: str = ""


@dataclass(slots=True, eq=False)
class GateRequest:
    """One request that waits or is in flight."""

    signal: threading.Condition
    seconds: float
    small: bool
    path: bytes = b""
    #: The watched folder that the file lies in.
    root: bytes = b""
    granted: bool = False
    #: It has given its place back, though its outcome is not counted yet.
    left: bool = False
    #: The hold that it probes, and the number of `resume` calls until its start.
    probe: Hold | None = None
    resumes: int = 0
    #: The window's epoch at its start, and the day on which its seconds count.
    epoch: int = 0
    day: str = ""
    #: Monotonic seconds at which it was let in.
    began: float = 0.0
    #: Gets what was bought.
    receipt: Receipt | None = None


class AdmissionQueue:
    """Two queues, of small and of large files; `head` picks from both."""

    def __init__(self) -> None:
        self._small: deque[GateRequest] = deque()
        self._large: deque[GateRequest] = deque()
        self._small_in_a_row = 0
        self._large_inside = 0
        #: Requests in flight; and by root.
        self.inside = 0
        self._inside_of: Counter[bytes] = Counter()

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._small) + len(self._large)

    @property
    def large(self) -> bool:
        """Whether a large file waits."""
        return bool(self._large)

    def roots(self) -> set[bytes]:
        """Return the roots with a request that waits or is in flight."""
        return {request.root for request in chain(self._small, self._large)} | {*self._inside_of}

    def seconds(self, count: int) -> float:
        """Return the seconds of audio of the first `count` waiting requests, but at least those of the longest head."""
        some = sum(request.seconds for request in islice(chain(self._small, self._large), count))
        return max([some, *(queue[0].seconds for queue in (self._small, self._large) if queue)])

    def join(self, request: GateRequest) -> None:
        """Add a request at the end."""
        (self._small if request.small else self._large).append(request)

    def quit(self, request: GateRequest) -> None:
        """Remove a request that was not started; do nothing if it no longer waits."""
        queue = self._small if request.small else self._large
        if request in queue:
            queue.remove(request)

    def head(self, limit: int, *, reserve: int) -> GateRequest | None:
        """Return the next request if `limit` may be in flight; None: none may start now.

        `reserve`: places kept free for small files. Every fourth place goes to a large file, so that small files without end
        do not keep it waiting forever.
        """
        if self.inside >= limit:
            return None
        large = bool(self._large) and self._large_inside < max(1, limit - reserve)
        if self._small and not (large and self._small_in_a_row >= _SMALL_IN_A_ROW):
            self._small_in_a_row = self._small_in_a_row + 1 if large else 0
            return self._small[0]
        self._small_in_a_row = 0
        return self._large[0] if large else None

    def enter(self, request: GateRequest) -> None:
        """Start a request, whatever its position in the queue."""
        self.quit(request)
        self.inside += 1
        self._inside_of[request.root] += 1
        self._large_inside += not request.small
        request.granted = True
        request.signal.notify()

    def leave(self, request: GateRequest) -> None:
        """Count a request that ended."""
        self.inside -= 1
        self._inside_of -= Counter((request.root,))
        self._large_inside -= not request.small

    def rouse(self) -> None:
        """Wake all waiting requests, so that they check again whether they may start."""
        for request in (*self._small, *self._large):
            request.signal.notify()
