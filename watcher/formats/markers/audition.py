"""Cues for Adobe Audition, in its marker list, whose columns are separated by tabs although its name ends in `.csv`."""

from collections.abc import Iterator

from watcher.formats.document import Document
from watcher.formats.markers.marker import cell, clock


def audition(document: Document) -> Iterator[str]:
    """Yield a cue for each marker; times are `M:SS.mmm` from the start of the file, from an hour on `H:MM:SS.mmm`."""
    yield "Name\tStart\tDuration\tTime Format\tType\tDescription\n"
    for marker in document.markers:
        times = clock(marker.start), clock(marker.end - marker.start)
        # Not all readers of such tables agree on what a double quote is.
        name, comment = (cell(text.replace('"', "'")) for text in (marker.name, marker.comment))
        yield "\t".join((name, *times, "decimal", "Cue", comment)) + "\n"
