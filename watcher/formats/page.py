"""The transcript as one page for a browser: the recording's player, and the text, of which a click on a word plays it.

The page is whole in itself: it loads nothing but the recording beside it, and works from a disk. Its policy
(Content Security Policy, W3C) allows this script and this style by their hashes, so text cannot become either.
"""

import os
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

from watcher import __version__
from watcher.content_policy import hash_source
from watcher.cues.text import is_right_to_left, scrub
from watcher.formats.document import Document, PlayableFile, is_picture_name
from watcher.formats.passages import Passage, clock
from watcher.languages import name as language_name
from watcher.text import counted, printable


def html(document: Document) -> Iterator[str]:
    """Yield a page in HTML (WHATWG), a paragraph at a time; it is valid UTF-8 and safe whatever was said."""
    yield from _head(document)
    for passage in document.paragraphs:
        yield _passage(passage, document)
    if not document.paragraphs:
        yield "<p>Nothing was said.</p>\n"
    yield _foot(document)


def _head(document: Document) -> Iterator[str]:
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {hash_source(style)}; script-src {hash_source(script)}; "
        "media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    language = escape(document.transcript.language)
    title = _text(_title(document))
    yield (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="watcher {__version__}">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{title}</title>\n'
        f'<style>{style}</style>\n</head>\n<body>\n<a class="skip" href="#text">Go to the text</a>\n'
        f'<h1 dir="auto">{title}</h1>\n<p class="facts">{_facts(document)}</p>\n<div class="bar">\n'
    )
    yield from _players(document)
    yield (
        '<form class="tools" role="search" hidden>\n'
        '<input type="search" name="search" placeholder="Search" aria-label="Search the text" autocomplete="off" dir="auto">\n'
        '<span class="count" role="status"></span>\n<span>'
        '<button type="button" name="before" aria-label="The one before">↑</button> '
        '<button type="button" name="behind" aria-label="The next one">↓</button></span>\n'
        '<label><input type="checkbox" name="follow" checked> Follow the sound</label>\n</form>\n</div>\n'
    )
    if document.warnings:
        yield f"<details>\n<summary>{counted(len(document.warnings), 'remark')} about this transcript</summary>\n<ul>\n"
        for warning in document.warnings:
            hint = f" {_text(warning.hint)}." if warning.hint else ""
            yield f"<li>{_text(warning.message)}.{hint}</li>\n"
        yield "</ul>\n</details>\n"
    if document.chapters and document.transcript.timed:
        yield f"<details open>\n<summary>{counted(len(document.chapters), 'chapter')}</summary>\n<ol>\n"
        for chapter in document.chapters:
            time = round(chapter.start * 1000)
            yield f"<li>{_link(time, document)} <bdi>{_text(chapter.title)}</bdi></li>\n"
        yield "</ol>\n</details>\n"
    direction = ' dir="rtl"' if any(is_right_to_left(one.text) for one in document.paragraphs[:1]) else ""
    yield f'<main id="text" tabindex="-1"{f" lang={chr(34)}{language}{chr(34)}" if language else ""}{direction}>\n'


def _title(document: Document) -> str:
    """Return the name of the recording without its suffix, or that of the session."""
    if len(document.files) > 1:
        return document.source
    return os.path.splitext(document.source)[0] or document.source  # noqa: PTH122 - it need not be a path


def _facts(document: Document) -> str:
    facts = [_text(document.source)]
    if document.transcript.duration > 0:
        facts.append(clock(int(document.transcript.duration * 1000)))
    if name := language_name(document.transcript.language):
        facts.append(escape(name))
    return " · ".join(facts)


def _players(document: Document) -> Iterator[str]:
    """Yield the players: one, or one for each stem of a session, which the script plays together."""
    several = len(document.files) > 1
    if several:
        yield "<ul>\n"
    for file in document.files:
        suffix = os.path.splitext(os.fsdecode(file.name))[1]  # noqa: PTH122 - a name
        # A browser shows the picture, and the script makes a player without one small.
        element = "video" if is_picture_name(file.name) and not several else "audio"
        shown = _text(printable(file.name))
        label = f"<span><bdi>{_text(file.speaker)}</bdi></span>" if several else ""
        yield (
            f"{'<li>' if several else '<div>'}{label}"
            f'<div><{element} controls preload="metadata" src="{_address(file)}" data-offset="{_seconds(file.offset)}" '
            f'data-suffix="{_text(printable(suffix))}" aria-label="{shown}"></{element}>\n'
            f'<p class="missing" hidden>{shown} is not beside this page, or this browser cannot play it.</p></div>'
            f"{'</li>' if several else '</div>'}\n"
        )
    if several:
        yield "</ul>\n"


def _passage(passage: Passage, document: Document) -> str:
    timed = document.transcript.timed
    spoken = []
    for token in passage.tokens():
        times = f' data-s="{token.start}" data-e="{token.end}"' if timed else ""
        spoken.append(f"{' ' if token.blank else ''}<span{times}>{_text(token.text)}</span>")
    link = _link(passage.start, document) if timed else ""
    name = f"<cite><bdi>{_text(passage.speaker)}</bdi></cite>" if passage.speaker else ""
    return f'<div class="said{"" if timed else " plain"}">{link}{name}<p dir="auto">{"".join(spoken)}</p></div>\n'


def _link(milliseconds: int, document: Document) -> str:
    """Return a time as a link; without a script, it opens the recording there (Media Fragments URI 1.0, W3C)."""
    seconds = _seconds(milliseconds / 1000)
    address = f"{_address(document.files[0])}#t={seconds}" if len(document.files) == 1 else f"#t={seconds}"
    return f'<a href="{address}" data-s="{milliseconds}">{clock(milliseconds)}</a>'


def _foot(document: Document) -> str:
    model = f", from what {_text(document.model)} heard" if document.model else ""
    return (
        f"</main>\n<footer>\n"
        '<p class="keys" hidden>Keys: Space plays or pauses, ← and → go 5 seconds back or on, / searches, Enter shows the next one found.</p>\n'
        f"<p>Made by Watcher {__version__}{model}.</p>\n</footer>\n"
        f"<script>{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def _address(file: PlayableFile) -> str:
    # Without "./", a name such as "a:b.wav" would be the address of a scheme "a".
    return f"./{quote_from_bytes(file.name, safe='')}"


def _text(text: str) -> str:
    """Return the text for HTML, in an element or in quotes; control characters, which HTML forbids, are left out."""
    return escape(scrub(text).translate(_CONTROLS))


_CONTROLS: Final = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
