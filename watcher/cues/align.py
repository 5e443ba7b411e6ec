# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""Align tokens with words: a token gets the times of its word, if the word is found in the text.

Servers write words in many ways: whisper-1 without punctuation, others with it; whisper.cpp as parts of words; Chinese
by characters or by words; with words missing, repeated, out of order, or far outside their segment. So only letters and
digits are compared, a word counts only near its segment, and if words and text disagree, the tokens share the time
between their neighbours in proportion to their width, with a rest after punctuation. All times here are whole milliseconds.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from watcher.text import letters
from watcher.transcript import Segment, Word

#: A word may be this far outside its segment (ms): servers round segments to whole or half seconds.
_TOLERANCE: Final = 1000
#: Longest time for a token, as a base and per unit: some servers extend the word before a silence over the silence.
_TOKEN_BASE: Final = 400
_TOKEN_BASE_PER_UNIT: Final = 130
_TOKEN_PER_UNIT: Final = 150
#: Rest after punctuation, in units of width, if time is shared by width (speech pauses of about 0.15 and 0.4 s).
_REST_CLAUSE: Final = 2
_REST_SENTENCE: Final = 5
#: Segments that disagree with their words are compared together, up to this many tokens, so that a word is also found if the
#: server put it into the neighbouring segment.
_RUN: Final = 120
#: After a difference between text and words, this many words or letters must agree before they count as equal again; and
#: this many of each are searched.
_AGREE_WORDS: Final = 2
_AGREE_LETTERS: Final = 4
_REACH: Final = 40
#: With fewer letters per token than this, tokens are characters or syllables.
_SHORT_TOKENS: Final = 2.5
#: A time later than any recording.
_NEVER: Final = 1 << 60


@dataclass(slots=True)
class Times:
    """Per token: start and end, whether a word of the server begins with it, and the speaker ("" unknown)."""

    start: list[int]
    end: list[int]
    begins_word: list[bool]
    speaker: list[str]


def align(
    segments: Sequence[Segment],
    tokens: Sequence[Sequence[str]],
    widths: Sequence[Sequence[int]],
    duration: int,
    *,
    since: int = 0,
    until: int | None = None,
) -> Times:
    """Return the times of all tokens of all segments as one list: starts never decrease, and no token ends after the next starts.

    `tokens` and `widths` (in units) are parallel to `segments`; `duration` is 0 if unknown. What precedes these segments ends
    at `since`; what follows them starts at `until` (None: nothing does, or nobody knows).
    """
    bounds = _bounds(segments, [sum(group) for group in widths], duration, since, until)
    anchors = _anchors(segments, tokens)
    if duration:
        anchors = [anchor and anchor.within(duration) for anchor in anchors]
    counts = [len(group) for group in tokens]
    near = _near(anchors, bounds, counts)
    if _contradict(anchors, near):
        bounds = _bounds_of_words(anchors, bounds, counts)
        near = _near(anchors, bounds, counts)
    return _spread(segments, tokens, widths, bounds, _in_order(near), now=since)


def milliseconds(seconds: float) -> int | None:
    """Return a time in whole milliseconds; None for one that no recording has."""
    return round(seconds * 1000) if -1e9 < seconds < 1e9 else None  # noqa: PLR2004 -- 30 years; not a number is neither


# Segments


def _bounds(
    segments: Sequence[Segment], units: Sequence[int], duration: int, since: int, until: int | None
) -> list[tuple[int, int]]:
    """Return start and end of each segment: in order, without overlap, inside the audio."""
    raw = [_clamp(milliseconds(segment.start), duration) for segment in segments]
    trusted = _rising([value if value is not None else -1 for value in raw])
    behind = _clamp(until, duration)
    limits = [max(since, behind) if behind is not None else duration or _NEVER] * len(segments)
    for index in range(len(segments) - 2, -1, -1):
        following = raw[index + 1]
        limits[index] = following if following is not None and index + 1 in trusted else limits[index + 1]
    bounds: list[tuple[int, int]] = []
    last = since
    for index, segment in enumerate(segments):
        known = raw[index]
        start = max(since, known) if known is not None and index in trusted else last
        end = _clamp(milliseconds(segment.end), duration)
        if end is None or end <= start:
            end = start + _natural(units[index])
        end = max(start, min(end, limits[index]))
        bounds.append((start, end))
        last = end
    return bounds


