"""Find bleed: a speaker's words that other speakers' microphones picked up, and that the server heard there as well.

The same word at the same time in two tracks is bleed in the one where it is much quieter than that track's own voice. Where a track
has no voice of its own, its level itself is compared. At the same loudness both speakers said it.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, combinations
from operator import attrgetter
from statistics import median_low
from typing import Final

from watcher.join.sound import longest
from watcher.join.tokens import TimedToken
from watcher.loudness import DIGITAL_SILENCE, RATE, Loudness

#: Decibels by which bleed is quieter than the voice it comes from.
_MUCH_QUIETER: Final = 10
#: A word is as loud as its loud frames: this share of them may belong to the word beside it, and of a word that both tracks have,
#: this one.
_BESIDE: Final = 0.25
_BESIDE_SAME: Final = 0.5
#: Of a word that is said to be longer, so many seconds at its beginning and at its end are listened to.
_HEARD: Final = 0.5
#: Frames that no other word has, from which on a word is as loud as they are.
_ALONE: Final = 4
#: Words by which a track's own voice is measured, at most and at least; and the share of them that is loud.
_SAMPLE: Final = 500
#: Other tracks with which all of these words are compared; of more tracks, fewer words are.
_OTHERS: Final = 8
#: Words that are compared in all, each once with each other track: those of a room with eight microphones, in which people speak for nine
#: hours. More take many minutes.
_MOST_COMPARED: Final = 5_000_000
_OWN: Final = 3
_LOUD: Final = 0.05
#: Misheard words in a row between two words of bleed.
_MISHEARD: Final = 2


class TrackWords:
    """The words of a track in the session's time, in order of their start, and how loud they are there."""

    def __init__(
        self, tokens: Sequence[TimedToken], utterances: Sequence[tuple[int, int]], loudness: Loudness, offset: float
    ) -> None:
        """Take the tokens, the first one of each utterance and the one behind it, and the track's own loudness."""
        self.tokens = tokens
        self.utterances = utterances
        self.offset = offset
        #: A byte for each frame of 20 ms, as in `Loudness`.
        self.levels = _finer(loudness)
        self._levels: dict[int, int] = {}

    @property
    def measured(self) -> bool:
        """Whether the loudness is known."""
        return bool(self.levels)

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """The numbers of the tokens with letters, by these."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for number, token in enumerate(self.tokens):
            if token.key:
                found[token.key].append(number)
        return found

    @cached_property
    def sample(self) -> list[int]:
        """The numbers of some tokens with letters from all over the track."""
        numbers = [number for number, token in enumerate(self.tokens) if token.key]
        return numbers[:: math.ceil(len(numbers) / _SAMPLE) or 1]

    @cached_property
    def loudest(self) -> int:
        """The level of the loud words, in minus dBFS."""
        levels = sorted(map(self.level, self.sample))
        return levels[int(len(levels) * _LOUD)] if levels else 0

    @cached_property
    def crowd(self) -> bytes:
        """How many of the words whose own times are known are said in each frame: 0, 1 or 2, which is two or more."""
        changes = [0] * (len(self.levels) + 1)
        for token in self.tokens:
            for low, high in self._frames(token) if token.key and token.exact else ():
                changes[low] += 1
                changes[high] -= 1
        return bytes(min(count, 2) for count in accumulate(changes))

    def level(self, number: int) -> int:
        """Return the level of a token where no other word of the track is said, in minus dBFS."""
        if number not in self._levels:
            token = self.tokens[number]
            frames = list(self._frames(token))
            (levels,) = _alone([_taken(self.levels, frames)], [_taken(self.crowd, frames)])
            loud = sorted(levels)
            self._levels[number] = loud[int(_spoken(token, loud) * _BESIDE)] if loud else DIGITAL_SILENCE
        return self._levels[number]

    def quieter_by(self, number: int, other: "TrackWords", share: float = _BESIDE_SAME) -> int:
        """Return by how many decibels a token is quieter than another track at the same moments: at those that are loud in either.

        Moments at which one of the two has another word, too, do not count. Of the rest, this share may be due to the word beside it.
        """
        token, shift, behind = self.tokens[number], round((self.offset - other.offset) * RATE), len(other.levels)
        there = [
            (min(max(0, low + shift), behind), min(max(0, high + shift), behind)) for low, high in self._frames(token)
        ]
        here = [(low - shift, high - shift) for low, high in there]
        mine, theirs = _alone(
            [_taken(self.levels, here), _taken(other.levels, there)],
            [_taken(self.crowd, here), _taken(other.crowd, there)],
        )
        loud = sorted(zip(mine, theirs, strict=True), key=min)[: max(1, _spoken(token, mine) // 2)]
        apart = sorted(one - another for one, another in loud)
        return apart[int(len(apart) * share)] if apart else 0

    def own_level(self, others: Sequence["TrackWords"]) -> int | None:
        """Return the level of the track's own voice: of words that are bleed of none of the others; None if it hardly has any."""
        own = [
            self.level(number)
            for number in self.sample[:: math.ceil(len(others) / _OTHERS) or 1]
            if not any(
                _is_much_quieter(self.quieter_by(number, other), self.loudest - other.loudest) for other in others
            )
        ]
        return median_low(own) if len(own) >= _OWN else None

    def _frames(self, token: TimedToken) -> Iterator[tuple[int, int]]:
        """Yield the stretches of frames of a token that are listened to: the first one of each, and the one behind it."""
        # Evenly spread times may lie in a pause of the segment.
        doubt = 0.0 if token.exact else token.doubt / 3
        behind, part = len(self.levels), math.ceil((_HEARD + 2 * doubt) * RATE)
        low = min(max(0, int((token.start - doubt - self.offset) * RATE)), behind)
        high = min(max(low + 1, math.ceil((token.end + doubt - self.offset) * RATE)), behind)
        if high - low <= 2 * part:
            yield low, high
        else:
            yield low, low + part
            yield high - part, high


