"""Which uploads a server failed at: whether the failure follows the bytes, or meets everybody."""

import threading
from collections import deque
from typing import Final

from watcher.client.upload import Upload

#: Uploads whose failures are remembered; and so many that fail at the same time are not the fault of one of them.
_FAILURES_KEPT: Final = 1000
_SEVERAL: Final = 2
_MEETINGS_KEPT: Final = 100


class UploadFailures:
    """What happened to the uploads to one endpoint; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: What happened to which uploads.
        self._met: deque[tuple[str, str]] = deque(maxlen=_MEETINGS_KEPT)
        #: Answers so far; and how many there were when the server first failed at some bytes.
        self._answered = 0
        self._failed: dict[str, int] = {}
        #: What was not answered since the last answer, as far as it takes to know whether it is one upload.
        self._failing: set[str] = set()

    def answered(self, upload: Upload) -> None:
        """Note an answer."""
        with self._lock:
            self._answered += 1
            self._failed.pop(_bytes_of(upload), None)
            self._failing.clear()

    def failed(self, upload: Upload) -> tuple[bool, bool]:
        """Note that the server failed at these bytes.

        Return (only this upload fails, others were answered since); both are True only for bytes that it failed at before.
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
        """Return whether these bytes met this before: chance seldom strikes the same ones twice."""
        with self._lock:
            meeting = (what, _bytes_of(upload))
            again = meeting in self._met
            self._met.append(meeting)
        return again


def _bytes_of(upload: Upload) -> str:
    """Return what tells the bytes of uploads apart: recorders make files of one size and one length by the dozen."""
    return f"{upload.name} {upload.size} {upload.seconds} {upload.digest}"
