"""A part's segments, moved to their place in the recording."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

from watcher.transcript import PieceTranscript, Segment, Word


def place_segments(part: PieceTranscript, names: Mapping[str, str], duration: float) -> list[Segment]:
    """Return the part's segments with text at their place in the recording (of `duration` seconds), in order of time.

    `names`: the speakers' names in the recording, by their names in the part.
    """
    end = min(part.end, duration)
    start = min(part.start, end)
    segments = [segment for segment in part.transcript.segments if segment.text.strip()]
    if not part.transcript.timed:
        return [
            replace(segment, start=start, end=end, words=(), speaker=names.get(segment.speaker, ""))
            for segment in segments
        ]
    starts = _ascending([min(max(part.start + segment.start, start), end) for segment in segments])
    words = [word for segment in segments for word in segment.words]
    said = iter(_ascending([min(max(part.start + word.start, start), end) for word in words]))
    return [
        replace(
            segment,
            start=begin,
            end=min(max(part.start + segment.end, begin), end),
            speaker=names.get(segment.speaker, ""),
            words=tuple(
                # Without `replace`, which takes nine times as long: a recording may have 100,000 words.
                Word(
                    word.text,
                    at := next(said),
                    min(max(part.start + word.end, at), end),
                    names.get(word.speaker, ""),
                    word.track,
                )
                for word in segment.words
            ),
        )
        for segment, begin in zip(segments, starts, strict=True)
    ]


def _ascending(times: Sequence[float]) -> list[float]:
    """Return the times without steps back: as few times as possible are moved, each between its neighbours."""
    # The longest ascending subsequence, by patience sorting: ends[n] is the smallest last time of one of n + 1.
    ends: list[float] = []
    lengths = []
    for time in times:
        place = bisect_right(ends, time)
        ends[place : place + 1] = [time]
        lengths.append(place)
    result = list(times)
    wanted, ceiling = len(ends) - 1, math.inf
    good = [False] * len(times)
    for index in reversed(range(len(times))):
        if lengths[index] == wanted and times[index] <= ceiling:
            good[index], ceiling, wanted = True, times[index], wanted - 1
    floor = ceiling
    for index, time in enumerate(times):
        floor = result[index] = time if good[index] else floor
    return result


def clamp_at_border(ahead: list[Segment], behind: list[Segment]) -> None:
    """Clamp times in place, so that the earlier part ends where the later one begins, at the latest."""
    last, first = ahead[-1], behind[0]
    begins = min([first.start, *(word.start for word in first.words[:1])])
    moment = max([last.start, begins, *(word.start for word in last.words[-1:])])
    ahead[:] = [_clamped(segment, 0.0, moment) for segment in ahead]
    behind[:] = [_clamped(segment, moment, math.inf) for segment in behind]


def _clamped(segment: Segment, low: float, high: float) -> Segment:
    if (
        segment.start >= low
        and segment.end <= high
        and all(low <= word.start and word.end <= high for word in segment.words)
    ):
        return segment
    return replace(
        segment,
        start=min(max(segment.start, low), high),
        end=min(max(segment.end, low), high),
        words=tuple(
            replace(word, start=min(max(word.start, low), high), end=min(max(word.end, low), high))
            for word in segment.words
        ),
    )
