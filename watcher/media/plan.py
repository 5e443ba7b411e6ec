"""Plan the cuts: divide a recording into pieces at its silences. Pure, no I/O.

Decisions are made at fixed positions of the recording (every 10 s), from the sound up to there, so the same sound
is cut at the same positions, however it was fed.
"""

import hashlib
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from watcher.job import SAMPLE_RATE, Cut
from watcher.media.levels import (
    AUDIBLE,
    CLICK,
    FRAME,
    Levels,
    LoudnessScale,
    Mask,
    Samples,
    runs,
    without_clicks,
)
from watcher.media.undecided import UndecidedSamples
from watcher.media.values import OVERLAP, MediaOptions

_STEP: Final = 10 * SAMPLE_RATE
#: Lengths in headers are exact within this factor; if the recording is longer than that, and one step more, the header is wrong.
_EXACT: Final = 1.02
#: Silence of this many frames at a piece's edge is not sent: 1 s …
_EDGE: Final = 50
#: … except for this margin: 0.3 s.
_PAD: Final = 15
#: Shortest pause to cut in: 0.2 s; and the length from which on a longer pause is no better: 2 s.
_PAUSE: Final = 10
_LONG_PAUSE: Final = 100
#: dBFS below which a pause is certain, and how much that counts: a quarter of the longest pause.
_DEAF: Final = -70.0
_DEAF_BONUS: Final = 0.25
#: Frames of quiet needed on both sides of a cut without overlap: 0.06 s.
_QUIET: Final = 3
#: Samples after the last cut that are too few for speech; servers also refuse them. 0.1 s.
_SHORTEST: Final = SAMPLE_RATE // 10
#: Seconds of the shortest pieces made to have more requests at once, and of the shortest pieces of all.
_SHRUNK: Final = 90.0
_LEAST: Final = 5.0
#: The grid of steady cuts is this part of a piece's length; a cut lies from so many parts of the grid before its line to so many after
#: it, and the next line is so many after the piece's start at most. So a piece is a quarter longer than `target` at most.
_GRID: Final = 0.85
_BEFORE, _AFTER, _NEXT_LINE = 0.25, 0.15, 1.3
#: A piece takes at most this part of the remaining sound per place, so that during a slow answer other places have work.
_SHARE: Final = 2 / 3


