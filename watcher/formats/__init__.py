"""One document, four formats: captions as SRT and WebVTT, text to read, and JSON for machines.

Everything is made here, from one answer; a server's own subtitles are never passed on.
"""

from watcher.formats.document import AskedPiece, Document, TextLayout
from watcher.formats.render import KINDS, render

__all__ = ["KINDS", "AskedPiece", "Document", "TextLayout", "render"]
