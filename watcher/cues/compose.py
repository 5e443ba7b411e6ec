"""The straight line from a transcript to its captions."""

from watcher.cues.align import align
from watcher.cues.breaks import costs
from watcher.cues.check import check
from watcher.cues.optimum import PAUSE_BREAK, Stream, cut
from watcher.cues.pieces import pieces
from watcher.cues.rules import Limits, Rules
from watcher.cues.text import clean, width
from watcher.cues.timing import place
from watcher.cues.values import Cue, Layout
from watcher.transcript import Segment, Transcript


def layout(transcript: Transcript, rules: Rules, *, duration: float) -> Layout:
    """Lay a transcript out as captions that keep the rules, wherever its text and times allow.

    `duration` is the audio's length in seconds (0: unknown). Segments that the guard left out are not shown; of the
    others every word is, in order. A transcript without times yields no captions: there would be nothing true in them.
    Any text and any times are taken, however broken; nothing is raised.
    """
    if not transcript.timed:
        return Layout()
    kept = [
        (segment, text) for segment in transcript.segments if not segment.left_out and (text := clean(segment.text))
    ]
    limits = rules.limits(" ".join(text for _, text in kept), transcript.language)
    audio_end = max(0, round(duration * 1000))
    stream, speakers = _stream(kept, limits, transcript.language, audio_end)
    captions = cut(stream, limits, audio_end)
    lines = [
        tuple(_line(stream, begin, end) for begin, end in zip(caption, caption[1:], strict=False))
        for caption in captions
    ]
    units = [sum(width(line, wide=limits.wide) for line in group) for group in lines]
    spoken = [(stream.start[caption[0]], stream.end[caption[-1] - 1]) for caption in captions]
    cues = tuple(
        Cue(start / 1000, end / 1000, group, speakers[caption[0]])
        for (start, end), group, caption in zip(place(spoken, units, limits, audio_end), lines, captions, strict=True)
    )
    return Layout(cues, tuple(check(cues, limits, audio_end=audio_end)))


def _stream(kept: list[tuple[Segment, str]], limits: Limits, language: str, audio_end: int) -> tuple[Stream, list[str]]:
    segments = [segment for segment, _ in kept]
    cuts = [pieces(text, line=limits.line, wide=limits.wide) for _, text in kept]
    texts = [[text for text, _ in group] for group in cuts]
    widths = [[width(text, wide=limits.wide) for text in group] for group in texts]
    times = align(segments, texts, widths, audio_end)
    flat = [(text, blank or index == 0) for group in cuts for index, (text, blank) in enumerate(group)]
    forced = [
        index > 0
        and (
            times.start[index] - times.end[index - 1] >= PAUSE_BREAK or times.speaker[index] != times.speaker[index - 1]
        )
        for index in range(len(flat))
    ]
    stream = Stream(
        text=[text for text, _ in flat],
        width=[units for group in widths for units in group],
        blank=[int(blank and index > 0) for index, (_, blank) in enumerate(flat)],
        start=times.start,
        end=times.end,
        cost=costs(flat, language),
        forced=forced,
    )
    return stream, times.speaker


def _line(stream: Stream, begin: int, end: int) -> str:
    return "".join(
        (" " if stream.blank[index] and index > begin else "") + stream.text[index] for index in range(begin, end)
    )
