"""The text in passages with their speakers and times: in paragraphs, to read, or in utterances, for a timeline.

All formats but the captions are made from these.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from operator import sub
from typing import Final, NamedTuple, TypeAlias

from watcher.cues.breaks import SENTENCE
from watcher.cues.stream import Stream, streams
from watcher.transcript import Transcript

#: Paragraphs longer than this many characters end at the next sentence after a short rest (milliseconds) ...
_LONG_PARAGRAPH: Final = 600
_REST: Final = 600
#: ... and longer than this at the next sentence.
_VERY_LONG_PARAGRAPH: Final = 1200
#: An utterance ends at a pause of this length, and once it has lasted so long at the end of a sentence (milliseconds);
#: the same as where the tracks of a session are merged (`watcher.join.tracks`).
_PAUSE: Final = 500
_LONG_UTTERANCE: Final = 20_000
#: Wider than any word: nothing is cut for the text, except to wrap it.
_NO_LINE: Final = 1 << 30


class SpokenToken(NamedTuple):
    """A word with its punctuation (Chinese, Japanese, Thai: a part of the text without blanks), and when it is spoken."""

    text: str
    #: There is a blank between it and the token before it in the passage.
    blank: bool
    #: Milliseconds from the start of the recording.
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What one speaker says without a break; never empty. Times are milliseconds from the start of the recording."""

    #: One line, NFC, without control characters.
    text: str
    #: The name to show before it; "" if it is not known, or if there is only one speaker who has no track of their own.
    speaker: str
    # One item for each token: a day of speech has 200,000 tokens, and a passage may have all of them.
    _at: "array[int]"
    _start: "array[int]"
    _end: "array[int]"

    @property
    def start(self) -> int:
        """When its first token begins."""
        return self._start[0]

    @property
    def end(self) -> int:
        """When its last token ends, never before its start."""
        return max(self._end[-1], self._start[0])

    def tokens(self) -> Iterator[SpokenToken]:
        """Yield the tokens in order; with the blanks between them they are the text."""
        for index, (begin, end) in enumerate(pairwise((*self._at, len(self.text)))):
            token = self.text[begin:end]
            text = token.removeprefix(" ") if index else token
            yield SpokenToken(text, len(text) < len(token), self._start[index], self._end[index])


