"""How much audio is transcribed per hour: over the last hour, or since the start."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

#: Seconds between two marks, and how far back they reach.
_STEP: Final = 60.0
_REACH: Final = 3600.0


class Pace:
    """Marks of a sum that only grows; not thread-safe."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._marks: deque[tuple[float, float]] = deque()
        self._rate: float | None = None

    def minutes_per_hour(self, audio_seconds: Callable[[], float]) -> float | None:
        """Give audio minutes per hour, rounded, anew each minute; None in the first one. `audio_seconds` gives the sum."""
        now = self._monotonic()
        if not self._marks or now - self._marks[-1][0] >= _STEP:
            self._marks.append((now, audio_seconds()))
            # One mark beyond the hour is what the hour is measured from.
            while len(self._marks) > 1 and now - self._marks[1][0] >= _REACH:
                self._marks.popleft()
            (began, before), (ended, after) = self._marks[0], self._marks[-1]
            self._rate = round((after - before) / 60 / ((ended - began) / 3600), 1) if ended > began else None
        return self._rate
