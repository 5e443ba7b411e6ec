"""What the decoder makes of a recording, and how like the truth it sounds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from support.sounds import Samples
from watcher.errors import FileError
from watcher.job import ResultWarning
from watcher.media.decode import RecordingDecoder
from watcher.media.source import SourceReader
from watcher.media.values import SoundChoice


@contextmanager
def opened(path: Path, *, limit: float = 3600.0, choice: SoundChoice | None = None) -> Iterator[RecordingDecoder]:
    """Yield the decoder of a recording, which is open as long as the block lasts."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield RecordingDecoder(SourceReader(descriptor), limit_seconds=limit, choice=choice)
    finally:
        os.close(descriptor)


def heard(path: Path, choice: SoundChoice | None = None, *, limit: float = 3600.0) -> tuple[Samples, RecordingDecoder]:
    """Return all samples of a recording, and its decoder."""
    with opened(path, limit=limit, choice=choice) as recording:
        return np.concatenate(list(recording.samples())), recording


def ending(path: Path) -> tuple[int, tuple[ResultWarning, ...]]:
    """Hear a recording; return how many samples it has, and what is said of its end."""
    with opened(path, limit=100 * 3600.0) as recording:
        count = sum(map(len, recording.samples()))
        return count, recording.ending()


def refused(path: Path, *, limit: float = 3600.0) -> FileError:
    """Return the error that a recording fails with; it says what to do."""
    with pytest.raises(FileError) as caught:
        heard(path, limit=limit)
    assert caught.value.hint
    return caught.value


def delay(sound: Samples, truth: Samples) -> tuple[int, float]:
    """Return by how many samples `sound` comes late, and how alike both are then (1: the same)."""
    size = 1 << (len(sound) + len(truth)).bit_length()
    one, two = sound.astype(float), truth.astype(float)
    correlation = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(two, size)), size)
    place = int(np.argmax(correlation))
    alike = correlation[place] / np.sqrt((one @ one) * (two @ two))
    return (place if place < size // 2 else place - size), float(alike)
