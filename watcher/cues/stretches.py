# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""Divide a transcript into stretches that are laid out one after the other, so that memory does not grow with the text.

During the search for breaks, a token takes a hundred times the memory of its character, and an answer may have 400
characters, each a token, for a second of sound. Six hours of speech have fewer tokens than a stretch may have.
"""

import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from watcher.cues.text import clean
from watcher.cues.tokens import tokens
from watcher.text import letters
from watcher.transcript import Segment, Transcript, Word

#: Tokens of a stretch.
MOST_TOKENS: Final = 65_536
#: Most characters of a text that is cut into tokens at once; a longer segment is divided.
MOST_CHARACTERS: Final = 16_384


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """The tokens of a segment, or of a part of a very long one, each with whether a blank precedes it."""

    segment: Segment
    tokens: list[tuple[str, bool]]
    #: Whether the text continues here within a word or sentence, without a blank.
    glued: bool

    @property
    def begin(self) -> float:
        """Start of the first word, in seconds."""
        return self.segment.words[0].start if self.segment.words else self.segment.start

    @property
    def speaker(self) -> str:
        """The speaker of the first word."""
        return (self.segment.words[0].speaker if self.segment.words else "") or self.segment.speaker

    @property
    def end(self) -> float:
        """End of the last word, in seconds."""
        return self.segment.words[-1].end if self.segment.words else self.segment.end


def stretches(transcript: Transcript, *, line: int, wide: bool) -> Iterator[tuple[list[TokenGroup], TokenGroup | None]]:
    """Yield the groups of each stretch, and the group after them (None at the end of the text).

    Segments that the guard left out, or that are empty after cleaning, are skipped. No token is wider than `line` units. A stretch
    ends at the longest pause in its second half.
    """
    kept: list[TokenGroup] = []
    count = 0
    for segment, text, glued in _shown(transcript):
        group = TokenGroup(segment, tokens(text, line=line, wide=wide), glued)
        kept.append(group)
        count += len(group.tokens)
        if count > MOST_TOKENS and len(kept) > 1:
            border = _longest_pause(kept)
            yield kept[:border], kept[border]
            kept = kept[border:]
            count = sum(len(group.tokens) for group in kept)
    if kept:
        yield kept, None


def _longest_pause(groups: list[TokenGroup]) -> int:
    """Return the index of the group in the second half, and not the first of all, with the longest pause before it."""
    passed = 0
    longest, border = -math.inf, len(groups) - 1
    for index in range(1, len(groups)):
        passed += len(groups[index - 1].tokens)
        pause = groups[index].begin - groups[index - 1].end
        if passed * 2 >= MOST_TOKENS and pause > longest:
            longest, border = pause, index
    return border


def _shown(transcript: Transcript) -> Iterator[tuple[Segment, str, bool]]:
    """Yield what is shown: segment, clean text, and whether it continues the text without a blank."""
    for segment in transcript.segments:
        text = "" if segment.left_out else clean(segment.text)
        if len(text) > MOST_CHARACTERS:
            yield from _divided(segment, text)
        elif text:
            yield segment, text, False


def _divided(segment: Segment, text: str) -> Iterator[tuple[Segment, str, bool]]:
    """Yield the parts of a very long segment: with their words, assigned by letters, or else with their share of its time."""
    words = iter(segment.words)
    spoken = sum(len(letters(word.text)) for word in segment.words)
    written = max(1, len(letters(text)))
    span = (segment.end - segment.start) / len(text)
    passed = said = 0
    due = 0
    for part, glued in parts(text):
        due += len(letters(part))
        share: list[Word] = []
        while said * written < due * spoken and (word := next(words, None)) is not None:
            share.append(word)
            said += len(letters(word.text))
        start, end = segment.start + span * passed, segment.start + span * (passed + len(part))
        if share:
            start, end = share[0].start, share[-1].end
        passed += len(part)
        yield replace(segment, start=start, end=end, words=tuple(share)), part, glued


def parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a clean text that are cut into tokens at once, each with whether it continues without a blank.

    A part ends at the last blank between two words in its second half, else after the last full stop there, else
    anywhere.
    """
    begin = 0
    glued = False
    while begin < len(text):
        end = _end(text, begin)
        yield text[begin:end], glued
        glued = text[end : end + 1] != " "
        begin = end + (not glued)


def _end(text: str, begin: int) -> int:
    limit = begin + MOST_CHARACTERS
    if limit >= len(text):
        return len(text)
    for border in (_BLANK, _STOP):
        if last := deque(border.finditer(text, begin + MOST_CHARACTERS // 2, limit), maxlen=1):
            return last[0].end()
    return limit - (text[limit - 1] == " ")


#: Matches before a blank with a word on either side, so that no lone sign is separated from its word.
_BLANK: Final = re.compile(r"\w[,.;:!?]?(?= \w)")
#: Matches after a full stop without a closing sign after it.
_STOP: Final = re.compile(r"[。！？](?=\w)")
