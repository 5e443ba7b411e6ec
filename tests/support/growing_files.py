"""Recordings that grow when a test says so, and their cutting."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import sounds
from support.sounds import RATE, Samples
from watcher.media import Cutting, MediaOptions

#: Kinds of `sounds.FORMATS` that are read while they grow.
READ = (
    *("wav", "wav24", "wavfloat", "wavadpcm", "rf64", "aiff", "aifc", "caf", "flac", "mp3untagged", "mp2", "aac"),
    *("ogg", "opus", "oggflac", "mka", "mkalive", "mkv", "webm", "webmvideo", "mp4fragmented"),
)


class OverError(Exception):
    """The recorder has written all."""


class Recorder:
    """Writes a recording, more of it at each `pause`, in steps of `seconds`."""

    def __init__(self, path: Path, kind: str, sound: Samples, *, rate: int = RATE, seconds: float = 0.5) -> None:
        self._recording = sounds.Recording(path, kind, rate=rate, channels=sounds.channels_of(sound), eager=True)
        self._sound = sound
        self._step = round(seconds * rate)
        self._written = 0

    def pause(self) -> None:
        """Write the next step; OverError once there is none."""
        if self._written >= len(self._sound):
            raise OverError
        self._recording.write(self._sound[self._written : self._written + self._step])
        self._written += self._step

    def close(self) -> None:
        """End the recording."""
        self._recording.close()


@contextmanager
def cutting(
    path: Path, spool: Path, options: MediaOptions, *, growing: bool, stop: threading.Event
) -> Iterator[Cutting]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Cutting(
            descriptor,
            options,
            spool=spool,
            stop=stop,
            in_flight=lambda: 4,
            growing=0.5 if growing else None,
            least_seconds=40.0 if growing else 0.0,
        ) as running:
            yield running
    finally:
        os.close(descriptor)
