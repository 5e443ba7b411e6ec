"""The gain with which a piece is sent: servers with a voice detector miss quiet speech.

One factor for the whole piece, so that nothing else about its sound changes. A piece with speech that is loud enough, and
one in which nobody seems to speak, stays as it is.
"""

from typing import Final

import numpy as np

from watcher.media.levels import FRAME, Levels, Samples, decibels, power

#: Level (dBFS) below which speech is quiet, and the level to which it is raised.
_QUIET: Final = -40.0
_WANTED: Final = -25.0
#: The largest gain (dB), and the highest peak that it may lead to (dBFS).
_MOST: Final = 30.0
_PEAK: Final = -1.0
#: Frames below this (dBFS) are digital silence.
_DIGITAL: Final = -90.0
#: Shares of the other frames: those that are quieter than the noise of the room, and louder than most speech.
_FLOOR_SHARE: Final = 0.1
_LOUD_SHARE: Final = 0.95
#: In a steady noise, the loud frames are less than this above the floor (dB). In speech over music it is 11, over little noise 20 to 40.
_STEADY: Final = 8.0
#: The level of speech is that of the frames that are at most so far below the loud ones (ITU-T P.56 has 15.9 dB).
_MARGIN: Final = 16.0
#: Frames that are measured at once.
_BLOCK: Final = 3000


def gain(samples: Samples) -> float:
    """Return the factor for the samples of a piece; 1.0: they stay as they are."""
    levels = _levels(samples)
    heard = levels[levels > _DIGITAL]
    if not len(heard):
        return 1.0
    floor, loud = np.quantile(heard, (_FLOOR_SHARE, _LOUD_SHARE))
    spoken = heard[heard >= loud - _MARGIN]
    level = 10 * np.log10(np.mean(10 ** (spoken / 10)))
    if level >= _QUIET or loud - floor < _STEADY:
        return 1.0
    peak = 20 * np.log10(max(int(samples.max()), -int(samples.min())) / 32768)
    return float(10 ** (max(0.0, min(_MOST, _WANTED - level, _PEAK - peak)) / 20))


def _levels(samples: Samples) -> Levels:
    """Return the levels of the frames, block by block: at once they would take twice the memory of the samples."""
    blocks = range(0, len(samples) or 1, _BLOCK * FRAME)
    return np.concatenate([decibels(power(samples[first : first + _BLOCK * FRAME])) for first in blocks])
