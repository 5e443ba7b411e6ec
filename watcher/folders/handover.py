"""Put complete files into the ledger, many in one transaction, and remember which files it knows."""

import os
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import structlog

from watcher.folders.known import KnownFiles, directory_key, file_key, mark_of
from watcher.job import Fingerprint, FoundRecording
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import PutResult

_log = structlog.get_logger()

#: Returns found recordings, in order, each with the session that it is a stem of, if it is one.
AssignSessions: TypeAlias = Callable[[Sequence[FoundRecording]], Sequence[FoundRecording]]
#: Files of a scan that are put in one transaction.
_BATCH: Final = 512


class Handover:
    """Found files that are not in the ledger yet. Owned by the finder's thread."""

    def __init__(
        self,
        ledger: Ledger,
        known: KnownFiles,
        told: Callable[[FoundRecording, PutResult], None] | None = None,
        assign: AssignSessions | None = None,
    ) -> None:
        """`told` is called with the ledger's result for each file; `assign` before they are put."""
        self._assign = assign
        self._ledger = ledger
        self._known = known
        self._told = told
        self._found: dict[bytes, tuple[FoundRecording, float]] = {}
        self._left: list[FoundRecording] = []
        self._urgent = False

    def take(self, found: FoundRecording, *, waited: float, urgent: bool) -> None:
        """Queue a file with the next flush; `waited`: seconds until it was whole. `urgent`: found by an event, not by a scan."""
        self._found[found.path] = (found, waited)
        self._urgent = self._urgent or urgent

    def skip(self, found: FoundRecording) -> None:
        """Record a file as not to be transcribed, with the next flush."""
        self._left.append(found)

    def is_pending(self, path: bytes, fingerprint: Fingerprint) -> bool:
        """Return whether a file with this path and fingerprint waits for the next flush."""
        pending = self._found.get(path)
        return pending is not None and pending[0].fingerprint == fingerprint

    def flush(self, *, bulk: bool = False) -> int:
        """Put the files in one transaction; return the number of files queued. Raises StateError.

        `bulk`: a long scan is running, so its files can wait until there are enough for a transaction; urgent ones cannot.
        """
        if bulk and not self._urgent and len(self._found) + len(self._left) < _BATCH:
            return 0
        self._urgent = False
        if self._left:
            left, self._left = self._left, []
            self._ledger.queue.skip(left)
            for found in left:
                self._note(found)
        if not self._found:
            return 0
        entries, self._found = list(self._found.values()), {}
        found_now = [found for found, _ in entries]
        assigned = found_now if self._assign is None else self._assign(found_now)
        batch = [(found, waited) for found, (_, waited) in zip(assigned, entries, strict=True)]
        with self._ledger.queue.reporting([found.path for found, _ in batch]):
            answers = self._ledger.queue.put([found for found, _ in batch])
            for (found, waited), answer in zip(batch, answers, strict=True):
                self._note(found)
                if answer is not PutResult.KNOWN:
                    _announce(found, answer, waited)
                if self._told is not None:
                    self._told(found, answer)
        return len(answers) - answers.count(PutResult.KNOWN)

    def _note(self, found: FoundRecording) -> None:
        parent, name = os.path.split(found.path)
        self._known.put(file_key(directory_key(parent), os.fsdecode(name)), mark_of(found.fingerprint))


def _announce(found: FoundRecording, answer: PutResult, waited: float) -> None:
    path, size = os.fsdecode(found.path), found.fingerprint.size
    if answer is PutResult.CHANGED:
        _log.info("file.changed", path=path, bytes=size)
    _log.info(
        "file.queued",
        path=path,
        bytes=size,
        seconds=found.seconds,
        suspect=found.incomplete,
        backlog=found.backlog,
        waited=round(waited, 3),
    )
