"""Text to read: paragraphs by pauses and speakers."""

from collections.abc import Iterator
from typing import Final

from watcher.cues.breaks import SENTENCE
from watcher.cues.stream import Stream, stream
from watcher.cues.text import width
from watcher.cues.tokens import tokens
from watcher.formats.document import Document

#: Paragraphs longer than this many characters end at the next sentence after a short rest (seconds) ...
_LONG: Final = 600
_REST: Final = 0.6
#: ... and longer than this at the next sentence.
_VERY_LONG: Final = 1200
#: Wider than any word: nothing is cut for the text, except to wrap it.
_NO_LINE: Final = 1 << 30


def prose(document: Document) -> str:
    """Return the transcript as paragraphs separated by blank lines; empty when nothing was said."""
    transcript = document.transcript
    text = stream(transcript, line=_NO_LINE, wide=True, audio_end=max(0, int(transcript.duration * 1000)))
    labelled = len(set(text.speaker) - {""}) > 1
    paragraphs = []
    for begin, end in _paragraphs(text, document):
        paragraph = text.line(begin, end)
        if labelled and text.speaker[begin]:
            paragraph = f"{text.speaker[begin]}: {paragraph}"
        if document.text.timestamps and transcript.timed:
            paragraph = f"[{_clock(text.start[begin])}] {paragraph}"
        paragraphs.append(_wrapped(paragraph, document.text.wrap))
    return "\n\n".join(paragraphs) + "\n" if paragraphs else ""


def _paragraphs(text: Stream, document: Document) -> Iterator[tuple[int, int]]:
    begin = length = 0
    for index, token in enumerate(text.text):
        if index > begin and _ends(text, index, length, document):
            yield begin, index
            begin, length = index, 0
        length += len(token) + text.blank[index]
    if text.text:
        yield begin, len(text.text)


def _ends(text: Stream, index: int, length: int, document: Document) -> bool:
    """Return whether a paragraph of that length ends before a token."""
    if text.turn[index]:
        return True
    pause = (text.start[index] - text.end[index - 1]) / 1000 if document.transcript.timed else 0.0
    limit = document.text.paragraph_seconds
    if text.cost[index] != SENTENCE:
        # The server writes no full stops, or a long pause in mid-sentence.
        return pause >= limit * 2
    return pause >= limit or (length >= _LONG and pause >= _REST) or length >= _VERY_LONG


def _clock(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _wrapped(text: str, columns: int) -> str:
    """Break a paragraph into lines of that many columns; characters of full width take two."""
    if not columns:
        return text
    lines: list[str] = []
    line = ""
    used = 0
    for token, blank in tokens(text, line=columns, wide=True):
        units = width(token, wide=True)
        if line and used + blank + units > columns:
            lines.append(line)
            line, used = token, units
        else:
            line += (" " if blank and line else "") + token
            used += units + (blank and used > 0)
    return "\n".join([*lines, line])
