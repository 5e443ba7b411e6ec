"""SubStation Alpha (`.ass`), as libass and VSFilter read it: captions with a style, for players and for burning in.

There is no escape that all players know, so look-alikes replace what they would act on, as in SRT.
"""

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Final

from watcher.cues import Cue
from watcher.cues.text import is_right_to_left, scrub
from watcher.formats.document import Document

#: White letters with a black edge, an 18th of the height, on a screen of 1920 x 1080. What is not said yet is grey (SecondaryColour).
#: The last value, an encoding of -1, lets libass find the direction of the text.
_HEADER: Final = """\
[Script Info]
Title: {title}
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
WrapStyle: 0
ScaledBorderAndShadow: yes
YCbCr Matrix: None

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,60,&H00FFFFFF,&H00B4B4B4,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,4,1,2,96,96,60,{encoding}

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_AUTOMATIC: Final = -1
_DEFAULT: Final = 1
_BRACES: Final = str.maketrans("{}", "()")
#: A backslash before one of these letters is a line break or a blank; before a tag, it would make text of it.
_ESCAPE: Final = re.compile(r"\\(?=[Nnh]|\Z)")


def substation(document: Document) -> Iterator[str]:
    r"""Yield the file, a caption at a time: the speaker as Name, and `{\k}` before each word if the server gave times of words."""
    cues = document.layout.cues
    turned = any(is_right_to_left(line) for cue in cues for line in cue.lines)
    yield _HEADER.format(title=scrub(document.source), encoding=_AUTOMATIC if turned else _DEFAULT)
    for cue in cues:
        start = round(cue.start * 100)
        end = max(start + 1, round(cue.end * 100))
        lines = _karaoke(cue, start, end) if document.has_words else map(_inert, cue.lines)
        name = cue.speaker.replace(",", ";")
        text = r"\N".join(lines)
        yield f"Dialogue: 0,{_stamp(start)},{_stamp(end)},Default,{name},0,0,0,,{text}\n"


def _karaoke(cue: Cue, start: int, end: int) -> Iterator[str]:
    """Yield the lines, with the hundredths of a second before each word that pass until the next one begins."""
    lines = list(cue.timed_lines())
    # Lines that are spoken at the same time can only follow each other.
    begins = list(accumulate((min(max(start, round(part.start / 10)), end) for parts in lines for part in parts), max))
    lengths = (following - begin for begin, following in pairwise([*begins, end]))
    before = f"{{\\k{begins[0] - start}}}" if begins[0] > start else ""
    for parts in lines:
        yield before + "".join(f"{{\\k{next(lengths)}}}{_inert(part.text)}" for part in parts)
        before = ""


def _inert(text: str) -> str:
    """Return the text so that no player finds an override or a line break in it."""
    return _ESCAPE.sub("/", text.translate(_BRACES))


def _stamp(hundredths: int) -> str:
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"
