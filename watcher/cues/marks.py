"""Marks that show in captions who speaks: a dash or a name at the beginning of a line."""

from functools import cache
from typing import Final, Literal

from watcher.cues.text import graphemes, width

#: What the lines of a dialogue begin with: a dash or the speaker's name; a name also begins any other caption of a speaker.
SpeakerStyle = Literal["dashes", "names", "off"]

_DASH: Final = "- "
_AFTER_NAME: Final = ": "
_CUT_OFF: Final = "…"


class SpeakerMarks:
    """The marks of one recording's captions, by the setting `subtitles.speakers`."""

    def __init__(self, style: SpeakerStyle = "dashes", *, line: int = 0, wide: bool = False) -> None:
        """Take the units of a line (see `watcher.cues.text.width`): a long name is cut, so that half of the line is left for the text."""
        self.style = style
        self.wide = wide
        self._most = line // 2
        self._of_name = cache(self._name)

    def mark(self, speaker: str, *, dialogue: bool) -> str:
        """Return what a speaker's line begins with: each line of a dialogue, or the first line of a caption with one speaker."""
        if self.style == "names" and speaker:
            return self._of_name(speaker)
        return _DASH if dialogue and self.style != "off" else ""

    def units(self, speaker: str, *, dialogue: bool) -> int:
        """Return the width of that mark."""
        return width(self.mark(speaker, dialogue=dialogue), wide=self.wide)

    def _name(self, speaker: str) -> str:
        mark = speaker + _AFTER_NAME
        if width(mark, wide=self.wide) <= self._most:
            return mark
        left = self._most - width(_CUT_OFF + _AFTER_NAME, wide=self.wide)
        kept = ""
        for cluster in graphemes(speaker):
            left -= width(cluster, wide=self.wide)
            if left < 0:
                break
            kept += cluster
        return kept.rstrip() + _CUT_OFF + _AFTER_NAME


#: The marks of captions of which no more is known.
DASHES: Final = SpeakerMarks()
