"""What looks like a recording and is not taken: how many of it lie in each directory, and some of it by name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from watcher.folders.directories import ListedDirectory

#: Files that are named of a directory, and of a root: anybody who can write there can make any number of them.
_NAMED: Final = 20
_NAMED_IN_ALL: Final = 1000


@dataclass(slots=True)
class UnwatchedFiles:
    """Those of one directory: how many, and some of them with the reason."""

    count: int = 0
    some: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, reason: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.some) < _NAMED:
            self.some.append((name, reason))


class Unwatched:
    """Those of a root."""

    def __init__(self) -> None:
        #: How many there are.
        self.count = 0
        self._counts: dict[ListedDirectory, int] = {}
        self._some: dict[ListedDirectory, tuple[tuple[str, str], ...]] = {}
        self._named = 0

    def put(self, directory: ListedDirectory, files: UnwatchedFiles) -> None:
        """Note what is in a directory now."""
        self.drop(directory)
        if files.count:
            self._counts[directory] = files.count
            self.count += files.count
        if some := tuple(islice(files.some, _NAMED_IN_ALL - self._named)):
            self._some[directory] = some
            self._named += len(some)

    def drop(self, directory: ListedDirectory) -> None:
        """Forget a directory."""
        self.count -= self._counts.pop(directory, 0)
        self._named -= len(self._some.pop(directory, ()))

    def some(self) -> Iterator[tuple[bytes, str, str]]:
        """Yield some of them: directory, name and reason (see `settle.UNWATCHED`)."""
        return ((directory.path, name, why) for directory, files in self._some.items() for name, why in files)
