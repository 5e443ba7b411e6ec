"""Limit the number of log lines: a number at once, refilled over time."""

import time
from collections.abc import Callable


class Quota:
    """A bucket of `amount` lines that refills in `per` seconds."""

    def __init__(self, amount: int, *, per: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._amount = float(amount)
        self._rate = amount / per
        self._left = float(amount)
        self._monotonic = monotonic
        self._at = monotonic()

    def spend(self) -> bool:
        """Use one line; return False if none is left now."""
        now = self._monotonic()
        self._left = min(self._amount, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Quotas:
    """A quota for each kind of line: a number at once, and one a minute while more come.

    Threads may share it: if two use it at the same instant, one extra line may be logged.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._quotas: dict[tuple[object, ...], Quota] = {}

    def spend(self, *kind: object, at_once: int = 3) -> bool:
        """Use a line of that kind; return False if none is left now."""
        quota = self._quotas.get(kind)
        if quota is None:
            quota = self._quotas[kind] = Quota(at_once, per=at_once * 60.0, monotonic=self._monotonic)
        return quota.spend()
