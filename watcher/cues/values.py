"""Results of the layout: cues, and the rules that could not be kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption on the screen; times in seconds from the start of the recording, rounded to milliseconds."""

    start: float
    end: float
    #: Plain text in reading order, no markup, no direction marks.
    lines: tuple[str, ...]
    #: The speaker, if the server names one and the caption has only one; the lines of a dialogue begin with "- " instead.
    speaker: str = ""


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
