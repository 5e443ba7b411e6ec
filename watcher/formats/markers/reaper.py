"""Regions for Reaper, in the CSV of its Region/Marker Manager."""

import csv
from collections.abc import Iterator
from io import StringIO

from watcher.formats.document import Document
from watcher.formats.markers.marker import cell, clock


def reaper(document: Document) -> Iterator[str]:
    """Yield a region for each marker; times are `H:MM:SS.mmm` from the start of the file.

    A region has nothing but its name, so that has the whole text.
    """
    yield "#,Name,Start,End,Length,Color\n"
    for number, marker in enumerate(document.markers, 1):
        times = (marker.start, marker.end, marker.end - marker.start)
        line = StringIO()
        row = [f"R{number}", cell(marker.comment), *(clock(time, hours=True) for time in times), ""]
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue()
