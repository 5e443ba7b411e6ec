"""Counts of the requests at one endpoint since the process began, for the operator's metrics."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import Final

#: Upper bounds of the classes of durations, in seconds: an answer takes a second as a rule, and hours at the deadline of a long piece.
BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
#: The outcome of a request that was answered.
ANSWERED: Final = "answered"


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """What was counted until a moment."""

    #: By outcome: "answered", else the reason of the error.
    outcomes: dict[str, int]
    #: How many took at most as long as each of `BOUNDS`, and longer ones at the end; each request is counted once.
    classes: tuple[int, ...]
    #: Seconds of all together.
    seconds: float


class RequestStatistics:
    """The counts of one gate. Not locked: the gate's lock is held for each call."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._classes = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, outcome: str, seconds: float) -> None:
        """Count a request that ended."""
        self._outcomes[outcome] += 1
        self._classes[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def counts(self) -> RequestCounts:
        """Return a copy of what was counted."""
        return RequestCounts(dict(self._outcomes), tuple(self._classes), self._seconds)
