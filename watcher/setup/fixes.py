"""What `watcher check --fix` can put right by itself, as nobody loses anything by it.

A missing folder is made; folders that the system's service may not write into get its group, where that takes no right from
anybody; and its unit gets the folders that it does not name.
"""

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from watcher import reach
from watcher.errors import ConfigError
from watcher.setup import install, systemd
from watcher.setup.directories import opened
from watcher.setup.settings_file import unwritable
from watcher.setup.targets import SYSTEM, USER
from watcher.text import counted
from watcher.tree import is_below

#: What lies there is on a disk that may be away: an empty folder in its place would hide that.
_MOUNTS: Final = (b"/mnt", b"/media", b"/run/media")
#: What a directory has to allow for outputs to be written into it.
_ALL: Final = 0o7
#: Mode of a directory that a group works in: what is made in it belongs to the group.
_OF_GROUP: Final = stat.S_ISGID | 0o070
#: Seconds in which all directories below a folder have to be looked at.
_PATIENCE: Final = 60.0
#: Seconds in which all of them have to be changed.
_CHANGING: Final = 600.0


@dataclass(frozen=True, slots=True)
class Fix:
    """One thing that can be put right."""

    #: What is wrong, and what will be done about it.
    fact: str
    action: str
    #: Does it. Raises ConfigError and StateError.
    apply: Callable[[], None]
    #: It is about what the system's service may do.
    of_service: bool = False


@dataclass(frozen=True, slots=True)
class ServiceRights:
    """Who the system's service is: ids of its user and groups."""

    uid: int
    gid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, unit: Mapping[str, Sequence[str]]) -> "ServiceRights | None":
        """Return the rights by the assignments of the unit; None where its user is not there."""
        try:
            user = pwd.getpwnam((unit.get("User") or [USER])[-1])
        except KeyError:
            return None
        names = {name for value in unit.get("SupplementaryGroups", ()) for name in value.split()}
        own = {group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem or group.gr_name in names}
        return cls(user.pw_uid, user.pw_gid, frozenset({user.pw_gid, *own}))

    def may_write(self, status: os.stat_result) -> bool:
        """Return whether a directory can be listed and written."""
        if self.uid == status.st_uid:
            return status.st_mode >> 6 & _ALL == _ALL
        if status.st_gid in self.groups:
            return status.st_mode >> 3 & _ALL == _ALL
        return status.st_mode & _ALL == _ALL


def fixes(folders: Sequence[str], unit: Mapping[str, Sequence[str]] | None) -> Iterator[Fix]:
    """Yield what can be put right about the folders of the settings.

    `unit`: the assignments of the system's service by their keys, where these are its settings; else None.
    """
    rights = None if unit is None else ServiceRights.of(unit)
    for folder in folders:
        place = os.fsencode(folder)
        if reach.is_silent(place):
            # Asked before, and reported: there is no reason to wait for it again.
            continue
        # A person can make directories deeper than this walks.
        with suppress(reach.SilentError, OSError, RecursionError):
            found = reach.ask(place, partial(_of_folder, folder, rights), seconds=_PATIENCE)
            yield from (replace(one, apply=partial(_apply, folder, one.apply)) for one in found)
    if unit is not None and (unnamed := [folder for folder in folders if not _is_named(folder, unit)]):
        yield Fix(
            f"the unit of the service does not name {', '.join(unnamed)}, so that nothing can be written there",
            f"add it to {SYSTEM.drop_in}, and restart the service",
            partial(_name_in_unit, folders),
            of_service=True,
        )


def _apply(folder: str, change: Callable[[], None]) -> None:
    """Change a folder in a helper thread, so that Ctrl-C ends the wait for a mount that hangs. Raises ConfigError."""
    try:
        reach.ask(os.fsencode(folder), change, seconds=_CHANGING)
    except reach.SilentError as exc:
        raise ConfigError(f"{folder}: {reach.SILENT}", hint="look at the mount and its server") from exc