def _finer(loudness: Loudness) -> bytes:
    """Return the levels of frames of 20 ms; those of earlier versions are of tenths of a second."""
    times = RATE // loudness.rate
    return bytes(level for level in loudness.levels for _ in range(times)) if times > 1 else loudness.levels


def _taken(values: bytes, stretches: Sequence[tuple[int, int]]) -> bytes:
    return b"".join(values[low:high] for low, high in stretches)


def _alone(levels: Sequence[bytes], crowds: Sequence[bytes]) -> Sequence[bytes]:
    """Return the levels of those frames in which no track has two words; all if these are too few."""
    if not any(2 in crowd for crowd in crowds):  # noqa: PLR2004 - two words
        return levels
    alone = [at for at, counts in enumerate(zip(*crowds, strict=True)) if max(counts) <= 1]
    return [bytes(one[at] for at in alone) for one in levels] if len(alone) >= _ALONE else levels


def _spoken(token: TimedToken, levels: Sequence[int]) -> int:
    """Return how many of the frames of a token are its sound at most: a server may stretch a word over a pause."""
    return min(len(levels), longest(len(token.key))) if token.exact else len(levels)


def _is_much_quieter(by: int, usual: int) -> bool:
    """Return whether a track is much quieter than another one, in decibels; `usual`: by how much its loud words are.

    If that is not clear, the level itself counts.
    """
    return (by - usual if abs(by - usual) >= _MUCH_QUIETER else by) >= _MUCH_QUIETER


def find_bleed(
    tracks: Sequence[TrackWords], *, alive: Callable[[], None] = lambda: None
) -> tuple[list[bytearray], bool]:
    """Return for each track which of its tokens are bleed (1) of another track, and whether all tracks were compared with each other.

    Bleed are words that another track has at the same time, and that are much quieter in this one. Misheard words as quiet as they
    between them are bleed too, and around them, as far as the speaker makes no pause, if these are no more than they. In a track whose
    loudness was not measured nothing is bleed. `alive` is called for each two tracks. Those that would make it more than 5,000,000
    words are not compared.
    """
    dropped = [bytearray(len(track.tokens)) for track in tracks]
    measured = [number for number, track in enumerate(tracks) if track.measured]
    own = {
        number: tracks[number].own_level([tracks[other] for other in measured if other != number])
        for number in measured
    }
    compared = 0
    for one, other in combinations(measured, 2):
        alive()
        compared += len(tracks[one].tokens) + len(tracks[other].tokens)
        if compared > _MOST_COMPARED:
            return dropped, False
        pair = _TwoTracks((tracks[one], tracks[other]), (own[one], own[other]))
        for number, side in ((one, 0), (other, 1)):
            for at in pair.bleed(side):
                dropped[number][at] = 1
    return dropped, True


