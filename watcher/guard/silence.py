"""Silence by our own measurement: by a recording's own level and noise, since a quiet recording may lie where another has noise."""

import math
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from watcher.transcript import Segment

#: Minus dBFS of a tenth of a second. From here on there is no sound at all: a 16-bit file has one step there.
_DIGITAL: Final = 90
#: Quieter than this is silence in any recording whose loud passages are `_SPEECH` above it, as for the cutting of pieces ...
_INAUDIBLE: Final = 75
#: ... and louder than this it is in none.
_AUDIBLE: Final = 40
#: dB between loud passages and noise above which somebody speaks over noise; below it, all may be speech, or all may be noise.
_SPREAD: Final = 15
#: dB below the loud passages, and above the noise, up to which there is silence.
_BELOW_LOUD: Final = 25
_ABOVE_NOISE: Final = 6
#: dB below the loud passages that even an inaudible level must have.
_SPEECH: Final = 20
#: Part of the tenths that are loud passages, and that are noise. One tenth in a hundred: most of a recording may be silent.
_LOUD_SHARE: Final = 0.01
_NOISE_SHARE: Final = 0.05
#: Tenths of a second that may be louder in a silence: a click, a knock. The shortest "thank you" has four.
_CLICKS: Final = 2
#: Segments' times are rounded; on longer ones a little is left off at both ends.
_MARGIN_TENTHS: Final = 2


def limit(loudness: bytes) -> int:
    """Return minus dBFS from which a tenth of a second is silent in this recording."""
    heard = sorted(value for value in loudness if value < _DIGITAL)
    if not heard:
        return _INAUDIBLE
    loud = heard[int(len(heard) * _LOUD_SHARE)]
    noise = heard[len(heard) - 1 - int(len(heard) * _NOISE_SHARE)]
    inaudible = max(_INAUDIBLE, loud + _SPEECH)
    if noise - loud < _SPREAD:
        return inaudible
    return min(inaudible, max(_AUDIBLE, loud + _BELOW_LOUD, noise - _ABOVE_NOISE))


def sums_of_louder(loudness: bytes) -> Sequence[int]:
    """Return for each tenth of a second, and for the end, how many tenths before it are not silent.

    With these, a segment costs the same however long it is: a server may let each of its segments span the whole piece.
    """
    return array("I", accumulate(map(limit(loudness).__gt__, loudness), initial=0))


def is_silent(segment: Segment, sums: Sequence[int]) -> bool:
    """Return whether a segment lies where nothing was heard, by `sums_of_louder`. What was not measured is not silent."""
    spoken = span(segment)
    if spoken is None:
        return False
    start, end = spoken
    first, last = int(start * 10), math.ceil(end * 10)
    if last - first > 5 * _MARGIN_TENTHS:
        first, last = first + _MARGIN_TENTHS, last - _MARGIN_TENTHS
    last = max(last, first + 1)
    # Past the end of what was measured nothing is known.
    if last >= len(sums):
        return False
    return sums[last] - sums[first] <= (_CLICKS if last - first > 5 * _CLICKS else 0)


def span(segment: Segment) -> tuple[float, float] | None:
    """Return when a segment is spoken: servers stretch it over the silence behind it, and its words are closer.

    None where its times are no numbers, negative or in the wrong order.
    """
    start, end = segment.start, segment.end
    spoken = [word for word in segment.words if math.isfinite(word.start) and math.isfinite(word.end)]
    if spoken:
        start, end = max(start, spoken[0].start), min(end, spoken[-1].end)
    return (start, end) if math.isfinite(start) and math.isfinite(end) and 0 <= start <= end else None
