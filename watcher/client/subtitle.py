"""Reading the SRT and VTT that servers write: tolerant, because they are wrong in known ways.

Known ways: blank lines in front, no line end at the end, hours left out, a comma or a point, and minutes that run on
after the first hour (LocalAI, core/schema/transcription_format.go: ``01:65:00,000`` is 01:05:00).
"""

import html
import re
from dataclasses import dataclass
from typing import Final

_CLOCK: Final = r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2})(?:[.,](\d{1,9}))?"
_TIMING: Final = re.compile(rf"^\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
_BEGINS: Final = re.compile(rf"\s*(?:WEBVTT\b|(?:\d+\s*\r?\n)?\s*{_CLOCK}\s*-->\s*{_CLOCK}(?!\S))")
_TAG: Final = re.compile(r"</?(?:[ibuc]|v|lang|ruby|rt|font)\b[^>]*>|<[\d:.]+>", re.IGNORECASE)
_VOICE: Final = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caption:
    """One entry of a subtitle file; times in seconds as written."""

    start: float
    end: float
    text: str
    speaker: str = ""


def is_subtitle(text: str) -> bool:
    """Say whether a text is SRT or VTT rather than speech."""
    return _BEGINS.match(text) is not None


def captions(text: str) -> list[Caption]:
    """Give the entries in the order they stand, without those that hold no text."""
    found: list[Caption] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    timings = [(number, timing) for number, line in enumerate(lines) if (timing := _TIMING.match(line))]
    for position, (number, timing) in enumerate(timings):
        behind = timings[position + 1][0] if position + 1 < len(timings) else len(lines)
        body = _block(lines[number + 1 : behind], last=position + 1 == len(timings))
        voice = _VOICE.search(body)
        plain = html.unescape(_TAG.sub("", body)).strip()
        if plain:
            start, end = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
            found.append(Caption(start, end, plain, speaker=voice[1].strip() if voice else ""))
    return found


def _block(lines: list[str], *, last: bool) -> str:
    """Give a caption's text: up to the first blank line, without the number of the caption behind it."""
    block: list[str] = []
    for line in lines:
        if not line.strip() and block:
            break
        if line.strip():
            block.append(line.strip())
    else:
        # No blank line in between (or none at the end): the last line may be the next caption's number.
        if not last and block and block[-1].isdecimal():
            block.pop()
    return " ".join(block)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    whole = int(minutes or 0) * 60 + int(seconds or 0)
    if int(minutes or 0) < 60:  # noqa: PLR2004 - minutes of an hour; from 60 on they hold the total, hours included
        whole += int(hours or 0) * 3600
    return whole + float(f"0.{fraction or 0}")
