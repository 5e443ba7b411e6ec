"""The lock on a state directory: one daemon works on one ledger.

An flock belongs to the open file, so the kernel releases it however the process ends; children don't inherit it
(Python opens with O_CLOEXEC). The file contains the holder's process id. It is not removed: if it were, two processes could lock two
files of the same name. The exception is the file of a process that was killed and cannot end, as a thread of it waits in the kernel
for a mount that does not answer: it keeps its lock for as long as that lasts, and does nothing any more.
"""

import contextlib
import fcntl
import os
import threading
from pathlib import Path
from typing import Final

from watcher.errors import StateError, StateLockedError
from watcher.systemd import control

#: Name of the lock file in the state directory.
NAME: Final = "watcher.lock"
#: Seconds for which a daemon tries to lock: `holder` takes the lock for a moment to see whether it is free.
_PATIENCE: Final = 0.5
_PAUSE: Final = 0.02
_LONGEST_PID: Final = 20
_LOCKS: Final = Path("/proc/locks")


class Lock:
    """The held lock; `release` or the end of the process releases it."""

    def __init__(self, directory: Path) -> None:
        """Take the lock; the directory is made if need be.

        Raises StateLockedError with the holder's process id, StateError where no directory or file can be made.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StateError(
                f"the state directory {directory} cannot be made: {exc.strerror}",
                hint="name a directory that the daemon's user may write: [state] dir",
            ) from exc
        path = directory / NAME
        self._descriptor = _opened(path)
        try:
            _give_to_owner(self._descriptor, directory)
            self._acquire(directory)
            # The process id is only for people. If the disk is full, the ledger's own error says so better.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as exc:
            os.close(self._descriptor)
            raise StateError(f"the lock file {path} cannot be used: {exc.strerror}") from exc
        except StateLockedError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Release the lock; the file stays, without a process id."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _acquire(self, directory: Path) -> None:
        path, pause = directory / NAME, threading.Event()
        for _ in range(round(_PATIENCE / _PAUSE)):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if _is_left_by_dead(self._descriptor):
                    _remove_left(path, self._descriptor)
                pause.wait(_PAUSE)
            else:
                if _is_at(path, self._descriptor):
                    return
            if not _is_at(path, self._descriptor):
                os.close(self._descriptor)
                self._descriptor = _opened(path)
                _give_to_owner(self._descriptor, directory)
        pid = _pid(self._descriptor)
        raise StateLockedError(
            f"another watcher{f' (process {pid})' if pid else ''} works on the state in {directory}",
            hint="what is put into a folder that it watches, it transcribes; for anything else stop it first "
            f"({_way_to_stop(pid)}), or give this one a state of its own: [state] dir",
        )


def is_state(directory: Path) -> bool:
    """Return whether a directory may be a state directory: a daemon has worked there, or nothing is in it, or it is not there."""
    try:
        return (directory / NAME).is_file() or not any(directory.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False


def holder(directory: Path) -> int | None:
    """Return the process id of the daemon that has the lock (0 if the id is not known); None if there is no such daemon."""
    try:
        descriptor = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return None if _is_left_by_dead(descriptor) else _pid(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise StateError(
            f"the lock file {path} cannot be opened: {exc.strerror}",
            hint="the state directory must be writable for the user the daemon runs as",
        ) from exc


def _is_left_by_dead(descriptor: int) -> bool:
    """Return whether a lock is held by a process that was killed and cannot end.

    The kernel names the holder: the process id in the file may be one of another container.
    """
    pid, inode = _pid(descriptor), os.fstat(descriptor).st_ino
    try:
        held = any(_is_held_by(line.split(), pid, inode) for line in _LOCKS.read_text().splitlines())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    # All threads of a process whose first one is a zombie have been killed: none of them runs again.
    return held and state == "Z"


def _is_held_by(fields: list[str], pid: int, inode: int) -> bool:
    """Return whether a line of /proc/locks is about this lock."""
    return fields[1:2] == ["FLOCK"] and fields[4:5] == [str(pid)] and fields[5].endswith(f":{inode}")


def _remove_left(path: Path, descriptor: int) -> None:
    """Remove the lock file of a dead process, unless another process has done so, and has locked a new one."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if _is_at(path, descriptor):
            path.unlink()
    finally:
        os.close(directory)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether a path leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _pid(descriptor: int) -> int:
    text = os.pread(descriptor, _LONGEST_PID, 0).strip()
    return int(text) if text.isdigit() else 0


def _way_to_stop(pid: int) -> str:
    """Return how a person ends a process."""
    if by_systemd := control("stop", pid):
        return by_systemd
    return f"Ctrl-C where it runs, or kill {pid}" if pid else "Ctrl-C where it runs"


def _give_to_owner(descriptor: int, directory: Path) -> None:
    """Hand a file made by root over to the owner of the state directory, so that the service can open it."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
