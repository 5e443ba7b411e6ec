"""Limit what one recording may cost over all its attempts, so that no server is paid for it again and again.

A server may answer most pieces and then refuse the rest, so that the next attempt cuts the recording afresh and pays for all pieces
again. So the costs are stored from one attempt to the next, in the ledger's memory, until the job is done or has failed for good.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from watcher.errors import FileError, GarbledError, JobError, StateError
from watcher.gate import is_maybe_paid
from watcher.job import Job
from watcher.ledger.values import SPENT
from watcher.memory import KeyedMemory
from watcher.text import hours

#: A recording may be bought this many times, and some seconds more: in two forms, and some of its pieces once more.
_TIMES: Final = 2.0
_BESIDES: Final = 60.0
#: Seconds for which the ledger stores the costs.
_KEPT: Final = 30 * 86_400.0


@dataclass(slots=True)
class RequestCost:
    """Seconds of audio that one request cost; used by one thread."""

    seconds: float
    #: Seconds of complete answers, and seconds that may be charged.
    bought: float = 0.0
    sent: float = 0.0

    def charge(self) -> None:
        """Count one more request that may be paid for; the first is counted anyway."""
        self.sent += self.seconds

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count the request made within the block, by its outcome."""
        try:
            yield
        except JobError as error:
            self.bought += self.seconds if isinstance(error, GarbledError) else 0.0
            self.sent += self.seconds if isinstance(error, GarbledError) or is_maybe_paid(error) else 0.0
            raise
        self.bought += self.seconds
        self.sent += self.seconds


class Spending:
    """The cost of one recording: a context manager that stores it if the attempt fails. Any thread may use it in the block."""

    def __init__(
        self, job: Job, memory: KeyedMemory, *, is_free: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        """Call `begin` first; `is_free`: this attempt buys nothing, but earlier ones may have; `clock` returns Unix time."""
        self._key = f"{SPENT}{job.id}"
        self._token = job.again.token if job.again is not None else ""
        self._memory = memory
        self._is_free = is_free
        self._clock = clock
        self._lock = threading.Lock()
        self._sketch = ""
        self._bought = self._sent = self._until = 0.0
        #: Seconds of the tracks before this one.
        self._earlier = 0.0
        #: Seconds bought in earlier attempts.
        self.before = 0.0
        #: Seconds of requests in flight; and whether there is something to store.
        self._asked = 0.0
        self._changed = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Store the costs if an error ends the attempt."""
        if error is not None and self._changed:
            spent = {"bought": self._bought, "sent": self._sent, "until": self._until}
            value = {"sketch": self._sketch, "token": self._token, **spent}
            # The error that ends the attempt is more important.
            with contextlib.suppress(StateError):
                self._memory.remember(self._key, value, expires=self._clock() + _KEPT)

    def begin(self, sketch: str) -> None:
        """Read the costs of earlier attempts for the recording with this sketch; a second call does nothing. Raises StateError."""
        if self._sketch:
            return
        self._sketch = sketch
        known = self._memory.remembered(self._key) or {}
        if known.get("sketch") == sketch and known.get("token") == self._token:
            self._bought, self._sent, self._until = (_number(known.get(name)) for name in ("bought", "sent", "until"))
            self.before = self._sent

    @property
    def seconds(self) -> float:
        """Seconds of audio that are or may be paid for in this attempt."""
        with self._lock:
            return self._sent - self.before

    def add(self, seconds: float) -> None:
        """Count seconds that were bought in addition to the known length of an upload."""
        if self._is_free:
            return
        with self._lock:
            self._bought += seconds
            self._sent += seconds
            self._changed = True

    def go_on(self, earlier: float) -> None:
        """Begin with a further track of the recording, after tracks of so many seconds together."""
        self._earlier = earlier

    def reach(self, seconds: float) -> None:
        """Note that the recording, or its present track, has at least `seconds`."""
        with self._lock:
            self._until = max(self._until, self._earlier + seconds)

    @contextlib.contextmanager
    def request(self, seconds: float) -> Iterator[RequestCost]:
        """Reserve one request with `seconds` of audio. Raises FileError ("paid_twice") if it would exceed the limit."""
        cost = RequestCost(seconds)
        if self._is_free:
            yield cost
            return
        with self._lock:
            if self._bought + self._asked + seconds > _TIMES * self._until + _BESIDES:
                raise self._refusal()
            self._asked += seconds
        try:
            yield cost
        finally:
            with self._lock:
                self._asked -= seconds
                self._bought += cost.bought
                self._sent += cost.sent
                self._changed = self._changed or cost.sent > 0

    def _refusal(self) -> FileError:
        return FileError(
            f"the server answered {hours(self._bought)} of sound for this recording of {hours(self._until)}, and wants all of it "
            "again",
            hint="ask the server's operator why it refuses later what it took before, then watcher retry",
            reason="paid_twice",
        )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
