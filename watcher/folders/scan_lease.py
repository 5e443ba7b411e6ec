"""A lease in the ledger, so that one host at a time scans a root that several hosts see.

A lease instead of an advisory lock, because it also ends when the host hangs: when it is stopped, cut off, or stuck in a mount that
does not answer, since the thread that scans is the one that renews it. Two hosts that scan at the same time, for a moment, do no
harm: the ledger takes each file once.
"""

import contextlib
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from watcher.errors import StateBusyError, StateError
from watcher.folders.folder import Folder
from watcher.ledger.hosts import Hosts

#: Seconds that a claim lasts; it is renewed when a third of that is gone.
LEASE: Final = 20.0
#: Seconds between two tries where the ledger does not answer.
_AGAIN: Final = 1.0


class ScanLease:
    """One host's part in the lease of one root. Owned by the finder's thread."""

    def __init__(
        self,
        folder: Folder,
        path: bytes,
        hosts: Hosts,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        lease: float = LEASE,
    ) -> None:
        #: It is our turn.
        self.ours = False
        self._path = path
        self._hosts = hosts
        self._monotonic = monotonic
        self._lease = lease
        # Hosts that look for different files can't scan for each other.
        rules = (folder.recursive, folder.include, folder.exclude, folder.backlog, folder.prune)
        self._rules = sha256(repr(rules).encode(errors="surrogatepass")).hexdigest()[:16]
        self._next = float("-inf")

    def check(self) -> bool:
        """Keep our turn, or see whether it has come; True when it has come just now. StateError passes."""
        now = self._monotonic()
        if now < self._next:
            return False
        try:
            had, wait = self.ours, self._hosts.claim_scan(self._path, self._rules, lease=self._lease)
        except StateBusyError:  # nobody else can claim it either, and nothing could be queued
            self._next = now + _AGAIN
            return False
        self.ours = wait == 0
        self._next = now + (self._lease / 3 if self.ours else min(wait, self._lease))
        return self.ours and not had

    def release(self) -> None:
        """Release the lease; other hosts notice within its length, if they cannot be notified."""
        if self.ours:
            with contextlib.suppress(StateError):
                self._hosts.release_scan(self._path, self._rules)
        self.ours, self._next = False, float("-inf")
