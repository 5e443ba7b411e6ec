"""Watched folders that are one directory under two names, or lie inside each other: through symbolic links and bind mounts."""

import os
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from watcher.folders.folder import Folder
from watcher.folders.mounts import Mounts
from watcher.tree import is_below

_log = structlog.get_logger()


def distinct(folders: Iterable[Folder], mounts: Mounts) -> tuple[dict[bytes, Folder], list[tuple[Folder, Folder]]]:
    """Return the folders by real path; and the folders left out, each with the earlier folder that is the same directory."""
    locations: dict[bytes, Folder] = {}
    spots: dict[bytes, Folder] = {}
    doubles: list[tuple[Folder, Folder]] = []
    for folder in folders:
        location = mounts.locate(os.fsencode(os.path.abspath(folder.path)))  # noqa: PTH100 - keeps symbolic links
        other = spots.setdefault(mounts.spot(location), folder)
        if other is folder:
            locations[location] = folder
        else:
            doubles.append((folder, other))
    return locations, doubles


def inside(location: bytes, folder: Folder, locations: Mapping[bytes, Folder], mounts: Mounts) -> frozenset[bytes]:
    """Return the roots of other folders inside this one, as paths below this folder's path."""
    path = os.fsencode(os.path.abspath(folder.path)).rstrip(b"/")  # noqa: PTH100 - keeps symbolic links
    spot = mounts.spot(location)
    found = set[bytes]()
    for other in locations:
        there = mounts.spot(other)
        if is_below(other, location):
            found.add(path + other[len(location.rstrip(b"/")) :])
        elif there != spot and is_below(there, spot):
            rest = there[len(spot.rstrip(b"/")) :]
            if mounts.spot(location.rstrip(b"/") + rest) == there:
                found.add(path + rest)
    return frozenset(found)


def why_left_out(other: Folder) -> str:
    """Return why a folder that is the same directory as another one is not watched."""
    return f"the same directory as folder {other.name!r} ({other.path}), which is watched"


#: What to do about such a folder.
DOUBLE_HINT: Final = "take one of the two out of the settings"


def report(folder: Folder, other: Folder) -> None:
    """Log that a folder is left out."""
    _log.warning(
        "folder.degraded",
        folder=folder.name,
        path=folder.path,
        reason="double",
        message=why_left_out(other),
        hint=DOUBLE_HINT,
    )
