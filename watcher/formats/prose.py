"""Text to read: paragraphs by pauses and speakers."""

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from itertools import chain, groupby
from typing import Final

from watcher.cues.breaks import SENTENCE
from watcher.cues.stream import Stream, streams
from watcher.cues.stretches import parts
from watcher.cues.text import width
from watcher.cues.tokens import tokens
from watcher.formats.document import Document
from watcher.transcript import Transcript

#: Paragraphs longer than this many characters end at the next sentence after a short rest (seconds) ...
_LONG: Final = 600
_REST: Final = 0.6
#: ... and longer than this at the next sentence.
_VERY_LONG: Final = 1200
#: Wider than any word: nothing is cut for the text, except to wrap it.
_NO_LINE: Final = 1 << 30


def prose(document: Document) -> Iterator[str]:
    """Yield the transcript as paragraphs separated by blank lines; nothing when nothing was said."""
    labelled = _are_labelled(document.transcript)
    before = ""
    for start, speaker, text in _paragraphs(document):
        paragraph = f"{speaker}: {text}" if labelled and speaker else text
        if document.text.timestamps and document.transcript.timed:
            paragraph = f"[{_clock(start)}] {paragraph}"
        yield before + _wrapped(paragraph, document.text.wrap)
        before = "\n\n"
    if before:
        yield "\n"


def _runs(transcript: Transcript) -> Iterator[Iterator[Stream]]:
    """Yield what one track says until another one goes on, as streams; the times of two tracks may overlap."""
    shown = (segment for segment in transcript.segments if not segment.left_out)
    for _, run in groupby(shown, key=lambda segment: segment.track):
        said = replace(transcript, segments=tuple(run))
        yield streams(said, line=_NO_LINE, wide=True, audio_end=max(0, int(transcript.duration * 1000)))


def _are_labelled(transcript: Transcript) -> bool:
    """Return whether paragraphs begin with their speaker: in a session, and where more than one speaker has a name."""
    segments = transcript.segments
    if any(segment.track for segment in segments):
        return True
    names = {segment.speaker for segment in segments}.union(word.speaker for one in segments for word in one.words) - {
        ""
    }
    if len(names) > 1:
        # Some may only be in segments that are left out.
        names = set()
        for text in chain.from_iterable(_runs(transcript)):
            names |= set(text.speaker) - {""}
            if len(names) > 1:
                return True
    return False


def _paragraphs(document: Document) -> Iterator[tuple[int, str, str]]:
    """Yield for each paragraph when it begins (milliseconds), who speaks, and its text."""
    for run in _runs(document.transcript):
        yield from _paragraphs_of(run, document)


def _paragraphs_of(run: Iterator[Stream], document: Document) -> Iterator[tuple[int, str, str]]:
    start = length = end = 0
    speaker = ""
    said = StringIO()
    for text in run:
        for index, token in enumerate(text.text):
            if length and _ends(text, index, text.start[index] - end, length, document):
                yield start, speaker, said.getvalue()
                length, said = 0, StringIO()
            if not length:
                start, speaker = text.start[index], text.speaker[index]
            elif text.blank[index]:
                said.write(" ")
            said.write(token)
            length += len(token) + text.blank[index]
            end = text.end[index]
    if length:
        yield start, speaker, said.getvalue()


def _ends(text: Stream, index: int, silence: int, length: int, document: Document) -> bool:
    """Return whether a paragraph of that length ends before a token, after so much silence (milliseconds)."""
    if text.turn[index]:
        return True
    pause = silence / 1000 if document.transcript.timed else 0.0
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
    for part, glued in parts(text):
        for index, (token, inner) in enumerate(tokens(part, line=columns, wide=True)):
            blank = inner if index else not glued
            units = width(token, wide=True)
            if line and used + blank + units > columns:
                lines.append(line)
                line, used = token, units
            else:
                line += (" " if blank and line else "") + token
                used += units + (blank and used > 0)
    return "\n".join([*lines, line])
