"""Words -> sentences.

The recogniser hears words and pauses, no punctuation. A pause of half a second ends a sentence: it begins with a
capital and ends with a full stop.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from watcher.engine.recognition import RecognisedSegment, RecognisedWord

#: Seconds between two words that end a sentence.
_PAUSE = 0.5
#: A sentence that lasts longer becomes several segments, parted at its longest pauses.
_LONGEST = 12.0

#: Always written with a capital (English has more, but "may", "march" and "polish" are words too).
_CAPITALS: Final = frozenset({
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "april", "june",
    "july", "september", "october", "november", "december", "english", "american", "british", "european", "french",
    "german", "london", "paris", "america", "europe", "england",
})  # fmt: skip


def segments(words: Sequence[RecognisedWord], temperature: float) -> tuple[RecognisedSegment, ...]:
    """Make sentences of words; a long one comes in several segments, of which only the last has the full stop.

    `avg_logprob` is the mean natural logarithm of the words' posterior probabilities, `compression_ratio` is measured
    as Whisper does. `no_speech_prob` is the share of the segment's time in which no word was heard. There are no tokens,
    since this model has none.
    """
    found: list[RecognisedSegment] = []
    for sentence in _sentences(words):
        parts = list(_parts(sentence))
        found += [
            _segment(part, first=part is parts[0], last=part is parts[-1], temperature=temperature) for part in parts
        ]
    return tuple(found)


def spelled(word: str) -> str:
    """Write a dictionary word as it is in the middle of a sentence: "i'll" -> "I'll", "friday" -> "Friday"."""
    if word == "i" or word.startswith("i'") or word.partition("'")[0] in _CAPITALS:
        return word[0].upper() + word[1:]
    return word


def _sentences(words: Sequence[RecognisedWord]) -> list[list[RecognisedWord]]:
    sentences: list[list[RecognisedWord]] = []
    for word in words:
        if sentences and word.start - sentences[-1][-1].end < _PAUSE:
            sentences[-1].append(word)
        else:
            sentences.append([word])
    return sentences


def _parts(words: Sequence[RecognisedWord]) -> Iterator[Sequence[RecognisedWord]]:
    """Part what lasts too long at its longest pause; of equal ones, at the one nearest to the middle."""
    if len(words) == 1 or words[-1].end - words[0].start <= _LONGEST:
        yield words
        return
    middle = (words[0].start + words[-1].end) / 2

    def worth(index: int) -> tuple[float, float]:
        before, after = words[index - 1], words[index]
        return (after.start - before.end, -abs(after.start - middle))

    at = max(range(1, len(words)), key=worth)
    yield from _parts(words[:at])
    yield from _parts(words[at:])


def _segment(words: Sequence[RecognisedWord], *, first: bool, last: bool, temperature: float) -> RecognisedSegment:
    listed = [replace(word, text=spelled(word.text)) for word in words]
    if first:
        listed[0] = replace(listed[0], text=listed[0].text[0].upper() + listed[0].text[1:])
    text = " " + " ".join(word.text for word in listed) + ("." if last else "")
    start, end = words[0].start, words[-1].end
    spoken = sum(word.end - word.start for word in words)
    data = text.encode()
    return RecognisedSegment(
        text=text,
        start=start,
        end=end,
        words=tuple(listed),
        avg_logprob=sum(math.log(word.probability) for word in words) / len(words),
        compression_ratio=len(data) / len(zlib.compress(data)),
        no_speech_prob=max(0.0, 1 - spoken / max(end - start, spoken)),
        temperature=temperature,
    )