def _clamp(value: int | None, duration: int) -> int | None:
    if value is None:
        return None
    return max(0, min(value, duration) if duration else value)


def _natural(units: int) -> int:
    return min(_TOKEN_BASE, _TOKEN_BASE_PER_UNIT * units) + _TOKEN_PER_UNIT * units


def _rising(values: Sequence[int]) -> set[int]:
    """Return the indices of a longest non-decreasing subsequence of `values`; negative values are never in it."""
    found = [index for index, value in enumerate(values) if value >= 0]
    # The quick case, for nearly every text: all of them are in order.
    if all(values[index] <= values[following] for index, following in pairwise(found)):
        return set(found)
    tails: list[int] = []
    tail_index: list[int] = []
    before: list[int] = [-1] * len(values)
    for index, value in enumerate(values):
        if value < 0:
            continue
        place = bisect_right(tails, value)
        before[index] = tail_index[place - 1] if place else -1
        if place == len(tails):
            tails.append(value)
            tail_index.append(index)
        else:
            tails[place] = value
            tail_index[place] = index
    chosen: set[int] = set()
    index = tail_index[-1] if tail_index else -1
    while index >= 0:
        chosen.add(index)
        index = before[index]
    return chosen


# Words


@dataclass(slots=True)
class _Anchor:
    """A token that was found among the words."""

    start: int
    end: int
    begins_word: bool
    speaker: str

    def within(self, duration: int) -> "_Anchor":
        if self.end <= duration:
            return self
        return _Anchor(min(self.start, duration), min(self.end, duration), self.begins_word, self.speaker)


class _Said(NamedTuple):
    """A word: its start and length in milliseconds (no start: no recording has its time), and its speaker."""

    start: int | None
    span: int
    speaker: str


def _said(word: Word) -> _Said:
    start, end = milliseconds(word.start), milliseconds(word.end)
    return _Said(start, max(0, (end if end is not None else start) - start) if start is not None else 0, word.speaker)


def _anchors(segments: Sequence[Segment], tokens: Sequence[Sequence[str]]) -> list[_Anchor | None]:
    """Return an anchor for every token that was found among the words, as one list; None for the others."""
    anchors: list[_Anchor | None] = []
    run_tokens: list[str] = []
    run_words: list[Word] = []
    for segment, texts in zip(segments, tokens, strict=True):
        words = segment.words
        keys = [_key(text) for text in texts]
        word_keys = [_key(word.text) for word in words]
        exact = [key for key in keys if key] == [key for key in word_keys if key]
        if run_tokens and (exact or not words or len(run_tokens) + len(texts) > _RUN):
            anchors.extend(_match(run_tokens, run_words))
            run_tokens, run_words = [], []
        if exact:
            spoken = iter([word for word, key in zip(words, word_keys, strict=True) if key])
            anchors.extend([_anchor(_said(next(spoken))) if key else None for key in keys])
        elif not words:
            anchors.extend([None] * len(texts))
        else:
            run_tokens += texts
            run_words += words
    anchors.extend(_match(run_tokens, run_words))
    return anchors


def _near(
    anchors: Sequence[_Anchor | None], bounds: Sequence[tuple[int, int]], counts: Sequence[int]
) -> list[_Anchor | None]:
    """Return the anchors; None for those far from their segment."""
    near: list[_Anchor | None] = []
    for (low, high), count in zip(bounds, counts, strict=True):
        low, high = low - _TOLERANCE, high + _TOLERANCE  # noqa: PLW2901 -- wider
        near.extend(
            [
                anchor if anchor and low <= anchor.start <= anchor.end <= high else None
                for anchor in anchors[len(near) : len(near) + count]
            ]
        )
    return near


def _contradict(anchors: Sequence[_Anchor | None], near: Sequence[_Anchor | None]) -> bool:
    """Return whether most words are outside their segments: then the segments' times are wrong."""
    return (len(near) - near.count(None)) * 2 < len(anchors) - anchors.count(None)


