"""Samples -> stretches of speech, cut at silences, so that long audio neither drifts nor grows.

A stretch begins and ends in quiet where there is any. Its place is counted in samples from the start of the
recording, so times stay true however long it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Vad

from watcher.engine.recognition import RATE

#: Samples in 30 ms, the frame of the voice detector.
_FRAME = RATE * 30 // 1000
#: Frames of quiet kept before and after speech; the recogniser measures the background on them.
_PAD = 10
#: This many speech frames among the last five are the start of speech, not a click.
_ONSET, _ONSET_WINDOW = 3, 5
#: A pause of 0.6 s ends a stretch …
_PAUSE = 20
#: … and one of 0.24 s ends a stretch that has lasted 12 s; after 20 s it is cut at the quietest spot of the last 4 s.
_SHORT_PAUSE, _LONG = 8, 400
_LONGEST, _SEARCH = 667, 133
#: Quieter than this (-62 dB of full scale) is no speech, whatever its shape.
_FLOOR = 26.0
#: WebRTC's aggressiveness: loose modes hear speech in steady noise and find no pauses.
_MODE = 2


@dataclass(frozen=True, slots=True)
class SpeechStretch:
    """Consecutive samples that hold speech; `start` counts samples from the start of the recording."""

    start: int
    samples: NDArray[np.int16]


def stretches(blocks: Iterable[NDArray[np.int16]]) -> Iterator[SpeechStretch]:
    """Cut speech out of the samples, in order and without overlap; quiet in between is left out."""
    cutter = _Cutter()
    for frame in _frames(blocks):
        if (stretch := cutter.take(frame)) is not None:
            yield stretch
    if (stretch := cutter.finish()) is not None:
        yield stretch


def _frames(blocks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
    """Regroup blocks of any length into frames of 30 ms; the last one is filled up with zeros."""
    rest = np.zeros(0, np.int16)
    for block in blocks:
        joined = np.concatenate((rest, block))
        whole = len(joined) // _FRAME * _FRAME
        yield from joined[:whole].reshape(-1, _FRAME)
        rest = joined[whole:]
    if len(rest):
        yield np.pad(rest, (0, _FRAME - len(rest)))


class _Cutter:
    """The state between frames: what was heard lately, and whether somebody is speaking."""

    def __init__(self) -> None:
        self._vad = Vad(_MODE, RATE, _FRAME / RATE)
        self._frames: list[NDArray[np.int16]] = []
        self._voiced: list[bool] = []
        #: Index, in the recording, of the first frame held.
        self._first = 0
        self._speaking = False
        self._quiet = 0

    def take(self, frame: NDArray[np.int16]) -> SpeechStretch | None:
        """Hear one frame; a stretch that ended with it is returned."""
        voiced = self._is_voiced(frame)
        self._frames.append(frame)
        self._voiced.append(voiced)
        self._quiet = 0 if voiced else self._quiet + 1
        if not self._speaking:
            self._speaking = sum(self._voiced[-_ONSET_WINDOW:]) >= _ONSET
            if not self._speaking and len(self._frames) > _PAD + _ONSET_WINDOW:
                self._drop(1)
            return None
        held = len(self._frames)
        if self._quiet >= _PAUSE:
            return self._cut(held - self._quiet + _PAD, speaking=False)
        if held >= _LONG and self._quiet >= _SHORT_PAUSE:
            return self._cut(held - self._quiet // 2, speaking=False)
        if held >= _LONGEST:
            return self._cut(self._quietest(), speaking=True)
        return None

    def finish(self) -> SpeechStretch | None:
        """End the recording: what is still being spoken is the last stretch."""
        if not self._speaking:
            return None
        return self._cut(min(len(self._frames), len(self._frames) - self._quiet + _PAD), speaking=False)

    def _is_voiced(self, frame: NDArray[np.int16]) -> bool:
        heard = bool(self._vad.is_speech(frame.tobytes()))
        return heard and float(np.sqrt(np.mean(np.square(frame, dtype=np.float64)))) >= _FLOOR

    def _quietest(self) -> int:
        """Return behind which frame the sound of the last four seconds is weakest (60 ms around the cut)."""
        loudness = [float(np.mean(np.square(frame, dtype=np.float64))) for frame in self._frames[-_SEARCH:]]
        around = [before + after for before, after in pairwise(loudness)]
        return len(self._frames) - _SEARCH + 1 + int(np.argmin(around))

    def _cut(self, at: int, *, speaking: bool) -> SpeechStretch:
        stretch = SpeechStretch(self._first * _FRAME, np.concatenate(self._frames[:at]))
        self._drop(at)
        self._speaking = speaking
        return stretch

    def _drop(self, count: int) -> None:
        del self._frames[:count], self._voiced[:count]
        self._first += count
