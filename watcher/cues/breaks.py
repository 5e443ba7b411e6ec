# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""Costs of a break between two tokens: zero after a sentence, high between an article and its noun.

TTSG, line treatment: break after punctuation, before conjunctions, before prepositions; do not separate a noun from its
article or adjective, a first name from a last name, a verb from its subject pronoun, auxiliary or negation. BBC 3.4:
break at natural points. Costs are relative; only their order and approximate distance matter.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from watcher.cues.language import Grammar, detect, grammar
from watcher.cues.lexicon import Border, border, borders, meet
from watcher.cues.text import HAN, WIDE_LETTER

SENTENCE: Final = 0
CLAUSE: Final = 10
#: Before a conjunction, before a preposition.
BEFORE_CLAUSE: Final = 15
BEFORE_PHRASE: Final = 20
#: Before a preposition that ties a noun to the one before it: "a set | of samples".
TIED: Final = 24
WORD: Final = 32
#: Before a small word that ends a clause: "put it | on."
LAST: Final = 46
#: Between words that belong together: "the | dog", "has | gone", "20 | dollars".
BOUND: Final = 62
#: Within an expression: "followed | by".
EXPRESSION: Final = 80
#: Almost never to be separated: "Dr. | Watson", the inside of a word.
GLUED: Final = 95


def grammar_of(texts: Sequence[str], language: str) -> Grammar:
    """Return the grammar of a language (ISO-639-1); if it is not in the table, that of the language of the tokens' small words."""
    return grammar(language if grammar(language).binds else detect(_bare(text) for text in texts[:2000]))


def costs(groups: Sequence[Sequence[tuple[str, bool]]], begins_word: Sequence[bool], spoken: Grammar) -> list[int]:
    """Return for each token, as one list, the cost of a break before it; that of the first token is 0.

    `groups`: the tokens of each segment, each with whether a blank precedes it; `begins_word`: as one list, whether a word of
    the server begins with the token.
    """
    texts = [text for group in groups for text, _ in group]
    blanks = [blank or index == 0 for group in groups for index, (_, blank) in enumerate(group)]
    bare = list(map(_bare, texts))
    found = [0] * len(texts)
    for index in range(1, len(texts)):
        if blanks[index]:
            found[index] = _between(texts[index - 1], texts[index], bare[index - 1], bare[index], spoken)
    _by_neighbours(texts, bare, found, spoken)
    _inside(groups, begins_word, found)
    return found


def _between(before: str, after: str, left: str, right: str, spoken: Grammar) -> int:  # noqa: PLR0911 -- cases, the surest first
    """Return the cost of a break at a blank; `left` and `right`: the words as the tables have them."""
    cost = _by_punctuation(before, after, spoken)
    if cost is not None:
        return cost
    if left in spoken.titles and before.endswith("."):
        return GLUED  # "Dr. | Watson"
    if (left, right) in spoken.pairs:
        return EXPRESSION
    if left in spoken.binds or right in spoken.clings:
        return BOUND
    if before[-1:].isdigit() or left.isdigit():
        return GLUED if after[:1].isdigit() else BOUND  # "5 | 000", "20 | dollars"
    if right[:1].isdigit():
        return BOUND - 12  # "June | 2007", "page | 12"
    if left in spoken.clause or left in spoken.phrase or left in spoken.ties:
        return BOUND
    if _capital(before) and _capital(after) and not spoken.nouns_capitalised:
        return BOUND - 8  # probably a name
    return _before(after, right, left, spoken)


def _before(after: str, right: str, left: str, spoken: Grammar) -> int:
    """Return the cost of a break before a word that begins a clause or a phrase, or before any other."""
    head = right[: right.find("'") + 1] if "'" in right else right  # "qu'il", "d'eau"
    for words, cost in ((spoken.ties, TIED), (spoken.clause, BEFORE_CLAUSE), (spoken.phrase, BEFORE_PHRASE)):
        if right in words or head in words:
            # Nothing begins with a word that ends something: "put it | on."
            return LAST if after[-1:] in _STOPS | _COMMAS else cost
    return WORD - 6 if left in spoken.clings else WORD


def _by_neighbours(texts: Sequence[str], bare: Sequence[str], found: list[int], spoken: Grammar) -> None:
    """Correct costs that depend on three words: "one by one" is one expression, and "you" an object in "guide you | through"."""
    small = spoken.clause | spoken.phrase | spoken.ties
    concerned = small | spoken.either
    for index, word in enumerate(bare[1:-1], 1):
        if word not in concerned:
            continue
        left, right = bare[index - 1], bare[index + 1]
        if left == right and word in small and min(found[index : index + 2]) >= BEFORE_CLAUSE:
            found[index] = found[index + 1] = EXPRESSION
        elif word in spoken.either and right in small and found[index] == WORD and found[index + 1] == BOUND:
            found[index], found[index + 1] = BOUND, _before(texts[index + 1], right, "", spoken)


