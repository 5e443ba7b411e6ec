"""Waiting events and paths. Other programs can cause any number of them, so their memory is limited."""

import sys
import threading
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from queue import SimpleQueue
from typing import Final

#: Most bytes of waiting events, and of waiting paths. Further events are dropped, as if the kernel's queue had
#: overflowed, and everything is scanned. (Bytes are counted, as a path may have 4,096 of them and Python may need four for each.)
MOST_BYTES: Final = 20_000_000
#: Bytes of an event, or of an entry of a set, without its path.
_OVERHEAD: Final = 150


class EventKind(StrEnum):
    """Kinds of events, by the reaction to them."""

    #: Inspect this file.
    FILE = "file"
    #: Scan this directory.
    DIRECTORY = "directory"
    #: Something is gone.
    GONE = "gone"
    #: A thread of a watch ended, or the kernel's queue overflowed: check the watches.
    TROUBLE = "trouble"
    #: All watches of a newly watched root are set: check the watches.
    WATCHED = "watched"
    #: Requests of other threads: look at this path as if it were unknown; scan everything; stop waiting.
    AGAIN = "again"
    RESCAN = "rescan"
    WAKE = "wake"


@dataclass(frozen=True, slots=True)
class Event:
    """A hint about a path."""

    kind: EventKind
    path: str = ""


class Inbox(SimpleQueue[Event]):
    """A queue of events from many threads. It has no limit itself; check `full` before `put`."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether the limit of waiting bytes is reached."""
        return self._bytes >= MOST_BYTES

    def put(self, event: Event, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001,FBT002  as SimpleQueue has it
        """Add an event."""
        with self._guard:
            self._bytes += size(event.path)
        super().put(event, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Event:  # noqa: FBT001,FBT002  likewise
        """Remove and return the oldest event; queue.Empty if none comes in time."""
        event = super().get(block, timeout)
        with self._guard:
            self._bytes -= size(event.path)
        return event

    def get_nowait(self) -> Event:
        """Remove and return the oldest event; queue.Empty if there is none."""
        return self.get(block=False)


class WaitingPaths:
    """A queue of paths, each once, up to `MOST_BYTES`."""

    def __init__(self) -> None:
        self._paths: dict[bytes, None] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many paths wait."""
        return len(self._paths)

    def __contains__(self, path: bytes) -> bool:
        """Return whether the path waits."""
        return path in self._paths

    def add(self, path: bytes) -> bool:
        """Add a path; return False if too many wait."""
        if path not in self._paths:
            if self._bytes >= MOST_BYTES:
                return False
            self._paths[path] = None
            self._bytes += size(path)
        return True

    def take(self, limit: int) -> list[bytes]:
        """Remove and return up to `limit` paths that wait longest."""
        taken = list(islice(self._paths, limit))
        for path in taken:
            del self._paths[path]
            self._bytes -= size(path)
        return taken

    def clear(self) -> None:
        """Remove all."""
        self._paths.clear()
        self._bytes = 0


def size(path: str | bytes) -> int:
    """Return the bytes that an event or a waiting path takes."""
    return sys.getsizeof(path) + _OVERHEAD
