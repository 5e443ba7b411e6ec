"""Check captions against the rules; the layout and `lint` both use this check."""

from collections.abc import Iterator, Sequence

from watcher.cues.rules import CaptionLimits
from watcher.cues.text import width
from watcher.cues.values import BrokenRule, Cue


def check(  # noqa: C901 -- one look per rule
    cues: Sequence[Cue], limits: CaptionLimits, *, audio_end: int = 0
) -> Iterator[BrokenRule]:
    """Yield broken rules, in the order of the captions; `audio_end` in milliseconds, 0 if unknown."""
    previous = 0
    for index, cue in enumerate(cues):
        start, end = round(cue.start * 1000), round(cue.end * 1000)
        widths = [width(line, wide=limits.wide) for line in cue.lines]
        units = sum(widths)
        if max(widths, default=0) > limits.line:
            yield BrokenRule("max_chars", index, max(widths) / limits.scale, limits.line / limits.scale)
        if len(cue.lines) > limits.lines:
            yield BrokenRule("max_lines", index, len(cue.lines), limits.lines)
        if end <= start:
            yield BrokenRule("order", index, end / 1000, start / 1000)
        else:
            if end - start < limits.shortest:
                yield BrokenRule("min_seconds", index, (end - start) / 1000, limits.shortest / 1000)
            if end - start > limits.longest:
                yield BrokenRule("max_seconds", index, (end - start) / 1000, limits.longest / 1000)
            if units * 1000 > limits.speed * (end - start) + 1e-6:
                speed = units * 1000 / (end - start) / limits.scale
                yield BrokenRule("max_chars_per_second", index, speed, limits.speed / limits.scale)
        if index and start < previous:
            yield BrokenRule("overlap", index, start / 1000, previous / 1000)
        elif index and start - previous < limits.gap:
            yield BrokenRule("gap_seconds", index, (start - previous) / 1000, limits.gap / 1000)
        if start < 0 or (audio_end and end > audio_end):
            yield BrokenRule("outside", index, end / 1000, audio_end / 1000)
        previous = max(previous, end) if index else end
