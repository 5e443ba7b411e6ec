"""The places that a batch searches: the named ones, or the configured folders."""

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from watcher import reach, tree
from watcher.config import FolderSettings
from watcher.errors import ConfigError
from watcher.folders import Folder, NotTaken
from watcher.service.plan import Plan, folder_for, spellings
from watcher.text import printable
from watcher.tree import is_below


@dataclass(frozen=True, slots=True)
class SearchPlaces:
    """Places to search, each with the settings of its folder."""

    folders: tuple[Folder, ...] = ()
    #: Directories inside folders, and files.
    parts: tuple[tuple[Folder, str], ...] = ()
    files: tuple[tuple[Folder, str], ...] = ()
    #: Named places that this process has no permission to access.
    barred: tuple[NotTaken, ...] = ()
    #: Watched folders among them whose mount began to hang.
    lost: tuple[bytes, ...] = ()

    @property
    def below(self) -> tuple[bytes, ...]:
        """The directories that are searched with everything below."""
        folders = [os.fsencode(folder.path) for folder in self.folders]
        return tuple(dict.fromkeys([*folders, *(os.fsencode(path) for _, path in self.parts)]))

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The watched folders of all places."""
        folders = [*self.folders, *(folder for folder, _ in (*self.parts, *self.files))]
        return tuple(dict.fromkeys(os.fsencode(folder.path) for folder in folders))

    def without(self, roots: Collection[bytes]) -> "SearchPlaces":
        """Return the places outside these roots."""
        return SearchPlaces(
            tuple(folder for folder in self.folders if os.fsencode(folder.path) not in roots),
            tuple(pair for pair in self.parts if os.fsencode(pair[0].path) not in roots),
            tuple(pair for pair in self.files if os.fsencode(pair[0].path) not in roots),
            self.barred,
            (*self.lost, *roots),
        )


def search_places(made: Plan, paths: Sequence[str]) -> SearchPlaces:
    """Assign named paths to folders: a path below a configured folder belongs to it, with its name there.

    Other paths are resolved, so that a recording behind several links is one recording. Without paths, return the
    configured folders. Raises ConfigError.
    """
    if not paths:
        if not made.folders:
            raise ConfigError("there is nothing to do", hint="name a file or a folder: watcher once PATH")
        _require_one(made.folders)
        return SearchPlaces(made.folders)
    folders: list[Folder] = []
    parts: list[tuple[Folder, str]] = []
    files: dict[str, tuple[Folder, str]] = {}
    barred: list[NotTaken] = []
    for path in paths:
        found = _place(made, path)
        folders += found.folders
        parts += found.parts
        for folder, file in found.files:
            parent, name = os.path.split(file)
            files.setdefault(os.path.join(_real(parent), name), (folder, file))  # noqa: PTH118 - a plain name
        barred += found.barred
    return SearchPlaces(
        tuple(dict.fromkeys(folders)), tuple(dict.fromkeys(parts)), tuple(files.values()), tuple(barred)
    )


def _require_one(folders: Sequence[Folder]) -> None:
    """Raise ConfigError if none of the folders exists; one whose mount hangs may exist."""
    calls = {os.fsencode(folder.path): partial(os.path.isdir, folder.path) for folder in folders}
    if not any(reach.ask_all(calls, seconds=reach.PATIENT_SECONDS).values()):
        names = ", ".join(printable(folder.path) for folder in folders)
        which = f"the folder {names} is" if len(folders) == 1 else f"the folders {names} are"
        raise ConfigError(f"{which} out of reach", hint=reach.AWAY_HINT)


def _place(made: Plan, path: str) -> SearchPlaces:
    """Return the place that a person named. Raises ConfigError if it does not exist, or its mount hangs."""
    try:
        is_folder, is_there = reach.ask(
            os.fsencode(path), partial(reach.what_is_there, path), seconds=reach.PATIENT_SECONDS
        )
    except reach.SilentError as exc:
        raise ConfigError(f"{printable(path)}: {reach.SILENT}", hint="look at the mount and its server") from exc
    except PermissionError as exc:
        barred = NotTaken(os.fsencode(path), "barred", exc.strerror or str(exc), named=True)
        return SearchPlaces(barred=(barred,))
    if is_folder:
        inside = _inside(made, path)
        owner, name = _owner(made, path)
        if owner is None:
            return SearchPlaces((folder_for(made.settings, FolderSettings(path=_known(made, path))), *inside))
        if name == owner.path:
            return SearchPlaces((folder_for(made.settings, owner), *inside))
        return SearchPlaces(inside, parts=((folder_for(made.settings, owner), name),))
    if is_there:
        owner, name = _owner(made, path, os.path.dirname)
        if owner is None:
            parent, last = os.path.split(path)
            owner = FolderSettings(path=_known(made, parent))
            name = os.path.join(owner.path, last)  # noqa: PTH118 - a plain name
        return SearchPlaces(files=((folder_for(made.settings, owner), name),))
    if os.fsencode(path) in {root for root, _ in made.roots}:
        raise ConfigError(f"the folder {printable(path)} is out of reach", hint=reach.AWAY_HINT)
    raise ConfigError(f"there is no file {printable(path)}", hint="check the name")


def _owner(
    made: Plan, path: str, place: Callable[[bytes], bytes] = lambda path: path
) -> tuple[FolderSettings | None, str]:
    """Return the configured folder that a path is or lies in, and its name there; else None, and the path unchanged.

    It lies in a folder if `place` can be opened from the folder without following a link.
    """
    names = spellings(made.settings, os.fsencode(path))
    for root, owner in made.roots:
        for name in names:
            if name == root or is_below(name, root):
                # A mount that hangs is an OSError, too.
                with suppress(OSError):
                    reach.ask(root, partial(_reach, root, place(name)))
                    return owner, os.fsdecode(name)
    return None, path


def _reach(root: bytes, place: bytes) -> None:
    """Raise OSError if there is a link on the way from a root to a directory below it, or the directory does not exist."""
    with tree.directory(root, place):
        pass


def _inside(made: Plan, path: str) -> tuple[Folder, ...]:
    """Return the configured folders inside a directory; recordings in them belong to them."""
    real = os.fsencode(_real(path))
    return tuple(folder_for(made.settings, owner) for root, owner in made.real_roots if is_below(root, real))


def _known(made: Plan, path: str) -> str:
    """Return the name of a directory outside all configured folders: as named if that decides which settings apply, else resolved."""
    return _real(path) if made.folder(os.fsencode(path)) is None else path


def _real(path: str) -> str:
    """Resolve the links in a path; return the path unchanged if its mount does not answer."""
    given = os.fsencode(path)
    return os.fsdecode(reach.real_paths([given]).get(given, given))
