"""Paths as a ledger stores them, and as this host has them."""

from collections.abc import Iterable, Iterator
from typing import Final

from watcher.job import FoundRecording


class LedgerPaths:
    """Paths of a ledger that one host uses: they are stored as they are."""

    def stored(self, path: bytes) -> bytes:
        """Return a path of this host as it is stored."""
        return path

    def found(self, found: FoundRecording) -> FoundRecording:
        """Return what was found, with paths as they are stored."""
        return found

    def real(self, stored: bytes) -> bytes:
        """Return a stored path as this host has it; for people only where `has` is False."""
        return stored

    def has(self, stored: bytes) -> bool:  # noqa: ARG002 - where hosts share the ledger, they differ
        """Return whether a stored path lies below something that this host has."""
        return True

    def own(self, stored: bytes) -> bytes | None:
        """Return this host's path; None for another host's own. ValueError, with the name, for a root this host lacks."""
        return stored

    def below(self, folder: bytes) -> Iterator[bytes]:
        """Yield the stored folders that together hold all that lies below a folder of this host."""
        yield folder

    def ranges(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the ends, both outside, of the ranges of stored paths that this host has."""
        return ((b"", b"\xff"),)


AS_STORED: Final = LedgerPaths()
