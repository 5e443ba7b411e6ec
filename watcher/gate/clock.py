"""The clocks and random numbers of the gate, and how long its threads wait."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Where there is one endpoint, requests wait for a pause that is no longer than this; see `GateOptions.patience`. Seconds.
PATIENCE_SECONDS: Final = 120.0
#: How often waiting threads look at `stop`, in seconds.
SLICE: Final = 0.25
#: Seconds that a waiting thread announces for its next sign of life; it gives one after every slice.
SILENT: Final = 60.0
#: How often a held gate looks whether another process ended the hold, and how soon it asks a fleet again for permission to
#: probe; seconds.
SYNC_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class GateClock:
    """The gate's two clocks and its random numbers, as arguments, so that tests can set them."""

    #: Return Unix time.
    wall: Callable[[], float]
    #: Return monotonic time.
    now: Callable[[], float]
    #: Return a number in [0, 1).
    jitter: Callable[[], float]

    def unix(self, moment: float) -> float:
        """Return the Unix time of a moment on the monotonic clock."""
        return self.wall() + moment - self.now()
