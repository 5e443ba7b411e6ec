# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""Text to read: paragraphs by pauses and speakers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from watcher.cues.pieces import pieces
from watcher.cues.text import clean, joint, width
from watcher.formats.document import Document
from watcher.transcript import Segment

#: A paragraph of this many characters ends at the next sentence after a short rest, or at the next sentence at all.
_LONG: Final = 600
_VERY_LONG: Final = 1200
_REST_SECONDS: Final = 0.6


def prose(document: Document) -> str:
    """Return the transcript as paragraphs separated by blank lines; empty when nothing was said."""
    paragraphs = list(_paragraphs(document))
    labelled = len({paragraph.speaker for paragraph in paragraphs if paragraph.speaker}) > 1
    texts = []
    for paragraph in paragraphs:
        text = f"{paragraph.speaker}: {paragraph.text}" if labelled and paragraph.speaker else paragraph.text
        if document.text.timestamps and document.transcript.timed:
            text = f"[{_clock(paragraph.start)}] {text}"
        texts.append(_wrapped(text, document.text.wrap))
    return "\n\n".join(texts) + "\n" if texts else ""


@dataclass(slots=True)
class _Paragraph:
    start: float
    speaker: str
    parts: list[str] = field(default_factory=list)
    length: int = 0

    @property
    def text(self) -> str:
        return "".join(self.parts)


def _paragraphs(document: Document) -> Iterator[_Paragraph]:
    paragraph: _Paragraph | None = None
    before = Segment("", 0.0, 0.0)
    for segment in document.transcript.segments:
        text = "" if segment.left_out else clean(segment.text)
        if not text:
            continue
        if paragraph and _ends(paragraph, before, segment, document):
            yield paragraph
            paragraph = None
        if paragraph is None:
            paragraph = _Paragraph(segment.start, clean(segment.speaker))
        else:
            paragraph.parts.append(joint(paragraph.parts[-1], text))
        paragraph.parts.append(text)
        paragraph.length += len(text)
        before = segment
    if paragraph:
        yield paragraph


def _ends(paragraph: _Paragraph, before: Segment, after: Segment, document: Document) -> bool:
    if clean(after.speaker) != paragraph.speaker:
        return True
    if not document.transcript.timed:
        return False
    pause = after.start - (before.words[-1].end if before.words else before.end)
    limit = document.text.paragraph_seconds
    if not _sentence_ends(paragraph.parts[-1]):
        return pause >= limit * 2
    return pause >= limit or (paragraph.length >= _LONG and pause >= _REST_SECONDS) or paragraph.length >= _VERY_LONG


def _sentence_ends(text: str) -> bool:
    return text.rstrip("\"'»”’)]」』）")[-1:] in set(".!?…。！？؟।۔")


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _wrapped(text: str, columns: int) -> str:
    if not columns:
        return text
    lines: list[str] = []
    line = ""
    used = 0
    for piece, blank in pieces(text, line=columns, wide=True):
        units = width(piece, wide=True)
        if line and used + blank + units > columns:
            lines.append(line)
            line, used = piece, units
        else:
            line += (" " if blank and line else "") + piece
            used += units + (blank and used > 0)
    return "\n".join([*lines, line])
