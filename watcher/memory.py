"""The protocol of the ledger's memory, for packages that need only this part of the ledger."""

from collections.abc import Mapping
from typing import Protocol


class KeyedMemory(Protocol):
    """Small JSON values under keys; see `watcher.ledger.memory`. Every change is durable when it returns."""

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Store a value until `expires` (Unix time)."""

    def remembered(self, key: str) -> dict[str, object] | None:
        """Return a value that has not expired."""

    def forget(self, key: str) -> None:
        """Delete a value."""
