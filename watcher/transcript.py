"""What was said and when: words, segments, and the transcript of a piece or of a whole recording.

All times are seconds from the start of the recording (or of the piece, before joining).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, as the server writes it (whisper-1: without punctuation)."""

    text: str
    start: float
    end: float
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text with its times; a metric the server did not give is None."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    speaker: str = ""
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    no_speech_prob: float | None = None
    #: Signs of phantom text, by the guard: "silence", "no_speech", "phrase", "loop", "echo", "ratio" …
    flags: tuple[str, ...] = ()
    #: The guard's verdict: kept in the json, left out of captions and text.
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole text in order. `timed` is False when the server gave no times at all."""

    segments: tuple[Segment, ...]
    #: ISO-639-1 code, or "" when unknown.
    language: str = ""
    #: Seconds of audio this covers.
    duration: float = 0.0
    timed: bool = True

    @property
    def text(self) -> str:
        """The segments' text, in order, separated by single blanks."""
        return " ".join(part for segment in self.segments if (part := segment.text.strip()))
