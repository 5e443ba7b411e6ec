"""The whole text of a transcript as columns, a row per token: what captions and paragraphs are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from watcher.cues.align import align
from watcher.cues.breaks import SENTENCE, costs
from watcher.cues.text import clean, joint, width
from watcher.cues.tokens import tokens
from watcher.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Stream:
    """Columns of equal length; times in whole milliseconds, never falling."""

    text: list[str]
    #: Units of the token, and of the blank before it (0 or 1).
    width: list[int]
    blank: list[int]
    start: list[int]
    end: list[int]
    #: Price of a break before the token; `watcher.cues.breaks.SENTENCE` where a sentence begins.
    cost: list[int]
    #: Who speaks ("" unknown), and whether another speaker begins here.
    speaker: list[str]
    turn: list[bool]

    def line(self, begin: int, end: int) -> str:
        """Return the tokens from `begin` to before `end` as one line."""
        return self.text[begin] + "".join(
            (" " if self.blank[index] else "") + self.text[index] for index in range(begin + 1, end)
        )


def stream(transcript: Transcript, *, line: int, wide: bool, audio_end: int) -> Stream:
    """Return what is to be shown of a transcript: what the guard left out, and what cleaning leaves empty, is not in it.

    No token is wider than `line` units; `wide` is how they are counted; `audio_end` in milliseconds, 0 when unknown.
    """
    kept = [
        (segment, text) for segment in transcript.segments if not segment.left_out and (text := clean(segment.text))
    ]
    cuts = [tokens(text, line=line, wide=wide) for _, text in kept]
    texts = [[text for text, _ in group] for group in cuts]
    widths = [[width(text, wide=wide) for text in group] for group in texts]
    times = align([segment for segment, _ in kept], texts, widths, audio_end)
    speakers = [clean(speaker) for speaker in times.speaker]
    cost = costs(cuts, times.begins_word, transcript.language)
    turn = [False] * len(cost)
    for index, (before, after) in enumerate(pairwise(speakers), 1):
        if before != after:
            turn[index] = True
            cost[index] = SENTENCE
    return Stream(
        text=[text for group in texts for text in group],
        width=[units for group in widths for units in group],
        blank=_blanks(cuts),
        start=times.start,
        end=times.end,
        cost=cost,
        speaker=speakers,
        turn=turn,
    )


def _blanks(cuts: Sequence[Sequence[tuple[str, bool]]]) -> list[int]:
    blanks: list[int] = []
    before = ""
    for group in cuts:
        for index, (text, blank) in enumerate(group):
            blanks.append(int(blank) if index else len(joint(before, text)))
            before = text
    return blanks
