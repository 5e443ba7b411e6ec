"""One transcript of the tracks of a session: what each speaker says between two pauses stays whole, in order of time."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from watcher.join import main_language, move_to_sound
from watcher.join.bleed import TrackWords, find_bleed
from watcher.join.tokens import divided, segment_tokens
from watcher.loudness import UNMEASURED, Loudness
from watcher.transcript import PieceTranscript, Segment, Transcript, Word

#: An utterance ends at a pause of this length (seconds) ...
_PAUSE: Final = 0.5
#: ... or, once it has lasted this long, at the end of a sentence or of a segment: servers that time only segments show no pauses.
_LONG: Final = 20.0
_STOPS: Final = frozenset(".!?…。！？؟۔।")  # noqa: RUF001 -- punctuation of many scripts
_CLOSERS: Final = "\"'»”’)]」』）"  # noqa: RUF001 -- the same
#: Seconds that no session has.
_NEVER: Final = 1e9


@dataclass(frozen=True, slots=True)
class TrackTranscript:
    """What was said in one track of a session; the guard has reviewed it.

    Raises ValueError for an offset before the session's zero.
    """

    #: Times are seconds from the track's own start, as the server gave them.
    transcript: Transcript
    speaker: str
    #: Name of the stem, channel or stream.
    track: str
    #: Start of the track, in seconds from the session's zero.
    offset: float
    loudness: Loudness

    def __post_init__(self) -> None:
        """Refuse an offset that places words before the session's zero."""
        if not 0 <= self.offset < _NEVER:
            raise ValueError(f"offset = {self.offset:g} is out of range: 0 to {_NEVER:g}")


@dataclass(frozen=True, slots=True)
class MergedTracks:
    """The transcript of a session, and what was left out of it."""

    #: Its segments are ordered by utterance: those of different tracks may overlap in time.
    transcript: Transcript
    #: For each track, in the given order, how many of its words were the bleed of another track's.
    bleed: tuple[int, ...]
    #: Bleed was looked for between all tracks.
    compared: bool = True


def merge(tracks: Sequence[TrackTranscript], *, alive: Callable[[], None] = lambda: None) -> MergedTracks:
    """Make one transcript of the tracks of a session.

    The words of each track are moved to their sound, then by its offset, and its speaker and name are put on its segments and words. Utterances (see `_PAUSE`, `_LONG`)
    stay whole and are ordered by their start, then by track; the text of an untimed track is one utterance. A segment is divided only
    where another track's utterance comes between its words. Bleed is left out (see `find_bleed`); it is found by the times of
    the server, since a quiet word beside a louder one may be moved to that one's sound. Segments that the guard left out stay in their
    place.

    The language is the one that is spoken longest; it is `timed` when every track with text is. `alive` is called for each track, and
    for each two of them. The time is linear in the words of each track, and grows with the square of the number of tracks, up to a limit.
    """
    said = []
    for track in tracks:
        alive()
        said.append(_PlacedTrack(track).words())
    dropped, compared = find_bleed(said, alive=alive)
    bleed = (
        sum(drop and bool(token.key) for drop, token in zip(drops, words.tokens, strict=True))
        for drops, words in zip(dropped, said, strict=True)
    )
    placed = []
    for track, drops in zip(tracks, dropped, strict=True):
        alive()
        moved = move_to_sound(track.transcript, track.loudness)
        placed.append(_PlacedTrack(replace(track, transcript=moved), drops))
    spoken = [
        PieceTranscript(track.offset, track.offset + max(0.0, track.transcript.duration), track.transcript)
        for track in tracks
    ]
    transcript = Transcript(
        segments=tuple(_in_order(placed)),
        language=main_language(spoken),
        duration=max((track.end for track in spoken), default=0.0),
        timed=all(track.transcript.timed for track in tracks if track.transcript.text),
    )
    return MergedTracks(transcript, tuple(bleed), compared)


@dataclass(slots=True)
class _Stretch:
    """Tokens of a segment, by their numbers in the track; none of a segment that the guard left out."""

    segment: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class _Utterance:
    """What one speaker says between two pauses; in a track, `start` never goes back."""

    start: float
    stretches: list[_Stretch]


