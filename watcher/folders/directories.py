"""The directories of a root as they were listed last, up to so many bytes: others make them, as many as they like."""

from typing import Final

from watcher.folders.path_tree import ENTRY, PathNode, PathTree

#: Bytes of a table, some 240,000 directories; those beyond are met by scans of everything alone.
MOST_BYTES: Final = 100_000_000
#: How many that are.
MOST: Final = MOST_BYTES // (ENTRY + 16) // 10_000 * 10_000


class ListedDirectory(PathNode):
    """A directory as it was last listed."""

    __slots__ = ("device", "generation", "inode", "mtime_ns", "unfinished")

    def __init__(self, name: bytes, above: "ListedDirectory | None" = None) -> None:
        super().__init__(name, above)
        #: 0 where it must be listed again.
        self.mtime_ns = 0
        self.device = 0
        self.inode = 0
        #: Number of the last full scan that met it.
        self.generation = 0
        #: It has placeholders: only in these is a placeholder looked for beside each file. Where somebody makes thousands of
        #: files, each look-up of a missing name waits for the directory's lock.
        self.unfinished = False


class Directories(PathTree[ListedDirectory]):
    """The directories of a root. Owned by the detector thread."""

    def __init__(self, root: bytes) -> None:
        super().__init__(root, ListedDirectory)

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return self.bytes >= MOST_BYTES
