"""Make captions from a transcript."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from watcher.cues.check import check
from watcher.cues.marks import SpeakerMarks
from watcher.cues.optimum import CaptionBreaks, cut
from watcher.cues.overlaps import ordered_streams
from watcher.cues.rules import CaptionLimits, CaptionRules
from watcher.cues.stream import Stream
from watcher.cues.text import clean, width
from watcher.cues.timing import place
from watcher.cues.values import BrokenRule, Cue, Layout
from watcher.transcript import Transcript


def layout(
    transcript: Transcript, rules: CaptionRules, *, duration: float, alive: Callable[[], None] = lambda: None
) -> Layout:
    """Lay a transcript out as captions that keep the rules, as far as its text and times allow.

    `duration`: the audio's length in seconds (0: unknown); `alive` is called regularly meanwhile. Segments that the guard left out
    are not shown; of the others, every word is shown, in order. A transcript without times has no captions, because their times would
    be invented. Any text and any times are accepted; nothing is raised.
    """
    if not transcript.timed:
        return Layout()
    shown = " ".join(clean(segment.text) for segment in transcript.segments if not segment.left_out)
    limits = rules.limits(shown, transcript.language)
    audio_end = max(0, int(duration * 1000))
    lines: list[tuple[str, ...]] = []
    speakers: list[str] = []
    spoken: list[tuple[int, int]] = []
    tokens: list[tuple[array[int], ...]] = []
    free = 0
    marks = SpeakerMarks(rules.speakers, line=limits.line, wide=limits.wide)
    room = limits.line - max((marks.units(name, dialogue=False) for name in _names(transcript)), default=0)
    for text in ordered_streams(transcript, line=room, wide=limits.wide, audio_end=audio_end):
        captions = cut(text, limits, audio_end, free=free, marks=marks, alive=alive)
        free = captions[-1].free
        for caption in captions:
            begins = _marks(text, caption, marks)
            lines.append(_lines(text, caption, begins))
            tokens.append(tuple(_tokens(text, caption, begins)))
        speakers += ("" if caption.dialogue else text.speaker[caption.lines[0]] for caption in captions)
        spoken += ((text.start[caption.lines[0]], text.end[caption.end - 1]) for caption in captions)
    units = [sum(width(line, wide=limits.wide) for line in group) for group in lines]
    cues = tuple(
        Cue(start / 1000, end / 1000, group, speaker, words)
        for (start, end), group, speaker, words in zip(
            place(spoken, units, limits, audio_end), lines, speakers, tokens, strict=True
        )
    )
    return Layout(cues, tuple(_explained(check(cues, limits, audio_end=audio_end), spoken, units, limits, audio_end)))


def _names(transcript: Transcript) -> set[str]:
    """Return the names of all speakers, as captions show them."""
    names = {segment.speaker for segment in transcript.segments}
    return set(map(clean, names.union(word.speaker for segment in transcript.segments for word in segment.words)))


def _marks(text: Stream, caption: CaptionBreaks, marks: SpeakerMarks) -> list[str]:
    """Return what each line of a caption begins with."""
    return [
        marks.mark(text.speaker[begin], dialogue=caption.dialogue) if caption.dialogue or not number else ""
        for number, begin in enumerate(caption.lines)
    ]


def _lines(text: Stream, caption: CaptionBreaks, begins: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        mark + text.line(begin, end)
        for mark, (begin, end) in zip(begins, pairwise((*caption.lines, caption.end)), strict=True)
    )


def _tokens(text: Stream, caption: CaptionBreaks, begins: Sequence[str]) -> "Iterator[array[int]]":
    """Yield place and start of the tokens of each line (`Cue.tokens`); a line's mark belongs to its first token."""
    for mark, (begin, end) in zip(begins, pairwise((*caption.lines, caption.end)), strict=True):
        places = array("q", [0, text.spoken[begin]])
        place = len(mark) + len(text.text[begin])
        for index in range(begin + 1, end):
            place += text.blank[index]
            places.extend((place, text.spoken[index]))
            place += len(text.text[index])
        yield places


def _explained(
    broken: Iterator[BrokenRule],
    spoken: Sequence[tuple[int, int]],
    units: Sequence[int],
    limits: CaptionLimits,
    audio_end: int,
) -> Iterator[BrokenRule]:
    """Yield each broken rule with the reason why the words did not allow to keep it."""
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
