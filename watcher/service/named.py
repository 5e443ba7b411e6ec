"""Find the recordings that a person names: by a file or a folder, relative or through links, or after they were moved away."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from watcher import reach, sidecar
from watcher.config import Settings
from watcher.errors import ConfigError
from watcher.job import State
from watcher.ledger import Ledger
from watcher.ledger.values import SourceRecord
from watcher.service.failures import standing
from watcher.service.plan import spellings, target
from watcher.settle import NameRuling, Names, is_audio
from watcher.text import printable
from watcher.tree import is_below


@dataclass(frozen=True, slots=True)
class NamedRecordings:
    """A path that a person named, and its recordings."""

    #: The paths that the ledger may have for it, best first.
    names: tuple[bytes, ...]
    is_folder: bool
    #: Whether the named path exists.
    there: bool
    #: Whether it is a watched folder that does not exist: its disk is not mounted.
    away: bool
    #: Whether a file with this name counts as a recording.
    is_by_name: bool
    #: Whether it lies in a folder that may not be entered, so that it is not known whether it exists.
    barred: bool = False

    def recordings(self, ledger: Ledger, settings: Settings) -> Iterator[SourceRecord]:
        """Yield the ledger's sources for it, in the order of the paths: a recording, or all below a folder, moved ones included."""
        if not self.is_folder and (found := self._single(ledger, settings)):
            yield from found
            return
        # Including sources that were moved away after they were done, and are stored under their former path.
        watched = (os.fsencode(folder.path) for folder in settings.folders)
        roots = {root for root in watched if any(is_below(name, root) for name in self.names)}
        roots.update(self.names if self.is_folder else ())
        known = {path: state for root in roots for path, _, state in ledger.history.known(root)}
        for path in sorted(known):
            if self._is_meant(path) or known[path] is State.DONE:
                record = ledger.history.lookup(path)
                if record is not None and (self._is_meant(path) or self._is_meant(place_of(record))):
                    yield record

    def _single(self, ledger: Ledger, settings: Settings) -> list[SourceRecord]:
        """Return the source with one of the names, or one that had it before it was moved away; then its new name may have a number."""
        history = ledger.history
        looks: list[Iterator[SourceRecord | None]] = [map(history.lookup, self.names)]
        if not self.there:
            looks += [map(history.moved, self.names), map(history.lookup, _moved_names(settings, self.names))]
        return next((found for look in looks if (found := list(filter(None, look)))), [])

    def _is_meant(self, path: bytes) -> bool:
        return any(path == name or (self.is_folder and is_below(path, name)) for name in self.names)


def _moved_names(settings: Settings, names: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the paths to which the folder's settings move a recording with one of these names."""
    for folder in settings.folders:
        root, goal = os.fsencode(folder.path), target(folder)
        for name in names if goal else ():
            if is_below(name, root):
                yield sidecar.target_directory(root, goal) + name[len(root.rstrip(b"/")) :]


def named(settings: Settings, path: bytes) -> NamedRecordings:
    """Find out what a person named. Raises ConfigError if its mount hangs."""
    try:
        is_folder, there = reach.ask(path, partial(reach.what_is_there, path), seconds=reach.PATIENT_SECONDS)
        barred = False
    except PermissionError:
        is_folder, there, barred = False, False, True
    except reach.SilentError as exc:
        raise ConfigError(f"{printable(path)}: {reach.SILENT}", hint="look at the mount and its server") from exc
    names = spellings(settings, path)
    away = not (there or barred) and any(os.fsencode(folder.path) in names for folder in settings.folders)
    by_name = any(_is_by_name(settings, name) for name in names)
    return NamedRecordings(names, is_folder, there, away, by_name, barred)


def _is_by_name(settings: Settings, path: bytes) -> bool:
    """Return whether a file with this path counts as a recording, by its suffix or the globs of a folder."""
    if is_audio(os.fsdecode(path)):
        return True
    above = [folder for folder in settings.folders if is_below(path, os.fsencode(folder.path))]
    return any(
        Names(include=folder.include).file(os.path.relpath(os.fsdecode(path), folder.path)) is NameRuling.TAKE
        for folder in above
    )


def place_of(record: SourceRecord) -> bytes:
    """Return the current path of a recording, as far as the ledger knows it."""
    moved_to = record.outcome.moved_to if record.outcome is not None else b""
    return moved_to or record.path


def is_there(record: SourceRecord) -> bool | None:
    """Return whether a recording exists at its current path; None: its folder may not be entered, or its mount does not answer."""
    place = place_of(record)
    return standing([place], {record.root})[place]
