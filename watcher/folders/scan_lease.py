"""A lease in the ledger, so that only one host at a time scans a root that several hosts see.

Unlike an advisory lock, a lease also ends if the host is stopped, cut off, or hangs in a mount that does
not answer: the thread that scans is also the one that renews it. If two hosts scan at the same time for a moment, this does no
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

#: Seconds that a lease lasts; it is renewed after a third of them.
LEASE: Final = 20.0
#: Seconds between two tries while the ledger cannot be reached.
_AGAIN: Final = 1.0


class ScanLease:
    """The scan lease of one root, as one host sees it. Owned by the finder's thread."""

    def __init__(
        self,
        folder: Folder,
        path: bytes,
        hosts: Hosts,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        lease: float = LEASE,
    ) -> None:
        #: Whether this host has the lease.
        self.ours = False
        self._path = path
        self._hosts = hosts
        self._monotonic = monotonic
        self._lease = lease
        # Hosts that look for different files cannot scan for each other.
        rules = (folder.recursive, folder.include, folder.exclude, folder.backlog, folder.prune)
        self._rules = sha256(repr(rules).encode(errors="surrogatepass")).hexdigest()[:16]
        self._next = float("-inf")

    def check(self) -> bool:
        """Renew the lease, or try to get it; return True if this host has just got it. Raises StateError."""
        now = self._monotonic()
        if now < self._next:
            return False
        try:
            had, wait = self.ours, self._hosts.claim_scan(self._path, self._rules, lease=self._lease)
        except StateBusyError:  # no other host can get it either, and nothing could be queued
            self._next = now + _AGAIN
            return False
        self.ours = wait == 0
        self._next = now + (self._lease / 3 if self.ours else min(wait, self._lease))
        return self.ours and not had

    def release(self) -> None:
        """Release the lease; if other hosts cannot be notified, they notice within its length."""
        if self.ours:
            with contextlib.suppress(StateError):
                self._hosts.release_scan(self._path, self._rules)
        self.ours, self._next = False, float("-inf")