class _TwoTracks:
    """Two tracks, and the words that both have at the same time."""

    def __init__(self, tracks: tuple[TrackWords, TrackWords], own: tuple[int | None, int | None]) -> None:
        self._tracks = tracks
        self._own = own
        #: For each of the two, the tokens that the other one has much louder.
        self._matched: tuple[set[int], set[int]] = (set(), set())
        for first, second in _pairs(*tracks):
            if self._is_quieter(0, first, _BESIDE_SAME):
                self._matched[0].add(first)
            elif self._is_quieter(1, second, _BESIDE_SAME):
                self._matched[1].add(second)

    def bleed(self, side: int) -> Iterator[int]:
        """Yield the tokens of one of the two tracks (0 or 1) that are bleed of the other one."""
        track, matched = self._tracks[side], self._matched[side]
        numbers = sorted(matched)
        for low, high in track.utterances:
            first = bisect_left(numbers, low)
            if first < len(numbers) and numbers[first] < high:
                for run in self._quiet_runs(side, low, high):
                    yield from _bleed_of(run, track.tokens, matched)

    def _quiet_runs(self, side: int, low: int, high: int) -> Iterator[list[int]]:
        """Yield the runs of quiet tokens of an utterance; lone punctuation goes with the word before it."""
        track, matched = self._tracks[side], self._matched[side]
        run: list[int] = []
        for at in range(low, high):
            token = track.tokens[at]
            if at in matched or (self._is_quieter(side, at, _BESIDE) if token.key else run):
                run.append(at)
            elif run:
                yield run
                run = []
        if run:
            yield run

    def _is_quieter(self, side: int, number: int, share: float) -> bool:
        track, other = self._tracks[side], self._tracks[1 - side]
        by = track.quieter_by(number, other, share)
        own, their_own = self._own[side], self._own[1 - side]
        if own is not None and their_own is not None:
            return by - (own - their_own) >= _MUCH_QUIETER
        return _is_much_quieter(by, track.loudest - other.loudest)


def _pairs(one: TrackWords, other: TrackWords) -> Iterator[tuple[int, int]]:
    """Yield the tokens of two tracks that are the same word at the same time, each token once at most.

    They begin at the same time, or end at the same time: a server may stretch the first word behind a pause back over it.
    """
    for key, firsts in one.places.items():
        left: tuple[Sequence[int], Sequence[int]] = (firsts, other.places.get(key, ()))
        for edge in (attrgetter("start"), attrgetter("end")):
            if not left[1]:
                break
            found = list(_near(one, left[0], other, left[1], edge))
            yield from found
            taken = [set(side) for side in zip(*found, strict=True)] or [set(), set()]
            left = (
                [number for number in left[0] if number not in taken[0]],
                [number for number in left[1] if number not in taken[1]],
            )


def _near(
    one: TrackWords,
    firsts: Sequence[int],
    other: TrackWords,
    seconds: Sequence[int],
    edge: Callable[[TimedToken], float],
) -> Iterator[tuple[int, int]]:
    """Yield those tokens of two tracks whose edge is at the same time, each once at most."""
    ordered = sorted(seconds, key=lambda number: edge(other.tokens[number]))
    place = 0
    for first in sorted(firsts, key=lambda number: edge(one.tokens[number])):
        ours = one.tokens[first]
        while place < len(ordered):
            theirs = other.tokens[ordered[place]]
            doubt = max(ours.doubt, theirs.doubt)
            if edge(theirs) > edge(ours) + doubt:
                break
            place += 1
            if edge(theirs) >= edge(ours) - doubt:
                yield first, ordered[place - 1]
                break


def _bleed_of(run: Sequence[int], tokens: Sequence[TimedToken], matched: Container[int]) -> Iterator[int]:
    """Yield the tokens of a quiet run that are bleed: all if half of the words match, else those from match to match."""
    words = [at for at in run if tokens[at].key]
    found = [place for place, at in enumerate(words) if at in matched]
    if 2 * len(found) >= len(words):
        yield from run
        return
    # Each group of matches with a few misheard words between them.
    begin = 0
    for index, place in enumerate(found):
        if index + 1 == len(found) or found[index + 1] - place > _MISHEARD + 1:
            if index > begin and 2 * (index - begin + 1) > place - found[begin]:
                behind = words[place + 1] if place + 1 < len(words) else run[-1] + 1
                yield from range(words[found[begin]], behind)
            begin = index + 1
