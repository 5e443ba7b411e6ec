"""One document in several formats: captions as SRT and WebVTT, text to read, and JSON for machines.

Everything is made here, from one answer; a server's own subtitles are never passed on.
"""

from watcher.formats.document import AskedPiece, Document, PlayableFile, TextLayout
from watcher.formats.render import render

__all__ = ["AskedPiece", "Document", "PlayableFile", "TextLayout", "render"]
