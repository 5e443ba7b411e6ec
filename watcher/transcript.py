"""What was said and when: words, segments, and the transcript of a piece or of a whole recording.

All times are seconds from the start of the recording (or of the piece, before joining).
"""

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from watcher.text import nfkc

#: A token is a written word; where words are not set apart by blanks (Han, Kana, Thai, Lao, Khmer …), a character.
_TOKEN: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    "|[^\\s\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
#: Seconds by which two pieces may time the same word differently: where words are timed, and where only segments are.
_NEAR: Final = 0.5
_NEAR_SEGMENTS: Final = 3.0
#: What begins or ends this close (seconds) to its piece's edge may be half a word, and the other piece has it whole.
_EDGE: Final = 0.15
#: Share of a token's time taken by others from which it counts as said by them.
_COVERED: Final = 0.5
#: Seconds that two names must speak at the same time to be one speaker's: a word.
_TOGETHER: Final = 0.3
#: Words looked at in a stretch that two parts share: far more than can be said in its 2 seconds and what lies around them.
#: Comparing them takes time with the square of their number.
_MOST_SHARED: Final = 200
#: Tokens in a second of quick speech; and how many may be misheard at an untimed border's ragged edges.
_QUICK: Final = 6.0
_RAGGED: Final = 2


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, as the server writes it (whisper-1: without punctuation)."""

    text: str
    start: float
    end: float
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text with its times; a metric the server did not give is None."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    speaker: str = ""
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    no_speech_prob: float | None = None
    #: Signs of phantom text, by the guard: "silence", "no_speech", "phrase", "loop", "echo", "ratio" …
    flags: tuple[str, ...] = ()
    #: The guard's verdict: kept in the json, left out of captions and text.
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole text in order. `timed` is False when the server gave no times at all."""

    segments: tuple[Segment, ...]
    #: ISO-639-1 code, or "" when unknown.
    language: str = ""
    #: Seconds of audio this covers.
    duration: float = 0.0
    timed: bool = True
    #: How sure the server is of the language it detected, from 0 to 1; None where it does not say.
    language_probability: float | None = None
    #: How long the audio is by the answer itself, in seconds: its own duration (some round it up), or where its times end
    #: when some begin behind the length that is known here. 0: it does not say. Evidence about the length, and no part of
    #: what was said, so it does not count when transcripts are compared.
    claimed_seconds: float = field(default=0.0, compare=False)

    @property
    def text(self) -> str:
        """The segments' text, in order, separated by single blanks."""
        return " ".join(part for segment in self.segments if (part := segment.text.strip()))


@dataclass(frozen=True, slots=True)
class Part:
    """A piece's transcript, in its own time, and where the piece lies in the recording (seconds)."""

    start: float
    end: float
    transcript: Transcript
    #: For speakers that the server was told of: their name here, and that in the recording's first part.
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def spoken(self) -> float:
        """Seconds in which something was said: those of the segments with text, or all where the server gave no times."""
        segments = [segment for segment in self.transcript.segments if segment.text.strip()]
        if not self.transcript.timed:
            return self.end - self.start if segments else 0.0
        return sum(max(0.0, segment.end - segment.start) for segment in segments)


def join(parts: Sequence[Part], *, duration: float) -> Transcript:
    """Make one transcript of the parts of a recording of `duration` seconds.

    Each part is moved to its true start. Where two parts overlap, what both heard is kept once: they are joined at a
    word that both have, else at the middle of the overlap; what only one of them has is kept when in doubt, because a
    doubled word is seen and a missing one is not. Times lie within their part and never go back.

    The language is the one that is spoken longest. For speakers see `speakers`. It is `timed` when every part that has text
    is; an untimed part's segments bear the part's bounds.
    """
    ordered = sorted(parts, key=lambda part: (part.start, part.end))
    placed = [_placed(part, names, duration) for part, names in zip(ordered, speakers(ordered), strict=True)]
    spoken = [(part, segments) for part, segments in zip(ordered, placed, strict=True) if segments]
    for (before, ahead), (after, behind) in pairwise(spoken):
        if before.end > after.start:
            timed = before.transcript.timed and after.transcript.timed
            kept, dropped = (_seam if timed else _border)(ahead, behind, after.start, before.end)
            ahead[:], behind[:] = _slice(ahead, 0, kept), _slice(behind, dropped, None)
        if ahead and behind:
            _part_at(ahead, behind)
    return Transcript(
        segments=tuple(segment for _, segments in spoken for segment in segments),
        language=main_language(ordered),
        duration=duration,
        timed=all(part.transcript.timed for part, _ in spoken),
    )


