"""Replace spellings that a person has listed: names and terms that the recognition gets wrong again and again."""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from watcher.errors import FileError
from watcher.text import UNSPACED, nfc
from watcher.transcript import Segment, Transcript, Word

_APOSTROPHES: Final = "'’"  # noqa: RUF001 - both are in use
#: Characters by which a text may become longer: each "a" of a day of speech may become a hundred characters.
_MOST_LONGER: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Replacement:
    """A spelling that was replaced, what by, and how often."""

    old: str
    new: str
    count: int


@dataclass(frozen=True, slots=True)
class ReplacedTranscript:
    """A transcript with other spellings; a changed segment keeps the server's text as `original`."""

    transcript: Transcript
    #: Those that were found, in the order of the list.
    made: tuple[Replacement, ...] = ()


def replaced(transcript: Transcript, pairs: Sequence[tuple[str, str]]) -> ReplacedTranscript:
    """Replace the first text of each pair by the second one, in the text of segments and in their words.

    Literally, with capitals as they are, and as whole words: "art" is not found in "party" or in "art's". In scripts without blanks
    between words it is found anywhere. Of several that begin at one place, the longest counts. Words that were replaced
    together become one, from the start of the first to the end of the last. Raises FileError ("too_much_text") if the text becomes
    longer by more than 1,000,000 characters.
    """
    if not pairs:
        return ReplacedTranscript(transcript)
    spellings = _spellings(tuple(pairs))
    counts: Counter[int] = Counter()
    segments: list[Segment] = []
    longer = 0
    for segment in transcript.segments:
        segments.append(_segment(segment, spellings, counts))
        longer += len(segments[-1].text) - len(segment.text)
        if longer > _MOST_LONGER:
            raise FileError(
                f"the spellings of `replace` make its text longer by more than {_MOST_LONGER} characters",
                hint="shorten what they are replaced by",
                reason="too_much_text",
            )
    made = tuple(Replacement(*pair, counts[number]) for number, pair in enumerate(pairs) if counts[number])
    return ReplacedTranscript(replace(transcript, segments=tuple(segments)), made)


class _Found(NamedTuple):
    new: str
    begin: int
    end: int
    #: Its place in the list.
    number: int


class _Spellings:
    """The listed spellings, found by their first character."""

    def __init__(self, pairs: tuple[tuple[str, str], ...]) -> None:
        self._by_first: defaultdict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for number, pair in enumerate(pairs):
            old, new = (nfc(text.strip()) for text in pair)
            self._by_first[old[0]].append((old, new, number))
        for listed in self._by_first.values():
            listed.sort(key=lambda one: -len(one[0]))
        self._first = re.compile(f"[{re.escape(''.join(self._by_first))}]")

    def find(self, text: str) -> Iterator[_Found]:
        """Yield the places of listed spellings in order; none overlaps another."""
        end = 0
        for match in self._first.finditer(text):
            begin = match.start()
            if begin < end:
                continue
            for old, new, number in self._by_first[text[begin]]:
                if text.startswith(old, begin) and _is_whole(text, begin, begin + len(old)):
                    end = begin + len(old)
                    yield _Found(new, begin, end, number)
                    break


@lru_cache(maxsize=64)
def _spellings(pairs: tuple[tuple[str, str], ...]) -> _Spellings:
    return _Spellings(pairs)


def _segment(segment: Segment, spellings: _Spellings, counts: Counter[int]) -> Segment:
    text = nfc(segment.text)
    found = list(spellings.find(text))
    words = _words(segment.words, spellings)
    if not found:
        return replace(segment, words=words) if words != segment.words else segment
    if not segment.left_out:
        counts.update(one.number for one in found)
    return replace(segment, text=_joined(text, found), words=words, original=segment.text)


def _words(words: tuple[Word, ...], spellings: _Spellings) -> tuple[Word, ...]:
    """Return the words with other spellings."""
    texts = [nfc(word.text.strip()) for word in words]
    blank = "" if any(map(_UNSPACED.search, texts)) else " "
    starts = list(accumulate((len(text) + len(blank) for text in texts), initial=0))
    text = blank.join(texts)
    found = deque(spellings.find(text))
    made: list[Word] = []
    behind = 0
    while found:
        first = bisect_right(starts, found[0].begin) - 1
        group: list[_Found] = []
        last = first
        # Another one may begin in the word in which the one before it ends: "wurd-wurd".
        while found and found[0].begin < starts[last + 1]:
            group.append(found.popleft())
            last = bisect_left(starts, group[-1].end) - 1
        made += words[behind:first]
        behind = last + 1
        if len({word.speaker for word in words[first:behind]}) > 1:
            made += words[first:behind]
            continue
        start = starts[first]
        moved = [one._replace(begin=one.begin - start, end=one.end - start) for one in group]
        whole = text[start : starts[behind] - len(blank)]
        made.append(replace(words[first], text=_joined(whole, moved), end=words[last].end))
    return (*made, *words[behind:])


def _joined(text: str, found: Iterable[_Found]) -> str:
    parts = []
    end = 0
    for one in found:
        parts += [text[end : one.begin], one.new]
        end = one.end
    return "".join([*parts, text[end:]])


def _is_whole(text: str, begin: int, end: int) -> bool:
    """Return whether no word goes on beyond either end of a place in a text."""
    return not (
        _goes_on(text[begin], text[begin - 1 : begin], text[max(0, begin - 2) : begin - 1] if begin else "")
        or _goes_on(text[end - 1], text[end : end + 1], text[end + 1 : end + 2])
        or unicodedata.category(text[end : end + 1] or " ").startswith("M")
    )


def _goes_on(edge: str, beside: str, beyond: str) -> bool:
    """Return whether a word goes on from its `edge` to the character beside it, or over an apostrophe to the one beyond."""
    if not _is_spaced(edge) or not beside:
        return False
    return _is_spaced(beside) or (beside in _APOSTROPHES and bool(beyond) and _is_spaced(beyond))


def _is_spaced(character: str) -> bool:
    """Return whether a character is part of a word, in a script with blanks between words."""
    part = character.isalnum() or unicodedata.category(character).startswith("M")
    return part and not _UNSPACED.match(character)


_UNSPACED: Final = re.compile(f"[{UNSPACED}]")
