"""Adapt the number of requests in flight: additive increase, multiplicative decrease, around a learned ceiling.

A refusal for crowding halves the window once, whatever else of the same burst is refused; each success then gives one
place back up to the ceiling, so that one overrun costs a fraction of a round trip. What a burst leaves in flight is what
the server takes: that becomes the ceiling. Repeated refusals, each before a whole window has gone through, also set the
ceiling; single refusals do not change it. Above a ceiling that was learned, one place more is tried after some windows of
successes, and each failed trial doubles that wait.
"""

from typing import Final

#: Windows of successes before one place more is tried: normally, if a refusal makes all requests wait, and the maximum.
_PATIENCE: Final = 2
_COSTLY_PATIENCE: Final = 8
_MOST_PATIENCE: Final = 64
#: Refusals of one burst from which on it tells what the server takes; fewer may be chance.
_BURST: Final = 3
#: Refusals in a row, each before a whole window has gone through, that bring the ceiling down.
_EARLY: Final = 3


class ConcurrencyWindow:
    """The number of places; not locked, the gate's lock guards it."""

    def __init__(self, most: int) -> None:
        """Begin with all places: most servers take them."""
        self._most = most
        self._ceiling = most
        self._trial = False
        #: Whole windows of successes before one place more is tried, now and after a trial that went well.
        self._patience = self._first_patience = _PATIENCE
        #: Refusals since the last cut, of requests that started before it.
        self._burst = 0
        #: Consecutive windows cut short by a refusal, before a whole one had gone through.
        self._early: list[int] = []
        #: Successes since the last cut, and since the ceiling was reached.
        self._passed = 0
        self._credit = 0
        self.limit = most
        #: Number of cuts so far (a restart counts as two); each request keeps the value at its start.
        self.epoch = 0

    def resize(self, most: int) -> None:
        """Take a new maximum."""
        if self._ceiling == self._most or self._ceiling > most:
            self._ceiling = most
        self._most = most
        self.limit = min(self.limit, most)

    def passed(self) -> None:
        """Count a success."""
        self._passed += 1
        if self.limit < self._ceiling:
            self.limit += 1
            return
        self._credit += 1
        if self._trial and self._credit >= self._ceiling:
            self._trial, self._patience = False, self._first_patience
        if self._ceiling < self._most and self._credit >= self._patience * self._ceiling:
            self._ceiling += 1
            self.limit, self._trial, self._credit = self._ceiling, True, 0

    def crowded(self, epoch: int, *, staying: int, costly: bool = False) -> None:
        """Halve, or learn from a burst.

        `epoch`: that of the request; `staying`: how many others are still in flight; `costly`: all requests have to wait.
        """
        if costly:
            self._first_patience = _COSTLY_PATIENCE
            self._patience = max(self._patience, _COSTLY_PATIENCE)
        if epoch == self.epoch:
            self._cut()
        elif epoch == self.epoch - 1:
            self._burst += 1
            if self._burst >= _BURST:
                # The server takes as many as stay in flight.
                self._ceiling = min(self._ceiling, max(staying, 1))
                self.limit = min(self.limit, self._ceiling)

    def restart(self) -> None:
        """Begin with one place after a hold: each success adds one, so all are there after a few round trips."""
        self.limit, self._trial, self._credit, self._passed, self._early = 1, False, 0, 0, []
        # By two, so that running requests count neither as of the current burst nor as of the last one.
        self.epoch += 2

    def _cut(self) -> None:
        early = self._passed < self.limit
        self._early = [*self._early, self.limit] if early and not self._trial else []
        if self._trial:
            self._ceiling = max(1, self._ceiling - 1)
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        elif len(self._early) >= _EARLY:
            # Not the first of them: that may have been a burst far beyond what is taken.
            self._ceiling = max(1, max(self._early[1:]) - 1)
            self._early = []
        self.limit = max(1, self.limit // 2)
        self._trial, self._credit, self._passed, self._burst = False, 0, 0, 1
        self.epoch += 1
