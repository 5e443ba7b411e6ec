"""Markers for Avid Media Composer, as its Markers tool imports them from text."""

from collections.abc import Iterator

from watcher.formats.document import Document


def avid(document: Document) -> Iterator[str]:
    """Yield a marker a line, which ends in CR LF: user, timecode, track, colour and the whole text, separated by tabs.

    The user is the speaker. Timecode begins at 0 where nobody knows when the recording began.
    """
    for marker in document.markers:
        timecode = document.timecode.label(marker.start / 1000)
        yield "\t".join((marker.speaker or "Watcher", timecode, "V1", "green", marker.text)) + "\r\n"
