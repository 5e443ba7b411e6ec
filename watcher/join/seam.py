"""Where two overlapping parts are joined, so that what both heard is kept once."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from watcher.join.tokens import TimedToken, most_shared, tokenize
from watcher.transcript import Segment

#: What begins or ends this close (seconds) to its piece's edge may be half a word, and the other piece has it whole.
_EDGE: Final = 0.15
#: Share of a token's time taken by others from which it counts as said by them.
_COVERED: Final = 0.5
#: Tokens in a second of quick speech; and how many may be misheard at an untimed border's ragged edges.
_QUICK: Final = 6.0
_RAGGED: Final = 2


def timed_seam(ahead: Sequence[Segment], behind: Sequence[Segment], start: float, end: float) -> tuple[int, int]:
    """Return how many tokens of `ahead` to keep, and the token of `behind` to go on with.

    They overlap from `start` to `end` (seconds), and both are timed.
    """
    ours, theirs = tokenize(ahead), tokenize(behind)
    # Only what lies near the overlap can be doubled; the rest is kept whatever happens.
    low = sum(token.end < start - token.doubt for token in ours)
    tail, head = ours[low:], theirs[: sum(token.start <= end + token.doubt for token in theirs)]
    middle = (start + end) / 2

    def parted(moment: float) -> tuple[int, int]:
        return sum(token.middle < moment for token in tail), sum(token.middle < moment for token in head)

    doubt = max((token.doubt for token in (*tail, *head)), default=0.0)
    if max(len(tail), len(head)) > most_shared(end - start + 2 * doubt):
        kept, dropped = parted(middle)
    else:
        kept, dropped = _best_seam(tail, head, [parted(moment) for moment in (middle, end, start)], (start, end))
    # A full stop that is alone goes with the word before it.
    while kept < len(tail) and not tail[kept].key:
        kept += 1
    while 0 < dropped < len(head) and not head[dropped].key:
        dropped += 1
    return low + kept, dropped


def _best_seam(
    tail: Sequence[TimedToken], head: Sequence[TimedToken], seams: Sequence[tuple[int, int]], edges: tuple[float, float]
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
    """The tokens of two parts in the stretch that they share: `tail` and `head`; `edges` are its bounds (seconds)."""

    def __init__(self, tail: Sequence[TimedToken], head: Sequence[TimedToken], edges: tuple[float, float]) -> None:
        self.tail, self.head = tail, head
        self.pairs = _matches(tail, head)
        self._back = {j: i for i, j in self.pairs.items()}
        ours, theirs = _unpaired(tail, self.pairs), _unpaired(head, self._back)
        single, other_single = [tail[i] for i in ours], [head[j] for j in theirs]
        # Half a word is at its piece's edge, and the other piece has something else there.
        self._halves = {i for i in ours if tail[i].end > edges[1] - _EDGE and tail[i].beside(other_single)}
        self._other_halves = {j for j in theirs if head[j].start < edges[0] + _EDGE and head[j].beside(single)}
        # Evenly spread times are not exact for a single word.
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


def _covering(token: TimedToken, others: Iterable[TimedToken]) -> int:
    """Return how many of the others, in this order, take most of a token's time; more than there are where they do not."""
    shared = 0.0
    count = 0
    for count, other in enumerate(others, 1):
        shared += max(0.0, min(token.end, other.end) - max(token.start, other.start))
        if shared > _COVERED * (token.end - token.start):
            return count
    return count + 1


def _matches(tail: Sequence[TimedToken], head: Sequence[TimedToken]) -> dict[int, int]:
    """Pair the tokens that are the same word at the same time, in order: the pairs that agree most."""
    likenesses = _likenesses(tail, head)
    # The most that can be had of the tokens of `tail` from one on with those of `head` from each on.
    below = [0.0] * (len(head) + 1)
    best = [below]
    for alike in reversed(likenesses):
        row = below
        if alike:
            row = below.copy()
            most = 0.0
            for j in range(max(alike), -1, -1):
                if j in alike:
                    most = max(most, alike[j] + below[j + 1])
                row[j] = max(row[j], most)
        best.append(row)
        below = row
    best.reverse()
    pairs = {}
    i = j = 0
    while i < len(tail) and j < len(head):
        alike = likenesses[i]
        if j in alike and best[i][j] == alike[j] + best[i + 1][j + 1]:
            pairs[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _likenesses(tail: Sequence[TimedToken], head: Sequence[TimedToken]) -> list[dict[int, float]]:
    """Return for each token of `tail` how much the tokens of `head` that are the same word at the same time agree with it."""
    places: defaultdict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for j, theirs in enumerate(head):
        if theirs.key:
            places[theirs.key].append((j, theirs.middle, theirs.doubt))
    found = []
    for ours in tail:
        middle, doubt = ours.middle, ours.doubt
        near = ((j, abs(middle - other), max(doubt, other_doubt)) for j, other, other_doubt in places.get(ours.key, ()))
        found.append({j: 1.0 - apart / (2 * most) for j, apart, most in near if apart <= most})
    return found


def _unpaired(tokens: Sequence[TimedToken], pairs: Mapping[int, int]) -> list[int]:
    return [index for index, token in enumerate(tokens) if token.key and index not in pairs]


def untimed_seam(ahead: Sequence[Segment], behind: Sequence[Segment], start: float, end: float) -> tuple[int, int]:
    """Return the same as `timed_seam` where there are no times: join at the longest run of tokens that ends one part and begins the other."""
    ours, theirs = tokenize(ahead), tokenize(behind)
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
