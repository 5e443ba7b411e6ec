"""Plots of the last hours and days as inline SVG, each with a description, and the same figures as a table."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from watcher.status.values import Period, StatusReport
from watcher.text import hours, money

#: Size of a plot in its own units: the bars, and room for the labels above and below.
_WIDTH: Final = 320
_ABOVE: Final = 14
_BARS: Final = 64
_BELOW: Final = 15


@dataclass(frozen=True, slots=True)
class _Figure:
    """What one plot shows of each period."""

    name: str
    #: As the head of a column; with the unit.
    head: str
    value: Callable[[Period], float]
    #: Writes a value with its unit, and as a cell of the table.
    shown: Callable[[float], str]
    cell: Callable[[float], str]
    #: A further class of its bars, after a blank.
    kind: str = ""


@dataclass(frozen=True, slots=True)
class _Span:
    """The periods of a section."""

    title: str
    #: Start of the names of its elements.
    key: str
    each: str
    #: Writes a period, short (below a plot) and long.
    short: str
    long: str


_HOURS: Final = _Span("Last 24 hours", "hours", "hour", "%H:%M", "%a %H:%M")
_DAYS: Final = _Span("Last 30 days", "days", "day", "%d %b", "%a %d %b")


def plots(report: StatusReport, *, is_open: bool) -> Iterator[str]:
    """Yield the two sections. `is_open`: the tables are shown without being asked for."""
    figures = list(_figures(report))
    for span, periods in ((_HOURS, report.hours), (_DAYS, report.days)):
        if not periods:
            continue
        yield f'<section aria-labelledby="{span.key}">\n<h2 id="{span.key}">{span.title}</h2>\n'
        if any(period.done or period.failed or period.cost for period in periods):
            yield f'<p class="what">Each bar is one {span.each}. {_about(report, periods)}</p>\n<div class="plots">\n'
            for figure in figures:
                yield from _plot(figure, span, periods)
            yield "</div>\n"
            yield from _table(figures, span, periods, is_open=is_open)
        else:
            yield f'<p class="what">Nothing was done. {_about(report, periods)}</p>\n'
        yield "</section>\n"


def _figures(report: StatusReport) -> Iterator[_Figure]:
    yield _Figure("Recordings done", "Done", _done, _count, _count)
    yield _Figure("Audio transcribed", "Audio, min", _audio, hours, lambda seconds: f"{seconds / 60:,.1f}")
    if any(period.cost is not None for period in report.days):
        yield _Figure("Cost", "Cost", _cost, money, money)
    yield _Figure("Failed", "Failed", _failed, _count, _count, kind=" failed")
    yield _Figure("Waited for work to begin, on average", "Waited, s", _wait, hours, lambda seconds: f"{seconds:,.1f}")


def _done(period: Period) -> float:
    return period.done


def _audio(period: Period) -> float:
    return period.audio_seconds


def _cost(period: Period) -> float:
    return period.cost or 0.0


def _failed(period: Period) -> float:
    return period.failed


def _wait(period: Period) -> float:
    return period.mean_wait or 0.0


def _of_all(figure: _Figure, periods: Sequence[Period]) -> str:
    """Return the figure above a plot: the sum, or the mean of the waiting times."""
    if figure.value is not _wait:
        return figure.shown(sum(map(figure.value, periods)))
    done = sum(period.done for period in periods)
    return hours(sum(_wait(period) * period.done for period in periods) / done) if done else "none done"


def _about(report: StatusReport, periods: Sequence[Period]) -> str:
    """Return the sentences about the time zone, and about the start of counting if it lies within the plot."""
    local, since = time.localtime(report.now), report.counted_since
    zone = time.strftime("%Z" if local.tm_gmtoff == 0 else "%Z (UTC%z)", local)
    begun = (
        f" Counted since {time.strftime('%d %b, %H:%M', time.localtime(since))}." if since > periods[0].start else ""
    )
    return escape(f"Times are the service's: {zone}.{begun}")


def _plot(figure: _Figure, span: _Span, periods: Sequence[Period]) -> Iterator[str]:
    key = f"{span.key}-{figure.head.partition(',')[0].lower()}"
    values = [max(0.0, figure.value(period)) for period in periods]
    top = max(values)
    name = f"{figure.name}: {_of_all(figure, periods)}"
    yield f'<figure>\n<figcaption id="{key}">{escape(name)}</figcaption>\n'
    yield (
        f'<svg viewBox="0 0 {_WIDTH} {_ABOVE + _BARS + _BELOW}" role="img" aria-labelledby="{key} {key}-d">'
        f'<desc id="{key}-d">{escape(_described(figure, span, periods, values))}</desc>'
        f'<path class="axis" d="M0 {_ABOVE + _BARS}.5H{_WIDTH}"/>'
    )
    if top:
        yield f'<path class="most" d="M0 {_ABOVE}.5H{_WIDTH}"/><text y="{_ABOVE - 4}">{escape(figure.shown(top))}</text>'
    step = _WIDTH / len(periods)
    for number, (period, value) in enumerate(zip(periods, values, strict=True)):
        if value:
            # What is not nothing is seen.
            height = max(1.5, value / top * _BARS)
            yield (
                f'<rect class="bar{figure.kind}" x="{number * step + step / 8:.2f}" y="{_ABOVE + _BARS - height:.2f}"'
                f' width="{step * 3 / 4:.2f}" height="{height:.2f}">'
                f"<title>{escape(f'{_time(span.long, period)}: {figure.shown(value)}')}</title></rect>"
            )
    below = _ABOVE + _BARS + _BELOW - 3
    for number, anchor in ((0, "start"), (len(periods) // 2, "middle"), (len(periods) - 1, "end")):
        place = {"start": 0.0, "middle": (number + 0.5) * step, "end": float(_WIDTH)}[anchor]
        yield (
            f'<text x="{place:g}" y="{below}" text-anchor="{anchor}">{escape(_time(span.short, periods[number]))}</text>'
        )
    yield "</svg>\n</figure>\n"


def _described(figure: _Figure, span: _Span, periods: Sequence[Period], values: Sequence[float]) -> str:
    top = max(values)
    if not top:
        return f"None in any {span.each}."
    at = periods[values.index(top)]
    return f"Most in the {span.each} of {_time(span.long, at)}: {figure.shown(top)}."


def _table(figures: Sequence[_Figure], span: _Span, periods: Sequence[Period], *, is_open: bool) -> Iterator[str]:
    yield (
        f"<details{' open' if is_open else ''}>\n<summary>{span.title} as a table</summary>\n<table>\n"
        f'<thead><tr><th scope="col">{span.each.capitalize()}</th>'
        + "".join(f'<th scope="col">{figure.head}</th>' for figure in figures)
        + "</tr></thead>\n<tbody>\n"
    )
    for period in reversed(periods):
        yield f'<tr><th scope="row">{escape(_time(span.long, period))}</th>'
        yield from (f"<td>{escape(_cell(figure, period))}</td>" for figure in figures)
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</details>\n"


def _cell(figure: _Figure, period: Period) -> str:
    return "" if figure.value is _wait and period.mean_wait is None else figure.cell(figure.value(period))


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _time(form: str, period: Period) -> str:
    return time.strftime(form, time.localtime(period.start))
