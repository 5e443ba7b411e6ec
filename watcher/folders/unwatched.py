"""Files that look like recordings and are not taken: their number in each directory, and some of their names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from watcher.folders.directories import ListedDirectory

#: Most names kept of a directory, and of a root: anybody who can write there can make any number of files.
_NAMED: Final = 20
_NAMED_IN_ALL: Final = 1000


@dataclass(slots=True)
class UnwatchedFiles:
    """Such files in one directory: their number, and some of them with the reason."""

    count: int = 0
    some: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, reason: str) -> None:
        """Count a file."""
        self.count += 1
        if len(self.some) < _NAMED:
            self.some.append((name, reason))


class Unwatched:
    """Such files in a root."""

    def __init__(self) -> None:
        #: Number of files.
        self.count = 0
        self._counts: dict[ListedDirectory, int] = {}
        self._some: dict[ListedDirectory, tuple[tuple[str, str], ...]] = {}
        self._named = 0

    def put(self, directory: ListedDirectory, files: UnwatchedFiles) -> None:
        """Store the current files of a directory."""
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
        """Yield some files: directory, name and reason (see `settle.UNWATCHED`)."""
        return ((directory.path, name, why) for directory, files in self._some.items() for name, why in files)
