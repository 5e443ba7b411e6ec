"""Clean up after crashes: report quarantined jobs, and delete temporary files that are no longer being written."""

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import structlog

from watcher import reach, sidecar
from watcher.errors import FileError, LeaseLostError
from watcher.ledger import Ledger
from watcher.ledger.values import SourceRecord
from watcher.tree import is_below
from watcher.worker import Conclusion

#: Seconds between two checks.
_LOOK: Final = 5.0

_Result = TypeVar("_Result")


class CrashCleanup:
    """Handles quarantined sources, and temporaries of this host's last run and of dead hosts."""

    def __init__(
        self,
        ledger: Ledger,
        conclusions: Conclusion,
        *,
        roots: Callable[[], Iterable[bytes]] = tuple,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Note the temporaries of the last run. Create this object before any job runs. Raises StateError.

        `conclusions` report: log line, note and hook. `roots` returns the watched folders.
        """
        self._ledger = ledger
        self._conclusions = conclusions
        self._roots = roots
        self._monotonic = monotonic
        self._look_at = 0.0
        self._lock = threading.Lock()
        self._left = frozenset(ledger.outputs.temporaries())

    def step(self) -> None:
        """Clean up, if it is time for the next check. Raises StateError."""
        now = self._monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        self.clean_up()

    def clean_up(self) -> None:
        """Clean up, in one thread at a time; a folder that does not answer is tried again later. Raises StateError."""
        with self._lock:
            for record in self._ledger.queue.quarantined():
                error = FileError(record.message, hint=record.hint, reason=record.reason)
                try:
                    ask_in(record.root, partial(self._report, record, error))
                except (LeaseLostError, reach.SilentError):
                    # Another host has reported it, or somebody has put it back; else the next check tries again.
                    continue
            if self._left:
                self._left = clear(self._ledger, self._left, self._roots())
            if left := self._ledger.outputs.abandoned():
                clear(self._ledger, left, self._roots())

    def _report(self, record: SourceRecord, error: FileError) -> None:
        # Bind the recording in the thread that logs, as for a worker's log lines.
        with structlog.contextvars.bound_contextvars(job=record.job.id, path=record.path):
            self._conclusions.failed(record.job, error)


def clear(ledger: Ledger, temporaries: Iterable[bytes], roots: Iterable[bytes]) -> frozenset[bytes]:
    """Delete temporaries, folder by folder; return those whose folder did not answer. Raises StateError."""
    by_root: dict[bytes, list[bytes]] = {}
    nearest = sorted(roots, key=len, reverse=True)
    for path in temporaries:
        by_root.setdefault(next((root for root in nearest if is_below(path, root)), b""), []).append(path)
    silent: list[bytes] = []
    for root, paths in by_root.items():
        try:
            ask_in(root, partial(sidecar.clear_temporaries, ledger, root=root or b"/", left=paths))
        except reach.SilentError:
            silent += paths
    return frozenset(silent)


def ask_in(root: bytes, call: Callable[[], _Result]) -> _Result:
    """Call in a helper thread a function that accesses a root. Raises what it raises, and SilentError.

    The function may also wait for the ledger, so if it takes long, this does not mean that the root hangs.
    """
    return reach.ask(b"service in " + root, call)
