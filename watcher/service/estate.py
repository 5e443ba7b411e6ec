"""What is left behind by those that died, this host's own last life and other hosts alike: told, and cleared away."""

import time
from collections.abc import Callable
from typing import Final

from watcher import sidecar
from watcher.errors import FileError, LeaseLostError
from watcher.ledger import Ledger
from watcher.worker import Conclusion

#: Seconds between two looks.
_LOOK: Final = 5.0


class Estate:
    """Sources that were set aside for their crashes before anybody could tell, and temporaries of dead hosts."""

    def __init__(
        self, ledger: Ledger, conclusions: Conclusion, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`conclusions` tell: log line, note and hook."""
        self._ledger = ledger
        self._conclusions = conclusions
        self._monotonic = monotonic
        self._look_at = 0.0

    def step(self) -> None:
        """Do what there is to do, if it is time for another look. Raises StateError."""
        now = self._monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        self.settle()

    def settle(self) -> None:
        """Do what there is to do. Raises StateError."""
        for record in self._ledger.quarantined():
            error = FileError(record.message, hint=record.hint, reason=record.reason)
            try:
                self._conclusions.failed(record.job, error)
            except LeaseLostError:
                # Another host has told, or somebody has put it back.
                continue
        if left := self._ledger.abandoned():
            sidecar.clear_temporaries(self._ledger, left=left)
