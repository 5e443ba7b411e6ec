"""Cut given stretches out of a recording, without regard to its silences."""

import hashlib
from collections import deque
from collections.abc import Sequence

import numpy as np

from watcher.job import Cut
from watcher.media.levels import Samples
from watcher.media.plan import PlannedPiece


class Excerpts:
    """Is fed the recording in order, as `Planner` is, and returns the given stretches (first sample, end sample)."""

    def __init__(self, stretches: Sequence[tuple[int, int]]) -> None:
        self._wanted = deque(enumerate(stretches))
        #: Samples from position `_base` to `_end`.
        self._blocks: deque[Samples] = deque()
        self._base = self._end = 0
        self._finished = False

    @property
    def replanned(self) -> None:
        """Always None: there are no planned cuts."""

    @property
    def done(self) -> bool:
        """Whether no more samples are needed."""
        return not self._wanted

    def feed(self, samples: Samples) -> None:
        """Add the next samples, and forget those before the next stretch."""
        self._blocks.append(samples)
        self._end += len(samples)
        first = self._wanted[0][1][0] if self._wanted else self._end
        while self._blocks and self._base + len(self._blocks[0]) <= first:
            self._base += len(self._blocks.popleft())

    def finish(self) -> None:
        """Note that the recording ends here."""
        self._finished = True

    def span(self) -> PlannedPiece | None:
        """Return the next stretch; None if more samples are needed first, or no stretch is left."""
        while self._wanted:
            index, (start, end) = self._wanted[0]
            if end > self._end and not self._finished:
                return None
            heard = np.concatenate(self._blocks) if self._blocks else np.empty(0, np.int16)
            samples = heard[max(0, start - self._base) : max(0, end - self._base)]
            if len(samples):
                digest = hashlib.sha256(samples.astype("<i2", copy=False).data).hexdigest()
                return PlannedPiece(Cut(index, start, start + len(samples), digest), 0, samples)
            # The recording ends before it.
            self._wanted.popleft()
        return None

    def accept(self, _span: PlannedPiece) -> None:
        """Go on to the next stretch."""
        self._wanted.popleft()

    def shorten(self, span: PlannedPiece, longest: int) -> None:
        """Cut the stretch to `longest` samples."""
        self._wanted[0] = (span.cut.index, (span.cut.start, span.cut.start + longest))