def main_language(parts: Sequence[Part]) -> str:
    """Return the language that is spoken longest, of the parts that have one; "" when none has."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        if part.transcript.language and part.transcript.text:
            seconds[part.transcript.language] += part.spoken
    return max(seconds, key=lambda language: seconds[language], default="")


def speakers(parts: Sequence[Part]) -> list[dict[str, str]]:
    """Return, for each of the parts (in order of time), the names that its speakers have in the recording.

    A server names speakers anew in each part. Two names are one speaker's where the server was told of that speaker
    (`Part.known`), or where they speak at the same time in the stretch that two parts share. The others' names get the
    number of their part ("2-A"), unless all speakers come from the same part.
    """
    found = _identified(parts)
    numbered = _of_several_parts(found)
    return [{name: f"{one.part}-{one.name}" if numbered else one.name for name, one in of.items()} for of in found]


def speakers_in_doubt(parts: Sequence[Part]) -> bool:
    """Return whether a speaker of one part may be one of another part under another name."""
    return _of_several_parts(_identified(parts))


# Naming speakers.


def _of_several_parts(found: Sequence[Mapping[str, "_Speaker"]]) -> bool:
    return len({speaker.part for named in found for speaker in named.values()}) > 1


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Somebody, by the number of the part (from 1) that was the first to name this speaker, and the name there."""

    part: int
    name: str


def _identified(parts: Sequence[Part]) -> list[dict[str, _Speaker]]:
    found: list[dict[str, _Speaker]] = []
    for number, part in enumerate(parts, 1):
        told = {name: _Speaker(1, first) for name, first in part.known.items()}
        same = _same_speakers(parts[number - 2], found[-1], part) if found else {}
        found.append({name: told.get(name) or same.get(name) or _Speaker(number, name) for name in _names(part)})
    return found


def _names(part: Part) -> dict[str, None]:
    """Return the names that the part's segments and words bear, in order."""
    names: dict[str, None] = {}
    for segment in part.transcript.segments:
        names |= dict.fromkeys([segment.speaker, *(word.speaker for word in segment.words)])
    return {name: None for name in names if name}


def _same_speakers(before: Part, named: Mapping[str, _Speaker], after: Part) -> dict[str, _Speaker]:
    """Pair the names of two parts that speak together longest, both of all others, in the stretch that the parts share."""
    together: defaultdict[tuple[_Speaker, str], float] = defaultdict(float)
    theirs = _shared_speeches(after, after.start, before.end)
    for start, end, ours in _shared_speeches(before, after.start, before.end):
        for begin, behind, name in theirs:
            if (seconds := min(end, behind) - max(start, begin)) > 0:
                together[named[ours], name] += seconds
    # Of each speaker and of each name the longest two.
    longest: defaultdict[_Speaker | str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for pair, seconds in together.items():
        for one in pair:
            longest[one] = sorted([*longest[one], seconds])[1:]
    return {
        name: speaker
        for (speaker, name), seconds in together.items()
        if seconds >= _TOGETHER
        and all(seconds == most and seconds > second for second, most in (longest[speaker], longest[name]))
    }


def _shared_speeches(part: Part, low: float, high: float) -> list[tuple[float, float, str]]:
    """Return who speaks from when to when (seconds of the recording) between two moments, by words where they bear names."""
    found = []
    for segment in part.transcript.segments:
        for said in segment.words if any(word.speaker for word in segment.words) else (segment,):
            start, end = max(part.start + said.start, low), min(part.start + said.end, high)
            if said.speaker and start < end:
                found.append((start, end, said.speaker))
    return found[:_MOST_SHARED]


# Placing a part.


def _placed(part: Part, names: Mapping[str, str], duration: float) -> list[Segment]:
    """Give the part's segments with text at their place in the recording, in order of time."""
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
                replace(
                    word,
                    start=(at := next(said)),
                    end=min(max(part.start + word.end, at), end),
                    speaker=names.get(word.speaker, ""),
                )
                for word in segment.words
            ),
        )
        for segment, begin in zip(segments, starts, strict=True)
    ]


def _ascending(times: Sequence[float]) -> list[float]:
    """Give the times without steps back: the fewest that spoil the order are moved between their neighbours."""
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


# Joining two parts.


@dataclass(frozen=True, slots=True)
class _Token:
    """A written word of a segment, and when it was said."""

    #: Letters and digits alone, folded; "" for mere punctuation.
    key: str
    start: float
    end: float
    #: Its place in the segment's text: from `first` to before `behind`.
    first: int
    behind: int
    #: The time comes from words, not from the segment's length.
    exact: bool

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    @property
    def doubt(self) -> float:
        """Seconds by which the time may be wrong."""
        return _NEAR if self.exact else _NEAR_SEGMENTS

    def beside(self, others: Sequence["_Token"]) -> bool:
        """Say whether one of the others may be said at the same moment."""
        return any(other.start - self.doubt < self.end and self.start < other.end + self.doubt for other in others)


