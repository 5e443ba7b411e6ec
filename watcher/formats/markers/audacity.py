"""Labels for Audacity, as its label tracks are exported and imported."""

from collections.abc import Iterator

from watcher.formats.document import Document


def audacity(document: Document) -> Iterator[str]:
    """Yield a label for each marker: start and end in seconds from the start of the file, and the whole text."""
    for marker in document.markers:
        yield f"{marker.start / 1000:.6f}\t{marker.end / 1000:.6f}\t{marker.comment}\n"
