"""The finder: finds every complete recording below the folders and queues it in the ledger."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import Final

import structlog

from watcher import reach
from watcher.folders.doubles import DOUBLE_HINT, distinct, inside, report, why_left_out
from watcher.folders.folder import Folder
from watcher.folders.folder_state import FolderState, WatchMode
from watcher.folders.handover import AssignSessions
from watcher.folders.inbox import Event, EventKind
from watcher.folders.monitor import FolderMonitor
from watcher.folders.monitor_thread import TICK, MonitorThread, RemoteMonitorThread
from watcher.folders.mounts import MountKind, Mounts
from watcher.folders.remarks import Obstacle
from watcher.ledger.ledger import Ledger
from watcher.settle import GrowingFile, Quotas
from watcher.tree import is_below

_log = structlog.get_logger()

#: Seconds without a sign of life after which the root of a folder with its own thread is tested, and
#: after which the folder counts as lost even if its root answers: a directory below may hang.
_DOUBTFUL: Final = 1.0
_SILENT: Final = 30.0
#: Threads of one folder that hang in mounts that were taken away, at most: each time that a mount that hangs is unmounted
#: (`umount -l`) and another one comes, one is left behind.
_MOST_HANGING: Final = 3
#: Times (TICK apart) that the shared thread is seen without a sign of life in between until it counts as hanging. Seconds are not
#: compared: a process that was stopped, or a machine that slept, would look like a thread that hangs.
_MOST_QUIET: Final = 60
#: Seconds to wait for the threads of network folders to end.
_JOIN: Final = 2.0


class Finder:
    """Watches folders: call `run` in a separate thread, then `close` when that thread has ended.

    Local folders share a thread; a folder that lies on a network mount, or has one below it, gets its own, as the
    server may never answer. A mount may come just when the shared thread is about to access that place, and hang it: then each
    folder gets a thread of its own.
    Other threads may use only `rescan`, `inspect`, `replace`, `states`, `ready` and `beat`.
    """

    def __init__(
        self,
        folders: Sequence[Folder],
        ledger: Ledger,
        *,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        tick: float = TICK,
        settings: Callable[[bytes], None] | None = None,
        assign: AssignSessions | None = None,
        waits: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin with these folders; `tick`: seconds between checks of roots and watches.

        `settings` is called, in any of our threads, for each `.watcher.toml` that is found, changed or removed; `assign` for each
        recording before it is put into the ledger, and returns it with its session. `waits` returns
        whether calls of the ledger wait for it: a thread that waits for it gives no sign of life, and does not hang.
        ValueError for a glob that cannot be understood.
        """
        #: Set when the first scan of every existing local folder has begun.
        self.ready = threading.Event()
        self._folders = _checked(folders)
        self._ledger = ledger
        self._stop = stop
        self._clock = clock
        self._monotonic = monotonic
        self._tick = tick
        self._settings = settings
        self._assign = assign
        self._waits = waits
        #: Monotonic time at which calls of the ledger were last seen to wait.
        self._waited_at = float("-inf")
        # Shared by all monitor threads: a folder moves to another thread when a network mount below it appears or disappears.
        self._quotas = Quotas(monotonic=monotonic)
        self._monitor_thread = self._new_monitor_thread()
        self._remote: list[RemoteMonitorThread] = []
        self._leaving: list[RemoteMonitorThread] = []
        #: Monitors of this thread that were removed while a thread of theirs hung in a mount.
        self._hanging: list[FolderMonitor] = []
        self._doubles: tuple[FolderState, ...] = ()
        #: Whether the watches were started, or are being started.
        self._watching = False
        #: Whether each folder has its own thread, since the shared one hung.
        self._apart = False
        #: The unexpected error that ended the thread that steps.
        self._failure: BaseException | None = None
        self._replacements: SimpleQueue[tuple[Folder, ...]] = SimpleQueue()

    @property
    def beat(self) -> float:
        """Monotonic time of the finder's last sign of life."""
        return self._monitor_thread.beat

    def start_watching(self) -> None:
        """Start the watches, so that no change from now on is missed, unless this was done. Does not scan yet."""
        if not self._watching:
            self._watching = True
            self._distribute("start")

    def run(self) -> None:
        """Start the watches, and repeat `step`, in a separate thread, until stop is set; unexpected exceptions are raised."""
        stepping, beat, quiet = self._begin_steps(), self.beat, 0
        while not self._stop.wait(TICK) and self._failure is None:
            quiet = 0 if self._ledger_is_away() or self.beat != beat else quiet + 1
            beat = self.beat
            if quiet > _MOST_QUIET and not self._apart:
                self._set_apart()
                stepping, quiet = self._begin_steps(), 0
        stepping.join()
        if self._failure is not None:
            raise self._failure

    def step(self, timeout: float = TICK) -> None:
        """Wait at most `timeout` seconds for something to do, and do it."""
        monitor_thread = self._monitor_thread
        monitor_thread.step(timeout)
        if monitor_thread is not self._monitor_thread:  # it hung, and each folder got its own thread
            return
        while not self._replacements.empty():
            self._folders = self._replacements.get()
            self._distribute("reloaded")
        if self._monitor_thread.remounted:
            self._monitor_thread.remounted = False
            self._distribute("remounted")
        self._watch_remote()
        if not self.ready.is_set() and self._monitor_thread.begun:
            self.ready.set()

    def close(self) -> None:
        """End the watches; call it after the thread that steps has ended."""
        for remote in (*self._remote, *self._leaving):
            remote.stop()
        self._monitor_thread.close()
        deadline = time.monotonic() + _JOIN
        for remote in (*self._remote, *self._leaving):
            remote.join(max(0.0, deadline - time.monotonic()))

    def rescan(self) -> None:
        """Request a full scan of every folder; thread-safe."""
        for monitor_thread in self._monitor_threads():
            monitor_thread.inbox.put(Event(EventKind.RESCAN))

    def inspect(self, path: bytes) -> None:
        """Request a look at a path as if it were unknown; thread-safe."""
        for monitor_thread in self._monitor_threads():
            monitor_thread.again(path)

    def replace(self, folders: Sequence[Folder]) -> None:
        """Watch these folders from now on; unchanged ones are not interrupted. Thread-safe.

        ValueError for a glob that cannot be understood: then nothing changes.
        """
        self._replacements.put(_checked(folders))
        self._monitor_thread.inbox.put(Event(EventKind.WAKE))

    def states(self) -> tuple[FolderState, ...]:
        """Return the state of each folder; thread-safe, at most a moment old."""
        remote = [
            replace(state, how=WatchMode.LOST, why=reach.SILENT, hint=reach.SILENT_HINT)
            if monitor_thread.silent
            else state
            for monitor_thread in list(self._remote)
            for state in monitor_thread.monitor_thread.states or (_absent(monitor_thread.folder, ""),)
        ]
        return (*self._monitor_thread.states, *remote, *self._doubles)

    def growing(self) -> tuple[GrowingFile, ...]:
        """Return files that are growing, as recordings in progress do; thread-safe, at most a moment old."""
        return tuple(file for state in self.states() for file in state.growing)

    def _new_monitor_thread(self) -> MonitorThread:
        return MonitorThread(
            self._ledger,
            clock=self._clock,
            monotonic=self._monotonic,
            tick=self._tick,
            settings=self._settings,
            assign=self._assign,
            quotas=self._quotas,
        )

    def _begin_steps(self) -> threading.Thread:
        # The exception to "no daemonic threads": it may hang in a mount that came meanwhile.
        thread = threading.Thread(target=self._steps, args=(self._monitor_thread,), name="finder-shared", daemon=True)
        thread.start()
        return thread

    def _steps(self, monitor_thread: MonitorThread) -> None:
        """Step until stop is set, or until another thread has taken over."""
        try:
            self.start_watching()
            while not self._stop.is_set() and monitor_thread is self._monitor_thread:
                self.step()
            if monitor_thread is not self._monitor_thread:
                monitor_thread.close()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: `run` raises it
            if monitor_thread is self._monitor_thread:
                self._failure = error

    def _set_apart(self) -> None:
        """Assign each folder to its own thread, as the shared one hangs, and it is not known in which folder."""
        hanging, self._monitor_thread, self._apart = self._monitor_thread, self._new_monitor_thread(), True
        hanging.abandon()
        self._distribute("remounted")

    def _monitor_threads(self) -> tuple[MonitorThread, ...]:
        return self._monitor_thread, *(remote.monitor_thread for remote in list(self._remote))

    # Assignment of folders to threads.

    def _distribute(self, why: str) -> None:
        """Assign every folder to a monitor thread, and every path to the innermost root; keep unchanged assignments."""
        monitor_thread = self._monitor_thread
        mounts = monitor_thread.mounts
        locations, doubles = distinct(self._folders, mounts)
        former, self._doubles = self._doubles, tuple(_double(*pair) for pair in doubles)
        for state, pair in zip(self._doubles, doubles, strict=True):
            if state not in former:
                report(*pair)
        far = {
            location: folder
            for location, folder in locations.items()
            if self._apart
            or _may_hang(mounts, location, folder, locations)
            or self._watches_hanging(folder) >= _MOST_HANGING
        }
        near = {location: folder for location, folder in locations.items() if location not in far}
        self._share_near(
            monitor_thread,
            {folder: inside(location, folder, locations, mounts) for location, folder in near.items()},
            why,
        )
        if monitor_thread is not self._monitor_thread:  # it hung meanwhile, and each folder got its own thread
            return
        self._share_far({folder: inside(location, folder, locations, mounts) for location, folder in far.items()})

    def _share_near(self, monitor_thread: MonitorThread, wanted: dict[Folder, frozenset[bytes]], why: str) -> None:
        for monitor in list(monitor_thread.monitors):
            foreign = wanted.pop(monitor.folder, None)
            if foreign is None:
                monitor_thread.remove(monitor)
                self._hanging = [one for one in (*self._hanging, monitor) if one.hangs]
            elif foreign != monitor.root.location.foreign:
                monitor.root.location.foreign = foreign
                monitor.want_full(why)
        for folder, foreign in wanted.items():
            monitor_thread.add(folder, foreign, why)

    def _share_far(self, wanted: dict[Folder, frozenset[bytes]]) -> None:
        for remote in list(self._remote):
            foreign = wanted.pop(remote.folder, None)
            if foreign is None:
                remote.stop()
                self._remote.remove(remote)
                self._leaving = [*(other for other in self._leaving if other.alive), remote]
            else:
                remote.assign(foreign)
        for folder, foreign in wanted.items():
            remote = RemoteMonitorThread(folder, foreign, self._new_monitor_thread())
            self._remote.append(remote)
            self._start(remote)

    def _start(self, remote: RemoteMonitorThread) -> None:
        """Start a network folder's thread; where too many earlier ones of the folder hang, it is started when one of them ends."""
        hanging = sum(other.alive for other in self._leaving if other.folder == remote.folder)
        if hanging + self._watches_hanging(remote.folder) < _MOST_HANGING:
            remote.start()

    def _watches_hanging(self, folder: Folder) -> int:
        """Count the threads that set watches of a folder when it was local, and hang in a mount that came meanwhile."""
        return sum(monitor.hangs for monitor in self._hanging if monitor.folder == folder)

    def _watch_remote(self) -> None:
        """Raise the error that ended a network folder's thread; log if one does not answer."""
        for remote in self._remote:
            if remote.failure is not None:
                raise remote.failure
            if not remote.started:
                self._start(remote)
            if self._ledger_is_away():
                continue
            quiet = self._monotonic() - max(remote.monitor_thread.beat, self._waited_at)
            if quiet > _DOUBTFUL:
                remote.ask()
            silent = quiet > _SILENT or (quiet > _DOUBTFUL and remote.unanswered)
            if silent and not remote.silent:
                _log.error(
                    "folder.lost",
                    folder=remote.folder.name,
                    path=remote.folder.path,
                    reason=reach.SILENT,
                    hint=reach.SILENT_HINT,
                )
            elif remote.silent and not silent:
                remote.say_again()
            remote.silent = silent

    def _ledger_is_away(self) -> bool:
        if away := self._waits():
            self._waited_at = self._monotonic()
        return away