def _seam(ahead: Sequence[Segment], behind: Sequence[Segment], start: float, end: float) -> tuple[int, int]:
    """Give how many tokens of `ahead` to keep, and the token of `behind` to go on with; they overlap in `start` to `end`."""
    ours, theirs = _tokens(ahead), _tokens(behind)
    # Only what lies near the overlap can be doubled; the rest is kept whatever happens.
    low = sum(token.end < start - token.doubt for token in ours)
    tail, head = ours[low:], theirs[: sum(token.start <= end + token.doubt for token in theirs)]
    middle = (start + end) / 2

    def parted(moment: float) -> tuple[int, int]:
        return sum(token.middle < moment for token in tail), sum(token.middle < moment for token in head)

    if max(len(tail), len(head)) > _MOST_SHARED:
        kept, dropped = parted(middle)
    else:
        kept, dropped = _best_seam(tail, head, [parted(moment) for moment in (middle, end, start)], (start, end))
    # A full stop that stands alone goes with the word before it.
    while kept < len(tail) and not tail[kept].key:
        kept += 1
    while 0 < dropped < len(head) and not head[dropped].key:
        dropped += 1
    return low + kept, dropped


def _best_seam(
    tail: Sequence[_Token], head: Sequence[_Token], seams: Sequence[tuple[int, int]], edges: tuple[float, float]
) -> tuple[int, int]:
    """Return how many tokens of `tail` and of `head` to keep and to leave out: at a word that both have, or one of `seams`."""
    overlap = _Overlap(tail, head, edges)
    middle = sum(edges) / 2

    def cost(seam: tuple[int, int]) -> tuple[int, float]:
        kept, dropped = seam
        borders = [token.end for token in tail[max(kept - 1, 0) : kept]]
        borders += [token.start for token in head[dropped : dropped + 1]]
        return overlap.damage(kept, dropped), max((abs(border - middle) for border in borders), default=0.0)

    return min([*((i + 1, j + 1) for i, j in overlap.pairs.items()), *seams, (len(tail), 0)], key=cost)


class _Overlap:
    """What two parts heard in the stretch that they share: `tail` and `head`; `edges` are its bounds (seconds)."""

    def __init__(self, tail: Sequence[_Token], head: Sequence[_Token], edges: tuple[float, float]) -> None:
        self.tail, self.head = tail, head
        self.pairs = _matches(tail, head)
        self._back = {j: i for i, j in self.pairs.items()}
        ours, theirs = _unpaired(tail, self.pairs), _unpaired(head, self._back)
        single, other_single = [tail[i] for i in ours], [head[j] for j in theirs]
        # Half a word stands at its piece's edge, and the other piece has something else there.
        self._halves = {i for i in ours if tail[i].end > edges[1] - _EDGE and tail[i].beside(other_single)}
        self._other_halves = {j for j in theirs if head[j].start < edges[0] + _EDGE and head[j].beside(single)}
        # Evenly spread times tell nothing of a single word.
        exact = all(token.exact for token in (*tail, *head))
        # From which token of `head` on, and up to which of `tail`, others take most of a token's time.
        self._covered = [len(head) - _covering(token, reversed(head)) if exact else -1 for token in tail]
        self._other_covered = [_covering(token, tail) if exact else len(tail) + 1 for token in head]

    def damage(self, kept: int, dropped: int) -> int:
        """Weigh what a seam loses (four times), and what it doubles or leaves of half words (once)."""
        tail, head, pairs, back = self.tail, self.head, self.pairs, self._back
        lost = sum(
            pairs[i] < dropped if i in pairs else dropped > self._covered[i]
            for i in range(kept, len(tail))
            if tail[i].key and i not in self._halves
        ) + sum(
            back[j] >= kept if j in back else kept < self._other_covered[j]
            for j in range(dropped)
            if head[j].key and j not in self._other_halves
        )
        doubled = sum(pairs.get(i, -1) >= dropped or dropped <= self._covered[i] for i in range(kept) if tail[i].key)
        halves = sum(i < kept for i in self._halves) + sum(j >= dropped for j in self._other_halves)
        return 4 * lost + doubled + halves


def _covering(token: _Token, others: Iterable[_Token]) -> int:
    """Return how many of the others, in this order, take most of a token's time; more than there are where they do not."""
    shared = 0.0
    count = 0
    for count, other in enumerate(others, 1):
        shared += max(0.0, min(token.end, other.end) - max(token.start, other.start))
        if shared > _COVERED * (token.end - token.start):
            return count
    return count + 1


