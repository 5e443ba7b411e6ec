"""The tables of a watch: the path of each of the kernel's watches."""

from typing import TypeAlias

from watcher.folders.path_tree import PathNode, PathTree
from watcher.tree import is_below

#: Number of a watch, as the kernel gives it.
WatchNumber: TypeAlias = int


class _WatchNode(PathNode):
    """A directory with its watch."""

    __slots__ = ("watch",)

    def __init__(self, name: bytes, above: "_WatchNode | None" = None) -> None:
        super().__init__(name, above)
        self.watch: WatchNumber = -1


class WatchBooks:
    """Watches by number and by path: some 500 bytes for each, half of what the kernel needs. Not thread-safe."""

    def __init__(self, top: bytes) -> None:
        """`top`: all watched directories are this one, or lie below it."""
        self._tree = PathTree[_WatchNode](top, _WatchNode)
        self._by_number: dict[WatchNumber, _WatchNode] = {}

    def __len__(self) -> int:
        """Return the number of watches."""
        return len(self._by_number)

    def path(self, watch: WatchNumber) -> bytes | None:
        """Return the path of a watch; None if it is not known."""
        node = self._by_number.get(watch)
        return None if node is None else node.path

    def paths(self) -> list[bytes]:
        """Return the paths of all watches."""
        return [node.path for node in self._tree]

    def add(self, path: bytes, watch: WatchNumber) -> WatchNumber | None:
        """Set the path of a watch, whatever its former path; return another watch that had this path until now, if any.

        The path of that one is then unknown. ValueError for a path that is not below the top.
        """
        former = self._by_number.get(watch)
        node = self._tree.put(path)
        displaced = node.watch if node is not former and node.watch in self._by_number else None
        if displaced is not None:
            del self._by_number[displaced]
        node.watch = watch
        self._by_number[watch] = node
        # It may have come back from an unknown path.
        if former is not None and former is not node:
            former.watch = -1
            self._tree.forget(former)
        return displaced

    def remove(self, watch: WatchNumber) -> None:
        """Forget a watch; do nothing if it is not known."""
        if (node := self._by_number.pop(watch, None)) is not None:
            node.watch = -1
            self._tree.forget(node)

    def move(self, source: bytes, target: bytes) -> bool:
        """Note that a directory was renamed, with all below it; return whether it has a watch.

        ValueError for a target that is not below the top.
        """
        node = self._tree.get(source)
        if node is None:
            return False
        if is_below(target, source):
            # A directory cannot be moved into itself: one of the two paths is outdated.
            for lost in self._tree.forget_all(node):
                del self._by_number[lost.watch]
                lost.watch = -1
            return False
        for replaced in self._tree.move(node, target):
            del self._by_number[replaced.watch]
            replaced.watch = -1
        return True
