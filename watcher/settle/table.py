"""A table of paths, limited in bytes. When it is full, further paths are not stored; an event or a scan finds them again."""

from typing import Final, TypeVar

_Value = TypeVar("_Value")
#: Bytes of an entry without its path.
_ENTRY: Final = 700


class PathTable(dict[bytes, _Value]):
    """Entries by path. Only `[]`, `take` and `clear` change it; check `full` before adding an entry."""

    #: Bytes from which on it is full: some 50,000 waiting files with paths of usual length.
    most = 40_000_000

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for another entry."""
        return self._bytes >= self.most

    def __setitem__(self, path: bytes, value: _Value) -> None:
        """Add or replace an entry."""
        if path not in self:
            self._bytes += len(path) + _ENTRY
        super().__setitem__(path, value)

    def take(self, path: bytes) -> _Value | None:
        """Remove and return an entry; None if there is none."""
        value = super().pop(path, None)
        if value is not None:
            self._bytes -= len(path) + _ENTRY
        return value

    def clear(self) -> None:
        """Remove all entries."""
        super().clear()
        self._bytes = 0
