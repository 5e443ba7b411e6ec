# ruff: noqa: PTH108  paths are bytes here, and pathlib takes text only
"""Prove that events of a directory arrive: make a file in it, and wait for its event."""

import os
import time
from collections.abc import Callable
from secrets import token_hex
from typing import Final

from watcher.ledger.ledger import Ledger

#: Seconds in which a probe file's event must come, and the number of tries: the event may be delayed by many others.
_PROOF: Final = 3.0
_PROOFS: Final = 3
#: Start of a probe file's name: it is hidden, and says what the file is.
PROBE_PREFIX: Final = ".watcher-probe-"


class EventProof:
    """The proof for one root. Not thread-safe."""

    def __init__(self, ledger: Ledger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`ledger`: the file is recorded there, so that none stays after a crash."""
        #: Whether any event has arrived since the last `begin`.
        self.heard = False
        self._ledger = ledger
        self._monotonic = monotonic
        #: The real path whose event is awaited; b"": none.
        self._path = b""
        self._until = 0.0
        self._tries = 0

    def begin(self) -> None:
        """Start again: no event is awaited, none has arrived, and nothing was tried."""
        self.heard, self._path, self._tries = False, b"", 0

    def make(self, directory: bytes, real: bytes) -> str:
        """Make a hidden file and remove it; return why that was not possible, or "".

        `real`: the real path of `directory`, with a slash at the end, as in its events.
        """
        name = (PROBE_PREFIX + token_hex(4)).encode()
        path = directory.rstrip(b"/") + b"/" + name
        self._path, self._until = real + name, self._monotonic() + _PROOF
        self._tries += 1
        self._ledger.outputs.enter_temporary(path)
        try:
            touch(path)
        except OSError as error:
            self._path = b""
            return error.strerror or str(error)
        finally:
            self._ledger.outputs.drop_temporary(path)
        return ""

    def hear(self, path: bytes) -> bool:
        """Note an event at a real path; return True if it is the awaited one."""
        self.heard = True
        if path != self._path:
            return False
        self._path = b""
        return True

    @property
    def overdue(self) -> bool:
        """Whether the event should have arrived by now."""
        return bool(self._path) and self._monotonic() >= self._until

    @property
    def failed(self) -> bool:
        """Whether all tries have failed."""
        return self._tries >= _PROOFS


def touch(path: bytes) -> None:
    """Make a new empty file, and remove it; OSError if that is not possible."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.close(descriptor)
    finally:
        os.unlink(path)
