"""How loud a recording is, frame by frame: measured while it is decoded, stored with its content."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

#: Frames in a second: of 20 ms, as long as a sound of speech takes to begin.
RATE: Final = 50
#: Frames in a second in ledgers of earlier versions.
COARSE_RATE: Final = 10
#: A frame without any signal.
DIGITAL_SILENCE: Final = 255


@dataclass(frozen=True)
class Loudness:
    """The loudness of a recording; without levels it was not measured."""

    #: One unsigned byte for each frame: minus dBFS (RMS), so 0 is the loudest; `DIGITAL_SILENCE`. The last may be shorter.
    levels: bytes = b""
    #: Frames in a second: `RATE` or `COARSE_RATE`.
    rate: int = RATE

    @cached_property
    def tenths(self) -> bytes:
        """One byte for each tenth of a second, as `levels` has one for each frame."""
        if self.rate != RATE:
            return self.levels
        size = RATE // COARSE_RATE
        missing = -len(self.levels) % size
        # The last tenth may have fewer frames: its last one is repeated.
        powers = [_POWERS[level] for level in self.levels + self.levels[-1:] * missing]
        return bytes(_level(sum(tenth) / size) for tenth in zip(*[iter(powers)] * size, strict=True))


#: Of a recording that was not measured.
UNMEASURED: Final = Loudness()

#: The mean square of the samples (full scale 1.0) by level.
_POWERS: Final = (*(10.0 ** (-level / 10) for level in range(DIGITAL_SILENCE)), 0.0)


def _level(power: float) -> int:
    return min(DIGITAL_SILENCE - 1, round(-10 * math.log10(power))) if power > 0 else DIGITAL_SILENCE