class _PlacedTrack:
    """A track at its place in the session: its segments, the tokens of each, and its utterances without those that are dropped (1)."""

    def __init__(self, track: TrackTranscript, dropped: Sequence[int] = ()) -> None:
        self._track = track
        self.segments = list(_placed(track))
        self.tokens = [[] if segment.left_out else segment_tokens(segment) for segment in self.segments]
        #: Number of each segment's first token in the track.
        self.firsts = [0, *accumulate(map(len, self.tokens))]
        if track.transcript.timed:
            self.utterances = self._utterances(dropped or bytes(self.firsts[-1]))
        else:
            self.utterances = [
                _Utterance(
                    track.offset,
                    [_Stretch(index, low, high) for index, (low, high) in enumerate(pairwise(self.firsts))],
                )
            ]

    def words(self) -> TrackWords:
        """Return its words, for the search of bleed."""
        return TrackWords(
            [token for group in self.tokens for token in group],
            [(one.stretches[0].low, one.stretches[-1].high) for one in self.utterances if one.stretches],
            self._track.loudness if self._track.transcript.timed else UNMEASURED,
            self._track.offset,
        )

    def _utterances(self, dropped: Sequence[int]) -> list[_Utterance]:
        found: list[_Utterance] = []
        start, end = 0.0, -math.inf
        for index, (segment, group) in enumerate(zip(self.segments, self.tokens, strict=True)):
            if not group:
                start, end = max(start, segment.start), -math.inf
                found.append(_Utterance(start, [_Stretch(index, self.firsts[index], self.firsts[index])]))
                continue
            may_end = True
            for number, token in enumerate(group, self.firsts[index]):
                if dropped[number]:
                    continue
                if token.start - end >= _PAUSE or (may_end and token.start - found[-1].start >= _LONG):
                    start = max(start, token.start)
                    found.append(_Utterance(start, []))
                stretches = found[-1].stretches
                if stretches and stretches[-1].segment == index and stretches[-1].high == number:
                    stretches[-1].high = number + 1
                else:
                    stretches.append(_Stretch(index, number, number + 1))
                end = max(end, token.end)
                may_end = segment.text[token.first : token.behind].rstrip(_CLOSERS)[-1:] in _STOPS
        return found


def _placed(track: TrackTranscript) -> Iterator[Segment]:
    """Yield the track's segments with text in the session's time, with its speaker and name. Starts never go back."""
    floor = said = 0.0
    for segment in track.transcript.segments:
        if not segment.text.strip():
            continue
        floor = _moved(segment.start, track.offset, floor)
        words = []
        for word in segment.words:
            said = _moved(word.start, track.offset, said)
            end = _moved(word.end, track.offset, said)
            words.append(Word(word.text, said, end, track.speaker, track.track))
        yield replace(
            segment,
            start=floor,
            end=_moved(segment.end, track.offset, floor),
            words=tuple(words),
            speaker=track.speaker,
            track=track.track,
        )


def _moved(seconds: float, offset: float, floor: float) -> float:
    """Return a time of a track in the session, not before `floor`, which also replaces what is no number."""
    return min(max(floor, seconds + offset), _NEVER)


def _in_order(tracks: Sequence[_PlacedTrack]) -> Iterator[Segment]:
    """Yield the segments of all utterances in order; a segment is divided only where it has to be."""
    order = sorted(
        ((utterance.start, number, utterance) for number, track in enumerate(tracks) for utterance in track.utterances),
        key=lambda one: one[:2],
    )
    kept: list[tuple[int, _Stretch]] = []
    for _, number, utterance in order:
        for part in utterance.stretches:
            last_number, last = kept[-1] if kept else (-1, part)
            if last_number == number and last.segment == part.segment and last.high == part.low:
                last.high = part.high
            else:
                kept.append((number, part))
    borders: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for number, part in kept:
        borders[number, part.segment] |= {part.low, part.high}
    parts: dict[tuple[int, int], dict[int, Segment]] = {}
    for number, part in kept:
        at = (number, part.segment)
        if at not in parts:
            parts[at] = _divided(tracks[number], part.segment, borders[at])
        yield parts[at][part.low]


def _divided(track: _PlacedTrack, segment: int, borders: Iterable[int]) -> dict[int, Segment]:
    """Return the parts of a segment between borders, by the number of their first token."""
    first, behind = track.firsts[segment], track.firsts[segment + 1]
    inner = sorted(border for border in borders if first < border < behind)
    parts = divided(track.segments[segment], track.tokens[segment], [border - first for border in inner])
    return dict(zip([first, *inner], parts, strict=True))