def _by_punctuation(before: str, after: str, spoken: Grammar) -> int | None:
    stripped = before.rstrip(_CLOSERS)
    last = stripped[-1:]
    if last in _STOPS:
        return SENTENCE if _ends_sentence(stripped, after, spoken) else None
    if last in _COMMAS:
        return CLAUSE
    if after[:1] in _OPENERS or len(stripped) < len(before):
        return CLAUSE + 8
    return None


def _ends_sentence(before: str, after: str, spoken: Grammar) -> bool:
    if not before.endswith("."):
        return True
    word = _bare(before)
    if WIDE_LETTER.search(word[-1:]):
        return True  # such names have no initials, and such letters no case
    if word in spoken.titles or (len(word) == 1 and word.isalpha() and word != "i"):
        return False  # a title, or the initial of a name
    if word.isdigit() and spoken.ordinals and len(word) <= 2:  # noqa: PLR2004 -- days and centuries, not years
        return False
    first = after.lstrip(_QUOTES)[:1]
    return not first.islower()


def _bare(text: str) -> str:
    """Return a word in the form of the tables: lower case, without outer punctuation."""
    return (_known if len(text) <= _WORTH_KEEPING else _stripped)(text)


#: Longest word (characters) that is cached: longer ones would only fill the memory.
_WORTH_KEEPING: Final = 64


def _stripped(text: str) -> str:
    return text.lower().replace("’", "'").strip(_OUTER)


_known: Final = lru_cache(maxsize=8192)(_stripped)


def _capital(text: str) -> bool:
    bare = text.strip(_OUTER)
    return bare[:1].isupper() and (len(bare) == 1 or not bare.isupper())


def _inside(groups: Sequence[Sequence[tuple[str, bool]]], begins_word: Sequence[bool], found: list[int]) -> None:
    """Set the cost of breaks without a blank: in scripts without blanks, and in a long word that had to be cut."""
    offset = 0
    told = _tells_words(groups, begins_word)
    for group in groups:
        texts = [text for text, _ in group]
        known = borders(texts) if any(not blank for _, blank in group[1:]) else []
        if not known and "".join(texts).isascii():
            offset += len(group)
            continue
        for index in range(1, len(group)):
            if not group[index][1]:
                kind = known[index]
                if told and kind is not Border.CLAUSE:
                    kind = Border.WORD if begins_word[offset + index] else Border.NONE
                found[offset + index] = _unspaced(texts[index - 1], texts[index], kind)
            elif meet(texts[index - 1], texts[index]):
                # In scripts without blanks between words, a blank separates phrases; beside a foreign word it means nothing.
                found[offset + index] = min(found[offset + index], CLAUSE)
        offset += len(group)
    offset = 0
    for before, group in pairwise(groups):
        offset += len(before)
        if before and group and meet(before[-1][0], group[0][0]):
            # A segment may end anywhere, even within a word. Between two words its end is the only sign of a clause in text
            # without punctuation, and is shown as a blank.
            kind = border(before[-1][0], group[0][0])
            found[offset] = _unspaced(before[-1][0], group[0][0], Border.CLAUSE if kind is Border.WORD else kind)


def _unspaced(before: str, after: str, kind: Border) -> int:
    stripped = before.rstrip(_CLOSERS)
    last = stripped[-1:]
    if before[-1:] in _POINTS and _WITHIN.fullmatch(before[-2:] + after[:1]):
        return GLUED
    if last in _STOPS:
        return SENTENCE
    if last in _COMMAS:
        return CLAUSE
    if after[:1] in _OPENERS or len(stripped) < len(before):
        return CLAUSE + 8
    if before[-1:].isdigit():
        return BOUND  # a number and its counter word
    return _BORDERS[kind]


#: A mark within a number, a Latin word or address ("Node.js"), or the name of a file ("报告.pdf"), between its neighbours.
_POINTS: Final = frozenset(".,:．")
_WITHIN: Final = re.compile(rf"\d[.,:．]\d|[A-Za-z][.,:][A-Za-z\d/]|[{HAN}]\.[A-Za-z]")

_BORDERS: Final = {
    Border.NONE: GLUED,
    Border.BOUND: BOUND,
    Border.MAYBE: WORD + 20,
    Border.WORD: WORD - 4,
    Border.CLAUSE: BEFORE_CLAUSE,
}


def _tells_words(groups: Sequence[Sequence[tuple[str, bool]]], begins_word: Sequence[bool]) -> bool:
    """Return whether the server's words are real words: OpenAI's are single characters in Chinese."""
    tokens = sum(len(group) for group in groups)
    words = sum(begins_word)
    return words > 0 and words * 5 < tokens * 4 and words * 8 > tokens


_STOPS: Final = frozenset(".!?…。！？؟۔।｡．")
_COMMAS: Final = frozenset(",;:،、，；：؛—–､")
_CLOSERS: Final = "\"'»”’)]」』）】》"
_OPENERS: Final = frozenset("([«“„¿¡「『（【《")
_QUOTES: Final = "\"'«“„‘([¿¡-–—"
_OUTER: Final = "\"'“”‘„«»()[]{}.,;:!?…¿¡-–—।،؟؛"
