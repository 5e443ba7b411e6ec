"""Results of the layout: cues, and the rules the text did not allow to keep."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption on the screen; seconds from the start of the recording, whole milliseconds."""

    start: float
    end: float
    #: Plain text in reading order, no markup, no direction marks.
    lines: tuple[str, ...]
    #: Who speaks, where the server says so and only one does; a dialogue's lines begin with "- " instead.
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that one cue does not keep, and why the text did not allow it."""

    #: A key of `CaptionRules`, or "overlap", "order" (does not end after its start), "outside" (of the audio).
    rule: str
    #: Which cue, from 0.
    cue: int
    value: float
    limit: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The captions of one recording, in order."""

    cues: tuple[Cue, ...] = ()
    broken: tuple[BrokenRule, ...] = ()