def _bounds_of_words(
    anchors: Sequence[_Anchor | None], bounds: Sequence[tuple[int, int]], counts: Sequence[int]
) -> list[tuple[int, int]]:
    """Return each segment's bounds by its words; without words, the time between its neighbours."""
    rising = _rising([anchor.start if anchor else -1 for anchor in anchors])
    found: list[tuple[int, int]] = []
    offset = last = 0
    for (low, high), count in zip(bounds, counts, strict=True):
        own = [anchors[index] for index in range(offset, offset + count) if index in rising]
        starts = [anchor.start for anchor in own if anchor]
        ends = [anchor.end for anchor in own if anchor]
        start = max(last, min(starts, default=min(low, last)))
        last = max(start, max(ends, default=min(high, start)))
        found.append((start, last))
        offset += count
    return found


def _in_order(near: Sequence[_Anchor | None]) -> list[_Anchor | None]:
    """Return the anchors; None for those out of order."""
    rising = _rising([anchor.start if anchor else -1 for anchor in near])
    return [anchor if index in rising else None for index, anchor in enumerate(near)]


def _key(text: str) -> str:
    """Return the letters and digits of a word, case folded, for comparison."""
    return (_known if len(text) <= _WORTH_KEEPING else _folded)(text)


#: Longest word (characters) whose letters are cached: longer ones would only fill the memory.
_WORTH_KEEPING: Final = 64


def _folded(text: str) -> str:
    if text.isascii():
        return _NOT_ALNUM.sub("", text).lower()
    return letters(text)


_known: Final = lru_cache(maxsize=16384)(_folded)
_NOT_ALNUM: Final = re.compile("[^0-9A-Za-z]+")


def _match(texts: Sequence[str], words: Sequence[Word]) -> list[_Anchor | None]:
    """Find tokens among words by their letters."""
    anchors: list[_Anchor | None] = [None] * len(texts)
    keys = [_key(text) for text in texts]
    spoken = [(_said(word), key) for word in words if (key := _key(word.text))]
    places = [index for index, key in enumerate(keys) if key]
    text = "".join(keys)
    if text == "".join(key for _, key in spoken) or len(text) < _SHORT_TOKENS * len(places):
        # Tokens and words are cut differently, or tokens are so short that equal ones are everywhere: compare letters.
        _by_letters(anchors, keys, places, spoken)
    else:
        _by_tokens(anchors, keys, places, spoken)
    return anchors


def _by_tokens(
    anchors: list[_Anchor | None], keys: Sequence[str], places: Sequence[int], spoken: Sequence[tuple[_Said, str]]
) -> None:
    """Find whole tokens first, and compare the rest between them letter by letter."""
    said = [key for _, key in spoken]
    written = [keys[place] for place in places]
    left = right = 0
    for left_block, right_block, size in [*_blocks(written, said, _AGREE_WORDS), (len(written), len(said), 0)]:
        if left < left_block and right < right_block:
            _by_letters(anchors, keys, places[left:left_block], spoken[right:right_block])
        for offset in range(size):
            anchors[places[left_block + offset]] = _anchor(spoken[right_block + offset][0])
        left, right = left_block + size, right_block + size


def _by_letters(
    anchors: list[_Anchor | None], keys: Sequence[str], places: Sequence[int], spoken: Sequence[tuple[_Said, str]]
) -> None:
    text = "".join(keys[place] for place in places)
    said = "".join(key for _, key in spoken)
    # For each letter of the text, the equal letter of the words; -1 if there is none.
    letters = [-1] * len(text)
    for left, right, size in [(0, 0, len(text))] if text == said else _blocks(text, said, _AGREE_LETTERS):
        letters[left : left + size] = range(right, right + size)
    lengths = [len(key) for _, key in spoken]
    begins = list(accumulate(lengths, initial=0))
    # For each letter of the words, its word.
    owner = [index for index, length in enumerate(lengths) for _ in range(length)]
    position = 0
    for place in places:
        length = len(keys[place])
        first, last = letters[position], letters[position + length - 1]
        position += length
        if first < 0 or last - first != length - 1:
            continue
        word, last_word = owner[first], owner[last]
        begin, finish = spoken[word][0], spoken[last_word][0]
        if begin.start is None or finish.start is None:
            continue
        offset = first - begins[word]
        start = begin.start + begin.span * offset // lengths[word]
        end = finish.start + finish.span * (last - begins[last_word] + 1) // lengths[last_word]
        if end >= start:
            anchors[place] = _Anchor(start, end, offset == 0, begin.speaker)


