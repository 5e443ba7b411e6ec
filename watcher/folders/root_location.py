# ruff: noqa: PTH100  paths are bytes here, and pathlib takes text only
"""Where a root lies, which paths are its own, and what can be relied on there."""

import os

from watcher.folders.folder import Folder
from watcher.folders.mounts import Mount, MountKind, Mounts
from watcher.settle import FileSite
from watcher.tree import is_below


class RootLocation:
    """The location of one root. Owned by the finder's thread."""

    def __init__(self, folder: Folder, mounts: Mounts) -> None:
        """Compile the folder's globs. ValueError when one cannot be understood."""
        self.folder = folder
        self.path = os.fsencode(os.path.abspath(folder.path))
        self.names = folder.names()
        #: Roots of other folders inside this one: theirs, not ours.
        self.foreign: frozenset[bytes] = frozenset()
        self._mounts = mounts
        self._prefix = self.path.rstrip(b"/") + b"/"
        self._sites: dict[int, FileSite] = {}
        self._real = self.path

    def set_real_path(self, real: bytes) -> None:
        """Note where the root really lies now, and forget what was known of the mounts below it."""
        self._real = real
        self._sites.clear()

    def owns(self, path: bytes) -> bool:
        """Return whether an absolute path lies below this root and below none inside it."""
        if not path.startswith(self._prefix):
            return False
        return not any(path == other or is_below(path, other) for other in self.foreign)

    def relative(self, path: bytes) -> str:
        """Return a path below this root as text, without the root."""
        return os.fsdecode(path[len(self._prefix) :])

    def site(self, directory: bytes, device: int) -> FileSite:
        """Return what can be relied on in a directory; by device, so that a mount below the root counts."""
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
        """Return whether a device that was met is a network mount."""
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
