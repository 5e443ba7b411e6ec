"""Decode a recording for what is known only at its end: its length, its loudness, and which of its tracks are alike."""

import threading
from collections.abc import Callable
from pathlib import Path

from watcher.media.cutting import Cutting
from watcher.media.failures import invalid_message
from watcher.media.values import ChildLimits, Compared, MediaOptions, SoundChoice, Summary


def measure(
    descriptor: int,
    options: MediaOptions,
    *,
    spool: Path,
    stop: threading.Event,
    limits: ChildLimits,
    waiting: Callable[[], object],
    choice: SoundChoice | None = None,
    compare: Compared = "",
) -> Summary:
    """Decode a recording without making pieces, and return the summary of `Cutting`, above all its loudness.

    Arguments and errors are those of `Cutting`. `compare`: also find the channels, or the audio streams, with the same sound.
    """
    with Cutting(
        descriptor,
        options,
        spool=spool,
        stop=stop,
        in_flight=lambda: 1,
        choice=choice,
        pieces=False,
        compare=compare,
        limits=limits,
        waiting=waiting,
    ) as cutting:
        for _ in cutting:
            raise invalid_message()
        return cutting.summary
