"""Bound an answer by the length of its sound. Later code need not check the size again.

People speak some 25 letters and 4 words a second; quick readers, and scripts whose words are single characters, less than
twice as much. Ten times more cannot have been spoken. Such an answer is refused, not cut: nobody knows which part of it was
spoken, and half of it as a "done" transcript would be worse than a failure that shows how the answer begins. If only the words or
segments are far too many, the text stays, and only their times are removed, like all times that cannot be right.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from watcher.client.found import LINE_ENDS, AnswerItem, NoTranscriptError, together

#: Characters of text: in all, and for each second of sound.
_CHARACTERS: Final = 2000
_CHARACTERS_A_SECOND: Final = 400
#: Segments, or words: in all, and for each second of sound.
_ITEMS: Final = 400
_ITEMS_A_SECOND: Final = 20
#: Bytes of an answer: a word with its times and metrics, in indented JSON, takes 1,000.
_BYTES: Final = 1 << 20
_BYTES_A_SECOND: Final = 20_000
#: Characters of a speaker's name.
_NAME: Final = 100
#: Parts of an answer (see `PartBudget`): in all, and for each second of sound. The words of quick speech, with all metrics, have 20.
_PARTS: Final = 5000
_PARTS_A_SECOND: Final = 200
#: The most parts, however long the sound is: the words of a day, with all metrics, have a million. Each part takes some 30 us of all
#: threads' time, and 400 bytes.
_MOST_PARTS: Final = 1_250_000
#: How many of each sign make one part. Each sign costs time and memory, even if nothing follows it.
_ONE_PART: Final = {**dict.fromkeys(("{", "[", "<|"), 1), **dict.fromkeys(LINE_ENDS, 4), **dict.fromkeys('",', 8)}


def check_size(body: bytes, seconds: float) -> None:
    """Raise NoTranscriptError for an answer with more bytes than `seconds` of sound can need. Call it before parsing."""
    if len(body) > _BYTES + _BYTES_A_SECOND * seconds:
        raise NoTranscriptError(f"it has {len(body)} bytes, too many for {seconds:g} s of sound", excess=True)


class PartBudget:
    """Budget of the parts that an answer may still have: objects, lists, texts, lines and times.

    An empty object takes two bytes of an answer, and about a hundred bytes of memory: without this, an answer of permitted size
    could take a gigabyte, and minutes.
    """

    def __init__(self, seconds: float) -> None:
        """Begin with the parts that `seconds` of sound can need."""
        self._seconds = seconds
        self._left = min(_PARTS + _PARTS_A_SECOND * seconds, _MOST_PARTS)

    def take(self, text: str) -> None:
        """Count the parts of a text. Call it before parsing. Raises NoTranscriptError if there were too many in all."""
        self._left -= sum(text.count(sign) / number for sign, number in _ONE_PART.items())
        if self._left < 0:
            raise NoTranscriptError(f"it has too many parts for {self._seconds:g} s of sound", excess=True)


def bounded(
    text: str, segments: Sequence[AnswerItem], words: Sequence[AnswerItem], seconds: float
) -> tuple[str, list[AnswerItem], list[AnswerItem]]:
    """Return text, segments and words of an answer about `seconds` of sound. Raises NoTranscriptError for too much text.

    If there are too many segments or words, they are left out. All texts are clean (`parse`); long speaker names are cut.
    """
    most = int(_CHARACTERS + _CHARACTERS_A_SECOND * seconds)
    size = max(len(text), _size(segments), 0 if text or segments else _size(words))
    if size > most:
        raise NoTranscriptError(
            f"it has {size} characters of text, more than can be said in {seconds:g} s of sound", excess=True
        )
    if not _may_be_meant(words, seconds):
        text, words = text or ("" if segments else together([word.text for word in words])), ()
    if not _may_be_meant([word for item in segments for word in item.words], seconds):
        segments = [replace(item, words=()) for item in segments]
    if len(segments) > _most_items(seconds):
        said = together([item.text for item in segments])
        segments = [AnswerItem(max(text, said, key=len))]
    return text, [_named(item) for item in segments], [_named(word) for word in words]


def _may_be_meant(words: Sequence[AnswerItem], seconds: float) -> bool:
    """Return whether `seconds` of sound can contain this many words, with this much text."""
    return len(words) <= _most_items(seconds) and _size(words) <= _CHARACTERS + _CHARACTERS_A_SECOND * seconds


def _most_items(seconds: float) -> float:
    return _ITEMS + _ITEMS_A_SECOND * seconds


def _size(items: Sequence[AnswerItem]) -> int:
    return sum(len(item.text) for item in items)


def _named(item: AnswerItem) -> AnswerItem:
    if len(item.speaker) <= _NAME and all(len(word.speaker) <= _NAME for word in item.words):
        return item
    words = tuple(replace(word, speaker=word.speaker[:_NAME]) for word in item.words)
    return replace(item, speaker=item.speaker[:_NAME], words=words)
