"""Adapt the number of requests in flight: additive increase, multiplicative decrease, around a learned ceiling.

A refusal because of too many requests halves the window once, however many requests of the same burst are refused; each success
then adds one place, up to the ceiling, so that one refusal costs a fraction of a round trip. The requests of a burst that are not
refused show how many the server takes: that becomes the ceiling. Repeated refusals, each before a whole window has succeeded,
also set the ceiling; single refusals do not change it. Above a learned ceiling, one place more is tried after some windows of
successes; each time that fails, the wait for the next try doubles.
"""

from typing import Final

#: Windows of successes before one place more is tried: normally; if a refusal makes all requests wait; and at most.
_PATIENCE: Final = 2
_PATIENCE_IF_ALL_WAIT: Final = 8
_MOST_PATIENCE: Final = 64
#: From this many refusals on, a burst shows how many requests the server takes; fewer may be chance.
_BURST: Final = 3
#: Refusals in a row, each before a whole window has succeeded, that lower the ceiling.
_EARLY_REFUSALS: Final = 3


class ConcurrencyWindow:
    """The number of places. It has no lock: the gate's lock guards it."""

    def __init__(self, most: int) -> None:
        """Begin with all places: most servers take as many requests."""
        self._most = most
        self._ceiling = most
        self._trying_more = False
        #: Whole windows of successes before one place more is tried, now and after a try that succeeded.
        self._patience = self._first_patience = _PATIENCE
        #: Refusals since the last cut, of requests that started before it.
        self._burst = 0
        #: The windows of consecutive refusals, each before a whole window had succeeded.
        self._early_refusals: list[int] = []
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
        if self._trying_more and self._credit >= self._ceiling:
            self._trying_more, self._patience = False, self._first_patience
        if self._ceiling < self._most and self._credit >= self._patience * self._ceiling:
            self._ceiling += 1
            self.limit, self._trying_more, self._credit = self._ceiling, True, 0

    def crowded(self, epoch: int, *, staying: int, all_wait: bool = False) -> None:
        """Halve the window, or learn from a burst of refusals.

        `epoch`: the request's epoch; `staying`: how many others are still in flight; `all_wait`: all requests have to wait.
        """
        if all_wait:
            self._first_patience = _PATIENCE_IF_ALL_WAIT
            self._patience = max(self._patience, _PATIENCE_IF_ALL_WAIT)
        if epoch == self.epoch:
            self._cut()
        elif epoch == self.epoch - 1:
            self._burst += 1
            if self._burst >= _BURST:
                # The server takes as many requests as stay in flight.
                self._ceiling = min(self._ceiling, max(staying, 1))
                self.limit = min(self.limit, self._ceiling)

    def restart(self) -> None:
        """Begin with one place after a hold: each success adds one, so all are there after a few round trips."""
        self.limit, self._trying_more, self._credit, self._passed, self._early_refusals = 1, False, 0, 0, []
        # By two, so that running requests belong neither to the current burst nor to the last one.
        self.epoch += 2

    def _cut(self) -> None:
        is_early = self._passed < self.limit
        self._early_refusals = [*self._early_refusals, self.limit] if is_early and not self._trying_more else []
        if self._trying_more:
            self._ceiling = max(1, self._ceiling - 1)
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        elif len(self._early_refusals) >= _EARLY_REFUSALS:
            # Leave out the first window: it may have been far more than the server takes.
            self._ceiling = max(1, max(self._early_refusals[1:]) - 1)
            self._early_refusals = []
        self.limit = max(1, self.limit // 2)
        self._trying_more, self._credit, self._passed, self._burst = False, 0, 0, 1
        self.epoch += 1