def _checked(folders: Sequence[Folder]) -> tuple[Folder, ...]:
    for folder in folders:
        folder.names()
    return tuple(dict.fromkeys(folders))


def _may_hang(mounts: Mounts, location: bytes, folder: Folder, locations: dict[bytes, Folder]) -> bool:
    """Return whether a folder lies on a network mount, or has one below it that no other watched folder covers."""
    if mounts.of(location).kind is MountKind.NETWORK:
        return True
    inside = [other for other in locations if other != location and is_below(other, location)]
    return folder.recursive and any(
        mount.kind is MountKind.NETWORK
        and is_below(mount.point, location)
        and not any(mount.point == other or is_below(mount.point, other) for other in inside)
        for mount in mounts.concerning(location)
    )


def _double(folder: Folder, other: Folder) -> FolderState:
    """Return the state of a folder that is the same directory as another one, with an obstacle that tells what to do."""
    obstacle = Obstacle(os.fsencode(folder.path), why_left_out(other), DOUBLE_HINT)
    return replace(_absent(folder, why_left_out(other)), obstacles=(obstacle,))


def is_double(state: FolderState) -> bool:
    """Return whether a folder is left out because it is the same directory as another one."""
    return any(one.hint == DOUBLE_HINT for one in state.obstacles)


def _absent(folder: Folder, why: str) -> FolderState:
    return FolderState(
        folder.name, folder.path, WatchMode.LOST, why, "", directories=0, known=0, waiting=0, unwatched=0
    )
