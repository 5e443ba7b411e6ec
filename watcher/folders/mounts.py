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
    """Whether events, leases and inode numbers can be relied on."""

    #: Every change passes through this kernel: events arrive, and leases are reliable.
    LOCAL = "local"
    #: Other machines change files: there are no events, leases prove nothing, inode numbers may change, and calls may
    #: hang.
    NETWORK = "network"


#: FUSE counts as network, except fuseblk: a local disk with a driver in user space (NTFS, exFAT). So does autofs,
#: which is mounted until the real file system is: a call on such a path waits for the mount. The last line is what containers
#: see of a disk outside their virtual machine: `fakeowner` is Docker Desktop's (docker/desktop-feedback#626). What a program inside
#: does there raises events, so a probe proves nothing; what is done outside need not (docker/for-win#12766).
_NETWORK: Final = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "ceph", "afs", "coda", "lustre", "ncp", "ncpfs"),
        *("gfs2", "ocfs2", "beegfs", "gpfs", "glusterfs", "orangefs", "pvfs2", "davfs"),
        *("fuse", "autofs"),
        *("vboxsf", "vmhgfs", "prl_fs", "virtiofs", "fakeowner", "osxfs", "grpcfuse"),
    )
)
#: File systems without stored inode numbers: the kernel makes them up when mounting.
_INODES_MADE_UP: Final = frozenset(("vfat", "msdos", "exfat", "fuseblk", "iso9660", "udf"))
#: Most symbolic links to follow; a path with more counts as a loop (path_resolution(7)).
_LINKS: Final = 40


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: bytes
    filesystem: str
    source: str = ""
    #: The device's numbers, and the mounted directory of the file system: if both are equal, it is the same directory.
    device: bytes = b""
    root: bytes = b"/"

    @property
    def kind(self) -> MountKind:
        """What can be relied on there."""
        remote = self.filesystem in _NETWORK or self.filesystem.startswith("fuse.")
        return MountKind.NETWORK if remote else MountKind.LOCAL

    @property
    def silence(self) -> str:
        """Why a network mount is scanned."""
        return f"{self.filesystem}: what others change there raises no events here"

    @property
    def stable_inodes(self) -> bool:
        """Whether inode numbers stay the same after a remount."""
        return self.kind is MountKind.LOCAL and self.filesystem not in _INODES_MADE_UP


class Mounts:
    """The mount table; it is read again only when the kernel reports a change."""

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
        """The mount points."""
        return tuple(self._by_point)

    def concerning(self, *paths: bytes) -> tuple[Mount, ...]:
        """Return the mounts above and below these absolute paths; others do not matter to them."""
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
        """Return device and path within it of a real, absolute path: they are equal for two bind mounts of one directory."""
        mount = self.of(path)
        if not mount.device:
            return path
        rest = path[len(mount.point.rstrip(b"/")) :]
        return mount.device + ((mount.root.rstrip(b"/") + rest).rstrip(b"/") or b"/")

    def locate(self, path: bytes) -> bytes:
        """Resolve the symbolic links of an absolute path, without any access below a network mount.

        A server that does not answer would block the call forever. If a path cannot be resolved, or leads below such
        a mount, its rest is returned unresolved.
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
        """Close the table."""
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
    """Return whether a path equals `to`, or lies above it."""
    return to == path or tree.is_below(to, path)


def parse(table: bytes) -> list[Mount]:
    """Parse the lines of a mountinfo file; leave out lines that cannot be understood."""
    mounts = []
    # The kernel escapes a line feed in a path, but not a carriage return, at which splitlines would also split.
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
