"""Find the best cuts of a stream of tokens into captions of one or more lines: dynamic programming over all cuts.

Every caption has a cost: for the break at its end, the breaks between its lines and their balance, missing reading
time, silences and sentence ends within it, for being short in letters, in time or of one word, and a base cost, so that few full
captions are preferred to many short ones. The lowest sum over the whole recording is found. Only text that comes too quickly to be
read, however it is cut, is cut greedily. Costs have the units of `watcher.cues.breaks`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from watcher.cues.breaks import LAST, SENTENCE, TIED
from watcher.cues.marks import DASHES, SpeakerMarks
from watcher.cues.rules import CaptionLimits
from watcher.cues.stream import Stream
from watcher.cues.timing import EARLY, LATE, stays_until

#: No caption spans a silence of this length (milliseconds): it would show words much too early.
PAUSE_BREAK: Final = 2500

#: Base cost of a caption.
_CUE: Final = 18.0
#: Cost of an almost empty caption; 0 from a third of a line on.
_SHORT: Final = 20.0
#: A caption that is gone before one has well seen it: the milliseconds from which on it costs nothing (of a whole sentence fewer, as it
#: is soon seen), and the cost for each second that is missing.
_SEEN: Final = 1500
_SENTENCE_SEEN: Final = 1000
_FLICKER: Final = 40.0
#: A caption of one short word that is no sentence.
_ALONE: Final = 30.0
#: A caption that can be read only if it comes a little before its words or stays a little longer: fixed, and per second.
_SHIFTED: Final = 8.0
_SHIFT: Final = 30.0
#: A caption that cannot be read in time at all: fixed, and per missing second. More than any bad break, so that
#: no more captions are too quick than necessary.
_HURRIED: Final = 5000.0
_LACK: Final = 60.0
#: Silence within a caption: free up to this (milliseconds), and the cost per second beyond.
_PAUSE_FREE: Final = 500
_PAUSE: Final = 60.0
#: Reduction of a break's cost by a pause: per second, and at most; and the share of it between words that belong together.
_PAUSE_BONUS: Final = 40.0
_PAUSE_BONUS_MOST: Final = 28.0
_PAUSE_BONUS_BOUND: Final = 0.25
#: The end of a caption before "of" costs more than the end of a line there.
_TIED: Final = 12
#: A sentence that ends within a caption, and one that begins there and is not finished (BBC 3.2: a caption should
#: be one sentence).
_STOP_INSIDE: Final = 5.0
_FRAGMENT: Final = 16.0
#: Two speakers in one caption.
_DIALOGUE: Final = 6.0
#: Three lines or more, if they are allowed.
_MORE_LINES: Final = 30.0
#: Number of ways that are kept for each border.
_WAYS: Final = 16
#: Tokens of a stretch, and the characters per second from which on it is too dense to read: speech has less than half of that. Such
#: text would need the most time and memory, as its tokens may be single characters.
_STRETCH: Final = 512
_DENSE: Final = 50.0
#: Most tokens of a caption: more than can be spoken in the 30 seconds that it may last. A caption of four lines of 200 characters
#: could have 800 tokens of one character, and the number of ways to cut it grows with theirs.
_MOST_TOKENS: Final = 160
#: Tokens after which a sign of life is given.
_ALIVE: Final = 4096
#: Lines: the share of a break's cost, also between words that belong together, and the cost of full imbalance; a wider upper line
#: costs a little more (TTSG, BBC 3.1: with the wider line below, the eye moves less).
_LINE: Final = 0.6
_LINE_BOUND: Final = 1.0
_BALANCE: Final = 14.0
_TOP_HEAVY: Final = 2.0
#: A line of one short word.
_LONELY: Final = 16.0


@dataclass(frozen=True, slots=True)
class CaptionBreaks:
    """Starts of the lines of one caption, and the index after its last token."""

    lines: tuple[int, ...]
    end: int
    #: Whether each line has another speaker.
    dialogue: bool
    #: Earliest time (milliseconds) of the next caption.
    free: int = 0


class _Way(NamedTuple):
    """A way to cut the text up to a border."""

    cost: float
    #: Earliest time (milliseconds) of the next caption.
    free: int
    #: The border.
    end: int
    #: Starts of the last caption's lines, without the first line.
    lines: tuple[int, ...]
    #: The way without its last caption; None at the start of the text.
    before: "_Way | None"


def _worthwhile(found: list[_Way]) -> list[_Way]:
    """Return the ways that no other way beats in both cost and time: cheapest first, a few at most."""
    found.sort()
    kept = found[:1]
    for way in found:
        if way.free < kept[-1].free and len(kept) < _WAYS:
            kept.append(way)
    return kept


def _break(cost: int, pause: int) -> float:
    """Return the cost for the end of a caption before a token, after a pause (milliseconds)."""
    bonus = min(pause * _PAUSE_BONUS / 1000, _PAUSE_BONUS_MOST)
    if cost == TIED:
        cost += _TIED
    return _CUE + cost - (bonus if cost < LAST else bonus * _PAUSE_BONUS_BOUND)


def cut(
    stream: Stream,
    limits: CaptionLimits,
    audio_end: int,
    *,
    free: int = 0,
    marks: SpeakerMarks = DASHES,
    alive: Callable[[], None] = lambda: None,
) -> list[CaptionBreaks]:
    """Return the captions with the lowest cost; the first comes at `free` or later (milliseconds).

    `audio_end` is 0 if unknown; `marks` take their part of the lines; `alive` is called regularly.
    """
    if not stream.text:
        return []
    return _Search(stream, limits, audio_end, marks).run(free, alive)


class _Search:
    """The columns of one search; an index is the index of a token, or of the border before it."""

    def __init__(self, stream: Stream, limits: CaptionLimits, audio_end: int, marks: SpeakerMarks) -> None:
        count = len(stream.text)
        self.stream = stream
        self.limits = limits
        self.count = count
        #: Sums, up to each border, of the units, and of the speaker changes, sentence ends and pauses.
        self.widths = [0]
        for own, blank in zip(stream.width, stream.blank, strict=True):
            self.widths.append(self.widths[-1] + own + blank)
        self.turns: list[int] = []
        self.stops: list[int] = []
        self.pauses: list[float] = []
        #: Cost for the end of a caption, and of a line, at each border; and whether a sentence begins there, or the text ends.
        self.breaks: list[float] = []
        self.line_breaks = [cost * (_LINE if cost < LAST else _LINE_BOUND) for cost in stream.cost]
        self.whole = bytearray()
        self._sum_up()
        #: Earliest start of the words after each border.
        horizon = audio_end or stream.end[-1] + limits.longest
        behind = stream.next_token.start if stream.next_token else max(horizon, stream.end[-1]) + limits.gap
        self.follow = [*stream.start[1:], behind]
        #: Until when a caption that ends at each border stays.
        self.stays = [
            stays_until(end, following - limits.gap) for end, following in zip(stream.end, self.follow, strict=True)
        ]
        #: Units of the mark before each token: as the beginning of a line of a dialogue, and of a caption with one speaker.
        speakers = set(stream.speaker)
        in_dialogue = {speaker: marks.units(speaker, dialogue=True) for speaker in speakers}
        alone = {speaker: marks.units(speaker, dialogue=False) for speaker in speakers}
        self.dialogue_marks = [in_dialogue[speaker] for speaker in stream.speaker]
        self.marks = [alone[speaker] for speaker in stream.speaker]
        #: For a line that begins with each token, the index after the last token that fits; and for the first line of a caption, behind
        #: the widest mark.
        self.fits = self._fits(limits.line)
        widest = max(alone.values())
        self.first_fits = self._fits(limits.line - widest) if widest else self.fits

    def run(self, free: int, alive: Callable[[], None]) -> list[CaptionBreaks]:
        way = self._search(free, alive)
        captions: list[CaptionBreaks] = []
        while way.before:
            begin, end, lines = way.before.end, way.end, way.lines
            if not lines and end > self.first_fits[begin]:
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
            # This cost makes sure that no caption spans the pause.
            pauses += 1e6 if pause >= PAUSE_BREAK else max(0, pause - _PAUSE_FREE) * _PAUSE / 1000
            self.turns.append(turns)
            self.stops.append(stops)
            self.pauses.append(pauses)
            self.breaks.append(_break(stream.cost[index], pause))
            self.whole.append(stop or index == 0)
        behind = stream.next_token
        # The end of the text ends a sentence.
        self.whole.append(behind is None or behind.cost == SENTENCE)
        self.stops.append(stops + self.whole[-1])
        self.breaks.append(_break(behind.cost, behind.start - stream.end[-1]) if behind else _CUE)

    def _fits(self, line: int) -> list[int]:
        fits: list[int] = []
        end = 0
        widths, blank = self.widths, self.stream.blank
        for begin in range(self.count):
            end = max(end, begin + 1)
            while end < self.count and widths[end + 1] - widths[begin] - blank[begin] <= line:
                end += 1
            fits.append(end)
        return fits

    def _first(self) -> list[int]:
        """Return for each border the first token of the longest caption that ends there, by lines and tokens."""
        first = [0]
        reach: list[int] = []
        for begin in range(self.count):
            end = self.first_fits[begin]
            for _ in range(self.limits.lines - 1):
                end = self.fits[end] if end < self.count else end
            reach.append(end)
        begin = 0
        for end in range(1, self.count + 1):
            while reach[begin] < end or end - begin > _MOST_TOKENS:
                begin += 1
            first.append(begin)
        return first

    def _closed(self) -> bytearray:
        """Return the borders at which no caption may begin: in stretches too dense to read, all except those of full captions."""
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
        """Return the starts of captions, each as full as allowed, from one border to another."""
        stream, fits = self.stream, self.fits
        while begin < end:
            yield begin
            behind = self.first_fits[begin]
            for _ in range(self.limits.lines - 1):
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
        limits, follow, whole = self.limits, self.follow, self.whole
        line, gap, longest = limits.line, limits.gap, limits.longest
        # A line and the blank behind it; of a dialogue also its mark.
        needed = [limits.needed(units) for units in range(limits.lines * (line + 2) + 1)]
        dialogue_marks = self.dialogue_marks
        # What is subtracted from the widths up to a caption's end, by its first token.
        edges = [before + own - mark for before, own, mark in zip(widths[:-1], blank, self.marks, strict=True)]
        third = line / 3
        first, closed = self._first(), self._closed()
        #: The ways to each border: the cheapest, then more expensive ones that leave more time for the next captions.
        ways: list[list[_Way]] = [[_Way(0.0, free, 0, (), None)]]
        none: list[_Way] = []
        #: The cost of the cheapest way to each border.
        leasts = [0.0]
        for end in range(1, self.count + 1):
            if not end % _ALIVE:
                alive()
            # Free ways that no later caption can use.
            ways[first[end - 1] : first[end]] = [none] * (first[end] - first[end - 1])
            if closed[end]:
                ways.append(none)
                leasts.append(math.inf)
                continue
            last = end - 1
            base, stays = breaks[end] + pauses[last], self.stays[last]
            alone = 0.0 if whole[last] and whole[end] else _ALONE
            latest = follow[last] - gap
            bound = latest + (
                LATE if end < self.count or self.stream.next_token else 0
            )  # at the end of the audio, a caption cannot stay longer
            # A caption after this border does not come earlier, so a way that ends before leaves it all its time.
            early_enough = follow[last] - EARLY
            spoken_end, stops_before = ends[last], stops[last]
            fragment = _FRAGMENT if stops[end] == stops_before else 0.0
            found: list[_Way] = []
            # Lowest cost so far: of all ways; of those that leave the next caption all its time; and of those whose last caption is
            # too quick, which leave the least. A way that costs more and leaves no more time is not kept.
            cheapest = best = hurried = math.inf
            cheapest_free = 0
            for begin in range(last, first[end] - 1, -1):
                start = starts[begin]
                if spoken_end - start > longest and begin < last:
                    break
                fixed = base - pauses[begin]
                seen = stays - start
                if seen < _SEEN and (seen < _SENTENCE_SEEN or not (whole[begin] and whole[end])):
                    fixed += (_SEEN - seen) * _FLICKER / 1000
                if leasts[begin] + fixed >= best:
                    continue
                units = widths[end] - edges[begin]
                spoken_turns = turns[last] - turns[begin]
                lines: tuple[int, ...] = ()
                if spoken_turns:
                    if spoken_turns >= limits.lines:
                        break
                    fixed += _DIALOGUE
                    lines = self._turn_lines(begin, end)
                    if not lines:
                        continue
                    units += sum(dialogue_marks[at] for at in (begin, *lines)) - self.marks[begin]
                elif inside := stops_before - stops[begin]:
                    fixed += _STOP_INSIDE * inside + fragment
                if units < third:
                    fixed += _SHORT * (third - units) / third
                    if begin == last:
                        fixed += alone
                early = start - EARLY
                if not lines and units > line:
                    extra, lines = self._lines(begin, end, best - leasts[begin] - fixed)
                    fixed += extra
                for at in lines:
                    units -= blank[at]
                need = needed[units]
                room = latest - start
                lack = need - (room if room < longest else longest)  # noqa: FURB136 -- min() takes thrice the time
                for way in ways[begin]:
                    cost = way.cost + fixed
                    if cost >= best:
                        break
                    earliest = way.free if way.free > early else early  # noqa: FURB136 -- max() takes thrice the time
                    finish = earliest + need
                    if finish > bound or need > longest:
                        cost += _HURRIED + max(lack, finish - bound) * _LACK / 1000
                        if earliest >= bound:
                            cost += _HURRIED  # no time at all: it would need its neighbour's
                        if cost >= hurried:
                            continue
                        hurried = cost
                        finish = max(earliest, min(finish, bound))
                    elif lack > 0:
                        cost += _SHIFTED + lack * _SHIFT / 1000
                    free = finish + gap
                    if cost >= cheapest and free >= cheapest_free:
                        continue
                    if cost < cheapest:
                        cheapest, cheapest_free = cost, free
                    if free <= early_enough:
                        free = early_enough
                        if cost < best:  # noqa: PLR1730 -- the same
                            best = cost
                    found.append(_Way(cost, free, end, lines, way))
            ways.append(_worthwhile(found))
            leasts.append(ways[end][0].cost)
        return ways[-1][0]

    def _turn_lines(self, begin: int, end: int) -> tuple[int, ...]:
        """Return the starts of the other speakers, one line for each; nothing if a line would be too long."""
        lines = tuple(index for index in range(begin + 1, end) if self.stream.turn[index])
        for at, until in zip((begin, *lines), (*lines, end), strict=True):
            text = self.widths[until] - self.widths[at] - self.stream.blank[at]
            if text + self.dialogue_marks[at] > self.limits.line:
                return ()
        return lines

    def _lines(self, begin: int, end: int, budget: float) -> tuple[float, tuple[int, ...]]:
        """Return cost and position of the best break into two lines; infinity if it costs more than the budget.

        A caption of more than two lines is broken only once it has been chosen: then a fixed cost and no position are returned.
        """
        widths, blank, costs, fits = self.widths, self.stream.blank, self.line_breaks, self.fits
        line, third = self.limits.line, self.limits.line / 3
        first = self.first_fits[begin]
        if self.limits.lines > 2 and fits[first] < end:  # noqa: PLR2004
            return _MORE_LINES, ()
        best, place = budget, 0
        # If this break leaves too much for the second line, earlier ones leave even more.
        for at in range(first, begin, -1):
            if fits[at] < end:
                break
            heavy = 2 * widths[at] - widths[begin] - blank[begin] + self.marks[begin] - widths[end] + blank[at]
            cost = costs[at] + (heavy * _BALANCE / line + _TOP_HEAVY if heavy > 0 else -heavy * _BALANCE / line)
            if (at == begin + 1 and widths[at] - widths[begin] < third) or (
                at == end - 1 and widths[end] - widths[at] < third
            ):
                cost += _LONELY
            if cost < best:
                best, place = cost, at
        return (best, (place,)) if place else (math.inf, ())

    def _more_lines(self, begin: int, end: int) -> tuple[int, ...]:
        """Break a caption into as few lines as possible, each as close to the mean length as the breaks allow."""
        widths, blank, costs, fits = self.widths, self.stream.blank, self.line_breaks, self.fits
        fewest = 1
        at = self.first_fits[begin]
        while at < end:
            at, fewest = fits[at], fewest + 1
        mean = (widths[end] - widths[begin]) / fewest
        # Cost and breaks of the best way to each token with the lines so far.
        ways: dict[int, tuple[float, tuple[int, ...]]] = {begin: (0.0, ())}
        for _ in range(fewest):
            further: dict[int, tuple[float, tuple[int, ...]]] = {}
            for at, (cost, places) in ways.items():
                most = (self.first_fits if at == begin else fits)[at] if at < end else 0
                for until in range(at + 1, min(most, end) + 1):
                    off = abs(widths[until] - widths[at] - blank[at] - mean) * _BALANCE / self.limits.line
                    if until == at + 1 and widths[until] - widths[at] < self.limits.line / 3:
                        off += _LONELY
                    total = cost + off + (costs[until] if until < end else 0.0)
                    if until not in further or total < further[until][0]:
                        further[until] = (total, (*places, until))
            ways = further
        return ways[end][1][:-1]
