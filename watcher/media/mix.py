"""Mix many channels to one, in blocks of half a second. Pure, no I/O.

Two channels are averaged. If one is the inverse of the other (a reversed cable, a "karaoke" side signal, an
XLR mistake), the second is inverted first, since the voice would cancel itself out. Three or more share the gain by
their loudness, as in automatic microphone mixers (D. Dugan, JAES 1975): one open microphone of 64 has its full
level, and 64 equal ones do not clip. Channels with timecode are left out.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from watcher.media.comparison import SPARSE, Block, ChannelComparison, products
from watcher.media.timecode import TimecodeDetector

Mono = NDArray[np.float32]

#: Correlation below which two channels count as inverse, and above which they no longer do.
_MIRRORED: Final = -0.8
_STRAIGHT: Final = -0.3
#: Samples over which weights change, so that there is no click and no lost word.
_FADE: Final = 512


class Mixer:
    """Collects the channels' samples and returns mono blocks of full scale 1.0, half a second each."""

    def __init__(
        self,
        channels: int,
        rate: int,
        full_scale: float,
        *,
        skip_timecode: bool = True,
        comparison: ChannelComparison | None = None,
    ) -> None:
        """`comparison` gets the channels, block by block."""
        self._block = np.empty((channels, max(1, rate // 2)), np.float32)
        self._filled = 0
        self._unit = np.float32(1.0 / full_scale)
        self._weights = np.full(channels, 1.0 / channels, np.float32)
        self._comparison = comparison
        self._detector = TimecodeDetector(channels, rate, full_scale) if skip_timecode else None
        #: Channels left out as timecode now, and those that ever were.
        self._silenced = self.timecode = np.zeros(channels, np.bool_)

    def feed(self, planes: Sequence[NDArray[np.generic]], *, middle: float = 0.0) -> Iterator[Mono]:
        """Add one array per channel, all of the same length; return the blocks that are complete now.

        `middle`: the value of silence in these samples (128 in unsigned bytes).
        """
        taken, count = 0, len(planes[0])
        while taken < count:
            size = min(count - taken, self._block.shape[1] - self._filled)
            for row, plane in zip(self._block, planes, strict=True):
                row[self._filled : self._filled + size] = plane[taken : taken + size]
                if middle:
                    row[self._filled : self._filled + size] -= middle
            taken += size
            self._filled += size
            if self._filled == self._block.shape[1]:
                yield self.flush()

    def silence(self, count: int) -> Iterator[Mono]:
        """Add `count` samples of silence."""
        while count > 0:
            size = min(count, self._block.shape[1] - self._filled)
            self._block[:, self._filled : self._filled + size] = 0.0
            self._filled += size
            count -= size
            if self._filled == self._block.shape[1]:
                yield self.flush()

    def flush(self) -> Mono:
        """Return the remaining samples, which are less than a block, or none."""
        block = self._block[:, : self._filled]
        self._filled = 0
        # Floats in a file may have any value; one NaN would spread to all samples that are resampled with it.
        if not np.isfinite(block.min(initial=0.0) + block.max(initial=0.0)):
            np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        if self._comparison is not None:
            self._comparison.add(block, float(self._unit))
        silenced = self._silenced if self._detector is None or not block.size else self._detector.look(block)
        if len(block) == 1:
            alone: Mono = block[0] * (self._unit * ~silenced)
            self.timecode = self.timecode | silenced
            return alone
        before = self._weights
        self._weights = _weights(block, before, ~silenced)
        if (silenced != self._silenced).any():
            # Do not fade timecode out: leave it out at once.
            self._silenced, before = silenced, self._weights
            self.timecode = self.timecode | silenced
        mono = self._weights @ block
        if (self._weights != before).any():
            fade = min(_FADE, len(mono))
            ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
            mono[:fade] = ramp * mono[:fade] + (1 - ramp) * (before @ block[:, :fade])
        return mono * self._unit


def _weights(block: Block, before: Mono, heard: NDArray[np.bool_]) -> Mono:
    """Return the weights of all channels; only those in `heard` are not 0."""
    if heard.all():
        return _mirror(block, before) if len(block) == 2 else _share(block, before)  # noqa: PLR2004 - stereo
    weights = np.zeros(len(block), np.float32)
    if heard.any():
        weights[heard] = _weights(block[heard], before[heard], heard[heard]) if heard.sum() > 1 else 1.0
    return weights


def _mirror(block: Block, before: Mono) -> Mono:
    (left, both), (_, right) = products(block)
    energy = np.sqrt(left) * np.sqrt(right)
    correlation = both / energy if energy > 0 else 0.0
    if correlation < _MIRRORED:
        return np.array([0.5, -0.5], np.float32)
    if correlation > _STRAIGHT and energy > 0:
        return np.array([0.5, 0.5], np.float32)
    return before


def _share(block: Block, before: Mono) -> Mono:
    sparse = block[:, ::SPARSE]
    energies = np.einsum("ij,ij->i", sparse, sparse)
    total = energies.sum()
    return (energies / total).astype(np.float32) if total > 0 else before
