# ruff: noqa: PTH115, PTH120  paths are bytes here, and pathlib takes text only
"""Find the file system that a path lies on, from /proc/self/mountinfo (proc(5))."""

import os
import re
import select
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from watcher import tree


class MountKind(StrEnum):
    """What can be relied on there."""

    #: Every change passes through this kernel: events arrive, leases tell the truth.
    LOCAL = "local"
    #: Others change files unseen: no events, leases prove nothing, inode numbers may change. A call on such a path may
    #: hang.
    NETWORK = "network"


#: FUSE is treated as network, but for fuseblk: a local disk behind a driver in user space (NTFS, exFAT). So is autofs,
#: which is there while nothing is mounted yet: a call on such a path waits for the mount.
_NETWORK: Final = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "ceph", "afs", "coda", "lustre", "ncp", "ncpfs"),
        *("gfs2", "ocfs2", "beegfs", "gpfs", "glusterfs", "orangefs", "pvfs2", "davfs"),
        *("vboxsf", "vmhgfs", "prl_fs", "virtiofs", "fuse", "autofs"),
    )
)
#: Inode numbers are made up at mount time.
_INODES_MADE_UP: Final = frozenset(("vfat", "msdos", "exfat", "fuseblk", "iso9660", "udf"))
#: Symbolic links followed before a path is taken for a loop (path_resolution(7)).
_LINKS: Final = 40


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: bytes
    filesystem: str
    source: str = ""
    #: The device's numbers, and which directory of the file system is shown: the same ones twice are the same directory.
    device: bytes = b""
    root: bytes = b"/"

    @property
    def kind(self) -> MountKind:
        """What can be relied on there."""
        remote = self.filesystem in _NETWORK or self.filesystem.startswith("fuse.")
        return MountKind.NETWORK if remote else MountKind.LOCAL

    @property
    def stable_inodes(self) -> bool:
        """Whether inode numbers survive a remount."""
        return self.kind is MountKind.LOCAL and self.filesystem not in _INODES_MADE_UP


class Mounts:
    """The mount table, read again only when the kernel says that it changed."""

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        self._path = path
        self._descriptor = -1
        self._poll = select.poll()
        with suppress(OSError):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            # The kernel flags POLLERR | POLLPRI on this file after any mount or unmount in our namespace.
            self._poll.register(self._descriptor, select.POLLPRI | select.POLLERR)
        self._read()

    def changed(self) -> bool:
        """Return whether something was mounted or unmounted since the last call."""
        if self._descriptor < 0 or not self._poll.poll(0):
            return False
        before = self._mounts
        self._read()
        return self._mounts != before

    @property
    def points(self) -> tuple[bytes, ...]:
        """Where something is mounted."""
        return tuple(self._by_point)

    def concerning(self, *paths: bytes) -> tuple[Mount, ...]:
        """Return the mounts that absolute paths lead through or have below them: all others are none of their business."""
        return tuple(
            mount
            for mount in self._mounts
            if any(_leads(mount.point, path) or _leads(path, mount.point) for path in paths)
        )

    def of(self, path: bytes) -> Mount:
        """Return the mount that a real, absolute path lies on."""
        while (mount := self._by_point.get(path)) is None and path not in (b"/", b""):
            path = os.path.dirname(path)
        return mount or Mount(b"/", "")

    def spot(self, path: bytes) -> bytes:
        """Return device and path within it of a real, absolute path: two bind mounts of one directory have the same."""
        mount = self.of(path)
        if not mount.device:
            return path
        rest = path[len(mount.point.rstrip(b"/")) :]
        return mount.device + ((mount.root.rstrip(b"/") + rest).rstrip(b"/") or b"/")

    def locate(self, path: bytes) -> bytes:
        """Resolve the symbolic links of an absolute path, but touch nothing below a network mount.

        A server that does not answer would block the call for ever. A path that cannot be resolved, or only
        beyond such a mount, is given as far as it could be, with the rest behind it.
        """
        components = [component for component in path.split(b"/") if component][::-1]
        at, links = b"", 0
        while components:
            component = components.pop()
            if component in (b".", b".."):
                at = at.rpartition(b"/")[0] if component == b".." else at
                continue
            at += b"/" + component
            mount = self._by_point.get(at)
            if mount is not None and mount.kind is MountKind.NETWORK:
                break
            try:
                target = os.readlink(at)
            except OSError:  # no link, or not there
                continue
            links += 1
            if links > _LINKS:
                break
            at = b"" if target.startswith(b"/") else at.rpartition(b"/")[0]
            components.extend([part for part in target.split(b"/") if part][::-1])
        return b"/".join([at, *components[::-1]]) or b"/"

    def close(self) -> None:
        """Release the table."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        try:
            self._mounts = tuple(parse(Path(self._path).read_bytes()))
        except OSError:
            self._mounts = ()
        # Later lines are mounted over earlier ones.
        self._by_point = {mount.point: mount for mount in self._mounts}


def _leads(path: bytes, to: bytes) -> bool:
    """Return whether a path is another one, or lies above it."""
    return to == path or tree.is_below(to, path)


def parse(table: bytes) -> list[Mount]:
    """Read the lines of a mountinfo file; what cannot be understood is left out."""
    mounts = []
    # The kernel escapes a line feed in a path, but no carriage return, at which splitlines breaks a line, too.
    for line in table.split(b"\n"):
        fields = line.split(b" ")
        try:
            dash = fields.index(b"-", 6)
            point, root = _unescape(fields[4]), _unescape(fields[3])
            source = os.fsdecode(fields[dash + 2])
            # The kind of a FUSE file system may have any bytes: they are chosen when it is mounted.
            mounts.append(Mount(point, os.fsdecode(fields[dash + 1]), source, device=fields[2], root=root))
        except (ValueError, IndexError):
            continue
    return mounts


def _unescape(field: bytes) -> bytes:
    """Undo the octal escapes of space, tab, newline and backslash."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)
