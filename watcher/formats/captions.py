# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""SRT and WebVTT.

Written by hand and read back with other people's libraries in the tests: pysubs2's writers neither escape nor keep
braces. SRT has no escape at all, so what a player would act on is written with a look-alike there; WebVTT escapes.
"""

import re
from collections.abc import Iterator
from typing import Final

from watcher.cues import Cue
from watcher.cues.text import is_right_to_left
from watcher.formats.document import Document

_RLM: Final = "\u200f"
_EMBED: Final = "\u202b"
_POP: Final = "\u202c"


def srt(document: Document) -> Iterator[str]:
    """Yield SubRip, a caption at a time: numbered from 1, times with a comma, a blank line after each caption."""
    for number, cue in enumerate(document.layout.cues, 1):
        text = "\n".join(
            f"{_EMBED}{line}{_POP}" if is_right_to_left(line) else line
            for line in _inert("\n".join(cue.lines)).split("\n")
        )
        yield f"{number}\n{_stamp(document, cue.start, ',')} --> {_stamp(document, cue.end, ',')}\n{text}\n\n"


def vtt(document: Document) -> Iterator[str]:
    """Yield WebVTT (W3C, 2019), a caption at a time: language in the header, numbered cues, the speaker as a voice span.

    With `vtt_words` each word has its time, if the server gave times of words.
    """
    each_word = document.text.vtt_words and document.has_words
    yield "WEBVTT\n"
    if document.transcript.language:
        yield f"Kind: captions\nLanguage: {document.transcript.language}\n"
    for number, cue in enumerate(document.layout.cues, 1):
        lines = _timed_lines(document, cue) if each_word else [_parted(_escaped(line)) for line in cue.lines]
        text = "\n".join(_mark(plain) + line for plain, line in zip(cue.lines, lines, strict=True))
        if cue.speaker:
            text = f"<v {_escaped(cue.speaker)}>{text}"
        yield f"\n{number}\n{_stamp(document, cue.start, '.')} --> {_stamp(document, cue.end, '.')}\n{text}\n"


def _timed_lines(document: Document, cue: Cue) -> Iterator[str]:
    """Yield the lines of a caption with time stamps of WebVTT: in ascending order, after its start and before its end.

    A word that begins with the one before it, or with the caption, has none; nor has one that somebody says while the line above is spoken.
    """
    # The last millisecond is left for a third stamp.
    last, end = _shown(document, cue.start), _shown(document, cue.end) - 1
    for parts in cue.timed_lines():
        line, stamps = "", 0
        for text, begin in parts:
            start = document.shown_time(begin)
            if last < start < end:
                line += f"<{_clock(start, '.')}>"
                stamps, last = stamps + 1, start
            line += _VTT_STAMP.sub(r"\1<c>\2</c>", _escaped(text))
        if stamps == 2:  # noqa: PLR2004 - a start and an end: see `_without_times`
            last += 1
            line += f"<{_clock(last, '.')}>"
        yield line


def _stamp(document: Document, seconds: float, comma: str) -> str:
    return _clock(_shown(document, seconds), comma)


def _shown(document: Document, seconds: float) -> int:
    """Return a time of the recording as it is shown, in milliseconds."""
    return document.shown_time(round(seconds * 1000))


def _clock(milliseconds: int, comma: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{comma}{rest % 1000:03d}"


def _inert(text: str) -> str:
    """Return the text so that no player finds a tag in it, an override block, a line break or a time line."""
    *parts, last = text.replace("-->", "→").split(">")
    text = "".join(map(_without_tag, parts)) + last
    text = _ESCAPE.sub("/", text.replace("{", "(").replace("}", ")"))
    return "\n".join(_without_times(line) for line in text.split("\n"))


def _without_tag(part: str) -> str:
    """Return the text before a greater-than sign, and that sign; look-alikes replace both angle brackets of a tag."""
    opened = _TAG.search(part)
    return f"{part[: opened.start()]}‹{part[opened.end() :]}›" if opened else f"{part}>"


def _without_times(line: str) -> str:
    """Write full time stamps with full stops where a line has two: pysubs2 takes it for a caption's times, arrow or not.

    One stamp alone, or a time without hours ("John 3:16,17"), is no time line to any reader and stays as it was said.
    """
    if len(_STAMP.findall(line)) < 2:  # noqa: PLR2004 - a start and an end
        return line
    return _STAMP.sub(lambda match: match[0].replace(":", "."), line)


def _parted(line: str) -> str:
    """Set a span around the fractions of time stamps where a line of WebVTT has two: see `_without_times`.

    No reader shows a span without a class of its own, so the text stays as it was said.
    """
    if len(_VTT_STAMP.findall(line)) < 2:  # noqa: PLR2004 - a start and an end
        return line
    return _VTT_STAMP.sub(r"\1<c>\2</c>", line)


#: As pysubs2 1.8 looks for them, anywhere in a line.
_STAMP: Final = re.compile(r"\d{1,2}:\d{1,2}:\d{1,2}[.,]\d{1,3}")
_VTT_STAMP: Final = re.compile(r"(\d{2}:\d{2})(\.\d{2,3})")
#: Where a tag begins: from there to the next sign of more it is one.
_TAG: Final = re.compile(r"<(?=\s*+/?+\s*+[A-Za-z!?])")
_ESCAPE: Final = re.compile(r"\\(?=[Nnh])")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mark(line: str) -> str:
    """Return the mark before a right-to-left line, for players that assume left to right."""
    return _RLM if is_right_to_left(line) else ""
