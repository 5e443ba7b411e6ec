"""Times of captions: at their words, long enough to be seen and read, and with a gap to the next one.

TTSG, timing: a caption begins with the sound, may stay half a second after it, has a gap of two frames to the next one, and
gaps shorter than half a second are reduced to two frames. BBC 5.2: it should not come or stay more than 1.5 s before or
after the words; here this is used only if a caption could not be read otherwise, and with smaller values.
"""

from collections.abc import Sequence
from typing import Final

from watcher.cues.rules import CaptionLimits

#: How much a caption may come before its words, or stay after them, if reading time is short (milliseconds).
EARLY: Final = 500
LATE: Final = 250
#: It stays this long after its words if there is room.
_LINGER: Final = 500
#: It lasts this long at least if there is room.
_SEEN: Final = 1000
#: Shorter gaps are reduced to the smallest one allowed.
_CLOSE: Final = 500


def place(
    spoken: Sequence[tuple[int, int]], units: Sequence[int], limits: CaptionLimits, audio_end: int
) -> list[tuple[int, int]]:
    """Return start and end of each caption in milliseconds, in order and without overlap.

    `spoken`: the times of its words; `units`: how much there is to read; `audio_end`: end of the audio (0: unknown).
    """
    count = len(spoken)
    gap = limits.gap
    horizon = audio_end or max((end for _, end in spoken), default=0) + limits.longest
    needed = _granted(spoken, units, limits, horizon)
    # Backwards: the latest start of each caption that leaves the captions after it their time.
    latest = [horizon + gap] * (count + 1)
    for index in range(count - 1, -1, -1):
        said = spoken[index][0]
        latest[index] = max(min(said + LATE, latest[index + 1] - gap - needed[index]), said - EARLY, 0)
    # Forwards: each begins with its words or at its latest start, and ends when it was read and the words are over.
    placed: list[tuple[int, int]] = []
    free = 0
    for index, (said, said_end) in enumerate(spoken):
        start = max(free, min(said, latest[index]))
        following = spoken[index + 1][0] - gap if index + 1 < count else horizon
        wish = max(stays_until(said_end, following), min(start + _SEEN, following))
        bound = min(latest[index + 1] - gap, start + limits.longest, horizon)
        end = min(max(wish, start + needed[index]), max(following, start + needed[index]), bound)
        placed.append((start, end))
        free = max(free, end + gap)
    return _untangle(placed, horizon)


def stays_until(said_end: int, following: int) -> int:
    """Return when a caption should go whose words end at one time, if the next one begins a gap after another."""
    wish = said_end + _LINGER
    return following if following - wish < _CLOSE else wish


def _granted(spoken: Sequence[tuple[int, int]], units: Sequence[int], limits: CaptionLimits, horizon: int) -> list[int]:
    """Return the time that each caption gets at least: what it needs, if its neighbours leave that.

    A caption that cannot be read in time gets what is left between those that can, so that only one rule is broken; the
    search for the best cuts (`watcher.cues.optimum`) calculates in the same way.
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
    """Make every caption last at least a millisecond, in order, and within the audio if that is possible.

    It changes nothing unless the words leave no time: a hundred captions in a tenth of a second.
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
