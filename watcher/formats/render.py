"""Render a document to the bytes of a file."""

from collections.abc import Callable, Iterator, Mapping
from io import SEEK_END, BytesIO
from typing import Final

from watcher.formats.captions import srt, vtt
from watcher.formats.document import Document
from watcher.formats.docx import docx
from watcher.formats.lyrics import lyrics
from watcher.formats.machine import machine
from watcher.formats.markdown import markdown
from watcher.formats.markers.audacity import audacity
from watcher.formats.markers.audition import audition
from watcher.formats.markers.avid import avid
from watcher.formats.markers.fcpxml import fcpxml
from watcher.formats.markers.premiere import premiere
from watcher.formats.markers.reaper import reaper
from watcher.formats.markers.resolve import resolve
from watcher.formats.page import html
from watcher.formats.podcast import podcast
from watcher.formats.prose import prose
from watcher.formats.substation import substation
from watcher.output_kinds import MARKED_KINDS, OUTPUT_KINDS, TIMED_KINDS, OutputKind

_BOM: Final = b"\xef\xbb\xbf"


def render(kind: str, document: Document) -> bytes:
    """Return the document as `kind` (one of `OUTPUT_KINDS`): UTF-8, NFC, lines ended by a newline; docx: a ZIP archive.

    Raises ValueError for captions of a transcript without times, and for an unknown kind.
    """
    if kind not in OUTPUT_KINDS:
        raise ValueError(f"{kind!r} is not a format: {', '.join(OUTPUT_KINDS)}")
    if kind in TIMED_KINDS and not document.transcript.timed:
        raise ValueError(f"no {kind} can be made of a transcript without times")
    if kind == "docx":
        return docx(document)
    written = BytesIO(_BOM if document.text.bom and kind in MARKED_KINDS else b"")
    written.seek(0, SEEK_END)
    for text in _WRITERS[kind](document):
        written.write(text.encode("utf-8"))
    return written.getvalue()


_WRITERS: Final[Mapping[OutputKind, Callable[[Document], Iterator[str]]]] = {
    "srt": srt,
    "vtt": vtt,
    "txt": prose,
    "json": machine,
    "html": html,
    "md": markdown,
    "podcast": podcast,
    "ass": substation,
    "lrc": lyrics,
    "reaper": reaper,
    "audition": audition,
    "audacity": audacity,
    "resolve": resolve,
    "premiere": premiere,
    "fcpxml": fcpxml,
    "avid": avid,
}
