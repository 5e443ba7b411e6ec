"""Text to read: paragraphs by pauses and speakers."""

from collections.abc import Iterator

from watcher.cues.stretches import parts
from watcher.cues.text import width
from watcher.cues.tokens import tokens
from watcher.formats.document import Document


def prose(document: Document) -> Iterator[str]:
    """Yield the transcript as paragraphs separated by blank lines; nothing when nothing was said."""
    before = ""
    for passage in document.paragraphs:
        paragraph = f"{passage.speaker}: {passage.text}" if passage.speaker else passage.text
        if document.text.timestamps and document.transcript.timed:
            paragraph = f"[{_clock(document.shown_time(passage.start))}] {paragraph}"
        yield before + _wrapped(paragraph, document.text.wrap)
        before = "\n\n"
    if before:
        yield "\n"


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
