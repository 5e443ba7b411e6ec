"""The tokens of a text: its written words, and when each was said."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from watcher.text import UNSPACED, letters
from watcher.transcript import Segment, Word

#: A token is a written word; where words are not set apart by blanks (Han, Kana, Thai, Lao, Khmer …), a character.
_TOKEN: Final = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
#: Seconds by which two pieces may time the same word differently: where words are timed, and where only segments are.
_NEAR: Final = 0.5
_NEAR_SEGMENTS: Final = 3.0
#: Words that a server may give a second of sound (`watcher.client.bounds`): nobody says half as many. Two parts share 2 seconds.
_WORDS_A_SECOND: Final = 20
_MOST_SHARED: Final = 200


@dataclass(frozen=True, slots=True)
class TimedToken:
    """A written word of a segment, and when it was said."""

    #: Letters and digits alone, folded; "" for mere punctuation.
    key: str
    start: float
    end: float
    #: Its place in the segment's text: from `first` to before `behind`.
    first: int
    behind: int
    #: The time comes from words, not from the segment's length.
    exact: bool

    @property
    def middle(self) -> float:
        """The moment halfway, in seconds."""
        return (self.start + self.end) / 2

    @property
    def doubt(self) -> float:
        """Seconds by which the time may be wrong."""
        return _NEAR if self.exact else _NEAR_SEGMENTS

    def beside(self, others: Sequence["TimedToken"]) -> bool:
        """Return whether one of the others may be said at the same moment."""
        return any(other.start - self.doubt < self.end and self.start < other.end + self.doubt for other in others)


def most_shared(seconds: float) -> int:
    """Return how many words are looked at in so many seconds that two parts share: far more than anybody says in that time.

    Comparing them takes time with the square of their number.
    """
    return min(math.ceil(seconds * _WORDS_A_SECOND), _MOST_SHARED)


def tokenize(segments: Sequence[Segment]) -> list[TimedToken]:
    """Return the tokens of all segments, in order."""
    return [token for segment in segments for token in segment_tokens(segment)]


def segment_tokens(segment: Segment) -> list[TimedToken]:
    """Return the segment's tokens, timed by its words, or evenly where it has none."""
    found = [(match.start(), match.end(), letters(match.group())) for match in _TOKEN.finditer(segment.text)]
    total = max(1, sum(len(key) for _, _, key in found))
    # For each letter of the words, in order, when its word was said.
    times = [(word.start, word.end) for word in segment.words for _ in letters(word.text)]
    share = (segment.end - segment.start) / total
    tokens = []
    passed = 0
    for first, behind, key in found:
        if times:
            # Words and text mostly have the same letters; where they do not, the place is proportional.
            start = times[min(passed * len(times) // total, len(times) - 1)][0]
            end = times[min((passed + max(len(key) - 1, 0)) * len(times) // total, len(times) - 1)][1]
        else:
            start, end = segment.start + passed * share, segment.start + (passed + len(key)) * share
        tokens.append(TimedToken(key, start, end, first, behind, exact=bool(times)))
        passed += len(key)
    return tokens


def cut_to(segments: Sequence[Segment], first: int, behind: int | None) -> list[Segment]:
    """Return the segments cut to the tokens from `first` to before `behind` (None: to the end)."""
    result = []
    passed = 0
    for segment in segments:
        tokens = segment_tokens(segment)
        low = max(0, first - passed)
        high = len(tokens) if behind is None else min(len(tokens), behind - passed)
        passed += len(tokens)
        if low == 0 and high == len(tokens):
            result.append(segment)
        elif low < high:
            result.append(_cut(segment, tokens, low, high))
    return result


def _cut(segment: Segment, tokens: Sequence[TimedToken], low: int, high: int) -> Segment:
    """Return the segment with its tokens from `low` to before `high` alone."""
    borders = [border for border in (low, high) if 0 < border < len(tokens)]
    return divided(segment, tokens, borders)[1 if low else 0]


def divided(segment: Segment, tokens: Sequence[TimedToken], borders: Sequence[int]) -> list[Segment]:
    """Return the parts of a segment between the borders: numbers of its tokens, ascending, neither the first nor behind the last.

    Each word goes to the part that has its letters; a word without letters follows the word before it.
    """
    written = [0, *accumulate(len(token.key) for token in tokens)]
    lengths = [len(letters(word.text)) for word in segment.words]
    total, spoken = max(1, written[-1]), max(1, sum(lengths))
    bounds = [written[border] * spoken // total for border in borders]
    words: list[list[Word]] = [[] for _ in range(len(borders) + 1)]
    passed = place = 0
    for word, length in zip(segment.words, lengths, strict=True):
        while length and place < len(bounds) and bounds[place] <= passed:
            place += 1
        words[place].append(word)
        passed += length
    return [
        replace(
            segment,
            text=segment.text[
                tokens[low].first if low else 0 : tokens[high - 1].behind if high < len(tokens) else None
            ],
            start=tokens[low].start if low else segment.start,
            end=tokens[high - 1].end if high < len(tokens) else segment.end,
            words=tuple(said),
        )
        for (low, high), said in zip(pairwise([0, *borders, len(tokens)]), words, strict=True)
    ]
