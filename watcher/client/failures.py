"""The uploads at which a server failed: to know whether the bytes are the cause, or all uploads fail."""

import threading
from collections import deque
from typing import Final

from watcher.client.upload import Upload

#: Number of uploads whose failures are remembered. If this many fail at the same time, no single one is at fault.
_FAILURES_KEPT: Final = 1000
_SEVERAL: Final = 2
_MEETINGS_KEPT: Final = 100


class UploadFailures:
    """What happened to the uploads to one endpoint; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: What happened, and the upload to which it happened.
        self._met: deque[tuple[str, str]] = deque(maxlen=_MEETINGS_KEPT)
        #: Number of answers so far; and how many there were when the server first failed at some bytes.
        self._answered = 0
        self._failed: dict[str, int] = {}
        #: Uploads not answered since the last answer, up to as many as are needed to know whether it is only one.
        self._failing: set[str] = set()

    def answered(self, upload: Upload) -> None:
        """Note an answer."""
        with self._lock:
            self._answered += 1
            self._failed.pop(_bytes_of(upload), None)
            self._failing.clear()

    def failed(self, upload: Upload) -> tuple[bool, bool]:
        """Note that the server failed at these bytes.

        Return (only this upload fails, others were answered since); both are False for bytes that failed for the first time.
        """
        key = _bytes_of(upload)
        self.note(upload)
        with self._lock:
            known = key in self._failed
            alone = self._answered > self._failed.setdefault(key, self._answered)
            while len(self._failed) > _FAILURES_KEPT:
                del self._failed[next(iter(self._failed))]
            return known and (alone or self._failing == {key}), alone

    def note(self, upload: Upload) -> None:
        """Note that an upload was not answered."""
        with self._lock:
            if len(self._failing) < _SEVERAL:
                self._failing.add(_bytes_of(upload))

    def again(self, what: str, upload: Upload) -> bool:
        """Return whether this happened to the same bytes before: twice is seldom chance."""
        with self._lock:
            meeting = (what, _bytes_of(upload))
            again = meeting in self._met
            self._met.append(meeting)
        return again


def _bytes_of(upload: Upload) -> str:
    """Return an identity of an upload's bytes: many files of a recorder have the same size and length, so these are not enough."""
    return f"{upload.name} {upload.size} {upload.seconds} {upload.digest}"
