"""Containers for the tests of the room that judges them: real ones from memory, and bytes held against `inspect`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support import sounds
from watcher.container import Completeness, Inspection, inspect

#: Length of every real recording here.
SECONDS = 3.0


class Pipe:
    """Takes bytes in order and cannot go back: no writer can fill in a length afterwards."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


@cache
def real(kind: str) -> bytes:
    """Return a finished recording of a `sounds.FORMATS` kind."""
    with _scratch(kind) as path:
        return sounds.encode(sounds.speech(SECONDS), path, kind).read_bytes()


@cache
def piped(kind: str) -> bytes:
    """Return the same recording as its writer leaves it behind a pipe."""
    pipe = Pipe()
    with sounds.recording(pipe, kind) as recording:
        recording.write(sounds.speech(SECONDS))
    return bytes(pipe.data)


@cache
def growing(kind: str) -> tuple[bytes, ...]:
    """Return what stood in the file while the recording was made: after each half second, all that was flushed."""
    samples, step = sounds.speech(SECONDS), sounds.RATE // 2
    looks = []
    with _scratch(kind) as path, sounds.recording(path, kind, eager=True) as recording:
        for start in range(0, len(samples), step):
            recording.write(samples[start : start + step])
            looks.append(path.read_bytes())
    return tuple(looks)


@contextmanager
def _scratch(kind: str) -> Iterator[Path]:
    with TemporaryDirectory() as directory:
        yield Path(directory) / f"recording{sounds.FORMATS[kind].suffix}"


def judge(data: bytes, size: int = -1, *, quick: bool = False) -> Inspection:
    """Inspect `data` as a file, but for the details; `size` is what a stat said, by default the truth."""
    with descriptor_of(data) as descriptor:
        found = inspect(descriptor, len(data) if size < 0 else size, quick=quick)
    return replace(found, tracks=0, channels=0, end=None, sound=None)


def details(data: bytes) -> Inspection:
    """Inspect `data` as a file."""
    with descriptor_of(data) as descriptor:
        return inspect(descriptor, len(data))


@contextmanager
def descriptor_of(data: bytes) -> Iterator[int]:
    """Yield the descriptor of a file in memory that holds `data`, its offset somewhere inside."""
    descriptor = os.memfd_create("container")
    try:
        os.write(descriptor, data)
        yield descriptor
    finally:
        os.close(descriptor)


#: What is found in bytes that are no recording, or none that is known.
NO_CONTAINER = Inspection(Completeness.UNKNOWN, "")


def lost(form: str, reason: str, *, promised: float | None = None) -> Inspection:
    """Return what is found in a file of this format that is not complete."""
    return Inspection(Completeness.INCOMPLETE, form, None, reason, promised=promised)


def too_long(form: str) -> Inspection:
    """Return what is found in a file of this format behind whose declared end something follows."""
    return Inspection(Completeness.TRAILING, form, None, "longer than its header says")
