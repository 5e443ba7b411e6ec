"""File operations: write complete files under unused names, and raise errors with a remedy.

All names are relative to the descriptor of a folder that was opened without following links (`watcher.tree`).
"""

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from watcher import tree
from watcher.errors import GoneError, JobError, OutputError
from watcher.sidecar import names
from watcher.text import printable

_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK: Final = 1 << 20
#: Bytes of the largest output there can be: the .json of a day of fast speech, with a time for every word, has 50 MB.
LARGEST: Final = 256 << 20
#: Reason of the error for a folder behind a symbolic link.
LINKED: Final = "linked"
# linux/fs.h
_RENAME_NOREPLACE: Final = 1
# errno values of file systems that lack a call: EINVAL for a flag of renameat2 (NFS, most of FUSE), EPERM for links
# (vfat, exFAT), ENOSYS and EOPNOTSUPP (other FUSE, old kernels). If the real reason is another one, the plain rename
# that is tried last fails, too.
_LACKING: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK})
#: Bits of the source's mode that its outputs get: who may read, and whether the group may write.
_SHARED_MODE: Final = 0o464
_OWNER_MODE: Final = 0o600
#: Mode bits of a folder whose files belong to its group.
_GROUP_FOLDER: Final = stat.S_ISGID | stat.S_IWGRP


@contextmanager
def open_folder(root: bytes, path: bytes) -> Iterator[int]:
    """Yield a descriptor of a folder, which is `root` or lies below it, to write into it; errors are those of `reporting`."""
    with reporting(root, path), tree.directory(root, path) as folder:
        yield folder


@contextmanager
def reporting(root: bytes, folder: bytes, *, home: bytes = b"") -> Iterator[None]:
    """Convert an OSError in the block, about writing into `folder` below `root`, to OutputError with a remedy, or to GoneError.

    `home`: the recording's folder, if it is another one.
    """
    try:
        yield
    except OSError as exc:
        raise _translate(exc, root, folder, home or folder) from exc


def write_new(folder: int, name: bytes, body: bytes, like: os.stat_result) -> None:
    """Write a new file durably, with the read permissions of the file with the stat `like`. Raises OSError.

    The group may write it if it may write that file, or if a set-group-ID folder gives its group write access.
    """
    descriptor = os.open(name, _WRITE, _OWNER_MODE, dir_fd=folder)
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        _permit(descriptor, like, os.fstat(folder))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_new(source: int, name: bytes, target: int, new_name: bytes) -> bool:
    """Rename a file atomically to a free name; return False, without a change, if the name exists.

    If the file system has no RENAME_NOREPLACE of renameat2, a hard link takes the name. If it has no links
    either (some FUSE and network mounts), check and then rename: the only case with a gap between the two, of some
    microseconds. Reserving the name with an empty file instead would show this empty file to every reader.
    """
    try:
        _rename_exclusively(source, name, target, new_name)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _LACKING:
            raise
        return _link_over(source, name, target, new_name)
    return True


def replace(folder: int, name: bytes, new_name: bytes) -> None:
    """Rename a file atomically over one that we wrote."""
    os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=folder)


def look(folder: int, name: bytes) -> os.stat_result | None:
    """Return the stat of a name, without following links; None if it does not exist."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_empty(folder: int) -> bool:
    """Return whether a folder is empty; read at most one name. Raises OSError."""
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def digest(folder: int, name: bytes) -> str:
    """Return the SHA-256 (hex) of a file that may be an output, or "" if it cannot be one.

    An output is a readable regular file of at most `LARGEST` bytes, without holes. Anybody who can write into the folder
    may have put something else there, such as a sparse file of terabytes, which would take hours to read.
    """
    try:
        descriptor = tree.open_below(folder, name)
    except OSError:
        return ""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST or _has_hole(descriptor, status.st_size):
            return ""
        total = hashlib.sha256()
        left = LARGEST
        while left and (chunk := os.read(descriptor, min(_CHUNK, left))):
            total.update(chunk)
            left -= len(chunk)
        # It may have grown by terabytes since its stat.
        return "" if os.fstat(descriptor).st_size > LARGEST else total.hexdigest()
    finally:
        os.close(descriptor)


def content(folder: int, name: bytes, *, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes; b"" for everything else."""
    try:
        descriptor = tree.open_below(folder, name)
    except OSError:
        return b""
    try:
        # Check this before making a file object: for a directory this would raise, and leave the descriptor open.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            return b""
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def _has_hole(descriptor: int, size: int) -> bool:
    """Return whether part of a file was never written; its offset is 0 afterwards."""
    try:
        # On a file system without holes, lseek(SEEK_HOLE) returns the file size.
        hole = os.lseek(descriptor, 0, os.SEEK_HOLE) if size else 0
    except OSError:
        return False
    os.lseek(descriptor, 0, os.SEEK_SET)
    return hole < size


def remove(folder: int, name: bytes) -> None:
    """Remove a file; it is no error if it is gone already."""
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        # A read-only file system fails even if the name does not exist.
        if look(folder, name) is not None:
            raise


def require_writable(folder: int) -> None:
    """Raise OSError if no file can be made in a folder; only an unnamed file is made for the test."""
    if os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
        return
    # Try it, since access(2) ignores capabilities.
    try:
        os.close(os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=folder))
    except OSError as exc:
        if exc.errno in _REFUSED:
            raise


