"""Compare the segments of an answer with its text, and insert words that only the text has.

Some servers lose words from the segments at the borders of their windows, but keep them in the text (vllm-project/vllm#58029);
others send segments only of the beginning, or segments without times. Only letters and digits are compared, in any script;
two long texts by their common stretches, in time proportional to their length.
"""

import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import accumulate, chain, islice, pairwise, starmap
from typing import Final

from watcher.client.found import AnswerItem, together

#: Letters of a text, and the letters of segments that correspond to them.
_Difference = tuple[slice, slice]

#: Letters in a stretch by which two texts are aligned; it has to occur in each of them exactly once.
_STRETCH: Final = 8
#: The same said in other words has at most this many letters for each letter, for each digit, and in addition.
_REWORDED: Final = 2
_REWORDED_DIGIT: Final = 12
_REWORDED_LETTERS: Final = 8
#: Texts that differ in more letters than this are not compared word by word: four hours of quick speech.
_MOST_LETTERS: Final = 200_000
#: Most pairs of words in a difference that is compared word by word, and in all such differences of an answer.
_MOST_PAIRS: Final = 40_000
_MOST_PAIRS_IN_ALL: Final = 400_000
#: Signs within a word.
_INNER: Final = frozenset("-'\u2019")
#: A text that ends in a colon and is no longer than this (characters) is the name of a speaker.
_NAME: Final = 40


def letters(text: str) -> str:
    """Return the letters and digits of a text, case folded, for comparison."""
    return "".join(filter(str.isalnum, text.casefold()))


def places_of_letters(text: str) -> Iterator[int]:
    """Yield for each of the `letters` of a text the index of the character that it is from."""
    return (place for place, written in enumerate(text) for _ in range(_count(written)))


@lru_cache(4096)
def _count(character: str) -> int:
    """Return how many letters and digits a character has."""
    return len(letters(character))


def completed(items: Sequence[AnswerItem], text: str) -> list[AnswerItem]:
    """Return the items, and between them the words that only the text has: in a segment's text, or as a segment without times."""
    whole = _FullText(text)
    missing: dict[int, list[tuple[int, str]]] = {}
    for gap in _gaps(items, whole):
        missing.setdefault(gap.place, []).append((gap.inside, whole.cut(gap.first, gap.behind)))
    result: list[AnswerItem] = []
    for place in range(len(items) + 1):
        item = items[place] if place < len(items) else None
        speaker = item.speaker if item else ""
        inner = []
        for inside, said in missing.get(place, ()):
            if inside:
                inner.append((inside, said))
            elif not (speaker and len(said) <= _NAME and said.endswith((":", "\uff1a"))):
                result.append(AnswerItem(said))
        if item:
            result.append(replace(item, text=_inserted(item.text, inner)) if inner else item)
    return result


@dataclass(frozen=True, slots=True)
class _Gap:
    """Letters of the text, from `first` to before `behind`, that are missing before (or `inside` letters into) the item `place`."""

    first: int
    behind: int
    place: int
    inside: int


