"""Put what the speakers of a session say into one order for captions, also where they speak at once.

Each track is aligned with its own words. Then its tokens are divided into chunks that fit on a line, at pauses and where a line may
break, and the chunks of all tracks are ordered by their start. So where two speak at once, lines of both follow each other and share
a caption as a dialogue; a short "yes" comes after the line during which it is said; and where one speaks alone, nothing is changed.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from watcher.cues.breaks import SENTENCE
from watcher.cues.optimum import PAUSE_BREAK
from watcher.cues.stream import NextToken, Stream, streams
from watcher.cues.stretches import MOST_TOKENS
from watcher.transcript import Segment, Transcript

#: A pause that ends a chunk (milliseconds).
_PAUSE: Final = 500
#: Units of the mark before a line of a dialogue, where it is no name.
_DASH: Final = 2


def ordered_streams(transcript: Transcript, *, line: int, wide: bool, audio_end: int) -> Iterator[Stream]:
    """Yield the tokens of a transcript as `streams` does, in an order of time in which several tracks may speak at once."""
    tracks: dict[str, list[Segment]] = {}
    for segment in transcript.segments:
        tracks.setdefault(segment.track, []).append(segment)
    if len(tracks) < 2:  # noqa: PLR2004 - one track
        yield from streams(transcript, line=line, wide=wide, audio_end=audio_end)
        return
    chunks = [
        _chunks(
            streams(replace(transcript, segments=tuple(segments)), line=line, wide=wide, audio_end=audio_end),
            number,
            line - _DASH,
        )
        for number, segments in enumerate(tracks.values())
    ]
    yield from _joined(heapq.merge(*chunks, key=lambda chunk: (chunk.start, chunk.track)))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Successive tokens of a track: from `begin` to before `end` of a stream."""

    start: int
    track: int
    stream: Stream
    begin: int
    end: int


def _chunks(found: Iterator[Stream], track: int, line: int) -> Iterator[_Chunk]:
    """Yield the chunks of a track, in order."""
    for stream in found:
        begin = units = 0
        for at in range(len(stream.text)):
            while begin < at and (border := _border(stream, begin, at, units, line)):
                yield _Chunk(stream.start[begin], track, stream, begin, border)
                units -= sum(stream.width[begin:border]) + sum(stream.blank[begin:border])
                begin = border
            units += stream.width[at] + stream.blank[at]
        if begin < len(stream.text):
            yield _Chunk(stream.start[begin], track, stream, begin, len(stream.text))


def _border(stream: Stream, begin: int, at: int, units: int, line: int) -> int:
    """Return where a chunk ends whose tokens up to before `at` have so many units; 0 if it goes on."""
    if stream.start[at] - stream.end[at - 1] >= _PAUSE or (stream.cost[at] == SENTENCE and 3 * units >= line):
        return at
    if units + stream.blank[at] + stream.width[at] <= line:
        return 0
    # The best place in the second half, and of places that are equally good the last one.
    half = (begin + at) // 2 + 1
    return min(range(max(half, begin + 1), at + 1), key=lambda place: (stream.cost[place], -place))


def _joined(chunks: Iterator[_Chunk]) -> Iterator[Stream]:
    """Yield the chunks as streams, each of about as many tokens as a stretch may have."""
    held: list[_Chunk] = []
    count = 0
    for chunk in chunks:
        if held and _ends_stretch(held[-1], chunk, count):
            yield _stream(held, chunk)
            held, count = [], 0
        held.append(chunk)
        count += chunk.end - chunk.begin
    if held:
        yield _stream(held, None)


def _ends_stretch(last: _Chunk, following: _Chunk, count: int) -> bool:
    # No caption spans such a silence.
    silence = following.start - last.stream.end[last.end - 1]
    return count >= MOST_TOKENS or (2 * count >= MOST_TOKENS and silence >= PAUSE_BREAK)


def _stream(chunks: Sequence[_Chunk], behind: _Chunk | None) -> Stream:
    """Return the columns of successive chunks; the words of each end where the next one begins, at the latest."""
    stream = Stream([], [], [], [], [], [], [], [], [])
    end = 0
    before = chunks[0]
    for chunk, following in zip(chunks, [*chunks[1:], behind], strict=True):
        own, rows = chunk.stream, slice(chunk.begin, chunk.end)
        latest = following.start if following else max(end, own.end[chunk.end - 1])
        stream.text.extend(own.text[rows])
        stream.width.extend(own.width[rows])
        stream.blank.extend(own.blank[rows])
        stream.speaker.extend(own.speaker[rows])
        stream.start.extend(min(start, latest) for start in own.start[rows])
        stream.end.extend(min(end, latest) for end in own.end[rows])
        stream.spoken.extend(own.spoken[rows])
        turns = chunk.track != before.track
        stream.turn.extend([turns, *[False] * (chunk.end - chunk.begin - 1)])
        stream.cost.extend([SENTENCE if turns else own.cost[chunk.begin], *own.cost[chunk.begin + 1 : chunk.end]])
        # Where several speak at once, the last of their words ends with all of them.
        end = max(end, own.end[chunk.end - 1])
        stream.end[-1] = min(end, latest)
        before = chunk
    if behind is None:
        return stream
    cost = SENTENCE if behind.track != before.track else behind.stream.cost[behind.begin]
    return replace(stream, next_token=NextToken(max(stream.end[-1], behind.start), cost))
