"""Map of known files to their fingerprints: 100,000 files in less than 3 MB.

Only hashes of paths and fingerprints are kept. They are salted per process, so nobody can prepare a collision. They have 64 bits:
the chance that two of 100,000 files share one is one in a thousand million (on 32-bit machines 32 bits: some files do). If two files
share a hash, each scan takes one of them for unknown: this only costs a look, as the ledger decides in the end.

The table grows and shrinks by one bucket at a time, so that no change has to copy the whole table: linear
hashing (W. Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980).
"""

from array import array
from typing import Final

from watcher.job import Fingerprint

#: Files that a map holds at most, about 160 MB: others can make any number of names. Those that do not fit are looked at by each
#: scan, and the ledger decides.
MOST: Final = 5_000_000
#: Average number of files in a bucket. With more, a search takes longer; with fewer, there are more arrays.
_FULL: Final = 16


class KnownFiles:
    """A map from path to fingerprint; a directory's path is hashed once for all its files."""

    def __init__(self) -> None:
        # Keys and fingerprints alternate: a search in a bucket of a few dozen numbers runs in C and needs no object per entry.
        self._buckets: list[array[int]] = [array("q")]
        # How many low bits of a key choose the bucket.
        self._mask = 0
        self._count = 0

    def __len__(self) -> int:
        """Return the number of known files."""
        return self._count

    @property
    def full(self) -> bool:
        """Whether there is no room for another file."""
        return self._count >= MOST

    def get(self, key: int) -> int | None:
        """Return the fingerprint's hash; None if the path is not known."""
        bucket = self._bucket(key)
        try:
            at = bucket.index(key)
        except ValueError:
            return None
        if at % 2:  # a mark that looks like the key
            at = _find(bucket, key)
        return bucket[at + 1] if at >= 0 else None

    def put(self, key: int, mark: int) -> None:
        """Note a path and its fingerprint; do nothing where there is no room for another one."""
        bucket = self._bucket(key)
        at = _find(bucket, key)
        if at >= 0:
            bucket[at + 1] = mark
            return
        if self.full:
            return
        bucket.extend((key, mark))
        self._count += 1
        if self._count > _FULL * len(self._buckets):
            self._split()

    def drop(self, key: int) -> None:
        """Forget a path."""
        bucket = self._bucket(key)
        if (at := _find(bucket, key)) < 0:
            return
        del bucket[at : at + 2]
        self._count -= 1
        # Merge at a lower count than split, so that the table does not split and merge in turn.
        if len(self._buckets) > 1 and 2 * self._count < _FULL * len(self._buckets):
            self._join()

    def clear(self) -> None:
        """Forget all paths."""
        self._buckets, self._mask, self._count = [array("q")], 0, 0

    def _bucket(self, key: int) -> "array[int]":
        number = key & self._mask
        return self._buckets[number if number < len(self._buckets) else self._whole(number)]

    def _whole(self, number: int) -> int:
        """Return the bucket that is used until this one exists: its number without the highest bit."""
        return number & (self._mask >> 1)

    def _split(self) -> None:
        """Move half of the next bucket to a new one."""
        number = len(self._buckets)
        if number > self._mask:
            self._mask = 2 * self._mask + 1
        whole = self._buckets[self._whole(number)]
        parts: tuple[array[int], array[int]] = (array("q"), array("q"))
        for at in range(0, len(whole), 2):
            parts[whole[at] & self._mask == number].extend(whole[at : at + 2])
        self._buckets[self._whole(number)] = parts[0]
        self._buckets.append(parts[1])

    def _join(self) -> None:
        """Merge the last bucket into the one that it was split from."""
        last = self._buckets.pop()
        number = len(self._buckets)
        self._buckets[self._whole(number)].extend(last)
        if number - 1 == self._mask >> 1:
            self._mask >>= 1


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
