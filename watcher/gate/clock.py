"""Time and chance as the gate uses them, and how long its threads wait."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: A pause up to this long is waited for in place; before a longer one the jobs go back to the queue. Seconds.
PATIENCE_SECONDS: Final = 120.0
#: How often waiting threads look at `stop`, in seconds.
SLICE: Final = 0.25
#: Seconds within which a waiting thread shows its next sign of life; it does so after every slice.
SILENT: Final = 60.0
#: How often a held gate looks whether another process ended the hold, and how soon it asks a fleet again for permission to
#: probe; seconds.
SYNC_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class GateClock:
    """The two clocks and the chance that the gate is given, so that tests can move them."""

    #: Return Unix time.
    wall: Callable[[], float]
    #: Return monotonic time.
    now: Callable[[], float]
    #: Return a number in [0, 1).
    jitter: Callable[[], float]

    def unix(self, moment: float) -> float:
        """Return the Unix time of a moment on the monotonic clock."""
        return self.wall() + moment - self.now()
