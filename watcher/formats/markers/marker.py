"""What a marker is: an utterance, a caption or a paragraph, with its place, a short name, and the whole text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from xml.sax.saxutils import escape

from watcher.cues import Cue
from watcher.cues.text import scrub
from watcher.formats.passages import Passage
from watcher.text import cut_to

#: Characters of a name: editors show some thirty of them.
_NAME: Final = 60
#: Where formulas begin (OWASP, "CSV Injection").
_FORMULA: Final = re.compile("(?:^|(?<=[,;]))(?=[=+@-])")
#: What no line of a text file may have, and no text of XML 1.0 (2.2).
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]+")


# No slots: several formats need the name and the comment.
@dataclass(frozen=True)
class Marker:
    """A place on a timeline. Texts are one line, NFC, without control characters; times are milliseconds of the recording."""

    start: int
    #: Never before `start`.
    end: int
    #: Who speaks; "" if it is not known.
    speaker: str
    #: All that is said.
    text: str

    @cached_property
    def comment(self) -> str:
        """The whole text, with its speaker."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text

    @cached_property
    def name(self) -> str:
        """Speaker and first words."""
        comment = self.comment
        # Combining marks take no column, so characters are counted, too.
        start = cut_to(comment, _NAME)[: 2 * _NAME]
        if start == comment:
            return comment
        # Chinese, Japanese and Thai have no blanks to end at.
        words = start.rpartition(" ")[0] if comment[len(start)] != " " else start
        return f"{words.rstrip() or start}…"


def of_captions(cues: Iterable[Cue]) -> tuple[Marker, ...]:
    """Return a marker for each caption that has text, in order of time."""
    return _ordered(
        Marker(round(cue.start * 1000), round(cue.end * 1000), one_line(cue.speaker), one_line(" ".join(cue.lines)))
        for cue in cues
    )


def of_passages(passages: Iterable[Passage]) -> tuple[Marker, ...]:
    """Return a marker for each passage that has text, in order of time."""
    return _ordered(Marker(one.start, one.end, one_line(one.speaker), one_line(one.text)) for one in passages)


def _ordered(found: Iterable[Marker]) -> tuple[Marker, ...]:
    # Those of several tracks may overlap.
    return tuple(marker for marker in sorted(found, key=lambda one: one.start) if marker.text)


def one_line(text: str) -> str:
    """Return a text without line breaks, tabs and what XML forbids."""
    return _FORBIDDEN.sub(" ", scrub(text)).strip()


def cell(text: str) -> str:
    """Return a line as a cell of a `.csv`: with a blank before what a spreadsheet would take for a formula, at its start or behind a comma.

    With a double click such a file opens in a spreadsheet, not in an editor; and not all columns are separated by what that expects.
    """
    return _FORMULA.sub(" ", text)


def xml(line: str) -> str:
    """Return what is one line as the text of an element, or the value of an attribute in double quotes."""
    return escape(line, {'"': "&quot;"})


def clock(milliseconds: int, *, hours: bool = False) -> str:
    """Return a time as `M:SS.mmm`, from an hour on (with `hours` always) as `H:MM:SS.mmm`."""
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest // 1000:02d}.{rest % 1000:03d}"
    if hours or minutes >= 60:  # noqa: PLR2004 - an hour
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds}"
    return f"{minutes}:{seconds}"
