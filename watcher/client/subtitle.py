"""Read SRT, VTT and LRC of servers, and tolerate their known errors.

These are: blank lines at the start, no line end at the end, no hours, a comma or a point, minutes above 59 after the
first hour (LocalAI, core/schema/transcription_format.go: ``01:65:00,000`` is 01:05:00), captions of several paragraphs,
and times in brackets before the text (whisper.cpp's console: ``[00:00:00.000 --> 00:00:02.500]   Hello``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watcher.text import unescaped

_CLOCK: Final = r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2})(?:[.,](\d{1,9}))?"
_TIMING: Final = re.compile(rf"^\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
_BRACKETED: Final = re.compile(rf"^\s*\[{_CLOCK}\s*-->\s*{_CLOCK}\](.*)$")
_FIRST_TIMING: Final = re.compile(rf"{_CLOCK}\s*-->\s*{_CLOCK}(?!\S)|\[{_CLOCK}\s*-->\s*{_CLOCK}\]")
#: LRC: the start of a line, before its text; ``[ti:…]`` and other tags may come before the lines.
_STARTED: Final = re.compile(r"^\s*\[(\d{1,4}):(\d{1,2})(?:[.,](\d{1,9}))?\](.*)$")
_LRC_TAG: Final = re.compile(r"^\s*\[[a-z]{2,10}:[^\]]{0,200}\]\s*$", re.IGNORECASE)
# Bounded, so that the time for a caption full of opened tags does not grow with the square of its length.
_TAG: Final = re.compile(r"</?(?:[ibuc]|v|lang|ruby|rt|font)\b[^<>]{0,200}>|<[\d:.]{1,20}>", re.IGNORECASE)
_VOICE: Final = re.compile(r"<v(?:\.[^\s<>]{0,100})?\s([^<>]{1,200})>", re.IGNORECASE)
#: Blocks of WebVTT that are no captions.
_NOTES: Final = re.compile(r"^(?:NOTE|STYLE|REGION)\b")


@dataclass(frozen=True, slots=True)
class SubtitleEntry:
    """One entry of a subtitle file; times in seconds as written; `end` is None if the format has no ends."""

    start: float
    end: float | None
    text: str
    speaker: str = ""


def is_subtitle(text: str) -> bool:
    """Return whether a text is SRT, VTT or LRC rather than speech."""
    text = text.lstrip()
    if re.match(r"WEBVTT\b", text):
        return True
    first, _, rest = text.partition("\n")
    if first.strip().isdecimal():
        return _FIRST_TIMING.match(rest.lstrip()) is not None
    return _FIRST_TIMING.match(text) is not None or _is_lrc(text)


def captions(text: str) -> list[SubtitleEntry]:
    """Return the entries in the order of the file, without those that have no text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if _is_lrc(text):
        return _of_lrc(lines)
    timings = [
        (number, timing)
        for number, line in enumerate(lines)
        if (timing := _TIMING.match(line) or _BRACKETED.match(line))
    ]
    web = text.lstrip().startswith("WEBVTT")
    numbered = bool(timings) and any(line.strip().isdecimal() for line in lines[: timings[0][0]])
    found: list[SubtitleEntry] = []
    for position, (number, timing) in enumerate(timings):
        last = position + 1 == len(timings)
        behind = len(lines) if last else timings[position + 1][0]
        body = _paragraphs(lines[number + 1 : behind], last=last, web=web, numbered=numbered)
        if timing.re is _BRACKETED:
            body = f"{timing[9].strip()} {body}"
        voice = _VOICE.search(body)
        plain = unescaped(_TAG.sub("", body)).strip()
        if plain:
            start, end = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:8])
            found.append(SubtitleEntry(start, end, plain, speaker=voice[1].strip() if voice else ""))
    return found


def clock_seconds(hours: int, minutes: int, seconds: float) -> float:
    """Return the seconds of a clock time; minutes from 60 on include the hours."""
    return minutes * 60 + seconds + (hours * 3600 if minutes < 60 else 0)  # noqa: PLR2004 - minutes of an hour


def _paragraphs(lines: Sequence[str], *, last: bool, web: bool, numbered: bool) -> str:
    """Return the text between two times, without the next caption's number or name, and without WebVTT's notes."""
    lines = list(lines)
    if not last:
        if web and len(lines) > 1 and lines[-1].strip() and not lines[-2].strip():
            lines.pop()
        elif numbered:
            filled = [number for number, line in enumerate(lines) if line.strip()]
            if filled and lines[filled[-1]].strip().isdecimal():
                del lines[filled[-1] :]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line.strip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return " ".join(
        line for paragraph in paragraphs if paragraph and not (web and _NOTES.match(paragraph[0])) for line in paragraph
    )


def _is_lrc(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return any(map(_STARTED.match, lines)) and all(_STARTED.match(line) or _LRC_TAG.match(line) for line in lines)


def _of_lrc(lines: Sequence[str]) -> list[SubtitleEntry]:
    found = [(match, match[4].strip()) for line in lines if (match := _STARTED.match(line))]
    starts = [_seconds((None, match[1], match[2], match[3])) for match, _ in found]
    # A line without text ends the one before it.
    ends: list[float | None] = [*starts[1:], None]
    return [SubtitleEntry(start, end, said) for start, end, (_, said) in zip(starts, ends, found, strict=True) if said]


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return clock_seconds(int(hours or 0), int(minutes or 0), int(seconds or 0) + float(f"0.{fraction or 0}"))