@dataclass(frozen=True, slots=True)
class CutRules:
    """Limits for the length of pieces, in samples."""

    #: A piece is cut near this length …
    target: int
    #: … and is never longer than this.
    longest: int
    skip_silence: bool = True
    #: A piece ends at a stretch without sound of this many samples.
    desert: int = int(MediaOptions.longest_silence * SAMPLE_RATE)
    #: Number of requests at once (0: it does not matter). The first pieces are as short as `least`, so that
    #: all places are busy soon, and in each further round they are twice as long. If the end is known (`total`; 0: unknown), they
    #: get shorter again towards it, so that all places finish at about the same time.
    places: int = 0
    least: int = 0
    total: int = 0
    #: Whether cuts lie near lines at fixed positions of the recording. Then it is cut as before a while after a place that has changed.
    steady: bool = False

    def __post_init__(self) -> None:
        """Check that there is room to search for a pause."""
        if not OVERLAP < self.target <= self.longest or (self.places and not OVERLAP < self.least <= self.target):
            raise ValueError(f"pieces of {self.least} to {self.target} samples, at most {self.longest}, cannot be cut")

    def lengths(self, index: int, start: int, given: Sequence[int]) -> tuple[int, int]:
        """Return the target and the longest length of piece `index`, which begins at `start`.

        `given`: samples that each place has got so far; the next piece goes to the place with the least.
        """
        target = self.target
        if self.places:
            target = min(target, self.least << min(index // self.places, 16))
            if self.total:
                left = max(0, self.total - start)
                target = min(target, max(self.least, int(_SHARE * left / self.places)))
                target = self._even(target, _level(given, left) - min(given))
        return target, min(self.longest, target * 5 // 4 + min(15 * SAMPLE_RATE, target // 4))

    def window(self, index: int, start: int, given: Sequence[int]) -> "CutWindow":
        """Return where piece `index` may be cut; the arguments are those of `lengths`."""
        if self.steady:
            grid = max(4 * OVERLAP, int(_GRID * self.target)) // FRAME * FRAME
            line = (start + int(_NEXT_LINE * grid)) // grid * grid - start
            latest = min(line + int(_AFTER * grid) // FRAME * FRAME, self.longest - OVERLAP // 2)
            earliest = min(max(line - int(_BEFORE * grid), grid // 5) // FRAME * FRAME, latest - OVERLAP)
            return CutWindow(line, earliest, latest, self.longest, grid)
        target, longest = self.lengths(index, start, given)
        latest = min(longest, target * 5 // 4) - OVERLAP // 2
        return CutWindow(target, min(target * 3 // 5, latest - OVERLAP), latest, longest, target)

    def _even(self, target: int, due: int) -> int:
        """Divide a place's share into pieces of one length, near `target` and not below `least`."""
        pieces = max(1, min(math.ceil(due / target - 0.1), due // self.least))
        return max(self.least, min(due // pieces, self.target))


@dataclass(frozen=True, slots=True)
class CutWindow:
    """Where a piece may be cut, in samples from its start: the best place, the first and the last one."""

    target: int
    earliest: int
    latest: int
    longest: int
    #: The distance from the best place for which a pause has to be 2 s longer.
    scale: int


def _level(given: Sequence[int], left: int) -> int:
    """Return how much each place has in the end if the rest goes to the places with the least."""
    ordered = sorted(given)
    poured = left
    for places, got in enumerate(ordered, start=1):
        poured += got
        if places == len(ordered) or poured <= ordered[places] * places:
            break
    return poured // places


def _give(given: list[int], length: int) -> None:
    """Assign a piece to the place with the least; do nothing if the number of places does not matter."""
    if given:
        given[given.index(min(given))] += length


def rules_for(
    seconds: float | None,
    *,
    piece_seconds: float,
    places: int = 0,
    max_seconds: float = 0.0,
    skip_silence: bool = True,
    longest_silence: float = MediaOptions.longest_silence,
    steady: bool = False,
) -> tuple[CutRules, int]:
    """Choose the lengths of pieces for a recording of `seconds` (None: unknown); return also the expected number of pieces.

    `places`: requests that may run at once; pieces get shorter to keep them busy, but not below 90 s, since with less
    context recognition gets worse; a recording of 3 minutes is not cut. 0: all have one length, near
    `piece_seconds`. `max_seconds`: the longest piece that the server takes; 0: no limit.
    """
    near = min(piece_seconds, 0.8 * max_seconds) if max_seconds else piece_seconds
    near = max(near, _LEAST / 2)
    total = int((seconds or 0.0) * SAMPLE_RATE)
    if places and not (seconds and seconds <= min(2 * _SHRUNK, piece_seconds)):
        least = min(near, _SHRUNK)
    else:
        # The last piece is as long as the others; a recording that is little longer than a piece is not cut.
        whole = min(max(piece_seconds, 2 * _SHRUNK if places else 0.0), max_seconds or math.inf)
        count = 1 if seconds and seconds <= whole else math.ceil((seconds or 0.0) / near - 0.25)
        near = max(_LEAST / 2, seconds / max(1, count)) if seconds else near
        places, least = 0, 0.0
    longest = max(_LEAST, min(max_seconds or math.inf, 1.25 * near + min(15.0, near / 4)))
    rules = CutRules(
        int(near * SAMPLE_RATE),
        int(longest * SAMPLE_RATE),
        skip_silence,
        int(longest_silence * SAMPLE_RATE),
        places,
        int(least * SAMPLE_RATE),
        total,
        steady,
    )
    return rules, _expected(rules, total)


def _expected(rules: CutRules, total: int) -> int:
    index = start = 0
    given = [0] * rules.places
    while True:
        target, longest = rules.lengths(index, start, given)
        if total - start <= longest:
            return index + 1
        _give(given, target)
        start += target
        index += 1


@dataclass(frozen=True, slots=True)
class PlannedPiece:
    """A piece to make: its position, and its samples."""

    cut: Cut
    #: Samples shared with the piece before.
    overlap: int
    samples: Samples


class Planner:
    """Is fed the recording in order, and returns spans as soon as they are decided.

    Call `feed` with samples, then `span` until it returns None; `accept` or `shorten` each span before the next one.
    Call `finish` at the end of the recording.
    """

    def __init__(self, rules: CutRules, *, beyond: CutRules | None = None, planned: Sequence[Cut] = ()) -> None:
        """`beyond`: the rules to use once the recording turns out to be longer than `rules.total`."""
        self._rules = rules
        self._beyond = beyond
        self._planned = deque(sorted(planned, key=lambda cut: cut.index))
        #: The index of the first piece for which the planned cuts did not fit; None: they fit so far.
        self.replanned: int | None = None
        #: Whether one of them has fitted: where others do not, the same recording was changed.
        self._agrees = False
        self._kept = UndecidedSamples()
        self._scale = LoudnessScale()
        #: End of the sound used for the scale and the decisions.
        self._seen = 0
        self._start = 0
        #: End of the span before.
        self._before = 0
        self._index = 0
        #: Samples that each place has got so far.
        self._given = [0] * rules.places
        self._finished = False
        #: Whether something has changed since the last decision.
        self._undecided = True

    def feed(self, samples: Samples) -> None:
        """Add the next samples."""
        self._kept.add(samples)

    def finish(self) -> None:
        """Take it that the recording ends here."""
        self._finished = self._undecided = True
        self._kept.finish()

    def span(self) -> PlannedPiece | None:
        """Return the next span; None if more samples are needed first, or nothing is left."""
        while True:
            span = self._planned_cut() if self._planned else self._new_cut() if self._undecided else None
            if span is not None:
                return span
            self._undecided = False
            if not self._step():
                return None

    def accept(self, span: PlannedPiece) -> None:
        """Continue after the span."""
        if self._planned and self._planned[0].start == span.cut.start:
            self._planned.popleft()
        self._index = span.cut.index + 1
        _give(self._given, span.cut.end - span.cut.start)
        self._before = self._start = span.cut.end
        if not self._quiet_at(span.cut.end):
            self._start -= min(OVERLAP, (span.cut.end - span.cut.start) // 2 // FRAME * FRAME)
        self._undecided = True
        self._kept.forget(self._start)

    def shorten(self, span: PlannedPiece, longest: int) -> None:
        """Refuse the span: it, and the following ones, may have `longest` samples at most."""
        if self._planned:
            self.replanned = self._index
            self._planned.clear()
        self._start = span.cut.start
        self._undecided = True
        target = min(self._rules.target, longest * 4 // 5)
        least = min(self._rules.least, target)
        self._rules = replace(self._rules, target=target, longest=longest, least=least)

    # Hearing.

    def _step(self) -> bool:
        """Go to the next position of a decision; return False if more samples are needed first, or all were used."""
        end = self._seen + _STEP
        if end > self._kept.end:
            if not self._finished or self._seen == self._kept.end:
                return False
            end = self._kept.end
        self._scale.add(self._kept.levels(self._seen, end))
        self._seen = end
        if self._beyond is not None and self._rules.total and self._seen > self._rules.total * _EXACT + _STEP:
            self._rules, self._beyond = self._beyond, None
        self._undecided = True
        return True

    # Deciding.

    def _planned_cut(self) -> PlannedPiece | None:
        """Return the next planned cut; once one did not fit, what leads back to the plan, if some of it has fitted before."""
        cut = self._planned[0]
        if self.replanned is None and self._fits(cut):
            self._start = max(self._start, min(cut.start, self._seen))
            self._kept.forget(min(cut.start, self._start))
            if not self._knows(cut.end):
                return None
            span = self._made(cut.start, cut.end)
            if span.cut == cut:
                self._agrees = True
                return span
        if self.replanned is None:
            self.replanned = self._index
        if not self._agrees:
            self._planned.clear()
        return self._rejoined()

    def _rejoined(self) -> PlannedPiece | None:
        """Return a piece at a planned place, or one that ends where a planned one begins, or else a new one.

        So a change in the middle of a recording changes the pieces around it, and the others stay as they were.
        """
        if self._rules.skip_silence:
            self._skip_to_sound()
        while self._planned:
            cut = self._planned[0]
            is_next = cut.start == self._start or self._is_still_until(cut.start)
            end = cut.end if is_next else cut.start
            start = cut.start if is_next else self._start
            if end - start > self._rules.longest and not is_next:
                break
            if not self._knows(end):
                return None
            span = self._at_place(start, end, is_next=is_next)
            if span is not None:
                return span
            self._planned.popleft()
        return self._new_cut() if self._undecided else None

    def _at_place(self, start: int, end: int, *, is_next: bool) -> PlannedPiece | None:
        """Return the piece between two places of the plan; None if it cannot end there. `is_next`: it is a planned one."""
        is_possible = self._kept.base <= start and end <= self._kept.end
        if not is_possible or not _LEAST * SAMPLE_RATE <= end - start <= self._rules.longest:
            return None
        span = self._made(start, end)
        if is_next and span.cut.digest == self._planned[0].digest:
            return span
        overlaps = is_next and len(self._planned) > 1 and self._planned[1].start < end
        sound = self._mask(start, end)
        first, behind = runs(~sound)
        is_empty = not sound.any() or (behind - first).max(initial=0) * FRAME >= self._rules.desert
        if is_empty or not (overlaps or self._quiet_at(end)):
            return None
        return span if is_next else self._trimmed(sound, len(sound))

    def _is_still_until(self, place: int) -> bool:
        """Return whether nothing from the last piece on to `place` has to be sent."""
        return place == self._before or (place > self._before and not self._mask(self._before, place).any())

    def _mask(self, start: int, end: int) -> Mask:
        levels = self._kept.levels(start, end)
        return self._scale.sound(levels) if self._rules.skip_silence else np.ones(len(levels), np.bool_)

    def _knows(self, place: int) -> bool:
        """Return whether enough was heard to decide about a place: the same, however the recording was fed."""
        return self._seen >= place + _QUIET * FRAME or (self._finished and self._seen == self._kept.end)

    def _fits(self, cut: Cut) -> bool:
        """Return whether the planned cut can be the next one; its samples are not compared."""
        if (
            cut.index != self._index
            or cut.start < self._kept.base
            or (cut.start > self._before and not self._rules.skip_silence)
            or cut.end - cut.start > self._rules.longest
        ):
            return False
        # The gap before a planned cut had no sound; if it has sound now, this is another recording.
        gap = self._kept.levels(max(self._start, self._before), min(cut.start, self._seen)) > AUDIBLE
        return not without_clicks(gap).any()

    def _new_cut(self) -> PlannedPiece | None:
        final = self._finished and self._seen == self._kept.end
        if self._rules.skip_silence:
            self._skip_to_sound()
        length = self._seen - self._start
        if length <= 0 or (final and self._seen - max(self._before, self._start) < _SHORTEST):
            return None
        levels = self._kept.levels(self._start, self._seen)
        sound = self._mask(self._start, self._seen)
        window = self._rules.window(self._index, self._start, self._given)
        if final and not sound.any():
            return None
        first, behind = runs(~sound)
        deserts = first[(behind - first) * FRAME >= self._rules.desert]
        if len(deserts) and deserts[0] * FRAME <= window.latest - _PAD * FRAME:
            return self._trimmed(sound, int(deserts[0]) + _PAD)
        if final and length <= window.longest:
            return self._trimmed(sound, len(levels))
        tail = min(30 * SAMPLE_RATE, window.scale // 4)
        if final and length <= window.latest + tail:
            latest = min(window.latest, length * 2 // 3)
            earliest = min(length // 2 * 3 // 5, latest - OVERLAP)
            window = replace(window, target=length // 2, earliest=earliest, latest=latest, scale=length // 2)
        elif length < window.latest + tail:
            return None
        return self._chosen(levels, sound, window)

    def _skip_to_sound(self) -> None:
        """Move the start over silence, except for a margin."""
        levels = self._kept.levels(self._start, self._seen)
        sound = self._scale.sound(levels)
        silent = int(np.argmax(sound)) if sound.any() else len(sound)
        if silent > _EDGE:
            self._start += (silent - _PAD) * FRAME
            self._kept.forget(self._start)

    def _chosen(self, levels: Levels, sound: Mask, window: CutWindow) -> PlannedPiece:
        """Cut in the best pause between the earliest and the latest position, else around the quietest moment."""
        low, high = window.earliest // FRAME, window.latest // FRAME
        heard = levels[low:high]
        best: tuple[float, int] | None = None
        for mask, bonus in ((heard < _DEAF, _DEAF_BONUS), (self._scale.pause(heard), 0.0)):
            for first, behind in zip(*runs(mask), strict=True):
                if behind - first >= _PAUSE:
                    middle = low + int(first + behind) // 2
                    distance = abs(middle * FRAME - window.target) / window.scale
                    score = min(behind - first, _LONG_PAUSE) / _LONG_PAUSE + bonus - distance
                    best = max(best or (score, middle), (score, middle))
        if best is not None:
            return self._trimmed(sound, best[1])
        smooth = np.convolve(10.0 ** (heard / 10), np.ones(2 * CLICK), mode="valid")
        quietest = low + int(np.argmin(smooth)) + CLICK
        return self._made(self._start, self._start + quietest * FRAME + OVERLAP // 2)

    def _trimmed(self, sound: Mask, end: int) -> PlannedPiece:
        """Make the span of the frames before `end`, without the silence at their end, except for a margin."""
        behind = end - int(np.argmax(sound[:end][::-1])) if sound[:end].any() else 0
        if end - behind > _EDGE:
            end = behind + _PAD
        return self._made(self._start, min(self._start + end * FRAME, self._kept.end))

    def _quiet_at(self, position: int) -> bool:
        near = self._kept.levels(position - _QUIET * FRAME, position + _QUIET * FRAME)
        return bool(self._scale.pause(near).all()) or not self._scale.sound(near).any()

    def _made(self, start: int, end: int) -> PlannedPiece:
        samples = self._kept.samples(start, end)
        digest = hashlib.sha256(samples.astype("<i2", copy=False).data).hexdigest()
        return PlannedPiece(
            Cut(self._index, start, start + len(samples), digest), max(0, self._before - start), samples
        )
