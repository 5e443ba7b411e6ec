"""The straight line from a transcript to its captions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from watcher.cues.align import align
from watcher.cues.breaks import SENTENCE, costs
from watcher.cues.check import check
from watcher.cues.optimum import Caption, Stream, cut
from watcher.cues.pieces import pieces
from watcher.cues.rules import Limits, Rules
from watcher.cues.text import clean, joint, width
from watcher.cues.timing import place
from watcher.cues.values import Broken, Cue, Layout
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
    audio_end = max(0, int(duration * 1000))
    stream, speakers = _stream(kept, limits, transcript.language, audio_end)
    captions = cut(stream, limits, audio_end)
    lines = [_lines(stream, caption) for caption in captions]
    units = [sum(width(line, wide=limits.wide) for line in group) for group in lines]
    spoken = [(stream.start[caption.lines[0]], stream.end[caption.end - 1]) for caption in captions]
    times = place(spoken, units, limits, audio_end)
    cues = tuple(
        Cue(start / 1000, end / 1000, group, "" if caption.dialogue else speakers[caption.lines[0]])
        for (start, end), group, caption in zip(times, lines, captions, strict=True)
    )
    return Layout(cues, tuple(_explained(check(cues, limits, audio_end=audio_end), spoken, units, limits, audio_end)))


def _stream(
    kept: Sequence[tuple[Segment, str]], limits: Limits, language: str, audio_end: int
) -> tuple[Stream, list[str]]:
    """Return the text as columns, and who speaks each piece."""
    cuts = [pieces(text, line=limits.line, wide=limits.wide) for _, text in kept]
    texts = [[text for text, _ in group] for group in cuts]
    widths = [[width(text, wide=limits.wide) for text in group] for group in texts]
    times = align([segment for segment, _ in kept], texts, widths, audio_end)
    speakers = [clean(speaker) for speaker in times.speaker]
    cost = costs(cuts, times.begins_word, language)
    turn = [False] * len(cost)
    for index, (before, after) in enumerate(pairwise(speakers), 1):
        if before != after:
            turn[index] = True
            cost[index] = SENTENCE
    stream = Stream(
        text=[text for group in texts for text in group],
        width=[units for group in widths for units in group],
        blank=_blanks(cuts),
        start=times.start,
        end=times.end,
        cost=cost,
        turn=turn,
    )
    return stream, speakers


def _blanks(cuts: Sequence[Sequence[tuple[str, bool]]]) -> list[int]:
    blanks: list[int] = []
    before = ""
    for group in cuts:
        for index, (text, blank) in enumerate(group):
            blanks.append(int(blank) if index else len(joint(before, text)))
            before = text
    return blanks


def _lines(stream: Stream, caption: Caption) -> tuple[str, ...]:
    dash = "- " if caption.dialogue else ""
    return tuple(
        dash
        + stream.text[begin]
        + "".join((" " if stream.blank[index] else "") + stream.text[index] for index in range(begin + 1, end))
        for begin, end in pairwise((*caption.lines, caption.end))
    )


def _explained(
    broken: Iterator[Broken], spoken: Sequence[tuple[int, int]], units: Sequence[int], limits: Limits, audio_end: int
) -> Iterator[Broken]:
    """Say of each broken rule what the words left no room for."""
    for fault in broken:
        start = spoken[fault.cue][0]
        last = fault.cue + 1 == len(spoken)
        until = (audio_end or spoken[fault.cue][1]) if last else spoken[fault.cue + 1][0]
        what = "the audio ends" if last else "the next words begin"
        room = f"{what} {max(0, until - start) / 1000:.3f} s after these"
        if fault.rule == "max_chars_per_second":
            yield replace(fault, reason=f"{units[fault.cue] / limits.scale:g} characters to read, and {room}")
        else:
            yield replace(fault, reason=room)
