"""The live view of `watcher status --follow`: one screen, whatever the terminal's size, the most urgent first.

Pure: a report and a size in, styled lines out. The caller knows the terminal.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Final

from watcher.folding import fold
from watcher.job import State
from watcher.status.text import (
    awaited,
    coming_in,
    doing,
    headline,
    problem_text,
    result_text,
    running_text,
    servers,
    told,
)
from watcher.status.text import summary as summary_of
from watcher.status.values import StatusReport
from watcher.text import columns, cut_to

#: Entries shown at most, and what each section gets before another one gets more.
_MOST: Final = {"Problems": 4, "Hosts": 8, "Running": 8, "Waiting": 4, "Failed": 6, "Last results": 10}
_FIRST: Final = {"Problems": 1, "Hosts": 1, "Running": 2, "Waiting": 1, "Failed": 2, "Last results": 3}
_END: Final = "Ctrl-C ends this view"


class LineStyle(StrEnum):
    """Style of a line where there is colour."""

    PLAIN = ""
    TITLE = "bold"
    BAD = "red"
    WAITS = "yellow"
    GOOD = "green"
    FAINT = "dim"


@dataclass(frozen=True, slots=True)
class ScreenLine:
    """One line of the view; never wider than asked for."""

    text: str
    style: LineStyle = LineStyle.PLAIN


def frame(report: StatusReport, *, width: int, height: int) -> list[ScreenLine]:
    """Return the view, at most `height` lines of at most `width` columns."""
    head = _head(report, width)
    sections, of_all = _sections(report, width), _of_all(report)
    shown = _fitting(sections, height - len(head) - 1)
    lines = head
    for title, entries in sections.items():
        count = shown[title]
        if count:
            more = max(of_all.get(title, 0), len(entries)) - count
            lines = [
                *lines,
                ScreenLine(""),
                ScreenLine(_cut(f"{title}:" + (f" {more} more" if more else ""), width), LineStyle.TITLE),
            ]
            lines += [line for entry in entries[:count] for line in entry]
    return [*lines[: height - 1], ScreenLine(_cut(_END, width), LineStyle.FAINT)][:height]


def _head(report: StatusReport, width: int) -> list[ScreenLine]:
    service, *more = headline(report)
    bad = not report.pid or report.counts[State.FAILED]
    lines = _lines(service, width, LineStyle.BAD if bad else LineStyle.TITLE)
    styles = {"open": LineStyle.GOOD, "paused": LineStyle.WAITS}
    statuses = (status for status, _ in servers(report))
    for line, status in zip_longest(more, statuses, fillvalue=report.gate.get("status")):
        lines += _lines(str(line), width, styles.get(str(status), LineStyle.BAD))
    for line in summary_of(report):
        lines += _lines(line, width, LineStyle.PLAIN)
    return lines


def _sections(report: StatusReport, width: int) -> dict[str, list[list[ScreenLine]]]:
    """Return each section's entries, each of one line or several."""
    return {
        "Problems": [_entry(problem_text(problem), width, LineStyle.WAITS) for problem in report.problems],
        "Hosts": [
            _entry(doing(host), width, LineStyle.PLAIN if host.alive else LineStyle.BAD) for host in report.hosts
        ],
        "Running": [_entry(running_text(record, report), width, LineStyle.PLAIN) for record in report.running],
        "Waiting": [_entry(awaited(wait, report.now), width, LineStyle.WAITS) for wait in report.waiting],
        "Failed": [_entry(told(record), width, LineStyle.BAD) for record in report.failed],
        "Last results": [_entry(result_text(record, report.now), width, LineStyle.GOOD) for record in report.done],
    }


def _of_all(report: StatusReport) -> dict[str, int]:
    """Return how many entries there are of a section that has the first or last ones only, as the first line counts them."""
    counts = report.counts
    return {
        "Running": counts[State.RUNNING],
        "Waiting": counts[State.READY] + counts[State.DELAYED] + coming_in(report),
        "Failed": counts[State.FAILED],
        "Last results": counts[State.DONE],
    }


def _fitting(sections: dict[str, list[list[ScreenLine]]], room: int) -> dict[str, int]:
    """Return how many entries of each section there is room for, one more for each in turn."""
    shown = dict.fromkeys(sections, 0)

    def grow(title: str, limit: int) -> bool:
        nonlocal room
        entries, count = sections[title], shown[title]
        if count >= min(limit, len(entries)):
            return False
        # A section's title, and the line above it, come with its first entry.
        needed = len(entries[count]) + (0 if count else 2)
        if needed > room:
            return False
        room -= needed
        shown[title] += 1
        return True

    for count in range(1, max(_FIRST.values()) + 1):
        for title, least in _FIRST.items():
            grow(title, min(count, least))
    while any([grow(title, _MOST[title]) for title in reversed(sections)]):  # noqa: C419 - each gets its turn
        pass
    return shown


def _entry(text: str, width: int, style: LineStyle) -> list[ScreenLine]:
    """Return an entry's lines: its subject in one, cut to fit, and the details below it."""
    first, *rest = text.split("\n")
    lines = [ScreenLine(_cut(f"  {first}", width), style)]
    for line in rest:
        remedy = line.lstrip().startswith("->")
        lines += _lines(f"  {line}", width, LineStyle.PLAIN if remedy else LineStyle.FAINT)
    return lines


def _lines(text: str, width: int, style: LineStyle) -> list[ScreenLine]:
    return [ScreenLine(_cut(line, width), style) for line in fold(text, width).split("\n")]


def _cut(text: str, width: int) -> str:
    """Cut in the middle: paths differ at their ends."""
    if columns(text) <= width:
        return text
    if width < _SHORTEST:
        return cut_to(text, width)
    end = cut_to(text[::-1], width * 2 // 3)[::-1]
    return f"{cut_to(text, width - columns(end) - 1)}…{end}"


#: Shorter text is not worth showing.
_SHORTEST: Final = 12
