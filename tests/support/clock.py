"""A clock that only the test moves."""

import time

START = 1_800_000_000.0


class Clock:
    """Wall and monotonic time, in seconds; called, it is the wall clock."""

    def __init__(self, wall: float = START) -> None:
        self.wall = wall
        self.running = 1_000.0

    def __call__(self) -> float:
        return self.wall

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.running

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        self.wall += seconds
        self.running += seconds


def present() -> Clock:
    """Return a clock that begins with the time of the machine, as files have it."""
    return Clock(time.time())
