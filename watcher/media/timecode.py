"""Find channels with linear timecode (see `container.timecode`), block by block. Pure, no I/O."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from watcher.container.timecode import BORDER, LONGEST, REGULAR, SHORTEST, has_frames

#: Channels of one block: shape (channels, samples).
Block = NDArray[np.float32]
Signal = NDArray[np.float32]

#: Seconds of the first check, and the changes of sign per second that it must find: from all zeros to all ones, with a margin.
_GLANCE: Final = 0.05
_FEWEST: Final = 1700
_MOST: Final = 4900
#: One block in this many is checked: timecode continues as long as its generator runs.
_EVERY: Final = 4
#: Number of checks without timecode after which a channel counts as speech again.
_MISSES: Final = 5
#: Mean square of the samples (full scale 1.0) below which there is no sound: -60 dBFS.
_SOUND: Final = 1e-6


class TimecodeDetector:
    """Tells, block by block, which channels have timecode; a channel with timecode still counts as such during silence."""

    def __init__(self, channels: int, rate: int, full_scale: float) -> None:
        self._rate = rate
        self._full_scale = full_scale
        self._glance = round(_GLANCE * rate)
        self._blocks = 0
        self._known = np.zeros(channels, np.bool_)
        self._misses = np.zeros(channels, np.intp)

    def look(self, block: Block) -> NDArray[np.bool_]:
        """Return for each channel whether it is timecode; `block` is the next half a second."""
        self._blocks += 1
        if self._blocks % _EVERY != 1:
            return self._known.copy()
        middle = max(0, (block.shape[1] - self._glance) // 2)
        negative = np.signbit(block[:, middle : middle + self._glance])
        changes = np.count_nonzero(negative[:, 1:] != negative[:, :-1], axis=1) * (self._rate / self._glance)
        likely = (changes > _FEWEST) & (changes < _MOST)
        for channel in np.flatnonzero(likely | self._known):
            seconds = np.diff(np.flatnonzero(negative[channel, 1:] != negative[channel, :-1])) / self._rate
            if likely[channel] and _is_regular(seconds) and is_timecode(block[channel], self._rate):
                self._known[channel], self._misses[channel] = True, 0
            elif self._known[channel] and np.mean(np.square(block[channel] / self._full_scale)) > _SOUND:
                self._misses[channel] += 1
                self._known[channel] = self._misses[channel] < _MISSES
        return self._known.copy()


def is_timecode(signal: Signal, rate: int) -> bool:
    """Return whether the signal, which must have the length of some frames, contains two successive frames of LTC."""
    level = signal - signal.mean()
    at = np.flatnonzero(np.signbit(level[1:]) != np.signbit(level[:-1]))
    # Interpolate the zero crossing between two samples: at 16 kHz, half a bit has only three samples.
    crossings = at + level[at] / (level[at] - level[at + 1])
    seconds = np.diff(crossings) / rate
    if not _is_regular(seconds):
        return False
    return has_frames((seconds < BORDER).tolist())


def _is_regular(seconds: NDArray[np.float64]) -> bool:
    """Return whether the intervals between changes of sign are those of bits and halves of bits."""
    return bool(len(seconds)) and bool(np.mean((seconds > SHORTEST) & (seconds < LONGEST)) >= REGULAR)
