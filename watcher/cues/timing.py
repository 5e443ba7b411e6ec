"""Times of captions: with their words, and long enough to be read, without touching the next one.

TTSG, timing: a caption begins with the sound, may stay half a second beyond it, keeps two frames to the next one, and
gaps shorter than half a second are closed to two frames. BBC 5.2: it should not come or stay more than 1.5 s before or
after the words; here that is used only as far as a caption could not be read otherwise, and less of it.
"""

from collections.abc import Sequence
from typing import Final

from watcher.cues.rules import CaptionLimits

#: A caption may come this much before its words, or after them, where reading time is short (milliseconds).
EARLY: Final = 500
LATE: Final = 250
#: It stays this long beyond its words where there is room.
_LINGER: Final = 500
#: Shorter gaps are closed to the smallest one allowed.
_CLOSE: Final = 500


def place(
    spoken: Sequence[tuple[int, int]], units: Sequence[int], limits: CaptionLimits, audio_end: int
) -> list[tuple[int, int]]:
    """Return start and end of each caption in milliseconds, in order and without overlap.

    `spoken` is when its words are said, `units` how much there is to read; the audio ends at `audio_end` (0: unknown).
    """
    count = len(spoken)
    gap = limits.gap
    horizon = audio_end or max((end for _, end in spoken), default=0) + limits.longest
    needed = _granted(spoken, units, limits, horizon)
    # Backwards: when each caption must have come, so that those behind it find their time.
    latest = [horizon + gap] * (count + 1)
    for index in range(count - 1, -1, -1):
        said = spoken[index][0]
        latest[index] = max(min(said + LATE, latest[index + 1] - gap - needed[index]), said - EARLY, 0)
    # Forwards: each comes with its words or at its latest, and goes when it was read and the words are over.
    placed: list[tuple[int, int]] = []
    free = 0
    for index, (said, said_end) in enumerate(spoken):
        start = max(free, min(said, latest[index]))
        following = spoken[index + 1][0] - gap if index + 1 < count else horizon
        wish = said_end + _LINGER
        if following - wish < _CLOSE:
            wish = following
        bound = min(latest[index + 1] - gap, start + limits.longest, horizon)
        end = min(max(wish, start + needed[index]), max(following, start + needed[index]), bound)
        placed.append((start, end))
        free = max(free, end + gap)
    return _untangle(placed, horizon)


def _granted(spoken: Sequence[tuple[int, int]], units: Sequence[int], limits: CaptionLimits, horizon: int) -> list[int]:
    """Return how long each caption can stay at least: as long as it needs, if its neighbours leave it that.

    One that cannot be read in time takes what is left between those that can, so that only one rule is broken; the
    search for the best cuts (`watcher.cues.optimum`) reckons in the same way.
    """
    granted: list[int] = []
    free = 0
    for index, (said, _) in enumerate(spoken):
        earliest = max(free, said - EARLY)
        until = spoken[index + 1][0] - limits.gap + LATE if index + 1 < len(spoken) else horizon
        finish = max(earliest, min(earliest + min(limits.needed(units[index]), limits.longest), until))
        granted.append(finish - earliest)
        free = finish + limits.gap
    return granted


def _untangle(placed: list[tuple[int, int]], horizon: int) -> list[tuple[int, int]]:
    """Make every caption last at least a millisecond, in order, and inside the audio if that is possible at all.

    Changes nothing unless the words left no time: a hundred captions in a tenth of a second.
    """
    later = max(horizon, len(placed))
    for index in range(len(placed) - 1, -1, -1):
        start, end = placed[index]
        end = min(max(end, start + 1), later)
        later = min(start, end - 1)
        placed[index] = (later, end)
    free = 0
    for index, (start, end) in enumerate(placed):
        start = max(start, free)  # noqa: PLW2901 -- pushed on, if at all
        free = max(end, start + 1)
        placed[index] = (start, free)
    return placed
