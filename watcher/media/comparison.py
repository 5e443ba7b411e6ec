"""Find tracks with the same sound: channels of a stream, and audio streams of a file. Pure, no I/O."""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from watcher.media.levels import Samples

#: Channels of one block: shape (channels, samples), integers or floats in their own full scale.
Block = NDArray[np.float32]

#: Correlation and loudness are measured on every eighth sample: aliasing does not change either.
SPARSE: Final = 8
#: Mean square (full scale 1.0) of a block that is audible: -50 dBFS.
_AUDIBLE: Final = 1e-5
#: Two channels are the same sound if each audible block has this correlation, straight or inverted, and if the difference of their
#: levels changes by no more than this (dB). Of two people whose microphones hear each other, now the one is louder, now the other.
_SAME: Final = 0.98
_STEADY: Final = 2.0
#: Mean square of a block that is as good as none, for its level.
_NOTHING: Final = 1e-12


def products(block: Block) -> Block:
    """Return the mean products of the samples of each two channels; on the diagonal, the mean squares of the channels."""
    sparse = block[:, ::SPARSE]
    result: Block = sparse @ sparse.T / np.float32(max(1, sparse.shape[1]))
    return result


class ChannelComparison:
    """Compares the channels of a stream, block by block."""

    def __init__(self) -> None:
        #: Number of channels, the most that the stream has at any time.
        self.count = 0
        self._is_constant = True
        self._same = self._heard = np.zeros((0, 0), np.bool_)
        self._least = self._most = np.zeros((0, 0))

    def add(self, block: Block, unit: float) -> None:
        """Add the next block; its samples times `unit` have a full scale of 1.0."""
        if len(block) != self.count:
            # Channels that come and go are not compared.
            self._is_constant = not self.count
            self.count = max(self.count, len(block))
            shape = (self.count, self.count)
            self._same, self._heard = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
            self._least, self._most = np.full(shape, np.inf), np.full(shape, -np.inf)
        if not self._is_constant or not block.size:
            return
        # A constant in the samples, as cheap converters add it, is no sound.
        found = products((block - block.mean(axis=1, keepdims=True)) * np.float32(unit))
        energies = np.diagonal(found).astype(np.float64)
        heard = (energies > _AUDIBLE)[:, None] | (energies > _AUDIBLE)
        alike = np.abs(found) >= _SAME * np.sqrt(np.outer(energies, energies))
        alike &= (energies > 0)[:, None] & (energies > 0)
        levels = 10 * np.log10(np.maximum(energies, _NOTHING))
        differences = levels[:, None] - levels
        self._same &= alike | ~heard
        self._heard |= heard
        self._least = np.where(heard, np.minimum(self._least, differences), self._least)
        self._most = np.where(heard, np.maximum(self._most, differences), self._most)

    def repeats(self) -> tuple[int, ...]:
        """Return for each channel the number, from 1, of the first earlier one with the same sound; 0: there is none."""
        if not self._is_constant:
            return (0,) * self.count
        with np.errstate(invalid="ignore"):
            same = self._same & self._heard & (self._most - self._least <= _STEADY)
        return tuple(
            next((earlier + 1 for earlier in range(channel) if same[earlier, channel]), 0)
            for channel in range(self.count)
        )


class StreamComparison:
    """Compares the sound of audio streams; only exact doubles are the same."""

    def __init__(self) -> None:
        self._digests: dict[int, hashlib._Hash] = {}
        self._heard: set[int] = set()

    def add(self, stream: int, samples: Samples) -> None:
        """Add the next samples of the stream with this number."""
        self._digests.setdefault(stream, hashlib.sha256()).update(samples.data)
        if stream not in self._heard and samples.any():
            self._heard.add(stream)

    def repeats(self, streams: Sequence[int]) -> tuple[int, ...]:
        """Return for each of the streams the number of the first earlier one with the same sound; 0: there is none.

        Silence repeats nothing.
        """
        first: dict[bytes, int] = {}
        found = []
        for stream in streams:
            double = 0
            if stream in self._heard:
                earlier = first.setdefault(self._digests[stream].digest(), stream)
                double = 0 if earlier == stream else earlier
            found.append(double)
        return tuple(found)
