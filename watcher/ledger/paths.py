"""Paths as a ledger stores them, and as this host has them."""

from collections.abc import Iterable, Iterator
from typing import Final

from watcher.job import FoundRecording


class LedgerPaths:
    """Paths of a ledger that only one host uses: they are stored unchanged."""

    def stored(self, path: bytes) -> bytes:
        """Return the stored form of a path of this host."""
        return path

    def found(self, found: FoundRecording) -> FoundRecording:
        """Return a found recording with its paths in stored form."""
        return found

    def real(self, stored: bytes) -> bytes:
        """Return this host's path for a stored path; if `has` is False, it is only good for showing it to people."""
        return stored

    def has(self, stored: bytes) -> bool:  # noqa: ARG002 - where hosts share the ledger, they differ
        """Return whether a stored path lies below a root of this host."""
        return True

    def own(self, stored: bytes) -> bytes | None:
        """Return this host's path, or None if it belongs to another host alone. ValueError with the name of a root this host lacks."""
        return stored

    def below(self, folder: bytes) -> Iterator[bytes]:
        """Yield the stored folders that together contain everything below a folder of this host."""
        yield folder

    def ranges(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the ends, both excluded, of the ranges of stored paths that this host has."""
        return ((b"", b"\xff"),)


AS_STORED: Final = LedgerPaths()
