"""Interpret times: find their unit, fill in missing ones, and remove impossible ones."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, groupby, pairwise
from typing import Final

from watcher.client.found import AnswerItem, together

#: Milli-, micro- and nanoseconds, and the 100 ns of Azure's ticks.
_UNITS: Final = (1e-3, 1e-6, 1e-7, 1e-9)
#: Letters per second that are too many for speech: quick speech has 20 to 25.
_LETTERS_A_SECOND: Final = 50.0
#: Longest audio (seconds): a longer stated length is ignored.
_LONGEST: Final = 48 * 3600.0
#: Letters per second of very quick speech: a text with less time than this needs is joined to a neighbour.
_TIGHT: Final = 30.0


def length_claimed(duration: float, seconds: float, size: int) -> float:
    """Return the length in seconds that the answer states; 0 if it states none, or an impossible one.

    `seconds`: the known length (0: not known); `size`: letters of the text.
    """
    unit = _unit(duration, seconds, size)
    claimed = duration * (1.0 if unit is None else unit)
    return claimed if 0 < claimed <= _LONGEST else 0.0


def in_seconds(items: Sequence[AnswerItem], seconds: float, size: int) -> tuple[list[AnswerItem], float]:
    """Convert times to seconds if they are plainly in a smaller unit; return also the end of the last one.

    If no unit fits, the times are removed, like every time that no audio can have. In this case the known length may be wrong,
    so their end is returned all the same. The end is returned as 0 if it is no sign of a wrong length: nothing begins after
    the audio's end, and servers add silence to the audio. `seconds`: the audio's length (0: unknown); `size`: letters of the
    text.
    """
    times = [time for item in items for time in (item.start, item.end) if time is not None]
    last = max(times, default=0.0)
    latest = max((item.start for item in items if item.start is not None), default=0.0)
    unit = _unit(last, seconds, size)
    if unit != 1.0 and any(item.exact for item in items):
        unit = None
    claim = last * (unit or 1.0) if latest * (unit or 1.0) > seconds else 0.0
    claim = claim if claim <= _LONGEST else 0.0
    if unit is None:
        return [replace(item, start=None, end=None) for item in items], claim
    if unit == 1.0 and all(abs(time) <= _LONGEST for time in times):
        return list(items), claim
    return [replace(item, start=_meant(item.start, unit), end=_meant(item.end, unit)) for item in items], claim


def _meant(time: float | None, unit: float) -> float | None:
    """Return a time in seconds; None for one that no audio can have: it would make times between others infinite or NaN."""
    return None if time is None or abs(time * unit) > _LONGEST else time * unit


def _unit(last: float, seconds: float, size: int) -> float | None:
    """Return the unit (in seconds) of times that end at `last`, if the audio has `seconds`; None: no unit fits.

    An end a little after the audio's is usual, since servers add silence. A unit that leaves no time to speak the text does not fit.
    """
    if seconds <= 0 or last <= max(10 * seconds, seconds + 60):
        return 1.0
    ends = {unit: last * unit for unit in _UNITS}
    likely = [unit for unit, end in ends.items() if end <= 1.5 * seconds + 30 and size <= _LETTERS_A_SECOND * (end + 1)]
    return min(likely, key=lambda unit: abs(math.log(ends[unit] / seconds)), default=None)


def filled(items: Sequence[AnswerItem], begin: float, end: float) -> list[AnswerItem]:
    """Return items with all their times: missing ones lie between the neighbours, in proportion to the texts' lengths.

    An item without times whose neighbours leave no time for it is joined to the one before or after it.
    `begin` and `end` bound the whole, in seconds (`end` 0: unknown). If no item has a time, all are returned unchanged.
    """
    items = _with_room(items, begin, end)
    known = [time for item in items for time in (item.start, item.end) if time is not None]
    if not known:
        return items
    starts = [item.start for item in items]
    ends = [item.end for item in items]
    # A missing start is the end of the item before, and a missing end the start of the next.
    for index in range(1, len(items)):
        if starts[index] is None:
            starts[index] = ends[index - 1]
        elif ends[index - 1] is None:
            ends[index - 1] = starts[index]
    if starts[0] is None:
        starts[0] = min(begin, *known)
    if ends[-1] is None:
        ends[-1] = max(end, *known)
    times: list[float] = []
    first = 0
    for behind, until in enumerate(ends, 1):
        if until is not None:
            start = starts[first] or 0.0  # never None: the run before ended where this one begins
            times += _shares(items[first:behind], start, max(start, until))
            first = behind
    return [
        _at(item, start, start_behind if until is None else until)
        for item, start, until, start_behind in zip(items, times, ends, [*times[1:], times[-1]], strict=True)
    ]


def _with_room(items: Sequence[AnswerItem], begin: float, end: float) -> list[AnswerItem]:
    """Join runs of items without times to a neighbour if there is no time to speak them in between."""
    kept: list[AnswerItem] = []
    index = 0
    while index < len(items):
        behind = next((place for place in range(index, len(items)) if _timed(items[place])), len(items))
        run = list(items[index:behind])
        before = kept[-1] if kept else None
        after = items[behind] if behind < len(items) else None
        low = before.end if before else begin
        high = after.start if after else end or None
        tight = low is not None and high is not None and (high - low) * _TIGHT < sum(len(item.text) for item in run)
        speakers = {item.speaker for item in run} - {""}
        if run and tight and before and speakers <= {before.speaker}:
            kept[-1] = _joined(before, [before, *run])
        elif run and tight and after and not before and speakers <= {after.speaker}:
            after = _joined(after, [*run, after])
        else:
            kept += run
        if after:
            kept.append(after)
        index = behind + 1
    return kept


def _at(item: AnswerItem, start: float, end: float) -> AnswerItem:
    return item if start == item.start and end == item.end else replace(item, start=start, end=end)


def _timed(item: AnswerItem) -> bool:
    return item.start is not None or item.end is not None


def _joined(base: AnswerItem, items: Sequence[AnswerItem]) -> AnswerItem:
    """Join items to one, with the times and metrics of `base`."""
    text = together(item.text for item in items)
    return replace(base, text=text, words=tuple(word for item in items for word in item.words))


def shared_out(items: Sequence[AnswerItem]) -> list[AnswerItem]:
    """Correct impossible times of sorted items: several texts at the same time.

    Items with the same span share it in proportion to their texts; of two with the same start or end, the first ends
    where the second begins. Different speakers may speak at once: nothing is changed between them.
    """
    result: list[AnswerItem] = []
    for (start, end), equal in groupby(items, key=lambda item: (item.start or 0.0, item.end or 0.0)):
        group = list(equal)
        speakers = {item.speaker for item in group} - {""}
        if len(group) > 1 and all(item.words for item in group):
            group = [replace(item, start=item.words[0].start, end=item.words[-1].end) for item in group]
        elif len(group) > 1 and len(speakers) < len(group):
            bounds = pairwise([*_shares(group, start, end), end])
            group = [replace(item, start=low, end=high) for item, (low, high) in zip(group, bounds, strict=True)]
        result += group
    for index, (before, item) in enumerate(pairwise(items)):
        if before.speaker != item.speaker or (before.start == item.start and before.end == item.end):
            continue
        if before.start == item.start:
            result[index + 1] = replace(result[index + 1], start=result[index].end)
        elif before.end == item.end:
            result[index] = replace(result[index], end=result[index + 1].start)
    return result


def pointless(words: Sequence[AnswerItem]) -> bool:
    """Return whether the times of words are useless: none has times, or several all have the same span."""
    spans = {(word.start, word.end) for word in words}
    return spans <= {(None, None)} or (len(words) > 1 and len(spans) == 1)


def _shares(items: Sequence[AnswerItem], start: float, end: float) -> list[float]:
    """Return the start of each item if they share a span in proportion to their texts."""
    sizes = [max(len(item.text), 1) for item in items]
    whole = sum(sizes)
    return [start + (end - start) * passed / whole for passed in accumulate(sizes[:-1], initial=0)]


def clamped(items: Iterable[AnswerItem], seconds: float) -> list[AnswerItem]:
    """Return items with their times limited to the audio (0: unknown length), sorted by start."""
    last = seconds if seconds > 0 else float("inf")
    result = []
    for item in items:
        start = min(max(item.start or 0.0, 0.0), last)
        result.append(_at(item, start, min(max(item.end or 0.0, start), last)))
    return sorted(result, key=lambda item: item.start or 0.0)
