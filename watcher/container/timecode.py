"""Linear timecode (LTC, SMPTE ST 12-1): a channel that carries it holds no speech, however loud it is.

LTC is a square wave that changes its sign at each border of a bit, and once more in the middle of a 1: 80 bits a frame,
24 to 30 frames a second, each frame ended by the same 16 bits. No speech looks like this.
"""

import re
from collections.abc import Sequence
from typing import Final

#: Seconds of half a bit and of a bit: 1 / (80 x 30) to 1 / (80 x 23.976), with a margin for tape and wind; and between them.
SHORTEST: Final = 0.15e-3
BORDER: Final = 0.35e-3
LONGEST: Final = 0.62e-3
#: Part of the intervals between changes of sign that have to be bits or halves of bits.
REGULAR: Final = 0.95

_FRAME_BITS: Final = 80
#: Changes of sign at the two ends of a look, which may be cut, and one for rounding.
_ENDS: Final = 3
#: The last 16 bits of each frame.
_SYNC: Final = "0011111111111101"

#: The upper bit of a sample: its sign, or in unsigned samples the side of the middle on which it is.
_SIGNS: Final = bytes(byte >> 7 for byte in range(256))
_RUN: Final = re.compile(rb"\0+|\x01+")


def has_frames(halves: Sequence[bool]) -> bool:
    """Return whether intervals between changes of sign hold two frames in a row; each is True if it is half a bit."""
    bits = _bits(halves)
    first = bits.find(_SYNC)
    while first >= 0:
        if bits.startswith(_SYNC, first + _FRAME_BITS):
            return True
        first = bits.find(_SYNC, first + 1)
    return False


def signs_are_timecode(upper: bytes, rate: int) -> bool:
    """Return whether a channel is timecode, by the upper bytes of its samples; 0.12 s of them suffice."""
    signs = upper.translate(_SIGNS)
    # Quick to count, and rules out most speech and noise: the measuring below takes twenty times as long.
    changes = signs.count(b"\0\1") + signs.count(b"\1\0")
    if not _FRAME_BITS < changes < len(upper) / rate / (REGULAR * SHORTEST) + _ENDS:
        return False
    runs = [len(run.group()) / rate for run in _RUN.finditer(signs)][1:-1]
    if sum(SHORTEST < seconds < LONGEST for seconds in runs) < max(1, REGULAR * len(runs)):
        return False
    return has_frames([seconds < BORDER for seconds in runs])


def _bits(halves: Sequence[bool]) -> str:
    """Return the bits as text: a whole interval is a 0, two halves are a 1, a half alone is an error."""
    bits = []
    pending = False
    for half in halves:
        if half and not pending:
            pending = True
            continue
        bits.append("1" if half else "?0" if pending else "0")
        pending = False
    return "".join(bits)
