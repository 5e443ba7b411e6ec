"""Results of the layout: cues, and the rules that could not be kept."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple


class CuePart(NamedTuple):
    """A word of a caption, with the mark before it (a dash, a name) and the blank behind it."""

    text: str
    #: When it is spoken: milliseconds from the start of the recording.
    start: int


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption on the screen; times in seconds from the start of the recording, rounded to milliseconds."""

    start: float
    end: float
    #: Plain text in reading order, no markup, no direction marks.
    lines: tuple[str, ...]
    #: The speaker, if the server names one and the caption has only one; the lines of a dialogue begin with "- " instead.
    speaker: str = ""
    #: For each line, of each of its tokens: where it begins in the line, and the millisecond at which it is spoken.
    tokens: "tuple[array[int], ...]" = field(default=(), compare=False, repr=False)

    def timed_lines(self) -> Iterator[list[CuePart]]:
        """Yield the words of each line; joined they are the line.

        Their starts never decrease within a line, and lie between the caption's own start and end. The lines of two who speak at the
        same time overlap. A line of which no words are known is one part.
        """
        begun, end = round(self.start * 1000), round(self.end * 1000)
        for line, tokens in zip(self.lines, self.tokens or [_ONE] * len(self.lines), strict=True):
            at = begun
            parts: list[CuePart] = []
            for begin, behind, start in zip(tokens[::2], [*tokens[2::2], len(line)], tokens[1::2], strict=True):
                at = max(at, min(start, end))
                parts.append(CuePart(line[begin:behind], at))
            yield parts


#: The tokens of a line that is one part.
_ONE: Final = array("q", [0, 0])


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that one cue breaks, and why."""

    #: A key of `CaptionRules`, or "overlap", "order" (does not end after its start), "outside" (of the audio).
    rule: str
    #: Number of the cue, from 0.
    cue: int
    value: float
    limit: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The captions of one recording, in order."""

    cues: tuple[Cue, ...] = ()
    broken: tuple[BrokenRule, ...] = ()
