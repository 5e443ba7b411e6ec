"""Separate the recordings of this batch from those that earlier calls left in the queue."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from watcher.job import State
from watcher.ledger import Ledger
from watcher.tree import is_below


@dataclass(frozen=True, slots=True)
class BatchScope:
    """The recordings that a call is about: single ones, and all below some folders."""

    folders: tuple[bytes, ...] = ()
    recordings: frozenset[bytes] = frozenset()

    def __contains__(self, path: bytes) -> bool:
        """Return whether the call is about a recording."""
        return path in self.recordings or any(is_below(path, folder) for folder in self.folders)


def known_below(ledger: Ledger, folders: Sequence[bytes]) -> Iterator[tuple[bytes, State]]:
    """Yield the ledger's sources below the folders, each once."""
    for folder in folders:
        if not any(folder != other and is_below(folder, other) for other in folders):
            yield from ((path, state) for path, _, state in ledger.history.known(folder))


def queued_elsewhere(ledger: Ledger, scope: BatchScope, *, limit: int) -> tuple[list[bytes], int]:
    """Return up to `limit` queued recordings that a call is not about, and their number. Raises StateError."""
    counts = ledger.history.counts()
    below = sum(state in _QUEUED for _, state in known_below(ledger, scope.folders))
    single: Collection[bytes] = [
        path for path in scope.recordings if not any(is_below(path, folder) for folder in scope.folders)
    ]
    records = filter(None, map(ledger.history.lookup, single))
    count = sum(counts[state] for state in _QUEUED) - below - sum(record.state in _QUEUED for record in records)
    if count <= 0:
        return [], 0
    some = ledger.history.records(*_QUEUED, limit=limit)
    return sorted(record.path for record in some if record.path not in scope), count


_QUEUED = (State.READY, State.DELAYED)


@dataclass(frozen=True, slots=True)
class Concluded:
    """Recordings that were concluded before: their number, and some of them."""

    count: Counter[State] = field(default_factory=Counter)
    some: defaultdict[State, list[bytes]] = field(default_factory=lambda: defaultdict(list))
