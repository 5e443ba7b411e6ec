"""Samples -> blocks that a model hears at once, cut where it is quiet."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from watcher.engine.recognition import RATE

#: Seconds before a block's longest end in which the quietest place is looked for, and how long that place is.
_SEARCH = 30
_PLACE = 0.2


def blocks(parts: Iterable[NDArray[np.int16]], longest: int) -> Iterator[NDArray[np.int16]]:
    """Yield all samples in order, in blocks of at most `longest` seconds; only a longer sound is cut."""
    held: list[NDArray[np.int16]] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        while count > longest * RATE:
            sound = np.concatenate(held)
            at = _quietest(sound[: longest * RATE])
            yield sound[:at]
            held, count = [sound[at:]], len(sound) - at
    if count:
        yield np.concatenate(held)


def _quietest(sound: NDArray[np.int16]) -> int:
    """Return the middle of the place with the least energy near the end; of equal ones, the last."""
    length = round(_PLACE * RATE)
    tail = sound[-_SEARCH * RATE :]
    places = tail[: len(tail) // length * length].reshape(-1, length).astype(np.float64)
    energies = np.square(places).sum(axis=1)
    return len(sound) - len(tail) + (len(energies) - 1 - int(np.argmin(energies[::-1]))) * length + length // 2
