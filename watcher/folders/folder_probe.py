"""Probe one folder for `watcher check`, with a file that is removed at once."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Empty
from secrets import token_hex
from typing import Final, TypeVar

from watcher import reach, tree
from watcher.errors import JobError
from watcher.folders.event_proof import PROBE_PREFIX
from watcher.folders.folder import Folder
from watcher.folders.folder_state import WatchMode
from watcher.folders.inbox import EventKind, Inbox
from watcher.folders.kernel_watches import REMEDIES
from watcher.folders.mounts import Mount, MountKind, Mounts
from watcher.folders.remarks import CLOSED_HINT
from watcher.folders.watch import Watch
from watcher.overrides import NAME
from watcher.settle import UNREADABLE_HINT, NameRuling, Names, WriterState, is_audio, writer
from watcher.sidecar import reporting

#: Seconds to wait for the probe file's event.
_WAIT: Final = 2.0
#: Most directories to count, so that `check` does not take minutes.
_COUNTED: Final = 200_000
#: Paths kept of each kind, as there may be any number; and of `.watcher.toml` files, as each of them is read.
_KEPT: Final = 10
_SETTINGS: Final = 1000
#: Bit of CAP_LEASE in the capability sets (capabilities(7)).
_CAP_LEASE: Final = 28
_INOTIFY: Final = Path("/proc/sys/fs/inotify")


@dataclass(slots=True)
class CountedPaths:
    """The number of paths, and the first of them: anybody who can write into a folder can make any number."""

    #: Number of paths kept.
    most: int = _KEPT
    count: int = 0
    some: list[bytes] = field(default_factory=list)

    def add(self, path: bytes) -> None:
        """Count a path."""
        self.count += 1
        if len(self.some) < self.most:
            self.some.append(path)


@dataclass(frozen=True, slots=True)
class FolderProbeResult:
    """Result of probing a folder; None: not known."""

    how: WatchMode
    why: str
    #: What to do about it; "" if nothing is wrong.
    hint: str
    readable: bool
    #: Why no output can be placed there; None if it can, or if the folder cannot be read and this was not tried.
    refusal: JobError | None
    filesystem: str
    network: bool
    #: Seconds from making the probe file to its event; None: no event, or no probe file.
    event_after_seconds: float | None
    #: "yes", "own files" (without CAP_LEASE) or "no" (then the quiet time is 5 s).
    leases: str
    free_bytes: int | None
    #: Number of directories, each of which needs one watch; `watch_limit`: watches that one user may have.
    directories: int
    watch_limit: int | None
    instance_limit: int | None
    #: Files that look like recordings and are not taken, by the reason (see `settle.UNWATCHED`).
    unwatched: dict[str, CountedPaths]
    #: Mounts below a folder that is watched by events which raise none: they are scanned.
    scanned: tuple[Mount, ...]
    #: The `.watcher.toml` files that apply there.
    settings: CountedPaths
    #: Directories and recordings that cannot be read, by the reason and what to do about it.
    obstacles: dict[tuple[str, str], CountedPaths]


def probe(folder: Folder, *, monotonic: Callable[[], float] = time.monotonic) -> FolderProbeResult:
    """Check a folder as a daemon would, and leave no file there. It accesses the folder, so it blocks if the mount hangs."""
    mounts = Mounts()
    try:
        path = os.fsencode(os.path.abspath(folder.path))  # noqa: PTH100  keeps symbolic links
        mount = mounts.of(reach.real_path(path))
        network = mount.kind is MountKind.NETWORK
        event_probe = _EventProbe(os.fsdecode(path), monotonic)
        reason = event_probe.readable()
        if not reason:
            event_probe.run(folder)
        seen = _looked_through(folder, path) if not reason else _Seen()
        how, why, hint = _judge(folder, mount, reason, event_probe)
        return FolderProbeResult(
            how=how,
            why=why,
            hint=hint,
            readable=not reason,
            refusal=event_probe.refusal,
            filesystem=mount.filesystem,
            network=network,
            event_after_seconds=event_probe.event_after,
            leases=_leases(event_probe.lease, network=network),
            free_bytes=_free(path),
            directories=_directories(folder, path) if not reason else 0,
            watch_limit=_limit("max_user_watches"),
            instance_limit=_limit("max_user_instances"),
            unwatched=seen.unwatched,
            scanned=_scanned(folder, mounts, reach.real_path(path)) if how is WatchMode.EVENTS else (),
            settings=seen.settings,
            obstacles=seen.obstacles,
        )
    finally:
        mounts.close()


class _EventProbe:
    """A watch on the root only, and a file made in it."""

    def __init__(self, path: str, monotonic: Callable[[], float]) -> None:
        self.writable = False
        self.refusal: JobError | None = None
        self.event_after: float | None = None
        self.lease = WriterState.UNKNOWN
        self.refused: OSError | None = None
        self._path = path
        self._monotonic = monotonic

    def readable(self) -> str:
        """Return why the root cannot be listed, or ""."""
        try:
            with os.scandir(self._path) as entries:
                next(entries, None)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def run(self, folder: Folder) -> None:
        """Make the file, and wait for its event if there can be one."""
        inbox = Inbox()
        watch = Watch(os.fsdecode(reach.real_path(os.fsencode(self._path))), inbox, recursive=False)
        try:
            watch.start()
        except OSError as error:
            self.refused = error
        try:
            name = PROBE_PREFIX + token_hex(4)
            began = self._monotonic()
            self._touch(Path(self._path, name))
            if self.writable and self.refused is None and folder.detect != "scan":
                self._await(inbox, name, began)
        finally:
            watch.close()

    def _touch(self, path: Path) -> None:
        root = os.fsencode(self._path)
        try:
            with reporting(root, root):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except JobError as error:
            self.refusal = error
            return
        try:
            self.writable = True
            os.close(descriptor)
            # Others may write here too, and may have replaced the file: opening a pipe would block.
            reader = os.open(path, tree.FILE)
            self.lease = writer(reader)
            os.close(reader)
        except OSError:
            self.lease = WriterState.UNKNOWN
        finally:
            with suppress(OSError):
                path.unlink()

    def _await(self, inbox: Inbox, name: str, began: float) -> None:
        until = began + _WAIT
        with suppress(Empty):
            while (left := until - self._monotonic()) > 0:
                event = inbox.get(timeout=left)
                if event.kind is EventKind.FILE and event.path.endswith("/" + name):
                    self.event_after = self._monotonic() - began
                    return


def _judge(folder: Folder, mount: Mount, reason: str, event_probe: _EventProbe) -> tuple[WatchMode, str, str]:
    if reason:
        return WatchMode.LOST, reason, "mount it, create it, or let the user that Watcher runs as read it"
    if folder.detect == "scan":
        return WatchMode.SCAN, "asked for", ""
    if mount.kind is MountKind.NETWORK and folder.detect == "auto":
        return WatchMode.SCAN, mount.silence, ""
    if (refused := event_probe.refused) is not None:
        return WatchMode.SCAN, refused.strerror or str(refused), REMEDIES.get(refused.errno or 0, "")
    if event_probe.writable and event_probe.event_after is None:
        return WatchMode.SCAN, f"{mount.filesystem}: no event arrived", 'detect = "scan" spares this folder the proof'
    proof = "an event arrived" if event_probe.writable else "not proved: no file can be made here"
    return WatchMode.EVENTS, f"{mount.filesystem}, {proof}", ""


def _leases(lease: WriterState, *, network: bool) -> str:
    """Return the value of `leases`; the probe file is our own, so a lease on it says nothing about files of others."""
    if _may_lease():
        return "yes" if lease is WriterState.NONE and not network else "no"
    return "no" if network or lease is WriterState.UNKNOWN else "own files"


def _may_lease() -> bool:
    """Return whether this process may take leases on files of others."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_LEASE & 1)
    return False


