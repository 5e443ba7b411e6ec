"""Make sense of times: their unit, those that are missing, and those that cannot be meant."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, groupby, pairwise
from typing import Final

from watcher.client.found import AnswerItem, together

#: Milli-, micro- and nanoseconds, and the 100 ns of Azure's ticks.
_UNITS: Final = (1e-3, 1e-6, 1e-7, 1e-9)
#: Letters a second that nobody speaks: quick speech has 20 to 25.
_LETTERS_A_SECOND: Final = 50.0
#: No audio is longer: what claims more is no length (seconds).
_LONGEST: Final = 48 * 3600.0
#: Letters a second of very quick speech: what has less room than this has none of its own.
_TIGHT: Final = 30.0


def length_claimed(duration: float, seconds: float, size: int) -> float:
    """Return the answer's own word about its length in seconds; 0 when there is none, or none that can be meant.

    `seconds`: what is known of the length (0: nothing); `size`: letters of the text.
    """
    unit = _unit(duration, seconds, size)
    claimed = duration * (1.0 if unit is None else unit)
    return claimed if 0 < claimed <= _LONGEST else 0.0


def in_seconds(items: Sequence[AnswerItem], seconds: float, size: int) -> tuple[list[AnswerItem], float]:
    """Bring times to seconds where they are plainly in a smaller unit; return also where the last one ends.

    Where no unit explains them they are taken away, as each time is that no audio has: then the length may be wrong
    that they are held against, which is why their end is returned all the same. Said as 0 is an end that is no sign of
    a wrong length: nothing begins behind it, and servers pad what they hear. `seconds`: the audio's length (0:
    unknown); `size`: letters of the text.
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
    """Return a time in seconds; None for one that no audio has: it would make others in between infinite, or no numbers."""
    return None if time is None or abs(time * unit) > _LONGEST else time * unit


def _unit(last: float, seconds: float, size: int) -> float | None:
    """Return what makes seconds of times that end at `last`, where the audio has `seconds`; None: nothing does.

    A little beyond the audio is usual, where servers pad what they hear. A unit that leaves no time to say the text is none.
    """
    if seconds <= 0 or last <= max(10 * seconds, seconds + 60):
        return 1.0
    ends = {unit: last * unit for unit in _UNITS}
    likely = [unit for unit, end in ends.items() if end <= 1.5 * seconds + 30 and size <= _LETTERS_A_SECOND * (end + 1)]
    return min(likely, key=lambda unit: abs(math.log(ends[unit] / seconds)), default=None)


def filled(items: Sequence[AnswerItem], begin: float, end: float) -> list[AnswerItem]:
    """Return items that all have their times: what is missing lies between the neighbours, shared out by the texts' lengths.

    What has no times, and neighbours that leave no time to say it, is said together with the one before it, or behind it.
    `begin` and `end` bound the whole, in seconds (`end` 0: unknown). Where no item has any time all come back as they are.
    """
    items = _with_room(items, begin, end)
    known = [time for item in items for time in (item.start, item.end) if time is not None]
    if not known:
        return items
    starts = [item.start for item in items]
    ends = [item.end for item in items]
    # What begins where is not said begins where the one before it ended, and the other way round.
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
        replace(item, start=start, end=start_behind if until is None else until)
        for item, start, until, start_behind in zip(items, times, ends, [*times[1:], times[-1]], strict=True)
    ]


def _with_room(items: Sequence[AnswerItem], begin: float, end: float) -> list[AnswerItem]:
    """Join runs of items without times to a neighbour where there is no time to say them in between."""
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


def _timed(item: AnswerItem) -> bool:
    return item.start is not None or item.end is not None


def _joined(base: AnswerItem, items: Sequence[AnswerItem]) -> AnswerItem:
    """Return items as one, with the times and metrics of `base`."""
    text = together(item.text for item in items)
    return replace(base, text=text, words=tuple(word for item in items for word in item.words))


def shared_out(items: Sequence[AnswerItem]) -> list[AnswerItem]:
    """Set times right that cannot be meant, of items in order of time: several texts that are all said at once.

    What claims the same span shares it by the length of the texts, and of two that share a start or an end the first ends
    where the second begins. Two speakers do speak at once: nothing is changed between them.
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
    """Return whether times of words say nothing: none has any, or several all claim the same span."""
    spans = {(word.start, word.end) for word in words}
    return spans <= {(None, None)} or (len(words) > 1 and len(spans) == 1)


def _shares(items: Sequence[AnswerItem], start: float, end: float) -> list[float]:
    """Return where each item begins when they share a span by the length of their texts."""
    sizes = [max(len(item.text), 1) for item in items]
    whole = sum(sizes)
    return [start + (end - start) * passed / whole for passed in accumulate(sizes[:-1], initial=0)]


def clamped(items: Iterable[AnswerItem], seconds: float) -> list[AnswerItem]:
    """Return items that have times within the audio (0: of unknown length), in order of their start."""
    last = seconds if seconds > 0 else float("inf")
    result = []
    for item in items:
        start = min(max(item.start or 0.0, 0.0), last)
        result.append(replace(item, start=start, end=min(max(item.end or 0.0, start), last)))
    return sorted(result, key=lambda item: item.start or 0.0)
