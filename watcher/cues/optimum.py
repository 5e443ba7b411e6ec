"""The best way to cut a stream of pieces into captions of one or more lines: dynamic programming over all cuts.

Every caption has a price: the break at its end, the break between its lines and their balance, reading time it lacks,
silences it spans, and a basic price, so that few full captions are preferred to many short ones. The cheapest sum over
the whole recording is found exactly; nothing is decided greedily.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watcher.cues.rules import Limits

#: Basic price of a caption.
_CUE: Final = 12.0
#: Per unit that a caption is shorter than a third of a line, as a share of the line.
_SHORT: Final = 45.0
#: A caption that cannot be read in time: this at once, and this much for each second it lacks.
_HURRIED: Final = 120.0
_LACK: Final = 60.0
#: Silence inside a caption, per second beyond the first half.
_PAUSE_FREE: Final = 500
_PAUSE: Final = 60.0
#: What a pause takes off the price of a break, per second, and at most.
_PAUSE_BONUS: Final = 40.0
_PAUSE_BONUS_MOST: Final = 28.0
#: Silence over which no caption reaches.
PAUSE_BREAK: Final = 2500
#: Lines: share of the break's price, and what full imbalance costs; a longer upper line a little more (TTSG, BBC: the
#: pyramid, or the wider line at the bottom, keeps the eye's way short).
_LINE: Final = 0.6
_BALANCE: Final = 14.0
_TOP_HEAVY: Final = 3.0


@dataclass(slots=True)
class Stream:
    """The whole text as columns, a row per piece."""

    text: list[str]
    #: Units of the piece, and of the blank before it (0 or 1).
    width: list[int]
    blank: list[int]
    start: list[int]
    end: list[int]
    #: Price of a break before the piece.
    cost: list[int]
    #: A caption must begin here.
    forced: list[bool]


def cut(stream: Stream, limits: Limits, audio_end: int) -> list[list[int]]:
    """Return the captions: for each the indices at which its lines begin, and at last the index behind its end."""
    count = len(stream.text)
    if not count:
        return []
    widths = _prefix(stream)
    fits = _fits(stream, widths, limits.line)
    first = _first(stream, fits, limits)
    follow = [*stream.start[1:], max(audio_end, stream.end[-1] + limits.gap)]
    price: list[float] = [0.0] + [math.inf] * count
    origin = [0] * (count + 1)
    split: list[tuple[int, ...]] = [()] * (count + 1)
    pauses = _pauses(stream)
    breaks = _break_prices(stream)
    third = limits.line / 3
    line, gap, longest, blank, starts, ends = (
        limits.line,
        limits.gap,
        limits.longest,
        stream.blank,
        stream.start,
        stream.end,
    )
    for end in range(1, count + 1):
        best = math.inf
        base = _CUE + (breaks[end] if end < count else 0.0)
        spoken_end = ends[end - 1]
        next_start = follow[end - 1] - gap
        for begin in range(end - 1, first[end] - 1, -1):
            start = starts[begin]
            if spoken_end - start > longest and begin < end - 1:
                break
            units = widths[end] - widths[begin] - blank[begin]
            total = price[begin] + base + pauses[end - 1] - pauses[begin]
            if total >= best:
                continue
            if units < third:
                total += (third - units) / third * _SHORT / 3
            lack = limits.needed(units) - min(next_start - start, longest)
            if lack > 0:
                total += _HURRIED + lack * _LACK / 1000
            if total >= best:
                continue
            lines: tuple[int, ...] = ()
            if units > line:
                extra, lines = _best_lines(stream, widths, fits, limits, begin, end, best - total)
                total += extra
            if total < best:
                best = total
                origin[end] = begin
                split[end] = lines
        price[end] = best
    captions: list[list[int]] = []
    end = count
    while end > 0:
        captions.append([origin[end], *split[end], end])
        end = origin[end]
    captions.reverse()
    return captions


def _prefix(stream: Stream) -> list[int]:
    widths = [0]
    total = 0
    for own, blank in zip(stream.width, stream.blank, strict=True):
        total += own + blank
        widths.append(total)
    return widths


def _fits(stream: Stream, widths: Sequence[int], line: int) -> list[int]:
    """Return for each piece the index behind the last one that fits on a line beginning with it."""
    fits: list[int] = []
    end = 0
    count = len(stream.text)
    for begin in range(count):
        end = max(end, begin + 1)
        while end < count and widths[end + 1] - widths[begin] - stream.blank[begin] <= line:
            end += 1
        fits.append(end)
    return fits


def _first(stream: Stream, fits: Sequence[int], limits: Limits) -> list[int]:
    """Return for each end the first piece from which a caption can reach it."""
    count = len(stream.text)
    reach: list[int] = []
    for begin in range(count):
        end = begin
        for _ in range(limits.lines):
            if end < count:
                end = fits[end]
        reach.append(end)
    first = [0] * (count + 1)
    begin = 0
    for end in range(1, count + 1):
        while reach[begin] < end:
            begin += 1
        if stream.forced[end - 1]:
            begin = max(begin, end - 1)
        first[end] = begin
    return first


def _pauses(stream: Stream) -> list[float]:
    """Return the sums of what the silences before each piece cost inside a caption."""
    sums = [0.0]
    for end, start in zip(stream.end, stream.start[1:], strict=False):
        sums.append(sums[-1] + max(0, start - end - _PAUSE_FREE) * _PAUSE / 1000)
    return sums


def _break_prices(stream: Stream) -> list[float]:
    prices = [0.0]
    for index in range(1, len(stream.text)):
        pause = stream.start[index] - stream.end[index - 1]
        prices.append(stream.cost[index] - min(pause * _PAUSE_BONUS / 1000, _PAUSE_BONUS_MOST))
    return prices


def _best_lines(
    stream: Stream, widths: Sequence[int], fits: Sequence[int], limits: Limits, begin: int, end: int, budget: float
) -> tuple[float, tuple[int, ...]]:
    """Return price and place of the best breaks between the lines of one caption; infinity above the budget."""
    line, blank, cost = limits.line, stream.blank, stream.cost
    best, place = budget, ()
    found: tuple[int, ...] = place
    for at in range(fits[begin], begin, -1):
        if fits[at] < end:
            if limits.lines <= 2:  # noqa: PLR2004 -- a line more would have to be broken again
                break
            continue
        upper = widths[at] - widths[begin] - blank[begin]
        lower = widths[end] - widths[at] - blank[at]
        price = cost[at] * _LINE + abs(upper - lower) * _BALANCE / line + (_TOP_HEAVY if upper > lower else 0.0)
        if price < best:
            best, found = price, (at,)
    if not found and limits.lines > 2:  # noqa: PLR2004
        at = fits[begin]
        rest = [at]
        while fits[at] < end:
            at = fits[at]
            rest.append(at)
        return (10.0, tuple(rest))
    return (best, found) if found else (math.inf, ())
