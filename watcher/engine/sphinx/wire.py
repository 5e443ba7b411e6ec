"""Messages between the engine and its decoder processes: samples out, recognised words back."""

import json
import struct
from collections.abc import Iterable
from typing import BinaryIO, Final

#: Frames per second; the unit of `Heard`.
FRAME_RATE: Final = 100

#: A token (a word of the dictionary, or a filler), its first frame, its last frame, its posterior probability.
Heard = tuple[str, int, int, float]

_LENGTH: Final = struct.Struct("<I")


def write_samples(sink: BinaryIO, samples: bytes) -> None:
    """Send one stretch of 16-bit samples."""
    sink.write(_LENGTH.pack(len(samples)) + samples)
    sink.flush()


def read_samples(source: BinaryIO) -> bytes | None:
    """Receive one stretch; None when there will be no more."""
    head = source.read(_LENGTH.size)
    return source.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else None


def write_heard(sink: BinaryIO, heard: Iterable[Heard]) -> None:
    """Send what was heard in one stretch, as one line."""
    sink.write(json.dumps(list(heard)).encode() + b"\n")
    sink.flush()


def read_heard(source: BinaryIO) -> list[Heard]:
    """Receive what was heard in one stretch; raises EOFError when the other side is gone."""
    line = source.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return [(str(token), int(first), int(last), float(chance)) for token, first, last, chance in json.loads(line)]