class _FullText:
    """A text, and the positions of its letters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.letters = letters(text)
        # Four bytes each: texts of millions of letters are compared.
        self._places = array("I", places_of_letters(text))

    def begins_word(self, letter: int) -> bool:
        """Return whether a word begins with this letter; in scripts without blanks, each letter is a word."""
        if not 0 < letter < len(self._places):
            return True
        before, place = self._places[letter - 1], self._places[letter]
        between = self.text[before + 1 : place]
        return self.text[place] >= "\u0e00" or not all(
            sign in _INNER or unicodedata.combining(sign) for sign in between
        )

    def words(self, part: slice) -> Iterator[slice]:
        """Yield the words of a part; it must begin and end with a word."""
        bounds = (letter for letter in range(part.start, part.stop) if self.begins_word(letter))
        return starmap(slice, pairwise(chain(bounds, [part.stop])))

    def cut(self, first: int, behind: int) -> str:
        """Return the text from one letter to before another, with the punctuation after it."""
        begin = self._places[first] if first else 0
        end = self._places[behind] if behind < len(self._places) else len(self.text)
        return self.text[begin:end].strip()


def _gaps(items: Sequence[AnswerItem], whole: _FullText) -> Iterator[_Gap]:
    """Return what is missing from the items, in order."""
    had = _FullText(" ".join(item.text for item in items))
    want, have = whole.letters, had.letters
    if want == have:
        return
    bounds = [0, *accumulate(len(letters(item.text)) for item in items)]
    counts = [Counter(text.letters[word] for word in text.words(slice(0, len(text.letters)))) for text in (whole, had)]
    lacking, extra = counts[0] - counts[1], counts[1] - counts[0]
    letters_lacking = Counter(want) - Counter(have)
    for here, there in _word_by_word(whole, had, _to_words(whole, had, list(_differences(want, have)))):
        # If no word is missing, only the order differs; if only the segments have words, they say the same in other words.
        elsewhere = not any(want[word] in lacking for word in whole.words(here))
        elsewhere = elsewhere and letters_lacking.keys().isdisjoint(want[here])
        otherwise = any(have[word] in extra for word in had.words(there))
        if elsewhere or (otherwise and here.stop - here.start <= _reworded(have[there])):
            continue
        place = bisect_left(bounds, there.start)
        place -= bounds[place] > there.start
        yield _Gap(here.start, here.stop, place, there.start - bounds[place])


def _reworded(said: str) -> int:
    """Return the most letters that the same can have in other words: "1984" is spoken with 33."""
    return _REWORDED_LETTERS + sum(_REWORDED_DIGIT if sign.isdigit() else _REWORDED for sign in said)


def _to_words(whole: _FullText, had: _FullText, differences: Sequence[_Difference]) -> Iterator[_Difference]:
    """Extend differences to whole words, by equal letters on both sides; join differences that touch then."""

    def apart(letter: int, other: int) -> bool:
        return whole.begins_word(letter) and had.begins_word(other)

    index = 0
    while index < len(differences):
        here, there = differences[index]
        first, second = here.start, there.start
        while not apart(first, second):
            first, second = first - 1, second - 1
        behind, end = here.stop, there.stop
        while not apart(behind, end):
            if index + 1 < len(differences) and behind == differences[index + 1][0].start:
                index += 1
                behind, end = (part.stop for part in differences[index])
            else:
                behind, end = behind + 1, end + 1
        yield slice(first, behind), slice(second, end)
        index += 1


def _word_by_word(whole: _FullText, had: _FullText, differences: Iterable[_Difference]) -> Iterator[_Difference]:
    """Remove words from the differences that both texts have, if the differences are small enough and not too many."""
    left = _MOST_PAIRS_IN_ALL
    for here, there in differences:
        ours, theirs = (list(islice(words, _MOST_PAIRS + 1)) for words in (whole.words(here), had.words(there)))
        pairs = len(ours) * len(theirs)
        if not 0 < pairs <= min(left, _MOST_PAIRS):
            yield here, there
            continue
        left -= pairs
        words = [whole.letters[word] for word in ours], [had.letters[word] for word in theirs]
        firsts = [*(word.start for word in ours), here.stop], [*(word.start for word in theirs), there.stop]
        for kind, first, behind, second, end in SequenceMatcher(None, *words, autojunk=False).get_opcodes():
            if kind != "equal":
                yield slice(firsts[0][first], firsts[0][behind]), slice(firsts[1][second], firsts[1][end])


def _differences(want: str, have: str) -> Iterator[_Difference]:
    """Return the stretches in which two texts differ, in order; one of a pair may be empty."""
    at = there = _common(want, 0, have, 0)
    tail = min(_common(want[::-1], 0, have[::-1], 0), len(want) - at, len(have) - there)
    ends = len(want) - tail, len(have) - tail
    for first, second in [*_anchors(want[at : ends[0]], have[there : ends[1]], (at, there)), ends]:
        if first < at or second < there:
            continue
        # The letters before the stretch may be equal, too.
        back = 0
        while first - back > at and second - back > there and want[first - back - 1] == have[second - back - 1]:
            back += 1
        if first - back > at or second - back > there:
            yield slice(at, first - back), slice(there, second - back)
        length = min(_common(want, first, have, second), ends[0] - first, ends[1] - second)
        at, there = first + length, second + length


def _common(first: str, begin: int, second: str, start: int) -> int:
    """Return how many characters of two texts are equal from these positions on."""
    length, step = 0, 64
    while step:
        ours = first[begin + length : begin + length + step]
        if len(ours) == step and ours == second[start + length : start + length + step]:
            length += step
        else:
            step //= 2
    return length


def _anchors(first: str, second: str, offset: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the starts of stretches that occur once in each text, as many as have the same order in both (a patience diff).

    Positions are counted from `offset`. Texts of more than some hours of speech are not compared more closely.
    """
    if max(len(first), len(second)) > _MOST_LETTERS:
        return []
    places = _once(second)
    pairs = [(place, places[stretch]) for stretch, place in _once(first).items() if stretch in places]
    # The longest ascending subsequence: tails[n] is the last pair of the best run of n + 1.
    tails: list[int] = []
    runs: list[int] = []
    before: list[int] = []
    for index, (_, place) in enumerate(pairs):
        run = bisect_left(tails, place)
        before.append(runs[run - 1] if run else -1)
        tails[run : run + 1] = [place]
        runs[run : run + 1] = [index]
    chosen: list[tuple[int, int]] = []
    index = runs[-1] if runs else -1
    while index >= 0:
        chosen.append(pairs[index])
        index = before[index]
    return [(ours + offset[0], theirs + offset[1]) for ours, theirs in reversed(chosen)]


def _once(text: str) -> dict[str, int]:
    """Return the start of each stretch that occurs only once in a text, in order."""
    found: dict[str, int] = {}
    for place in range(len(text) - _STRETCH + 1):
        stretch = text[place : place + _STRETCH]
        found[stretch] = -1 if stretch in found else place
    return {stretch: place for stretch, place in found.items() if place >= 0}


def _inserted(text: str, missing: Sequence[tuple[int, str]]) -> str:
    """Insert words into a text, each after a number of its letters; the numbers ascend."""
    parts: list[str] = []
    passed = begin = 0
    waiting = list(reversed(missing))
    for place, written in enumerate(text):
        while waiting and passed >= waiting[-1][0] and written.isalnum():
            parts += [text[begin:place], waiting.pop()[1]]
            begin = place
        passed += len(letters(written))
    pieces = [*parts, text[begin:]]
    return together(piece.strip() for piece in pieces)
