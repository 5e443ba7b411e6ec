"""Move the times of words to the sound.

Whisper stretches the first word after a pause back over the pause, or lets it start late, and the last word before a pause
on over it. Servers whose times are exact, as those of forced aligners are, begin and end words where the sound does: those stay.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Final

from watcher.loudness import RATE, Loudness
from watcher.transcript import Segment, Transcript, Word

# Decibels.
#: Sound is at most this much quieter than the loud frames of its word ...
_BELOW_LOUD: Final = 22
#: ... and at least this much louder than the quiet frames around it: a noisy room, music below the voice.
_ABOVE_QUIET: Final = 6
#: Where loud and quiet frames differ by less, the levels do not tell a voice from what lies below it.
_CONTRAST: Final = 12
#: A word begins soon before it gets this loud: what precedes may be a breath.
_STRONG: Final = 12

# Frames of 20 ms.
#: Before and behind a word, the quiet frames are looked for within so many; the share of them that is quiet.
_AROUND: Final = 2 * RATE
_QUIET_SHARE: Final = 0.1
#: Which of the loudest frames says how loud a word is: single ones may be clicks.
_LOUD: Final = 2
#: A pause is a silence of this length: those within words are shorter.
_PAUSE: Final = 8
#: Sound that is shorter than this between two silences is a click.
_CLICK: Final = 3
#: A start moves back to sound that no word has by so much at most.
_UNCLAIMED: Final = 20
#: How much of the sound of the word beside it, before or behind a pause, a word may have by mistake.
_STRAY: Final = 6
#: See `_STRONG`.
_RISE: Final = 5
#: A time that would move by less stays as it is.
_SLIGHT: Final = 2
#: How long a word takes at most, and for each letter: its sound is looked for up to there where it is said to end sooner.
_LONGEST: Final = 10.0
_LONGEST_PER_LETTER: Final = 4.5

#: By so much, speakers draw out a word where they hesitate; hardly ever the first one.
_DRAWN_OUT: Final = 15

#: Seconds that no recording has.
_NEVER: Final = 1e9

#: In a mask, which has a byte for each frame, 1 for sound: silences, and clicks.
_SILENCE: Final = re.compile(rb"\x00+")
_CLICKS: Final = re.compile(rb"(?<=\x00)\x01{1,%d}(?=\x00)" % (_CLICK - 1))


def move_to_sound(transcript: Transcript, loudness: Loudness) -> Transcript:
    """Return the transcript with the starts and ends of words, and of their segments, moved to the sound.

    Text and order stay. A segment without words is moved as a whole, and one that the guard left out stays. Nothing changes in a
    transcript without times, nor where the loudness was not measured, or only by tenths of a second, as earlier versions did.
    """
    if not transcript.timed or loudness.rate != RATE or not loudness.levels:
        return transcript
    said = [() if segment.left_out else _words(segment) for segment in transcript.segments]
    moved = _moved([(word, not index) for words in said for index, word in enumerate(words)], loudness.levels)
    return replace(
        transcript,
        segments=tuple(
            _with_times(segment, tuple(islice(moved, len(words)))) if words else segment
            for segment, words in zip(transcript.segments, said, strict=True)
        ),
    )


def is_stretched(transcript: Transcript) -> bool:
    """Return whether a word lasts longer than it is spoken: then its times are hardly those of its sound.

    Of a word within the text only more than `_DRAWN_OUT` says so. Segments without words say nothing.
    """
    drawn_out = 0
    for word in (word for segment in transcript.segments for word in segment.words):
        if transcript.timed and word.end - word.start > (_longest(word) + drawn_out) / RATE:
            return True
        drawn_out = _DRAWN_OUT
    return False


def longest(letters: int) -> int:
    """Return the frames of 20 ms that it takes at most to say a word of so many letters."""
    return int(_LONGEST + _LONGEST_PER_LETTER * letters)


def _words(segment: Segment) -> tuple[Word, ...]:
    return segment.words or (Word(segment.text, segment.start, segment.end),)


def _with_times(segment: Segment, moved: tuple[Word, ...]) -> Segment:
    """Return the segment with its moved words; its own times move with those of its first and last word."""
    if not segment.words:
        return replace(segment, start=moved[0].start, end=moved[-1].end)
    start, end = segment.start, segment.end
    start = moved[0].start if start == segment.words[0].start else min(start, moved[0].start)
    end = moved[-1].end if end == segment.words[-1].end else max(end, moved[-1].end)
    return replace(segment, start=start, end=end, words=moved)


def _moved(words: Sequence[tuple[Word, bool]], levels: bytes) -> Iterator[Word]:
    """Yield the words, each given with whether a segment begins with it, with their new times.

    Starts do not fall that did not fall before.
    """
    before = 0.0
    for (word, begins), follows in zip(words, [*(word.start for word, _ in words[1:]), math.inf], strict=True):
        if not 0 <= word.start <= word.end < _NEVER:
            yield word
            continue
        found = _placed(word, before, max(word.start, follows), levels, begins=begins)
        before = max(before, found.end)
        yield found


def _placed(word: Word, before: float, follows: float, levels: bytes, *, begins: bool) -> Word:
    """Return a word at its sound; the one before it ends at `before`, the next one starts at `follows` or later."""
    first, last = int(word.start * RATE), math.ceil(min(word.end, follows) * RATE)
    low = min(first, max(int(before * RATE), first - _UNCLAIMED))
    high = min(max(last, int(min(first + _longest(word), follows * RATE))), len(levels))
    sound = _sound(levels, max(0, low - _PAUSE), high)
    if sound is None:
        return word
    onset = sound.onset(low, first, high)
    if onset is None and begins:
        onset = sound.over_music(low, high)
    if onset is None:
        onset = first
    ending = sound.ending(onset, min(last, high))
    start = word.start if abs(onset - first) < _SLIGHT else onset / RATE
    end = word.end if ending is None else ending / RATE
    end = max(start, end)
    return word if start == word.start and end == word.end else replace(word, start=start, end=end)


def _longest(word: Word) -> int:
    return longest(sum(map(str.isalnum, word.text)))


@dataclass(frozen=True, slots=True)
class _Sound:
    """Frames around a word."""

    #: Their levels, and which of them have sound; those of `base` and behind it.
    levels: bytes
    mask: bytes
    base: int
    #: The level of the loud frames.
    loud: int

    def onset(self, low: int, first: int, high: int) -> int | None:
        """Return where the word begins that is said to begin at `first`: behind the last pause that hardly any of its sound precedes.

        It is between `low` and `high`; None: there is no such pause.
        """
        onset, stray, reached = None, 0, first
        for begin, behind in self._silences():
            stray += self._count(reached, begin)
            reached = max(reached, behind)
            if stray > _STRAY:
                break
            if behind - begin >= _PAUSE and low <= behind < high and stray <= self._count(behind, high):
                onset = behind
        if onset is None:
            return None
        strong = _mask(self.levels[onset - self.base : high - self.base], self.loud + _STRONG).find(1)
        return max(onset, onset + strong - _RISE)

    def over_music(self, low: int, high: int) -> int | None:
        """Return where a word begins over music or noise that is as loud as quiet speech: soon before the first strong sound.

        None: a voice may precede it, as there is strong sound before `low`, or none at all.
        """
        strong = _without_clicks(_mask(self.levels, self.loud + _STRONG)).find(1)
        begin = self.base + strong
        return max(low, begin - _RISE) if strong >= _PAUSE and low <= begin < high else None

    def ending(self, onset: int, last: int) -> int | None:
        """Return where the word ends: before the first pause that hardly any of its sound follows; None: where it is said to end.

        Sound that ends soon before `last` is the word's own, whatever pause precedes it: a consonant may be closed for so long.
        """
        ending, stray, reached = None, 0, last
        for begin, behind in reversed(self._silences()):
            until = min(behind, last)
            stray += self._count(until, reached)
            reached = min(reached, begin)
            if stray > _STRAY or begin <= onset or (behind >= last and 0 < last - begin < _PAUSE):
                break
            if until - begin >= _PAUSE and stray <= self._count(onset, begin):
                ending = begin
        return ending

    def _count(self, begin: int, behind: int) -> int:
        return self.mask.count(1, begin - self.base, max(begin, behind) - self.base)

    def _silences(self) -> list[tuple[int, int]]:
        return [(found.start() + self.base, found.end() + self.base) for found in _SILENCE.finditer(self.mask)]


def _sound(levels: bytes, base: int, high: int) -> _Sound | None:
    """Return the sound from frame `base` to `high`; None where the levels do not tell a voice from what lies below it."""
    own = levels[base:high]
    around = sorted(levels[max(0, base - _AROUND) : high + _AROUND])
    if len(own) <= _LOUD:
        return None
    loud, quiet = sorted(own)[_LOUD], around[-1 - int(len(around) * _QUIET_SHARE)]
    if quiet - loud < _CONTRAST:
        return None
    limit = min(loud + _BELOW_LOUD, quiet - _ABOVE_QUIET)
    return _Sound(own, _without_clicks(_mask(own, limit)), base, loud)


def _mask(levels: bytes, limit: int) -> bytes:
    """Return a byte for each frame: 1 where it is as loud as `limit`, or louder."""
    return levels.translate(_loud(limit))


@cache
def _loud(limit: int) -> bytes:
    return bytes(level <= limit for level in range(256))


def _without_clicks(mask: bytes) -> bytes:
    return _CLICKS.sub(lambda click: bytes(len(click[0])), mask)