#: errno of a folder in which no file can be made; others mean that the file system has no unnamed files.
_REFUSED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


def sync(folder: int) -> None:
    """Make the names in a folder durable; errors of file systems without fsync on folders are ignored."""
    try:
        os.fsync(folder)
    except OSError as exc:
        if exc.errno not in _LACKING:
            raise


def name_limit(folder: int) -> int:
    """Return the longest name, in bytes, that the folder's file system takes; 143 on eCryptfs, at most 255."""
    try:
        limit = os.fpathconf(folder, "PC_NAME_MAX")
    except OSError:
        return names.NAME_MAX
    return min(limit, names.NAME_MAX) if limit >= _SHORTEST_LIMIT else names.NAME_MAX


#: Smallest plausible limit: names need room for a suffix, a hash and something to recognise.
_SHORTEST_LIMIT: Final = 64


def _permit(descriptor: int, like: os.stat_result, folder: os.stat_result) -> None:
    # The owner first, because chown may clear mode bits. Only root can change the owner; anyone can set one of their groups; file
    # systems without owners refuse both. If it is refused, the file stays ours, with the permissions of its mode.
    for owner, group in ((like.st_uid, like.st_gid), (-1, like.st_gid)):
        with suppress(OSError):
            os.fchown(descriptor, owner, group)
            break
    mode = (like.st_mode & _SHARED_MODE) | _OWNER_MODE
    of_the_group = folder.st_mode & _GROUP_FOLDER == _GROUP_FOLDER and os.fstat(descriptor).st_gid == folder.st_gid
    if of_the_group and mode & stat.S_IRGRP:
        mode |= stat.S_IWGRP
    with suppress(OSError):
        os.fchmod(descriptor, mode)


def _rename_exclusively(source: int, name: bytes, target: int, new_name: bytes) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _renameat2(source, name, target, new_name, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new_name)


def _link_over(source: int, name: bytes, target: int, new_name: bytes) -> bool:
    try:
        os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        # If a server's reply is lost, NFS repeats the request, and the second reply is "exists".
        if not _same(look(source, name), look(target, new_name)):
            return False
    except OSError as exc:
        if exc.errno not in _LACKING:
            raise
        if look(target, new_name) is not None:
            return False
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
        return True
    remove(source, name)
    return True


def _same(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    return one is not None and other is not None and os.path.samestat(one, other)


def _load_renameat2() -> "ctypes._NamedFuncPointer | None":
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):  # pragma: no cover - older musl, where the link does the same
        return None
    function = library.renameat2
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function


_renameat2 = _load_renameat2()


def _translate(exc: OSError, root: bytes, folder: bytes, home: bytes) -> JobError:
    where = printable(folder)
    if exc.errno == errno.ENOENT:
        # The folder went, and the recording with it: that is no failure. But where it is still there, another try at once
        # would meet the same again.
        if _is_gone(root, home):
            return GoneError(f"the folder {printable(home)} is not there any more")
        return OutputError(
            f"what was written into {where} disappeared before it could be renamed",
            hint="another program removes files there that end in .tmp (a clean-up, a virus scanner, a synchroniser): have "
            "it leave them alone; it goes on by itself",
            reason="removed",
        )
    if known := _REMEDIES.get(exc.errno or 0):
        reason, message, hint = known
        return OutputError(message.format(where), hint=hint, reason=reason)
    return OutputError(
        f"{where} does not take the outputs: {exc.strerror or exc}",
        hint="check the disk or the mount (dmesg tells more); it goes on by itself",
    )


def _is_gone(root: bytes, folder: bytes) -> bool:
    try:
        with tree.directory(root, folder):
            return False
    except FileNotFoundError:
        return True
    except OSError:
        return False


# errno: reason, message, hint.
_REMEDIES: Final[dict[int, tuple[str, str, str]]] = {
    errno.ENOSPC: (
        "disk_full",
        "no space is left on the disk that holds {}",
        "free some space there; it goes on by itself",
    ),
    errno.EDQUOT: (
        "quota",
        "the disk quota that holds for {} is used up",
        "free some space or raise the quota of the user that Watcher runs as; it goes on by itself",
    ),
    errno.EROFS: (
        "read_only",
        "{} is read-only",
        "mount it writable; under systemd, name the folder in ReadWritePaths= of the unit",
    ),
    errno.ENAMETOOLONG: (
        "name_too_long",
        "a name in {} would be too long for its file system",
        "give the recording a shorter name",
    ),
    errno.EXDEV: (
        "other_file_system",
        "{} lies on another file system than the recording, and files are moved by renaming only",
        'let the target of after = "move:…" lie on the recording\'s file system',
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        (
            "not_writable",
            "the user that Watcher runs as may not write into {}",
            "give that user the right to write there (chown, chmod or setfacl), perhaps through a group",
        ),
    ),
    **dict.fromkeys(
        (errno.ELOOP, errno.ENOTDIR),
        (
            LINKED,
            "{} is reached through a symbolic link inside the watched folder, which is not followed",
            "put a real folder in its place, or watch the link's target as a folder of its own",
        ),
    ),
}
