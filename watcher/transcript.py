"""Text with times: words, segments, and the transcript of a piece or of a whole recording.

All times are seconds from the start of the recording (or of the piece, before `watcher.join`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, as the server writes it (whisper-1: without punctuation)."""

    text: str
    start: float
    end: float
    speaker: str = ""
    #: Name of the stem, channel or stream of a session that it is from; "" in a recording of one track.
    track: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text with its times; metrics that the server did not give are None."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    speaker: str = ""
    #: See `Word`.
    track: str = ""
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    no_speech_prob: float | None = None
    #: Signs of phantom text, by the guard: "silence", "no_speech", "phrase", "loop", "echo", "pace" …
    flags: tuple[str, ...] = ()
    #: The guard's decision: kept in the json, left out of captions and text.
    left_out: bool = False
    #: The server's text, if a spelling in it was replaced (`transcript.replace`); else "".
    original: str = ""


@dataclass(frozen=True, slots=True)
class AnswerOrigin:
    """The endpoint (by its title) and the model that gave an answer; "" where that is not known."""

    endpoint: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole text in order. `timed` is False if the server gave no times at all."""

    segments: tuple[Segment, ...]
    #: ISO-639-1 code, or "" when unknown.
    language: str = ""
    #: Seconds of audio this covers.
    duration: float = 0.0
    timed: bool = True
    #: How sure the server is of the language it detected, from 0 to 1; None if it does not say.
    language_probability: float | None = None
    #: The audio's length by the answer, in seconds: its stated duration (some servers round it up), or the end of its times
    #: if some begin after the known length. 0: it does not say. It is evidence about the length, not part of
    #: the text, so it is ignored when transcripts are compared.
    claimed_seconds: float = field(default=0.0, compare=False)
    #: Of a piece: who gave the answer.
    origin: AnswerOrigin = field(default=AnswerOrigin(), compare=False)

    @property
    def text(self) -> str:
        """The segments' text, in order, separated by single blanks."""
        return " ".join(part for segment in self.segments if (part := segment.text.strip()))


@dataclass(frozen=True, slots=True)
class PieceTranscript:
    """A piece's transcript, with times from the piece's start, and the position of the piece in the recording (seconds)."""

    start: float
    end: float
    transcript: Transcript
    #: For speakers of whose voices the server got samples: their name here -> their name in the recording's first part.
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def spoken(self) -> float:
        """Seconds of speech: those of the segments with text, or all if the server gave no times."""
        segments = [segment for segment in self.transcript.segments if segment.text.strip()]
        if not self.transcript.timed:
            return self.end - self.start if segments else 0.0
        return sum(max(0.0, segment.end - segment.start) for segment in segments)
