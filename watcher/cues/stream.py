"""The text of a transcript as columns, with a row per token; captions and paragraphs are made from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from watcher.cues.align import align, milliseconds
from watcher.cues.breaks import SENTENCE, costs, grammar_of
from watcher.cues.joint import joint
from watcher.cues.language import Grammar
from watcher.cues.stretches import TokenGroup, stretches
from watcher.cues.text import clean, widths
from watcher.transcript import Transcript


@dataclass(frozen=True, slots=True)
class NextToken:
    """The token after the last one of a stream."""

    #: Its start, in milliseconds.
    start: int
    #: Cost of a break before it.
    cost: int


@dataclass(frozen=True, slots=True)
class Stream:
    """Columns of equal length; times in whole milliseconds, never decreasing."""

    text: list[str]
    #: Units of the token, and of the blank before it (0 or 1).
    width: list[int]
    blank: list[int]
    start: list[int]
    end: list[int]
    #: Cost of a break before the token; `watcher.cues.breaks.SENTENCE` if a sentence begins.
    cost: list[int]
    #: The speaker ("" unknown), and whether another speaker begins here.
    speaker: list[str]
    turn: list[bool]
    #: Milliseconds at which the token is spoken: its start, unless another track speaks at the same time (`watcher.cues.overlaps`).
    spoken: list[int]
    #: None at the end of the text.
    next_token: NextToken | None = None

    def line(self, begin: int, end: int) -> str:
        """Return the tokens from `begin` to before `end` as one line."""
        return self.text[begin] + "".join(
            (" " if self.blank[index] else "") + self.text[index] for index in range(begin + 1, end)
        )


def streams(transcript: Transcript, *, line: int, wide: bool, audio_end: int) -> Iterator[Stream]:
    """Yield the tokens of a transcript that are shown, one stretch at a time (`watcher.cues.stretches`).

    No token is wider than `line` units; `wide`: how units are counted; `audio_end` in milliseconds, 0 if unknown.
    """
    spoken: Grammar | None = None
    before: Stream | None = None
    for groups, behind in stretches(transcript, line=line, wide=wide):
        spoken = spoken or grammar_of([text for group in groups for text, _ in group.tokens], transcript.language)
        before = _columns(groups, behind, before, spoken, wide=wide, audio_end=audio_end)
        yield before


def _columns(
    groups: Sequence[TokenGroup],
    behind: TokenGroup | None,
    before: Stream | None,
    spoken: Grammar,
    *,
    wide: bool,
    audio_end: int,
) -> Stream:
    """Return the columns of a stretch; `before` is the stream of the one before it, `behind` the group that follows."""
    texts = [[text for text, _ in group.tokens] for group in groups]
    units = [widths(group, wide=wide) for group in texts]
    since = before.end[-1] if before else 0
    until = milliseconds(behind.begin) if behind else None
    times = align([group.segment for group in groups], texts, units, audio_end, since=since, until=until)
    names = {speaker: clean(speaker) for speaker in set(times.speaker)}
    speakers = [names[speaker] for speaker in times.speaker]
    # A token before the stretch and one behind it, where there are such: what lies between them and it depends on both.
    framed = [group.tokens for group in groups]
    begins_word = times.begins_word
    if before:
        framed, begins_word, speakers = (
            [[(before.text[-1], False)], *framed],
            [False, *begins_word],
            [before.speaker[-1], *speakers],
        )
    if behind:
        framed.append(behind.tokens[:1])
        begins_word.append(False)
        speakers.append(clean(behind.speaker))
    turn = [False, *(one != other for one, other in pairwise(speakers))]
    cost = [SENTENCE if turns else cost for turns, cost in zip(turn, costs(framed, begins_word, spoken), strict=True)]
    first = 1 if before else 0
    rows = slice(first, first + len(times.start))
    return Stream(
        text=list(chain.from_iterable(texts)),
        width=list(chain.from_iterable(units)),
        blank=_blanks(groups, before.text[-1] if before else ""),
        start=times.start,
        end=times.end,
        cost=cost[rows],
        speaker=speakers[rows],
        turn=turn[rows],
        spoken=times.start,
        next_token=NextToken(max(times.end[-1], until or 0), cost[-1]) if behind else None,
    )


def _blanks(groups: Sequence[TokenGroup], before: str) -> list[int]:
    """Return the blank before each token; `before`: the last token before them, "" at the beginning."""
    blanks: list[int] = []
    for group in groups:
        if not group.tokens:
            continue
        first, blank = group.tokens[0]
        blanks.append(int(blank) if group.glued else len(joint(before, first)))
        blanks.extend(int(blank) for _, blank in group.tokens[1:])
        before = group.tokens[-1][0]
    return blanks
