"""The part of a recording whose cuts are not decided yet. Pure, no I/O."""

import numpy as np

from watcher.job import SAMPLE_RATE
from watcher.media.levels import FRAME, Levels, Samples, decibels, power
from watcher.media.values import OVERLAP


class UndecidedSamples:
    """The part of the recording whose cuts are not decided yet, with its levels."""

    def __init__(self) -> None:
        self._buffer = np.empty(60 * SAMPLE_RATE, np.int16)
        self._levels = np.empty(0, np.float32)
        #: Position of the first stored sample, at a frame's edge; and the position after the last one.
        self.base = 0
        self.end = 0

    def add(self, samples: Samples) -> None:
        """Add the next samples."""
        size = self.end - self.base
        if size + len(samples) > len(self._buffer):
            larger = np.empty((size + len(samples)) * 3 // 2, np.int16)
            larger[:size] = self._buffer[:size]
            self._buffer = larger
        self._buffer[size : size + len(samples)] = samples
        self.end += len(samples)
        fresh = self._buffer[len(self._levels) * FRAME : self.end - self.base]
        self._levels = np.concatenate((self._levels, decibels(power(fresh))))

    def finish(self) -> None:
        """Measure the last, short frame, too."""
        if rest := (self.end - self.base) % FRAME:
            last = self._buffer[self.end - self.base - rest : self.end - self.base].astype(np.float32) / 32768
            self._levels = np.append(self._levels, decibels(np.mean(last * last, keepdims=True)))

    def forget(self, position: int) -> None:
        """Drop all samples more than an overlap before the position."""
        drop = (min(position, self.end) - OVERLAP - self.base) // FRAME
        # This copies all remaining samples, so do it only if there are many to drop.
        if drop * FRAME > max(30 * SAMPLE_RATE, (self.end - self.base) // 2):
            rest = self.end - self.base - drop * FRAME
            self._buffer[:rest] = self._buffer[drop * FRAME : drop * FRAME + rest]
            self._levels = self._levels[drop:].copy()
            self.base += drop * FRAME

    def samples(self, start: int, end: int) -> Samples:
        """Return a copy of the samples; fewer at the recording's end."""
        return self._buffer[start - self.base : min(end, self.end) - self.base].copy()

    def levels(self, start: int, end: int) -> Levels:
        """Return the levels of the whole frames from the one at `start` on."""
        first = max(0, start - self.base) // FRAME
        return self._levels[first : max(first, -(-(end - self.base) // FRAME))]
