"""The page of the operator's listener: what `watcher status` says, for a browser, a telephone and a screen reader.

It has no script and no button, loads nothing, and reloads itself. Its style is allowed by its hash alone (Content Security
Policy, W3C), so no name of a file can become one.
"""

import time
from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

from watcher import __version__
from watcher.content_policy import hash_source
from watcher.job import State
from watcher.ledger.values import SourceRecord
from watcher.status.text import (
    awaiting,
    coming_in,
    doing,
    failures,
    headline,
    problem_text,
    result_text,
    running_text,
    summary,
    verdict,
)
from watcher.status.values import StatusReport
from watcher.text import quoted_line
from watcher.web.plots import plots

#: Seconds after which a browser asks again.
_AGAIN: Final = 10
_REFRESH: Final = f'<meta http-equiv="refresh" content="{_AGAIN}">\n'
#: The class of the verdict by a monitor's exit code.
_GRADES: Final = {0: "good", 1: "look", 2: "bad"}


def page(report: StatusReport, *, is_still: bool = False) -> str:
    """Return the page. `is_still`: it does not reload itself, for those who read slowly or by ear."""
    return "".join(_parts(report, is_still=is_still))


@cache
def policy() -> str:
    """Return the page's Content-Security-Policy."""
    return f"default-src 'none'; style-src {hash_source(_style())}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _parts(report: StatusReport, *, is_still: bool) -> Iterator[str]:
    grade, said = verdict(report)
    word, _, rest = said.partition(": ")
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{'' if is_still else _REFRESH}<title>{_text(word)} · Watcher</title>\n"
        f"<style>{_style()}</style>\n</head>\n<body>\n<main>\n<h1>Watcher</h1>\n"
        f'<p class="verdict {_GRADES[grade]}" role="status"><strong>{_text(word)}</strong> {_text(rest)}</p>\n'
    )
    yield from _counts(report)
    yield from _section("To do", (problem_text(problem) for problem in report.problems))
    yield from _running(report)
    yield from _section("Waiting", awaiting(report))
    yield from _sentences("Server", headline(report)[1:])
    yield from _section("Failed", failures(report))
    yield from _section("Hosts", map(doing, report.hosts))
    yield from plots(report, is_open=is_still)
    yield from _section("Last results", (result_text(record, report.now) for record in report.done))
    yield from _sentences("In all", summary(report))
    often = (
        f'It does not reload itself: <a href="/">every {_AGAIN} s</a>.'
        if is_still
        else f'It reloads itself every {_AGAIN} s: <a href="/?still">stop that</a>.'
    )
    at = time.strftime("%d %b, %H:%M:%S", time.localtime(report.now))
    yield (
        f"</main>\n<footer>Watcher {__version__}, as of {_text(at)}. This page only shows. {often}</footer>\n</body>\n</html>\n"
    )


def _counts(report: StatusReport) -> Iterator[str]:
    counts = report.counts
    figures = (
        ("coming in", coming_in(report)),
        ("queued", counts[State.READY] + counts[State.DELAYED]),
        ("running", counts[State.RUNNING]),
        ("done", counts[State.DONE]),
        ("failed", counts[State.FAILED]),
    )
    yield '<ul class="counts">\n'
    for name, number in figures:
        yield f"<li><b>{number:,}</b> {name}</li>\n"
    yield "</ul>\n"


def _running(report: StatusReport) -> Iterator[str]:
    yield from _list("Running", (f"{_lines(running_text(record, report))}{_bar(record)}" for record in report.running))


def _bar(record: SourceRecord) -> str:
    if not record.pieces:
        return ""
    return f'<progress max="{record.pieces}" value="{record.piece}" aria-label="pieces"></progress>'


def _section(title: str, entries: Iterable[str]) -> Iterator[str]:
    yield from _list(title, map(_lines, entries))


def _sentences(title: str, sentences: Iterable[str]) -> Iterator[str]:
    yield from _list(title, (_text(sentence.strip()) for sentence in sentences))


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    if listed := "".join(f"<li>{item}</li>\n" for item in items):
        yield f'<h2>{title}</h2>\n<ul class="list">\n{listed}</ul>\n'


def _lines(entry: str) -> str:
    """Return an entry of the status: its path, and below it what is said about it, and the remedy."""
    first, *others = entry.split("\n")
    if first.startswith("and "):
        # How many more there are: paths begin with a slash.
        return _text(first)
    path, _, rest = first.partition("  ")
    made = [f'<span class="path">{_text(path)}</span>', f" {_text(rest)}" if rest else ""]
    for line in map(str.strip, others):
        is_hint = line.startswith("-> ")
        made.append(f'<span class="{"hint" if is_hint else "what"}">{_text(line.removeprefix("-> "))}</span>')
    return "".join(made)


def _text(text: str) -> str:
    return escape(quoted_line(text))


@cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")
