"""Timeline markers for DaVinci Resolve, in the EDL (CMX 3600) that its "Timeline Markers from EDL" imports."""

import re
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final

from watcher.formats.document import Document
from watcher.formats.markers.marker import Marker, one_line

#: Event numbers have three digits.
_MOST: Final = 999
#: Where Resolve's own timelines begin.
_USUAL_START: Final = "01:00:00:00"
#: How lines begin that readers of an EDL take for events, comments and statements ("TITLE:", "M2", "AUD 3").
_STATEMENT: Final = re.compile(r"[\d*>]|[A-Z][A-Z0-9]+\b")


def resolve(document: Document) -> Iterator[str]:
    """Yield an event of one frame for each marker: the note has the whole text, `|M:` its first words, `|D:` its frames.

    Times are those of the timecode; where nobody knows when the recording began, they begin at 01:00:00:00. If there are more than
    999 markers, neighbours share one.
    """
    rate = document.timecode.rate
    first = rate.frame(_USUAL_START) if document.timecode.start is None else document.timecode.start
    yield f"TITLE: {one_line(document.source)}\nFCM: {'DROP FRAME' if rate.drop else 'NON-DROP FRAME'}\n"
    for number, group in enumerate(_groups(document.markers), 1):
        start = rate.frames(group[0].start / 1000)
        frames = max(1, rate.frames(max(marker.end for marker in group) / 1000, up=True) - start)
        begin, behind = (rate.label(first + start + more) for more in (0, 1))
        note = _plain(" ".join(marker.comment for marker in group))
        yield f"\n{number:03d}  001      V     C        {begin} {behind} {begin} {behind}  \n"
        yield f"{note} |C:ResolveColorBlue |M:{_plain(group[0].name)} |D:{frames}\n"


def _groups(found: Sequence[Marker]) -> Iterator[Sequence[Marker]]:
    """Yield the markers in at most 999 groups of neighbours."""
    size = ceil(len(found) / _MOST) or 1
    for index in range(0, len(found), size):
        yield found[index : index + size]


def _plain(text: str) -> str:
    """Return a text without the sign that begins a field, and which is no statement of its own."""
    text = text.replace("|", "/")
    return f"- {text}" if _STATEMENT.match(text) else text
