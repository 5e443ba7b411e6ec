"""Repetition: the same words over and over, within a segment or in segment after segment, and how a segment is divided at them."""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from watcher.guard.phrases import key
from watcher.text import letters
from watcher.transcript import Segment

#: The same sentence in this many segments on end is a loop; of one or two words people say more.
_LOOP: Final = 3
_LOOP_SHORT: Final = 6
#: The same words this often within one segment; a single word more often.
_REPEATS: Final = 4
_REPEATS_SHORT: Final = 8
#: Longest loop looked for within a segment, in words.
_LOOP_WORDS: Final = 30
#: Part of the segment that a loop takes.
_MOST: Final = 0.75
#: Part of a loop's words that are the same each time.
_SAME: Final = 0.9
#: openai/whisper transcribe.py and OpenAI's specification: the decoding failed above.
_RATIO_FAILED: Final = 2.4


@dataclass(frozen=True, slots=True)
class Repeats:
    """Where a text says once more what it has just said: its characters from `begin` to before `end`."""

    begin: int
    end: int


def loops(keys: Iterable[str]) -> list[range]:
    """Return each loop as the segments that say once more what the one before them said; that first one may be true.

    How often a segment says it makes no difference.
    """
    found: list[range] = []
    keys = [_said_once(key) for key in keys]
    begin = 0
    for index in range(1, len(keys) + 1):
        if index < len(keys) and keys[index] == keys[begin]:
            continue
        least = _LOOP if _is_long(keys[begin]) else _LOOP_SHORT
        if keys[begin] and index - begin >= least:
            found.append(range(begin + 1, index))
        begin = index
    return found


def _said_once(said: str) -> str:
    """Return a text that is some words several times over as these words."""
    words = said.split()
    # Knuth, Morris and Pratt's table: how long a proper beginning of the text ends here.
    borders = [0] * len(words)
    for index in range(1, len(words)):
        length = borders[index - 1]
        while length and words[length] != words[index]:
            length = borders[length - 1]
        borders[index] = length + (words[length] == words[index])
    size = len(words) - borders[-1] if words else 0
    return said if not words or len(words) % size else " ".join(words[:size])


def _is_long(said: str) -> bool:
    return len(said.split()) > 2 or (" " not in said and len(said) > 4 and not said.isascii())  # noqa: PLR2004


def repeats(text: str) -> Repeats | None:
    """Return the repeats of a text that is mostly the same words over and over; None where it is not."""
    compared = [(match, key(match[0])) for match in _TOKENS.finditer(text)]
    tokens = [match for match, word in compared if word]
    if len(tokens) < _REPEATS:
        # Without blanks: by characters.
        found = _repeated(text)
        if found is None or len(found[0]) < _MOST * len(text.strip()):
            return None
        return Repeats(found.start() + len(found[1] or found[2]), found.end())
    words = [word for _, word in compared if word]
    for size in range(1, min(len(words) // _REPEATS, _LOOP_WORDS) + 1):
        begin, end, same = _longest_run(words, size)
        enough = _REPEATS_SHORT if size == 1 else _REPEATS
        # "It was the best of times, it was the worst of times" is no loop.
        if same >= _SAME * (end - begin) and same + size >= max(size * enough, _MOST * len(words)):
            return Repeats(tokens[begin].start(), tokens[end].start() if end < len(tokens) else len(text))
    return None


_TOKENS: Final = re.compile(r"\S+")
_REPEATED: Final = re.compile(r"(.{2,20}?)\1{4,}|(.)\2{11,}")
#: The most characters that the shortest match of `_REPEATED` has; and that are searched at once.
_SHORTEST_MATCH: Final = 100
_SEARCHED: Final = 10_000


def _repeated(text: str) -> re.Match[str] | None:
    """Return the first match of `_REPEATED`. In parts, as no other thread runs while a pattern is searched for."""
    for start in range(0, len(text), _SEARCHED):
        if found := _REPEATED.search(text, start, start + _SEARCHED + _SHORTEST_MATCH):
            return _REPEATED.match(text, found.start())
    return None


def _longest_run(words: Sequence[str], size: int) -> tuple[int, int, int]:
    """Return the longest run of words that are the same as the word `size` before: the first one, the one behind, how many are the same.

    A word too many or too few makes up to `size` others differ, and does not end the run.
    """
    longest = (size, size, 0)
    begin = behind = same = 0
    for index in range(size, len(words)):
        if words[index] != words[index - size]:
            continue
        if not same or index - behind > size:
            begin, same = index, 0
        behind, same = index + 1, same + 1
        longest = max(longest, (begin, behind, same), key=lambda run: run[2])
    return longest


def is_compressible(segment: Segment) -> bool:
    """Return whether the server's ratio says that the decoding failed, and the segment's own text agrees.

    The server's number is about a window of 30 s, in which another segment may be the one that repeats itself.
    """
    ratio = segment.compression_ratio
    if ratio is None or not ratio > _RATIO_FAILED:
        return False
    written = segment.text.encode("utf-8", "replace")
    return len(written) > _RATIO_FAILED * len(zlib.compress(written))


def divided(segment: Segment, found: Repeats) -> tuple[Segment, Segment, Segment]:
    """Return what a segment says before the repeats, the repeats, and what it says behind them; the outer ones may be empty.

    The words go with their letters, and the times with the words, or with the text's share.
    """
    texts = (segment.text[: found.begin], segment.text[found.begin : found.end], segment.text[found.end :])
    reach = list(accumulate(len(letters(text)) for text in texts))
    spoken = list(accumulate(len(letters(word.text)) for word in segment.words))
    total, said = max(1, reach[-1]), max(1, spoken[-1] if spoken else 0)
    # A word belongs where its last letter is.
    borders = [0, *(sum(letter * total <= end * said for letter in spoken) for end in reach[:2]), len(segment.words)]
    made: list[Segment] = []
    at = segment.start
    for text, end, border in zip(texts, reach, pairwise(borders), strict=True):
        words = segment.words[slice(*border)]
        until = segment.start + (segment.end - segment.start) * end / total
        if words:
            until = max(at, min(words[-1].end, segment.end))
        if end == reach[-1]:
            until = segment.end
        made.append(replace(segment, text=text, start=at, end=until, words=words))
        at = until
    return made[0], made[1], made[2]
