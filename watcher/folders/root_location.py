# ruff: noqa: PTH100  paths are bytes here, and pathlib takes text only
"""The location of a root: its path, the paths that belong to it, and its file systems."""

import os

from watcher.folders.folder import Folder
from watcher.folders.mounts import Mount, MountKind, Mounts
from watcher.settle import FileSite
from watcher.tree import is_below


class RootLocation:
    """The location of one root. Owned by the finder's thread."""

    def __init__(self, folder: Folder, mounts: Mounts) -> None:
        """Compile the folder's globs. ValueError for a broken one."""
        self.folder = folder
        self.path = os.fsencode(os.path.abspath(folder.path))
        self.names = folder.names()
        #: Roots of other folders inside this one; their paths do not belong to this root.
        self.foreign: frozenset[bytes] = frozenset()
        self._mounts = mounts
        self._prefix = self.path.rstrip(b"/") + b"/"
        self._sites: dict[int, FileSite] = {}
        self._real = self.path

    def set_real_path(self, real: bytes) -> None:
        """Set the root's real path, and forget what was known about the mounts below it."""
        self._real = real
        self._sites.clear()

    def owns(self, path: bytes) -> bool:
        """Return whether an absolute path lies below this root, and not below another root inside it."""
        if not path.startswith(self._prefix):
            return False
        return not any(path == other or is_below(path, other) for other in self.foreign)

    def relative(self, path: bytes) -> str:
        """Return a path below this root as text, without the root."""
        return os.fsdecode(path[len(self._prefix) :])

    def site(self, directory: bytes, device: int) -> FileSite:
        """Return the properties of a directory's file system; `device`: for mounts below the root."""
        site = self._sites.get(device)
        if site is None:
            mount = self.mount(directory)
            site = self._sites[device] = FileSite(
                self.path, network=mount.kind is MountKind.NETWORK, inodes=mount.stable_inodes
            )
        return site

    def mount(self, directory: bytes = b"") -> Mount:
        """Return the mount that a directory of this root lies on."""
        return self._mounts.of(self._real + directory[len(self.path) :] if directory else self._real)

    def is_remote(self, device: int) -> bool:
        """Return whether a device is known as a network mount."""
        return device in self._sites and self._sites[device].network


def child(parent: bytes, name: str) -> bytes:
    """Return the path of a name in a directory."""
    return parent.rstrip(b"/") + b"/" + os.fsencode(name)


def identity(path: bytes) -> tuple[int, int]:
    """Return device and inode of a directory that can be listed; OSError for any other."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return status.st_dev, status.st_ino
