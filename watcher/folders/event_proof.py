# ruff: noqa: PTH108  paths are bytes here, and pathlib takes text only
"""Prove that events of a directory arrive: make a file in it, and wait for its event."""

import os
import time
from collections.abc import Callable
from secrets import token_hex
from typing import Final

from watcher.ledger.ledger import Ledger

#: Seconds until a probe file's event must have come, and how often it is tried: the event may be behind a flood.
_PROOF: Final = 3.0
_PROOFS: Final = 3
#: Starts the name of a probe file: hidden, and telling.
PROBE_PREFIX: Final = ".watcher-probe-"


class EventProof:
    """The proof for one root. Not thread-safe."""

    def __init__(self, ledger: Ledger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`ledger`: knows of the file, so that a crash leaves none behind."""
        #: Some event arrived since the last `begin`.
        self.heard = False
        self._ledger = ledger
        self._monotonic = monotonic
        #: The real path whose event is waited for; b"": none is.
        self._path = b""
        self._until = 0.0
        self._tries = 0

    def begin(self) -> None:
        """Begin anew: nothing is waited for, nothing was heard or tried."""
        self.heard, self._path, self._tries = False, b"", 0

    def make(self, directory: bytes, real: bytes) -> str:
        """Make a file with a dot name and remove it; return why that was not possible, or "".

        `real`: where `directory` really lies, with a slash behind it, as its event says.
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
        """Take note of an event at a real path; True where it is the one that is waited for."""
        self.heard = True
        if path != self._path:
            return False
        self._path = b""
        return True

    @property
    def overdue(self) -> bool:
        """Whether the event should have come by now."""
        return bool(self._path) and self._monotonic() >= self._until

    @property
    def failed(self) -> bool:
        """Whether it was tried often enough."""
        return self._tries >= _PROOFS


def touch(path: bytes) -> None:
    """Make an empty file that was not there, and remove it; OSError where that is not possible."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.close(descriptor)
    finally:
        os.unlink(path)