def _matches(tail: Sequence[_Token], head: Sequence[_Token]) -> dict[int, int]:
    """Pair the tokens that are the same word at the same time, in order: the pairs that agree most."""

    def likeness(ours: _Token, theirs: _Token) -> float:
        near = max(ours.doubt, theirs.doubt)
        apart = abs(ours.middle - theirs.middle)
        return 1.0 - apart / (2 * near) if ours.key and ours.key == theirs.key and apart <= near else 0.0

    likenesses = [[likeness(ours, theirs) for theirs in head] for ours in tail]
    best = [[0.0] * (len(head) + 1) for _ in range(len(tail) + 1)]
    for i in reversed(range(len(tail))):
        for j in reversed(range(len(head))):
            alike = likenesses[i][j]
            best[i][j] = max(best[i + 1][j], best[i][j + 1], alike + best[i + 1][j + 1] if alike else 0.0)
    pairs = {}
    i = j = 0
    while i < len(tail) and j < len(head):
        if likenesses[i][j] and best[i][j] == likenesses[i][j] + best[i + 1][j + 1]:
            pairs[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _unpaired(tokens: Sequence[_Token], pairs: Mapping[int, int]) -> list[int]:
    return [index for index, token in enumerate(tokens) if token.key and index not in pairs]


def _border(ahead: Sequence[Segment], behind: Sequence[Segment], start: float, end: float) -> tuple[int, int]:
    """Do as `_seam` where there are no times: join at the longest run of tokens that ends one part and begins the other."""
    ours, theirs = _tokens(ahead), _tokens(behind)
    reach = math.ceil((end - start) * _QUICK) + _RAGGED
    low = max(0, len(ours) - reach)
    tail, head = [token.key for token in ours[low:]], [token.key for token in theirs[:reach]]
    best = (0, len(tail), 0)
    for i in range(len(tail)):
        for j in range(min(len(head), _RAGGED + 1)):
            run = 0
            while i + run < len(tail) and j + run < len(head) and tail[i + run] == head[j + run]:
                run += 1
            ragged = len(tail) - i - run + j
            # One word alone may be said twice; several, or one that touches both ends, were heard twice.
            if len(tail) - i - run <= _RAGGED and (run > 1 or (run and not ragged)):
                best = max(best, (run, i + run, j + run))
    return low + best[1], best[2]


def _part_at(ahead: list[Segment], behind: list[Segment]) -> None:
    """Let the earlier part end where the later one begins, at the latest."""
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


# Tokens of a text.


def _tokens(segments: Sequence[Segment]) -> list[_Token]:
    return [token for segment in segments for token in _tokens_of(segment)]


def _tokens_of(segment: Segment) -> list[_Token]:
    """Give the segment's tokens, timed by its words, or evenly where it has none."""
    found = [(match.start(), match.end(), _key(match.group())) for match in _TOKEN.finditer(segment.text)]
    letters = max(1, sum(len(key) for _, _, key in found))
    # For each letter of the words, in order, when its word was said.
    times = [(word.start, word.end) for word in segment.words for _ in _key(word.text)]
    share = (segment.end - segment.start) / letters
    tokens = []
    passed = 0
    for first, behind, key in found:
        if times:
            # Words and text mostly have the same letters; where they do not, the place is proportional.
            start = times[min(passed * len(times) // letters, len(times) - 1)][0]
            end = times[min((passed + max(len(key) - 1, 0)) * len(times) // letters, len(times) - 1)][1]
        else:
            start, end = segment.start + passed * share, segment.start + (passed + len(key)) * share
        tokens.append(_Token(key, start, end, first, behind, exact=bool(times)))
        passed += len(key)
    return tokens


def _slice(segments: Sequence[Segment], first: int, behind: int | None) -> list[Segment]:
    """Give the segments of the tokens from `first` to before `behind` (None: to the end)."""
    result = []
    passed = 0
    for segment in segments:
        tokens = _tokens_of(segment)
        low = max(0, first - passed)
        high = len(tokens) if behind is None else min(len(tokens), behind - passed)
        passed += len(tokens)
        if low == 0 and high == len(tokens):
            result.append(segment)
        elif low < high:
            result.append(_cut(segment, tokens, low, high))
    return result


def _cut(segment: Segment, tokens: Sequence[_Token], low: int, high: int) -> Segment:
    """Give the segment with its tokens from `low` to before `high` alone."""
    letters = max(1, sum(len(token.key) for token in tokens))
    spoken = max(1, sum(len(_key(word.text)) for word in segment.words))
    bounds = [sum(len(token.key) for token in tokens[:count]) * spoken // letters for count in (low, high)]
    words = []
    passed = 0
    for word in segment.words:
        if bounds[0] <= passed < bounds[1]:
            words.append(word)
        passed += len(_key(word.text))
    return replace(
        segment,
        text=segment.text[tokens[low].first if low else 0 : tokens[high - 1].behind if high < len(tokens) else None],
        start=tokens[low].start if low else segment.start,
        end=tokens[high - 1].end if high < len(tokens) else segment.end,
        words=tuple(words),
    )


def _key(text: str) -> str:
    return "".join(sign for sign in nfkc(text).casefold() if sign.isalnum())
