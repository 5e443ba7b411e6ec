"""The values that a set of outputs is made from."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Final, Literal

from watcher.container.chapters import Chapter
from watcher.cues import Layout
from watcher.cues.replacing import Replacement
from watcher.formats.markers.marker import Marker, of_captions, of_passages
from watcher.formats.passages import Passage, Passages, passages
from watcher.job import ResultWarning
from watcher.timecode import Timecode
from watcher.transcript import Transcript


@dataclass(frozen=True, slots=True)
class TextLayout:
    """Layout of the text for reading. Raises ValueError outside the ranges."""

    #: A pause this long (seconds) begins a paragraph.
    paragraph_seconds: float = 2.0
    #: Columns at which lines are wrapped; 0: a paragraph is one line.
    wrap: int = 0
    #: Begin each paragraph with its time.
    timestamps: bool = False
    #: Begin captions, lyrics and txt with a byte order mark, for programs that take files without one for Latin-1.
    bom: bool = False
    #: Give each word its time in vtt and in lrc, if the server gave times of words.
    vtt_words: bool = False
    lrc_words: bool = False
    #: The times in subtitles and text: from the recording's start, or as its timecode counts them, if that is known.
    times: Literal["file", "timecode"] = "file"
    #: What a marker for editors is.
    markers: Literal["utterance", "caption", "paragraph"] = "utterance"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0 < self.paragraph_seconds <= 3600:  # noqa: PLR2004 -- an hour
            raise ValueError(f"paragraph_seconds = {self.paragraph_seconds:g} is out of range: above 0, up to 3600")
        if self.wrap and not 20 <= self.wrap <= 1000:  # noqa: PLR2004 -- narrower than a word, wider than any screen
            raise ValueError(f"wrap = {self.wrap} is out of range: 0 (do not wrap), or 20 to 1000")


@dataclass(frozen=True, slots=True)
class AskedPiece:
    """A piece that was asked for: seconds of the recording, and whether its answer was already known."""

    start: float
    end: float
    cached: bool = False
    #: Who gave the answer; "" if an earlier version stored it.
    endpoint: str = ""
    model: str = ""
    #: Of a session: the track that was asked about.
    track: str = ""


#: Containers that often hold a picture.
_PICTURES: Final = frozenset(
    {b".mp4", b".m4v", b".mov", b".mkv", b".webm", b".ogv", b".avi", b".mpg", b".mpeg", b".wmv", b".ts"}
)


def is_picture_name(name: bytes) -> bool:
    """Return whether a file of this name often has a picture."""
    return os.path.splitext(name)[1].lower() in _PICTURES  # noqa: PTH122 - a name


@dataclass(frozen=True, slots=True)
class PlayableFile:
    """A recording that lies beside the outputs."""

    name: bytes
    #: Of a session: seconds from its start to that of the recording, and who speaks in it.
    offset: float = 0.0
    speaker: str = ""
    #: Its header says that it is a film.
    film: bool = False


# No slots: passages and markers are made once for all formats.
@dataclass(frozen=True)
class Document:
    """A transcript as the guard left it, its captions, and where they come from."""

    transcript: Transcript
    layout: Layout
    #: Name of the source, escaped where it is not UTF-8.
    source: str
    model: str = ""
    task: str = "transcribe"
    #: The settings that shaped the answer and the captions, as they were.
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    pieces: tuple[AskedPiece, ...] = ()
    #: Audio seconds asked of the server for this document, in the run that made it.
    paid_seconds: float = 0.0
    #: What was not transcribed, or is in doubt.
    warnings: tuple[ResultWarning, ...] = ()
    text: TextLayout = field(default_factory=TextLayout)
    #: What the transcript is of: one recording, or the stems of a session.
    files: tuple[PlayableFile, ...] = ()
    #: Those that the recording has.
    chapters: tuple[Chapter, ...] = ()
    #: Spellings that were replaced in it.
    replacements: tuple[Replacement, ...] = ()
    #: When the recording began, and on which day; None: not known.
    timecode: Timecode = field(default_factory=Timecode)
    day: date | None = None

    def shown_time(self, milliseconds: int) -> int:
        """Return a time of the recording (milliseconds) as subtitles and text show it."""
        if self.text.times == "timecode" and self.timecode.start is not None:
            return round(self.timecode.label_seconds(milliseconds / 1000) * 1000)
        return milliseconds

    @cached_property
    def has_words(self) -> bool:
        """Whether the server gave times of words; others are estimated from those of the segments."""
        return any(segment.words for segment in self.transcript.segments if not segment.left_out)

    @property
    def milliseconds(self) -> int:
        """Length of the recording; 0 if it is not known."""
        seconds = self.transcript.duration
        return round(seconds * 1000) if math.isfinite(seconds) and seconds > 0 else 0

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers with a name to show, in the order in which they first speak."""
        return tuple(dict.fromkeys(passage.speaker for passage in self.paragraphs if passage.speaker))

    @cached_property
    def _passages(self) -> Passages:
        return passages(self.transcript, pause=self.text.paragraph_seconds)

    @property
    def paragraphs(self) -> tuple[Passage, ...]:
        """The text that is shown, in paragraphs."""
        return self._passages.paragraphs

    @property
    def utterances(self) -> tuple[Passage, ...]:
        """The text that is shown, in utterances."""
        return self._passages.utterances

    @cached_property
    def markers(self) -> tuple[Marker, ...]:
        """The markers for editors in order of time: utterances, captions or paragraphs, by the settings."""
        if self.text.markers == "caption":
            return of_captions(self.layout.cues)
        return of_passages(self.paragraphs if self.text.markers == "paragraph" else self.utterances)