def clock(milliseconds: int) -> str:
    """Return a time as people write it: 00:12, or 1:02:05."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"


class Passages(NamedTuple):
    """The text that is shown, divided in two ways."""

    paragraphs: tuple[Passage, ...]
    utterances: tuple[Passage, ...]


def passages(transcript: Transcript, *, pause: float) -> Passages:
    """Return the text that is shown in paragraphs and in utterances; its words are aligned once for both.

    A `pause` of so many seconds between sentences begins a paragraph, as a speaker does. An utterance is what a speaker says between
    two pauses of 0.5 s; one that lasts longer than 20 s ends with a sentence. A transcript without times has a sentence in each.
    """
    ways = (_Divider(_paragraph_ends(transcript, pause)), _Divider(_utterance_ends(transcript)))
    least = min(_PAUSE, pause * 2000) if transcript.timed else math.inf
    speakers: set[str] = set()
    for run in _runs(transcript):
        for text in run:
            speakers.update(text.speaker)
            pieces = _Pieces(text, least)
            for way in ways:
                way.take(pieces)
        for way in ways:
            way.close()
    if not _are_labelled(transcript, speakers):
        return Passages(*(tuple(replace(one, speaker="") for one in way.passages) for way in ways))
    return Passages(*(tuple(way.passages) for way in ways))


#: Says whether a passage ends before a token: stream, index, silence, length in characters, start (both in milliseconds).
_Ends: TypeAlias = Callable[[Stream, int, int, int, int], bool]


def _paragraph_ends(transcript: Transcript, pause: float) -> _Ends:
    limit = pause * 1000

    def ends(text: Stream, index: int, silence: int, length: int, _: int) -> bool:
        if text.cost[index] != SENTENCE:
            # The server writes no full stops, or a long pause in mid-sentence.
            return transcript.timed and silence >= limit * 2
        paused = transcript.timed and (silence >= limit or (length >= _LONG_PARAGRAPH and silence >= _REST))
        return paused or length >= _VERY_LONG_PARAGRAPH

    return ends


def _utterance_ends(transcript: Transcript) -> _Ends:
    def ends(text: Stream, index: int, silence: int, _: int, start: int) -> bool:
        sentence = text.cost[index] == SENTENCE
        if not transcript.timed:
            return sentence
        return silence >= _PAUSE or (sentence and text.start[index] - start >= _LONG_UTTERANCE)

    return ends


class _Pieces:
    """The tokens of a stream, each with the blank before it, and where a passage may end before one of them."""

    def __init__(self, text: Stream, least: float) -> None:
        """Take a stream, and the silence (milliseconds) from which on one may also end within a sentence."""
        self.stream = text
        self.texts = [f" {token}" if blank else token for token, blank in zip(text.text, text.blank, strict=True)]
        #: Characters before each token.
        self.at = list(accumulate(map(len, self.texts), initial=0))
        silences = map(sub, text.start[1:], text.end)
        #: The first token's silence depends on the passage that it continues, so it is always one of these.
        self.perhaps = [0] + [
            index
            for index, (silence, cost, turn) in enumerate(zip(silences, text.cost[1:], text.turn[1:], strict=False), 1)
            if turn or cost == SENTENCE or silence >= least
        ]


class _Divider:
    """Collects the tokens of a text as passages."""

    def __init__(self, ends: _Ends) -> None:
        self._ends = ends
        self.passages: list[Passage] = []
        self._begin()

    def _begin(self) -> None:
        self._said: list[str] = []
        self._length = 0
        self._speaker = ""
        self._at, self._starts, self._finishes = array("q"), array("q"), array("q")

    def take(self, pieces: _Pieces) -> None:
        """Take the tokens of the next stream."""
        text, begin = pieces.stream, 0
        for index in pieces.perhaps:
            self._add(pieces, begin, index)
            begin = index
            silence = text.start[index] - self._finishes[-1] if self._length else 0
            if self._length and (text.turn[index] or self._ends(text, index, silence, self._length, self._starts[0])):
                self.close()
        self._add(pieces, begin, len(pieces.texts))

    def _add(self, pieces: _Pieces, begin: int, end: int) -> None:
        """Add tokens to the passage."""
        if begin == end:
            return
        text = pieces.stream
        said = "".join(pieces.texts[begin:end])
        shift = self._length - pieces.at[begin]
        if not self._length:
            self._speaker = text.speaker[begin]
            if text.blank[begin]:
                said = said[1:]
                shift -= 1
        places = array("q", [place + shift for place in pieces.at[begin:end]])
        if not self._length:
            places[0] = 0
        self._at.extend(places)
        self._said.append(said)
        self._length += len(said)
        self._starts.extend(text.start[begin:end])
        self._finishes.extend(text.end[begin:end])

    def close(self) -> None:
        """End the passage, if there is one."""
        if self._length:
            self.passages.append(Passage("".join(self._said), self._speaker, self._at, self._starts, self._finishes))
            self._begin()


def _runs(transcript: Transcript) -> Iterator[Iterator[Stream]]:
    """Yield what one track says until another one goes on, as streams; the times of two tracks may overlap."""
    shown = (segment for segment in transcript.segments if not segment.left_out)
    for _, run in groupby(shown, key=lambda segment: segment.track):
        said = replace(transcript, segments=tuple(run))
        yield streams(said, line=_NO_LINE, wide=True, audio_end=max(0, int(transcript.duration * 1000)))


def _are_labelled(transcript: Transcript, speakers: Iterable[str]) -> bool:
    """Return whether passages begin with their speaker: in a session, and where more than one speaker has a name."""
    return any(segment.track for segment in transcript.segments) or len({*speakers} - {""}) > 1
