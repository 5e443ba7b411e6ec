"""The part of the ledger that client and gate are handed, in memory: for tests that are not about the ledger."""

from collections.abc import Callable, Mapping

from watcher.errors import StateBusyError, StateError


class Memory:
    """Small values under a key, which expire by a clock."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self.values: dict[str, tuple[dict[str, object], float | None]] = {}
        #: How often something was stored.
        self.writes = 0
        #: The ledger takes no change now, or can't even be read.
        self.full = self.gone = False
        #: Seconds bought, by endpoint and day.
        self.bought: dict[tuple[str, str], float] = {}

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        self._check()
        self.writes += 1
        self.values[key] = (dict(value), expires)

    def remembered(self, key: str) -> dict[str, object] | None:
        if self.gone:
            raise StateError("the ledger is gone")
        value, expires = self.values.get(key, (None, None))
        if value is None or (expires is not None and expires <= self._clock()):
            return None
        return dict(value)

    def forget(self, key: str) -> None:
        self._check()
        self.values.pop(key, None)

    def buy(self, endpoint: str, day: str, seconds: float) -> float:
        self._check()
        self.bought[endpoint, day] = self.bought.get((endpoint, day), 0.0) + seconds
        return self.bought[endpoint, day]

    def sum_bought(self, endpoint: str, first: str, last: str) -> float:
        return sum(seconds for (of, day), seconds in self.bought.items() if of == endpoint and first <= day <= last)

    def _check(self) -> None:
        if self.full or self.gone:
            raise StateBusyError("the disk is full")
