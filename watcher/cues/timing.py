"""When each caption comes and goes: with its words, and long enough to be read, without touching the next one.

TTSG, timing: a caption begins with the sound or within 3 frames of it, may stay half a second beyond the sound, keeps
two frames to the next one, and gaps shorter than half a second are closed to two frames.
"""

from collections.abc import Sequence
from typing import Final

from watcher.cues.rules import Limits

#: A caption may come this much before its words, or after them, where another one needs the time (milliseconds).
_EARLY: Final = 500
_LATE: Final = 200
#: It stays this long beyond its words where there is room.
_LINGER: Final = 500
#: Shorter gaps are closed to the smallest one allowed.
_CLOSE: Final = 500


def place(
    spoken: Sequence[tuple[int, int]], units: Sequence[int], limits: Limits, audio_end: int
) -> list[tuple[int, int]]:
    """Return start and end of each caption in milliseconds, in order and without overlap.

    `spoken` is when its words are said, `units` how much there is to read; the audio ends at `audio_end` (0: unknown).
    """
    count = len(spoken)
    needed = [min(limits.needed(unit), limits.longest) for unit in units]
    horizon = audio_end or (max((end for _, end in spoken), default=0) + limits.longest)
    latest = [0] * (count + 1)
    latest[count] = horizon + limits.gap
    for index in range(count - 1, -1, -1):
        start = spoken[index][0]
        latest[index] = max(min(start + _LATE, latest[index + 1] - limits.gap - needed[index]), start - _EARLY, 0)
    placed: list[tuple[int, int]] = []
    free = 0
    for index in range(count):
        said, said_end = spoken[index]
        start = max(free, min(said, latest[index]))
        bound = min(latest[index + 1] - limits.gap, start + limits.longest, horizon)
        following = spoken[index + 1][0] - limits.gap if index + 1 < count else horizon
        wish = said_end + _LINGER
        if following - wish < _CLOSE:
            wish = max(following, said_end - limits.gap)
        end = min(max(min(wish, following), start + needed[index]), bound)
        placed.append((start, end))
        free = end + limits.gap
    return _untangle(placed, horizon, limits)


def _untangle(placed: list[tuple[int, int]], horizon: int, limits: Limits) -> list[tuple[int, int]]:
    """Give every caption at least a millisecond, in order, inside the audio if that is possible at all."""
    count = len(placed)
    limit = max(horizon, count)
    ends = [0] * count
    later = limit
    for index in range(count - 1, -1, -1):
        start, end = placed[index]
        end = min(max(end, start + 1), later)
        ends[index] = end
        later = min(max(start, 0), end - 1)
        placed[index] = (later, end)
    free = 0
    for index in range(count):
        start, end = placed[index]
        start = max(start, free)
        end = max(end, start + 1)
        placed[index] = (start, end)
        free = end
    return placed
