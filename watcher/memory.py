"""The part of the ledger that keeps small values under a key, for those that need no more of it."""

from collections.abc import Mapping
from typing import Protocol


class KeyedMemory(Protocol):
    """Small JSON values under keys; see `watcher.ledger.memory`. Every change is durable when it returns."""

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Store a value until `expires` (Unix time)."""

    def remembered(self, key: str) -> dict[str, object] | None:
        """Return a value that has not expired."""

    def forget(self, key: str) -> None:
        """Drop a value."""