def _blocks(left: Sequence[str], right: Sequence[str], agree: int) -> list[tuple[int, int, int]]:
    """Return the stretches in which two sequences agree: index in each, and length; in order.

    After a difference, the nearest position is searched at which `agree` elements agree again; if there is none within the
    limit, both are skipped. So, unlike difflib, the time is always linear.
    """
    blocks: list[tuple[int, int, int]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        size = 0
        while i + size < len(left) and j + size < len(right) and left[i + size] == right[j + size]:
            size += 1
        if size:
            blocks.append((i, j, size))
            i, j = i + size, j + size
        else:
            skip, other = _resume(left, right, i, j, agree)
            i, j = i + skip, j + other
    return blocks


def _resume(left: Sequence[str], right: Sequence[str], i: int, j: int, agree: int) -> tuple[int, int]:
    """Return how many elements of each to skip until they agree again, as few as possible."""
    for skipped in range(1, 2 * _REACH):
        middle = skipped // 2
        for off in range(skipped + 1):
            # From the middle outwards: one word instead of another is more likely than one lost or added.
            skip = middle + (off + 1) // 2 * (1 if off % 2 else -1)
            other = skipped - skip
            if skip > _REACH or other > _REACH or skip < 0 or other < 0:
                continue
            run = min(agree, len(left) - i - skip, len(right) - j - other)
            if run > 0 and left[i + skip : i + skip + run] == right[j + other : j + other + run]:
                return skip, other
    return _REACH, _REACH


def _anchor(said: _Said) -> _Anchor | None:
    """Return the time of a whole word."""
    return None if said.start is None else _Anchor(said.start, said.start + said.span, True, said.speaker)  # noqa: FBT003 -- it begins there


# Everything else


def _spread(
    segments: Sequence[Segment],
    tokens: Sequence[Sequence[str]],
    widths: Sequence[Sequence[int]],
    bounds: Sequence[tuple[int, int]],
    anchors: Sequence[_Anchor | None],
    *,
    now: int,
) -> Times:
    times = Times([], [], [], [])
    following = _following(anchors)
    index = 0
    for segment, texts, units, (low, high) in zip(segments, tokens, widths, bounds, strict=True):
        at = 0
        while at < len(texts):
            anchor = anchors[index]
            if anchor:
                start = max(now, anchor.start)
                now = max(start, min(anchor.end, start + _natural(units[at]), following[index]))
                times.start.append(start)
                times.end.append(now)
                times.begins_word.append(anchor.begins_word)
                times.speaker.append(anchor.speaker or segment.speaker)
                at, index = at + 1, index + 1
                continue
            run = at
            while run < len(texts) and not anchors[index + run - at]:
                run += 1
            # After the last found word of a segment, the segment's end is the limit; before a found word, that word is.
            end = min(following[index], high) if run == len(texts) else following[index]
            now = _share(times, texts[at:run], units[at:run], max(now, low), max(now, low, end))
            times.speaker.extend([segment.speaker] * (run - at))
            index += run - at
            at = run
    return times


def _following(anchors: Sequence[_Anchor | None]) -> list[int]:
    """Return for each token the start of the next found one."""
    following = [_NEVER] * len(anchors)
    later = _NEVER
    for index in range(len(anchors) - 1, -1, -1):
        following[index] = later
        if anchor := anchors[index]:
            later = min(later, anchor.start)
    return following


def _share(times: Times, texts: Sequence[str], units: Sequence[int], low: int, high: int) -> int:
    """Share the time between two points among tokens by width and punctuation; return the end of the last one."""
    high = min(max(low, high), low + sum(_natural(unit) for unit in units))
    weights = [unit + 1 for unit in units]
    rests = [_rest(text) for text in texts]
    total = sum(weights) + sum(rests[:-1])
    done = 0
    end = low
    for weight, rest in zip(weights, rests, strict=True):
        times.start.append(low + (high - low) * done // total)
        end = low + (high - low) * (done + weight) // total if done + weight < total else high
        times.end.append(end)
        times.begins_word.append(False)
        done += weight + rest
    return end


def _rest(text: str) -> int:
    last = text.rstrip("\"'»”’)]」』")[-1:]
    if last in _SENTENCE:
        return _REST_SENTENCE
    return _REST_CLAUSE if last in _CLAUSE else 0


_SENTENCE: Final = frozenset(".!?…。！？؟।۔")
_CLAUSE: Final = frozenset(",;:،、，；：–—")