def _free(path: bytes) -> int | None:
    try:
        return shutil.disk_usage(os.fsdecode(path)).free
    except OSError:
        return None


def _directories(folder: Folder, path: bytes) -> int:
    """Count the directories that need a watch: all, without links."""
    if not folder.recursive:
        return 1
    return sum(1 for _ in islice(tree.walk(path, named=lambda _: False), _COUNTED))


def _scanned(folder: Folder, mounts: Mounts, real: bytes) -> tuple[Mount, ...]:
    """Return the mounts below a real path that the daemon scans, since nothing there raises events."""
    names, prefix = folder.names(), real.rstrip(b"/") + b"/"
    points = {mount.point for mount in mounts.concerning(real)} if folder.recursive else ()
    return tuple(
        mounts.of(point)
        for point in sorted(points)
        if point.startswith(prefix)
        and mounts.of(point).kind is MountKind.NETWORK
        and names.enters_all(os.fsdecode(point[len(prefix) :]))
    )


@dataclass(slots=True)
class _Seen:
    """The entries below a folder, where a daemon would look."""

    unwatched: dict[str, CountedPaths] = field(default_factory=dict)
    settings: CountedPaths = field(default_factory=lambda: CountedPaths(_SETTINGS))
    obstacles: dict[tuple[str, str], CountedPaths] = field(default_factory=dict)


def _looked_through(folder: Folder, path: bytes) -> _Seen:
    """Return files that look like recordings and are not taken, the `.watcher.toml` files, and what cannot be read."""
    names, seen = folder.names(), _Seen()
    prefix = path.rstrip(b"/") + b"/"
    pending, count = tree.PendingDirectories(path), 0
    while (link := pending.pop()) is not None and count < _COUNTED:
        count += 1
        directory = link.path
        try:
            with tree.directory(path, directory) as opened, os.scandir(opened) as entries:
                for entry in entries:
                    found = os.path.join(directory, os.fsencode(entry.name))  # noqa: PTH118 - bytes
                    relative = os.fsdecode(found[len(prefix) :])
                    if not entry.is_dir(follow_symlinks=False):
                        _look_at(opened, entry, found, names, seen, relative=relative)
                    elif folder.recursive and names.enters(relative):
                        pending.push(link, os.fsencode(entry.name))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            _count(seen.obstacles, (error.strerror or str(error), CLOSED_HINT), directory)
    return seen


def _look_at(directory: int, entry: os.DirEntry[str], path: bytes, names: Names, seen: _Seen, *, relative: str) -> None:
    if os.fsencode(entry.name) == NAME:
        seen.settings.add(path)
    elif entry.is_symlink():
        if is_audio(relative) and names.file(relative) is NameRuling.TAKE:
            _count(seen.unwatched, "symlink", path)
    elif names.passes_over(relative):
        _count(seen.unwatched, "suffix", path)
    elif names.file(relative) is NameRuling.TAKE and not os.access(
        entry.name, os.R_OK, dir_fd=directory, effective_ids=True
    ):
        _count(seen.obstacles, (os.strerror(errno.EACCES), UNREADABLE_HINT), path)


_Key = TypeVar("_Key")


def _count(paths: dict[_Key, CountedPaths], key: _Key, path: bytes) -> None:
    paths.setdefault(key, CountedPaths()).add(path)


def _limit(name: str) -> int | None:
    try:
        return int((_INOTIFY / name).read_text())
    except (OSError, ValueError):
        return None
