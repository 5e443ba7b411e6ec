"""The directories of a root, as last listed. The memory is limited, because others can make any number of directories."""

from typing import Final

from watcher.folders.path_tree import ENTRY, PathNode, PathTree

#: Bytes of a table, for some 240,000 directories; more are visited only by full scans.
MOST_BYTES: Final = 100_000_000
#: The number of directories that fit.
MOST: Final = MOST_BYTES // (ENTRY + 16) // 10_000 * 10_000


class ListedDirectory(PathNode):
    """A directory as it was last listed."""

    __slots__ = ("device", "generation", "inode", "mtime_ns", "unfinished")

    def __init__(self, name: bytes, above: "ListedDirectory | None" = None) -> None:
        super().__init__(name, above)
        #: Time of modification when it was listed; 0: it must be listed again.
        self.mtime_ns = 0
        self.device = 0
        self.inode = 0
        #: Number of the last full scan that visited it.
        self.generation = 0
        #: Whether it has placeholders; only then each file is checked for one. While somebody makes thousands of
        #: files, each look-up of a missing name waits for the directory's lock.
        self.unfinished = False


class Directories(PathTree[ListedDirectory]):
    """The directories of a root. Owned by the detector thread."""

    def __init__(self, root: bytes) -> None:
        super().__init__(root, ListedDirectory)

    @property
    def full(self) -> bool:
        """Whether there is no room for another directory."""
        return self.bytes >= MOST_BYTES
