"""Measure the loudness of a recording, frame by frame, and find its silences. Pure, no I/O."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from watcher.job import SAMPLE_RATE
from watcher.loudness import DIGITAL_SILENCE, RATE

Samples = NDArray[np.int16]
#: Mean squares of frames (full scale 1.0), or RMS levels in dBFS.
Levels = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]

#: Samples in a frame: 20 ms.
FRAME: Final = SAMPLE_RATE // RATE
#: dBFS of a frame without any signal.
_NOTHING: Final = -120.0
#: Frames below this do not count for the noise of the room: they are digital silence, or its dither.
_DIGITAL: Final = -90.0
#: Below this a frame is silence in any case: speech would have only 12 of 65,536 steps.
_INAUDIBLE: Final = -75.0
#: Above this a frame always has sound, however steady it is: the recogniser decides about a noisy room.
AUDIBLE: Final = -45.0
#: Difference between quiet and loud (dB) above which there is speech over the noise floor, and below which there is only noise.
_SPEECH: Final = 18.0
_STEADY: Final = 8.0
#: Sound shorter than this within silence is a click: 0.1 s. The shortest words take 0.2 s.
CLICK: Final = 5


def power(samples: Samples) -> Levels:
    """Return the mean square of each whole frame of `samples`."""
    count = len(samples) // FRAME
    frames = samples[: count * FRAME].astype(np.float32).reshape(count, FRAME)
    result: Levels = np.einsum("ij,ij->i", frames, frames) / np.float32(FRAME * 32768.0**2)
    return result


def decibels(mean_squares: Levels) -> Levels:
    """Return RMS levels in dBFS, `_NOTHING` at least."""
    result: Levels = 10 * np.log10(np.maximum(mean_squares, np.float32(10.0 ** (_NOTHING / 10))))
    return result


def runs(mask: Mask) -> tuple[Indices, Indices]:
    """Return the stretches of True: their first frames, and the frames after their last ones."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return edges[::2], edges[1::2]


def without_clicks(mask: Mask) -> Mask:
    """Return the mask without stretches of True that are too short for speech."""
    first, behind = runs(mask)
    click = behind - first < CLICK
    change = np.zeros(len(mask) + 1, np.int8)
    change[first[click]] = 1
    change[behind[click]] = -1
    result: Mask = mask & (np.cumsum(change[:-1], dtype=np.int8) == 0)
    return result


class LoudnessScale:
    """Thresholds between quiet and loud in a recording: a histogram of levels, whose old values count half after 5 minutes."""

    def __init__(self) -> None:
        self._histogram = np.zeros(int(-_DIGITAL) + 1)
        #: The level below which a tenth of all frames are, and the level above which a twentieth are.
        self._floor = self._loud = _DIGITAL

    def add(self, levels: Levels) -> None:
        """Add frames."""
        self._histogram *= 0.5 ** (len(levels) * FRAME / (300.0 * SAMPLE_RATE))
        heard = levels[levels > _DIGITAL]
        self._histogram += np.bincount(
            np.clip(np.rint(heard - _DIGITAL), 0, -_DIGITAL).astype(np.intp), minlength=len(self._histogram)
        )
        total = np.cumsum(self._histogram)
        if total[-1] > 0:
            self._floor = _DIGITAL + float(np.searchsorted(total, 0.10 * total[-1]))
            self._loud = _DIGITAL + float(np.searchsorted(total, 0.95 * total[-1]))

    def sound(self, levels: Levels) -> Mask:
        """Return which frames have sound; clicks do not count.

        It is cautious, because frames without sound are not sent: either there is speech well above the floor, or only
        a steady floor; in between, only inaudible frames count as silence. In a stretch whose own floor is
        lower than the recording's, somebody who whispers above it still counts as sound.
        """
        spread = self._loud - self._floor
        threshold = _INAUDIBLE
        if spread >= _SPEECH or spread <= _STEADY:
            threshold = max(_INAUDIBLE, min(AUDIBLE, self._floor + _STEADY))
        result = without_clicks(levels > threshold)
        for first, behind in zip(*runs(~result), strict=True):
            if behind - first >= RATE:
                result[first:behind] = _uneven(levels[first:behind])
        return result

    def pause(self, levels: Levels) -> Mask:
        """Return the frames in which a speaker pauses: those near the floor, however loud that is."""
        spread = self._loud - self._floor
        if spread < _STEADY - 2:
            return levels < _INAUDIBLE
        return levels < max(_INAUDIBLE, self._floor + max(3.0, spread / 4))


def _uneven(levels: Levels) -> Mask:
    """Return the seconds of a quiet stretch that rise above its own floor."""
    audible = levels[levels > _INAUDIBLE]
    if len(audible) < CLICK:
        return np.zeros(len(levels), np.bool_)
    floor = np.partition(audible, len(audible) // 10)[len(audible) // 10]
    seconds = np.arange(0, len(levels), RATE)
    sizes = np.diff(seconds, append=len(levels))
    means = np.add.reduceat(10.0 ** (levels.astype(np.float64) / 10), seconds) / sizes
    return np.repeat(means > 10.0 ** ((max(float(floor), _INAUDIBLE) + _STEADY) / 10), sizes)


class SoundDetector:
    """Detects whether a recording has sound, in the same way as the planner: every ten seconds, from all sound before."""

    def __init__(self) -> None:
        self._scale = LoudnessScale()
        self._waiting = np.empty(0, np.int16)
        #: Whether there was sound.
        self.hears = False

    def add(self, samples: Samples) -> None:
        """Add the next samples."""
        self._waiting = np.concatenate((self._waiting, samples))
        if len(self._waiting) >= 10 * SAMPLE_RATE:
            self.finish()
        elif not self.hears:
            # Loud frames are sound, whatever comes before and after.
            self.hears = bool(without_clicks(decibels(power(samples)) > AUDIBLE).any())

    def finish(self) -> None:
        """Judge the remaining samples."""
        levels = decibels(power(self._waiting))
        self._waiting = self._waiting[:0]
        if len(levels) and not self.hears:
            self._scale.add(levels)
            self.hears = bool(self._scale.sound(levels).any())


class LoudnessMeter:
    """Measures the loudness of a recording while it is decoded."""

    def __init__(self) -> None:
        self._rest = np.empty(0, np.int16)
        self._bytes = bytearray()

    def add(self, samples: Samples) -> None:
        """Add the next samples."""
        samples = np.concatenate((self._rest, samples))
        self._bytes += _bytes(power(samples))
        self._rest = samples[len(samples) // FRAME * FRAME :]

    def finish(self) -> bytes:
        """Return the levels of `watcher.loudness.Loudness`."""
        if len(self._rest):
            last = self._rest.astype(np.float32) / np.float32(32768.0)
            self._bytes += _bytes(np.mean(last * last, keepdims=True))
            self._rest = self._rest[:0]
        return bytes(self._bytes)


def _bytes(mean_squares: Levels) -> bytes:
    rounded = np.clip(np.rint(-decibels(mean_squares)), 0, DIGITAL_SILENCE - 1)
    return np.where(mean_squares > 0, rounded, DIGITAL_SILENCE).astype(np.uint8).tobytes()
