"""The best way to cut a stream of tokens into captions of one or more lines: dynamic programming over all cuts.

Every caption has a price: the break at its end, the breaks between its lines and their balance, the reading time it
lacks, silences and sentence ends it spans, and a basic price, so that few full captions are preferred to many short
ones. The cheapest sum over the whole recording is found, nothing is decided greedily, but for text that comes so quickly that
nobody could read it, however it is cut. Prices are in the same units as those of `watcher.cues.breaks`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from watcher.cues.breaks import SENTENCE
from watcher.cues.rules import CaptionLimits
from watcher.cues.stream import Stream
from watcher.cues.timing import EARLY, LATE

#: A silence over which no caption reaches (milliseconds): it would show what is said much later.
PAUSE_BREAK: Final = 2500
#: Units that a speaker's "- " takes on a line of a dialogue.
DASH: Final = 2

#: Basic price of a caption.
_CUE: Final = 18.0
#: Price of an almost empty caption; nothing from a third of a line on.
_SHORT: Final = 20.0
#: A caption that can be read only when it comes a little before its words or stays a little longer: at once, per second.
_SHIFTED: Final = 8.0
_SHIFT: Final = 30.0
#: A caption that cannot be read in time at all: at once, and for each second it lacks. Dearer than any ugly break, so that
#: no more captions are hurried than the words make necessary.
_HURRIED: Final = 5000.0
_LACK: Final = 60.0
#: Silence inside a caption: free (milliseconds), and the price per second beyond.
_PAUSE_FREE: Final = 500
_PAUSE: Final = 60.0
#: What a pause takes off the price of a break: per second, and at most.
_PAUSE_BONUS: Final = 40.0
_PAUSE_BONUS_MOST: Final = 28.0
#: A sentence that ends inside a caption, and one more that begins there and is not finished (BBC 3.2: a caption should
#: be one sentence).
_STOP_INSIDE: Final = 5.0
_FRAGMENT: Final = 16.0
#: Two speakers in one caption.
_DIALOGUE: Final = 6.0
#: Three lines or more, where they are allowed.
_MORE_LINES: Final = 30.0
#: Ways that are followed to each border.
_WAYS: Final = 16
#: Pieces of a stretch, and the characters a second from which it is too dense to read: no one speaks half as quickly. Such
#: text would take most time and memory, for a token of it may be one character.
_STRETCH: Final = 512
_DENSE: Final = 50.0
#: Tokens of a caption: more than anybody says in the 30 seconds that it may last. A caption of four lines of 200 characters
#: could hold 800 of a character each, and how many ways there are to cut grows with their number.
_MOST_TOKENS: Final = 160
#: Pieces after which a sign of life is given.
_ALIVE: Final = 4096
#: Lines: the share of a break's price, and the price of full imbalance; a wider upper line a little more (TTSG, BBC 3.1:
#: with the wider line below, the eye's way back is short).
_LINE: Final = 0.6
_BALANCE: Final = 14.0
_TOP_HEAVY: Final = 2.0


@dataclass(frozen=True, slots=True)
class CaptionBreaks:
    """Starts of the lines of one caption, and the index behind its last token."""

    lines: tuple[int, ...]
    end: int
    #: Each line is another speaker's.
    dialogue: bool
    #: Earliest moment (milliseconds) at which the next caption may come.
    free: int = 0


class _Way(NamedTuple):
    """A way to cut the text up to a border."""

    price: float
    #: Earliest moment (milliseconds) at which the next caption may come.
    free: int
    #: The border.
    end: int
    #: Where the lines of the last caption begin, but for the first.
    lines: tuple[int, ...]
    #: The way without its last caption; None where the text begins.
    before: "_Way | None"


def _worthwhile(found: list[_Way]) -> list[_Way]:
    """Return the ways that are cheaper or earlier done than every other one: cheapest first, a few at most."""
    found.sort()
    kept = found[:1]
    for way in found:
        if way.free < kept[-1].free and len(kept) < _WAYS:
            kept.append(way)
    return kept


def _break(cost: int, pause: int) -> float:
    """Return what a caption pays for ending before a token, after a pause (milliseconds)."""
    return _CUE + cost - min(pause * _PAUSE_BONUS / 1000, _PAUSE_BONUS_MOST)


def cut(
    stream: Stream, limits: CaptionLimits, audio_end: int, *, free: int = 0, alive: Callable[[], None] = lambda: None
) -> list[CaptionBreaks]:
    """Return the cheapest captions; the first comes at `free` or later (milliseconds).

    `audio_end` is 0 when unknown; `alive` is called now and then.
    """
    if not stream.text:
        return []
    return _Search(stream, limits, audio_end).run(free, alive)


class _Search:
    """The columns of one search; an index is that of a token, or of the border before it."""

    def __init__(self, stream: Stream, limits: CaptionLimits, audio_end: int) -> None:
        count = len(stream.text)
        self.stream = stream
        self.limits = limits
        self.count = count
        #: Sums of the units before each border, and of the turns, sentence ends and pauses at the borders so far.
        self.widths = [0]
        for own, blank in zip(stream.width, stream.blank, strict=True):
            self.widths.append(self.widths[-1] + own + blank)
        self.turns: list[int] = []
        self.stops: list[int] = []
        self.pauses: list[float] = []
        #: What a caption pays for ending at each border.
        self.breaks: list[float] = []
        self._sum_up()
        #: The next caption's words begin here at the earliest.
        horizon = audio_end or stream.end[-1] + limits.longest
        behind = stream.next_token.start if stream.next_token else max(horizon, stream.end[-1]) + limits.gap
        self.follow = [*stream.start[1:], behind]
        #: Index behind the last token that fits on a line beginning with each token.
        self.fits = self._fits()

    def run(self, free: int, alive: Callable[[], None]) -> list[CaptionBreaks]:
        way = self._search(free, alive)
        captions: list[CaptionBreaks] = []
        while way.before:
            begin, end, lines = way.before.end, way.end, way.lines
            if not lines and end > self.fits[begin]:
                lines = self._more_lines(begin, end)
            dialogue = self.turns[end - 1] > self.turns[begin]
            captions.append(CaptionBreaks((begin, *lines), end, dialogue, way.free))
            way = way.before
        captions.reverse()
        return captions

    def _sum_up(self) -> None:
        stream = self.stream
        turns = stops = 0
        pauses = 0.0
        for index in range(self.count):
            pause = stream.start[index] - stream.end[index - 1] if index else 0
            stop = index > 0 and stream.cost[index] == SENTENCE
            turns += stream.turn[index]
            stops += stop
            # No caption spans a pause that is priced like this.
            pauses += 1e6 if pause >= PAUSE_BREAK else max(0, pause - _PAUSE_FREE) * _PAUSE / 1000
            self.turns.append(turns)
            self.stops.append(stops)
            self.pauses.append(pauses)
            self.breaks.append(_break(stream.cost[index], pause))
        behind = stream.next_token
        # Whatever ends the text ends a sentence.
        self.stops.append(stops + (behind is None or behind.cost == SENTENCE))
        self.breaks.append(_break(behind.cost, behind.start - stream.end[-1]) if behind else _CUE)

    def _fits(self) -> list[int]:
        fits: list[int] = []
        end = 0
        widths, blank, line = self.widths, self.stream.blank, self.limits.line
        for begin in range(self.count):
            end = max(end, begin + 1)
            while end < self.count and widths[end + 1] - widths[begin] - blank[begin] <= line:
                end += 1
            fits.append(end)
        return fits

    def _first(self) -> list[int]:
        """Return for each border the first token from which a caption can reach it, by its lines and tokens."""
        first = [0]
        reach: list[int] = []
        for begin in range(self.count):
            end = begin
            for _ in range(self.limits.lines):
                end = self.fits[end] if end < self.count else end
            reach.append(end)
        begin = 0
        for end in range(1, self.count + 1):
            while reach[begin] < end or end - begin > _MOST_TOKENS:
                begin += 1
            first.append(begin)
        return first

    def _closed(self) -> bytearray:
        """Return at which borders no caption may begin: in stretches too dense to read, all but those of full captions."""
        closed = bytearray(self.count + 1)
        starts, dense = self.stream.start, _DENSE * self.limits.scale
        for begin in range(0, self.count - _STRETCH, _STRETCH):
            end = begin + _STRETCH
            if (self.widths[end] - self.widths[begin]) * 1000 > dense * (starts[end] - starts[begin]):
                closed[begin:end] = b"\1" * _STRETCH
                for place in self._full(begin, end):
                    closed[place] = 0
        return closed

    def _full(self, begin: int, end: int) -> Iterator[int]:
        """Return where captions begin that each hold as much as they may, from one border to another."""
        stream, fits = self.stream, self.fits
        while begin < end:
            yield begin
            behind = begin
            for _ in range(self.limits.lines):
                behind = fits[behind] if behind < end else behind
            start = stream.start[begin]
            at = begin + 1
            while (
                at < min(behind, end, begin + _MOST_TOKENS)
                and not stream.turn[at]
                and stream.start[at] - stream.end[at - 1] < PAUSE_BREAK
                and stream.end[at] - start <= self.limits.longest
            ):
                at += 1
            begin = at

    def _search(self, free: int, alive: Callable[[], None]) -> "_Way":  # noqa: C901, PLR0912, PLR0915 -- the innermost loop: a call per pair would double its time
        widths, turns, stops, pauses, breaks = self.widths, self.turns, self.stops, self.pauses, self.breaks
        blank, starts, ends = self.stream.blank, self.stream.start, self.stream.end
        limits, follow = self.limits, self.follow
        line, gap, longest = limits.line, limits.gap, limits.longest
        needed = [limits.needed(units) for units in range(limits.lines * (line + DASH) + 1)]
        third = line / 3
        first, closed = self._first(), self._closed()
        #: The ways to each border: the cheapest, then dearer ones that leave more time to what follows.
        ways: list[list[_Way]] = [[_Way(0.0, free, 0, (), None)]]
        none: list[_Way] = []
        for end in range(1, self.count + 1):
            if not end % _ALIVE:
                alive()
            # What no caption reaches back to any more would only fill the memory.
            ways[first[end - 1] : first[end]] = [none] * (first[end] - first[end - 1])
            if closed[end]:
                ways.append(none)
                continue
            last = end - 1
            base = breaks[end] + pauses[last]
            latest = follow[last] - gap
            bound = latest + (
                LATE if end < self.count or self.stream.next_token else 0
            )  # the end of the audio waits for nobody
            # A caption behind this border comes no earlier, so a way that is done by then leaves all the time there is.
            early_enough = follow[last] - EARLY
            spoken_end, stops_before = ends[last], stops[last]
            fragment = _FRAGMENT if stops[end] == stops_before else 0.0
            found: list[_Way] = []
            # Cheapest so far: of all ways, of those that leave all the time there is, of those whose last caption is
            # hurried, which leave the least. What is dearer and leaves no more is not worth following.
            cheapest = best = hurried = math.inf
            cheapest_free = 0
            for begin in range(last, first[end] - 1, -1):
                start = starts[begin]
                if spoken_end - start > longest and begin < last:
                    break
                fixed = base - pauses[begin]
                if closed[begin] or ways[begin][0].price + fixed >= best:
                    continue
                units = widths[end] - widths[begin] - blank[begin]
                spoken_turns = turns[last] - turns[begin]
                lines: tuple[int, ...] = ()
                if spoken_turns:
                    if spoken_turns >= limits.lines:
                        break
                    units += DASH * (spoken_turns + 1)
                    fixed += _DIALOGUE
                    lines = self._turn_lines(begin, end)
                    if not lines:
                        continue
                elif inside := stops_before - stops[begin]:
                    fixed += _STOP_INSIDE * inside + fragment
                if units < third:
                    fixed += _SHORT * (third - units) / third
                least = ways[begin][0].price + fixed
                early = start - EARLY
                if not lines and units > line:
                    extra, lines = self._lines(begin, end, best - least)
                    fixed += extra
                for at in lines:
                    units -= blank[at]
                need = needed[units]
                lack = need - min(latest - start, longest)
                for way in ways[begin]:
                    price = way.price + fixed
                    if price >= best:
                        break
                    earliest = way.free if way.free > early else early  # noqa: FURB136 -- max() takes thrice the time
                    finish = earliest + need
                    if finish > bound or need > longest:
                        price += _HURRIED + max(lack, finish - bound) * _LACK / 1000
                        if earliest >= bound:
                            price += _HURRIED  # no time at all: it would take its neighbour's
                        if price >= hurried:
                            continue
                        hurried = price
                        finish = max(earliest, min(finish, bound))
                    elif lack > 0:
                        price += _SHIFTED + lack * _SHIFT / 1000
                    free = finish + gap
                    if price >= cheapest and free >= cheapest_free:
                        continue
                    if price < cheapest:
                        cheapest, cheapest_free = price, free
                    if free <= early_enough:
                        free = early_enough
                        best = min(best, price)
                    found.append(_Way(price, free, end, lines, way))
            ways.append(_worthwhile(found))
        return ways[-1][0]

    def _turn_lines(self, begin: int, end: int) -> tuple[int, ...]:
        """Return where the other speakers begin, a line for each; nothing if a line is too long for that."""
        lines = tuple(index for index in range(begin + 1, end) if self.stream.turn[index])
        for at, until in zip((begin, *lines), (*lines, end), strict=True):
            if self.widths[until] - self.widths[at] - self.stream.blank[at] + DASH > self.limits.line:
                return ()
        return lines

    def _lines(self, begin: int, end: int, budget: float) -> tuple[float, tuple[int, ...]]:
        """Return price and place of the best break into two lines; infinity if it costs more than the budget.

        What needs more than two lines is broken when it has been chosen: no place is returned then, and a flat price.
        """
        widths, blank, cost, fits = self.widths, self.stream.blank, self.stream.cost, self.fits
        line = self.limits.line
        if self.limits.lines > 2 and fits[fits[begin]] < end:  # noqa: PLR2004
            return _MORE_LINES, ()
        best, place = budget, 0
        # Behind a break that leaves too much for the second line, earlier ones leave even more.
        for at in range(fits[begin], begin, -1):
            if fits[at] < end:
                break
            heavy = 2 * widths[at] - widths[begin] - blank[begin] - widths[end] + blank[at]
            price = cost[at] * _LINE + (heavy * _BALANCE / line + _TOP_HEAVY if heavy > 0 else -heavy * _BALANCE / line)
            if price < best:
                best, place = price, at
        return (best, (place,)) if place else (math.inf, ())

    def _more_lines(self, begin: int, end: int) -> tuple[int, ...]:
        """Break a caption into as few lines as hold it, each as close to their mean as the breaks allow."""
        widths, blank, cost, fits = self.widths, self.stream.blank, self.stream.cost, self.fits
        fewest = 1
        at = fits[begin]
        while at < end:
            at, fewest = fits[at], fewest + 1
        mean = (widths[end] - widths[begin]) / fewest
        # Price and breaks of the best way to come to each token with the lines so far.
        ways: dict[int, tuple[float, tuple[int, ...]]] = {begin: (0.0, ())}
        for _ in range(fewest):
            further: dict[int, tuple[float, tuple[int, ...]]] = {}
            for at, (price, places) in ways.items():
                for until in range(at + 1, min(fits[at], end) + 1 if at < end else 0):
                    off = abs(widths[until] - widths[at] - blank[at] - mean) * _BALANCE / self.limits.line
                    total = price + off + (cost[until] * _LINE if until < end else 0.0)
                    if until not in further or total < further[until][0]:
                        further[until] = (total, (*places, until))
            ways = further
        return ways[end][1][:-1]