def _of_folder(folder: str, rights: ServiceRights | None) -> list[Fix]:
    """Return the fixes of one folder. Raises OSError."""
    if not os.path.lexists(folder):
        if any(is_below(os.fsencode(folder), mount) for mount in _MOUNTS):
            return []
        group = None if rights is None else rights.gid
        return [Fix(f"{folder} does not exist", "make it", lambda: (install.make_folder(folder, group=group), None)[1])]
    if rights is None or not Path(folder).is_dir():
        return []
    closed = [status for _, status in _directories(folder) if not rights.may_write(status)]
    if not closed or not all(_loses_nothing(status) for status in closed):
        return []
    name = grp.getgrgid(rights.gid).gr_name
    what = counted(len(closed), "directory", "directories")
    return [
        Fix(
            f"{folder}: the service may not write into {what} there",
            f"give the group {name} the right to: chgrp {name} and chmod g+rwxs, of directories alone",
            partial(_share, folder, rights),
            of_service=True,
        )
    ]


def _directories(folder: str) -> Iterator[tuple[int, os.stat_result]]:
    """Yield a descriptor, good until the next one, and the status of a folder and of each directory below it; no links.

    Raises OSError.
    """
    # People who may write there are not trusted: what is looked at is what is changed.
    with opened(folder) as top:
        for _, _, _, descriptor in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            yield descriptor, os.fstat(descriptor)


def _loses_nothing(status: os.stat_result) -> bool:
    """Return whether nobody loses a right when a directory is given to another group."""
    of_group, of_others = status.st_mode >> 3 & _ALL, status.st_mode & _ALL
    if of_group & ~of_others == 0 or status.st_gid == 0:
        return True
    # Many systems have a group for each person, which nobody else is in.
    with suppress(KeyError):
        group, owner = grp.getgrgid(status.st_gid), pwd.getpwuid(status.st_uid)
        return owner.pw_gid == group.gr_gid and set(group.gr_mem) <= {owner.pw_name}
    return False


def _share(folder: str, rights: ServiceRights) -> None:
    """Change the group of the directories that the service may not write. Raises ConfigError."""
    try:
        for descriptor, status in _directories(folder):
            if not rights.may_write(status) and _loses_nothing(status):
                os.fchown(descriptor, -1, rights.gid)
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode) | _OF_GROUP)
    except OSError as exc:
        raise unwritable(exc) from exc
    except RecursionError as exc:
        raise ConfigError(f"{folder} has directories too deep to be changed", hint="remove them") from exc


def _name_in_unit(folders: Sequence[str]) -> None:
    """Write the drop-in with all folders, and have the service start with it, if it runs. Raises ConfigError, StateError."""
    install.write_drop_in(SYSTEM, folders)
    systemd.systemctl(SYSTEM, "daemon-reload")
    systemd.systemctl(SYSTEM, "try-restart", SYSTEM.unit.name)


def _is_named(folder: str, unit: Mapping[str, Sequence[str]]) -> bool:
    """Return whether the unit lets the service write into a folder."""
    path = os.fsencode(folder)
    keys = ("ReadWritePaths", "BindPaths")
    places = [os.fsencode(place) for key in keys for value in unit.get(key, ()) for place in _places(value)]
    return any(path == place or is_below(path, place) for place in places)


def _places(value: str) -> Iterator[str]:
    """Yield the paths in a unit's list: behind a dash or plus, with percent signs as they are.

    A colon that is not quoted ends a path; what is behind it, a destination or an option, is left out.
    """
    lexer = shlex.shlex(value, posix=True, punctuation_chars=":")
    lexer.whitespace_split, lexer.commenters = True, ""
    behind_colon = False
    with suppress(ValueError):
        for word in lexer:
            is_colon = not word.strip(":")
            if not (is_colon or behind_colon):
                yield word.lstrip("-+").replace("%%", "%").rstrip("/")
            behind_colon = is_colon
