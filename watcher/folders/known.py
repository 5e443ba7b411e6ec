"""Which files are known, with which fingerprint: 100,000 of them in less than 4 MB.

Paths and fingerprints are kept as 64-bit hashes only (salted per process, so nobody can prepare a collision; by
chance, one in ten thousand million for 100,000 files). A wrong "not known" costs one look, as the ledger has the last
word.
"""

from array import array
from typing import Final

from watcher.job import Fingerprint

_BUCKETS: Final = 16_384


class Known:
    """A map from path to fingerprint; a directory's path is hashed once for all its files."""

    def __init__(self) -> None:
        # Key and print in turn: a search in a bucket of a few dozen numbers runs in C and needs no object per entry.
        self._buckets: list[array[int] | None] = [None] * _BUCKETS
        self._count = 0

    def __len__(self) -> int:
        """Give the number of known files."""
        return self._count

    def get(self, key: int) -> int | None:
        """Give the fingerprint's hash; None when the path is not known."""
        bucket = self._buckets[key % _BUCKETS]
        if bucket is None:
            return None
        try:
            at = bucket.index(key)
        except ValueError:
            return None
        if at % 2:  # a mark that looks like the key
            at = _find(bucket, key)
        return bucket[at + 1] if at >= 0 else None

    def put(self, key: int, mark: int) -> None:
        """Note a path and its fingerprint."""
        bucket = self._buckets[key % _BUCKETS]
        if bucket is None:
            bucket = self._buckets[key % _BUCKETS] = array("q")
        at = _find(bucket, key)
        if at < 0:
            bucket.extend((key, mark))
            self._count += 1
        else:
            bucket[at + 1] = mark

    def drop(self, key: int) -> None:
        """Forget a path."""
        bucket = self._buckets[key % _BUCKETS]
        if bucket is not None and (at := _find(bucket, key)) >= 0:
            del bucket[at : at + 2]
            self._count -= 1
            if not bucket:
                # Files come and go for months: in the end every bucket would have been used once.
                self._buckets[key % _BUCKETS] = None


def directory_key(directory: bytes) -> int:
    """Hash a directory's path."""
    return hash(directory)


def file_key(directory: int, name: str) -> int:
    """Hash a file's path from its directory's hash and its name (decoded with surrogateescape)."""
    return hash((directory, name))


def mark_of(fingerprint: Fingerprint) -> int:
    """Hash a fingerprint."""
    return hash((fingerprint.size, fingerprint.mtime_ns, fingerprint.inode))


def _find(bucket: "array[int]", key: int) -> int:
    at = -1
    try:
        at = bucket.index(key)
        while at % 2:  # a mark that looks like a key
            at = bucket.index(key, at + 1)
    except ValueError:
        return -1
    return at
