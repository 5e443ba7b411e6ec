"""Rules for captions: the settings of ``[subtitles]``, and the resulting limits for one script.

Sources:

- TTSG: Netflix Timed Text Style Guide, general requirements and timing guidelines (partnerhelp.netflixstudios.com,
  articles 215758617 and 360051554394), and its language pages (English 217350977, Korean 216001127, Simplified Chinese
  215986007, Japanese 215767517).
- BBC: BBC Subtitle Guidelines (bbc.github.io/subtitle-guidelines).
"""

import math
from dataclasses import dataclass, fields
from typing import Final, Literal

from watcher.cues.marks import SpeakerStyle
from watcher.cues.text import is_wide_script

#: TTSG, English I.4 and most alphabets: 42 characters per line (BBC: 37, from teletext).
_MAX_CHARS: Final = 42
#: TTSG, Korean and Simplified Chinese: 16 characters per line; Latin letters, blanks and punctuation count as half.
_WIDE_MAX_CHARS: Final = 16
#: TTSG, English: 20 characters per second for adults, 17 for children.
_MAX_SPEED: Final = 20.0
#: TTSG, Simplified Chinese: 9 characters per second for adults.
_WIDE_MAX_SPEED: Final = 9.0
#: TTSG, general: two lines (BBC: two, three at most).
_MAX_LINES: Final = 2
#: TTSG, general: 5/6 s at least, 7 s at most.
_MIN_SECONDS: Final = 0.833
_MAX_SECONDS: Final = 7.0
#: TTSG, timing: two frames between captions, whatever the frame rate; 83 ms are two frames at 24 per second.
_GAP_SECONDS: Final = 0.083


@dataclass(frozen=True, slots=True)
class CaptionLimits:
    """The rules as integers for one script: milliseconds, and units of width (see `watcher.cues.text.width`)."""

    #: Chinese, Japanese or Korean: a unit is half a character of full width; else a unit is a character.
    wide: bool
    #: Units per line.
    line: int
    lines: int
    #: Units per second.
    speed: float
    shortest: int
    longest: int
    gap: int

    @property
    def scale(self) -> int:
        """Units per character of the rules."""
        return 2 if self.wide else 1

    def needed(self, units: int) -> int:
        """Return the milliseconds needed to read `units` comfortably."""
        return max(self.shortest, math.ceil(units * 1000 / self.speed - 1e-9))


@dataclass(frozen=True, slots=True)
class CaptionRules:
    """The settings of ``[subtitles]``; the defaults are a broadcaster's. Raises ValueError outside the ranges."""

    #: Characters per line. Left at its default, Chinese, Japanese and Korean get 16 of full width.
    max_chars: int = _MAX_CHARS
    max_lines: int = _MAX_LINES
    #: Reading speed. Left at its default, Chinese, Japanese and Korean get 9 of full width.
    max_chars_per_second: float = _MAX_SPEED
    min_seconds: float = _MIN_SECONDS
    max_seconds: float = _MAX_SECONDS
    gap_seconds: float = _GAP_SECONDS
    #: Leave out phantom text (two signs), flag doubtful text (one): see `watcher.guard`.
    guard: bool = True
    #: Show "♪" where the server writes nothing else; otherwise what has no word is no caption.
    music_marks: bool = False
    #: "full": punctuation of full width beside Chinese, see `watcher.cues.punctuation`; "keep": as the server wrote it.
    punctuation: Literal["keep", "full"] = "keep"
    #: How captions show who speaks, see `watcher.cues.marks`.
    speakers: SpeakerStyle = "dashes"

    def __post_init__(self) -> None:
        """Raise ValueError for impossible values, with a message that names key and range."""
        for field in fields(self):
            if field.name in _RANGES:
                low, high = _RANGES[field.name]
                value = getattr(self, field.name)
                if not low <= value <= high:
                    raise ValueError(f"{field.name} = {_shown(value)} is out of range: {low:g} to {high:g}")
        if self.min_seconds + self.gap_seconds > self.max_seconds:
            raise ValueError(
                f"max_seconds = {self.max_seconds:g} leaves no room for min_seconds = {self.min_seconds:g} "
                f"and gap_seconds = {self.gap_seconds:g}"
            )

    def limits(self, text: str, language: str = "") -> CaptionLimits:
        """Return the limits for a text in this language (ISO-639-1; "": judged only by the text)."""
        wide = is_wide_script(text, language)
        chars, speed = self.max_chars, self.max_chars_per_second
        if wide and chars == _MAX_CHARS:
            chars = _WIDE_MAX_CHARS
        if wide and speed == _MAX_SPEED:
            speed = _WIDE_MAX_SPEED
        scale = 2 if wide else 1
        return CaptionLimits(
            wide=wide,
            line=chars * scale,
            lines=self.max_lines,
            speed=speed * scale,
            shortest=round(self.min_seconds * 1000),
            longest=round(self.max_seconds * 1000),
            gap=round(self.gap_seconds * 1000),
        )


def _shown(value: float) -> str:
    """Return a number for a message; TOML's integers may be larger than any float."""
    try:
        return f"{value:g}"
    except OverflowError:
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else str(value)


_RANGES: Final = {
    "max_chars": (10, 200),
    "max_lines": (1, 4),
    "max_chars_per_second": (4, 100),
    "min_seconds": (0.1, 5),
    "max_seconds": (1, 30),
    "gap_seconds": (0, 1),
}
