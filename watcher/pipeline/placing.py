"""Place the tracks of a recording: whose they are, and when they begin, by the settings."""

from dataclasses import replace

from watcher.job import SessionOptions
from watcher.pipeline.heard import TrackResult, TranscriptionResult
from watcher.sessions import track_names, track_offsets


def placed(heard: TranscriptionResult, options: SessionOptions) -> TranscriptionResult:
    """Return the result with the speakers' names and the offsets of the settings, if it has channels or streams as tracks.

    So a change of the settings counts whenever outputs are made of stored answers.
    """
    numbers = [one.part.number for one in heard.tracks]
    if not numbers or not all(numbers):
        return heard
    titles = [""] * max(numbers)
    for one in heard.tracks:
        titles[one.part.number - 1] = one.part.track
    names = track_names(len(titles), titles, None, options.speakers)
    starts = track_offsets(numbers, titles, options.offsets)
    tracks = tuple(
        TrackResult(replace(one.part, speaker=names[one.part.number - 1], offset=start), one.heard)
        for one, start in zip(heard.tracks, starts, strict=True)
    )
    seconds = max(one.part.offset + one.heard.content.seconds for one in tracks)
    return replace(heard, tracks=tracks, content=replace(heard.content, seconds=max(seconds, heard.content.seconds)))
