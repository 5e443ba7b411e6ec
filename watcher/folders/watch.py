"""One inotify reader per root, supervised: its events are only hints, and no events prove nothing.

A `Watch` passes each event of the kernel to the inbox at once. It checks its thread and watchdog's log; `trouble` returns
what is wrong, and then the monitor replaces the watch. Only watchdog's reader is used, which knows the path of
each watch of the kernel. Only this module, `watch_reader` and `kernel_watches` depend on watchdog's internals. The rest of watchdog 7.1
is avoided because of these faults:

- its reader thread ends when a path is moved out and made again;
- when the kernel's queue overflows, it only logs that events were lost;
- it skips directories that it cannot read, without a message;
- it skips directories that it cannot watch, without a message;
- it makes an event with two full paths for every name below a renamed directory.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final

from watchdog.observers.inotify import InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper, PathedInotifyEvent

from watcher import tree
from watcher.folders.inbox import Event, EventKind, Inbox
from watcher.folders.kernel_watches import path_of
from watcher.folders.watch_books import WatchBooks
from watcher.folders.watch_reader import EVENTS, WatchReader
from watcher.settle import DEEPEST

#: If setting the watches makes no progress for this many seconds, it is no longer waited for.
_STUCK: Final = 10.0
#: Directories get watches down to this number of levels below the root of the file system; others are scanned
#: regularly (see the audit), and far below `DEEPEST` nothing is scanned anyway.
_DEEPEST_WALK: Final = DEEPEST + 100
#: Number of moved directories that are remembered until the next event, which tells their new path.
_MOVES: Final = 16
#: Seconds to wait for the thread of a watch to end.
_JOIN: Final = 2.0


class WatchFault(StrEnum):
    """Faults of a watch."""

    NONE = ""
    #: Too many events were waiting, and others were dropped.
    OVERFLOW = "overflow"
    #: The kernel's queue of events overflowed: the new paths of directories moved meanwhile are not known.
    ASTRAY = "astray"
    #: A thread ended: no more events will come.
    DEAF = "deaf"


class Watch:
    """Events below one real directory, put into `inbox`."""

    def __init__(
        self,
        directory: str,
        inbox: Inbox,
        *,
        recursive: bool = True,
        enters: Callable[[str], bool] = lambda _relative: True,
    ) -> None:
        """`enters`: whether the directory with that path below `directory` is scanned; others get no watch."""
        self._directory = directory
        self._prefix = directory.rstrip("/") + "/"
        self._enters = enters
        self._inbox = inbox
        self._recursive = recursive
        self._reader: WatchReader | None = None
        self._group: _Group
        #: Whether every existing directory has its watch; until then no event arrives. Set in watchdog's thread.
        self.complete = False
        #: Number of directories that its thread had found at the last check, and when that number changed (monotonic).
        self._met = (-1, 0.0)
        #: Set in watchdog's thread, and by the listener.
        self.overflowed = False
        self.astray = False
        self.broken = False
        self.error = ""

    def start(self) -> None:
        """Watch the root; a separate thread then watches everything below it, and puts WATCHED into the inbox when it is `complete`.

        Raises OSError (ENOENT, ENOSPC: watch limit, EMFILE: instance limit). An unreadable directory below is skipped without
        a message (the audit finds it).
        """
        listener = _WatchdogListener.shared()
        reader = WatchReader(self._complete, others=lambda: listener.count_others(self))
        try:
            self._group = _Group(reader, os.fsencode(self._directory), EVENTS, is_recursive=self._recursive)
        except OSError:
            reader.abandon()
            raise
        self._group.pass_events_to(_EventReceiver(self))
        reader.name = "watch-read"
        self._reader = reader
        listener.add(self)
        reader.start()

    def _complete(self) -> None:
        """Watch all directories, in watchdog's thread. For very many this takes seconds; events wait in the kernel meanwhile."""
        if self._group.complete():
            self.complete = True
            self._inbox.put(Event(EventKind.WATCHED))

    def hangs(self, now: float) -> bool:
        """Return whether its thread has found no further directory for 10 s (monotonic): it may hang in a mount."""
        if self._group.met != self._met[0]:
            self._met = (self._group.met, now)
        return now - self._met[1] > _STUCK

    def trouble(self) -> WatchFault:
        """Return what is wrong, if anything; an overflow of the inbox is reported once."""
        if self.broken or not self.is_alive:
            return WatchFault.DEAF
        if self.astray:
            return WatchFault.ASTRAY
        if self.overflowed:
            self.overflowed = False
            return WatchFault.OVERFLOW
        return WatchFault.NONE

    def hear(self, event: PathedInotifyEvent) -> None:
        """Pass an event on, in watchdog's thread, unless its directory is not scanned, or too many events wait."""
        if event.ev.is_delete_self:
            # For subdirectories the parent's event is enough.
            self.broken = self.broken or event.path == os.fsencode(self._directory)
            return
        hint = _hint(event)
        if not self._is_of_interest(hint.path):
            return
        if self._inbox.full:
            self.overflowed = True
        else:
            self._inbox.put(hint)

    def _is_of_interest(self, path: str) -> bool:
        if not path.startswith(self._prefix):
            return True
        return self._enters(path[len(self._prefix) :].rpartition("/")[0])

    def has_thread(self, identifier: int | None) -> bool:
        """Return whether the thread belongs to this watch."""
        return self._reader is not None and self._reader.ident == identifier

    @property
    def count(self) -> int:
        """Number of the kernel's watches."""
        return 0 if self._reader is None else self._reader.count

    @property
    def is_full(self) -> bool:
        """Whether it takes no more of the kernel's watches, so that other folders get theirs."""
        return self._reader is not None and not self._reader.room

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs, also after `close`."""
        return self._reader is not None and self._reader.is_alive()

    def close(self) -> None:
        """End the watch in any state and close its descriptors; a thread in a mount that hangs ends later. Never raises."""
        if self._reader is None:
            return
        self._reader.stop()
        self._reader.join(_JOIN)
        _WatchdogListener.shared().remove(self)


def _hint(event: PathedInotifyEvent) -> Event:
    path = os.fsdecode(event.path)
    if event.ev.is_delete or event.ev.is_moved_from:
        return Event(EventKind.GONE, path)
    return Event(EventKind.DIRECTORY if event.ev.is_directory else EventKind.FILE, path)


class _Group(InotifyWatchGroup):
    """The kernel's watches on a directory and on those below it, with the path of each."""

    #: Number of directories found below it.
    met = 0

    def pass_events_to(self, receiver: "_EventReceiver") -> None:
        """Set the receiver of events; call it before there are any."""
        self._move_event_grouper = receiver

    def complete(self) -> bool:
        """Watch everything below; return False if it was closed meanwhile."""
        with self._lock:
            self._add_below(self.path)
        return not self._closed

    def on_event(self, event: InotifyEvent) -> None:
        """Pass an event on, and watch new directories."""
        if not self._closed:
            super().on_event(event)

    def on_queue_overflow(self) -> None:
        """Report the fault, so that the watch is built again, since events were lost.

        watchdog would remove all watches and add them again. Each removal is an event: if there are more
        directories than events can wait (fs.inotify.max_queued_events), the queue overflows again, without end.
        """
        if isinstance(self._move_event_grouper, _EventReceiver):
            self._move_event_grouper.lost()

    def _activate(self) -> None:
        """Watch only the root; `complete` watches the rest."""
        #: Replaces watchdog's own tables, which store each whole path twice.
        self.books = WatchBooks(self.path)
        self._add_callback(self.path)
        self._is_active = True

    @property
    def _closed(self) -> bool:
        return isinstance(self._inotify_fd, WatchReader) and self._inotify_fd.is_closed

    def _add_callback(self, path: bytes) -> None:
        """Watch a directory; skip one that cannot be watched, except the root: OSError."""
        try:
            with tree.directory(self.path, path) as opened:
                self._watch(path, opened)
        except OSError:
            if path == self.path:
                raise

    def _watch(self, path: bytes, opened: int) -> None:
        """Watch an open directory; its path must not be used, as a directory in it may have been replaced by a link. Raises OSError."""
        watch = self._inotify_fd.add_callback(path_of(opened), self.event_mask, self, self._id)
        displaced = self.books.add(path, watch)
        if displaced is not None and isinstance(self._inotify_fd, WatchReader):
            # The former directory of this path was moved to an unknown path; its events would be taken for events of this one.
            self._inotify_fd.forget(WatchDescriptor(displaced))

    def _remove_watch_internally(self, wd: WatchDescriptor) -> None:
        """Forget a watch, and its path unless another watch has it now."""
        self.books.remove(wd)

    def _build_event_source_path(self, event: InotifyEvent) -> bytes | None:
        """Return the path that an event is about; None if its watch is forgotten."""
        path = self.books.path(event.wd)
        return path if path is None or not event.name else os.path.join(path, event.name)  # noqa: PTH118 - bytes

    def _move_watches(self, move_src_path: bytes, move_dst_path: bytes) -> bool:
        """Note that a directory was renamed, with all below it; return whether it is watched."""
        return self.books.move(move_src_path, move_dst_path)

    def _add_all_callbacks(self, path: bytes) -> None:
        """Watch a directory and everything below it."""
        self._add_callback(path)
        self._add_below(path)

    def _add_below(self, path: bytes) -> None:
        """Watch everything below a directory; skip directories that cannot be read or watched.

        Unlike watchdog's own walk, it follows no link, does not recurse, keeps no file names, skips directories
        that are not scanned, and ends with the watch.
        """
        if not self.is_recursive:
            return
        for directory, names, _ in tree.walk(path, root=self.path, deepest=_DEEPEST_WALK, named=lambda _: False):
            with suppress(OSError), tree.directory(self.path, directory) as opened:
                for name in names:
                    if self._closed:
                        return
                    self.met += 1
                    self._watch_in(directory, opened, name)

    def _watch_in(self, directory: bytes, opened: int, name: bytes) -> None:
        """Watch a directory in an open one; skip it if it cannot be watched."""
        with suppress(OSError), tree.directory_in(opened, name) as below:
            self._watch(os.path.join(directory, name), below)  # noqa: PTH118 - bytes

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:  # noqa: ARG002  as watchdog calls it
        """Make no events for the existing content of a new directory: the directory's own event causes a scan of it."""
        return []


class _EventReceiver(InotifyMoveEventGrouper):
    """Replaces watchdog's queue, which has no limit, and in which another thread pairs the two events of a rename.

    Two separate hints are enough: something is gone, and something is new.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._moved: deque[PathedInotifyEvent] = deque(maxlen=_MOVES)

    def put_event(self, event: PathedInotifyEvent) -> None:
        """Pass an event on."""
        if event.ev.is_moved_from and event.ev.is_directory:
            self._moved.append(event)
        self._watch.hear(event)

    def get_queued_moved_from_event(self, cookie: int) -> PathedInotifyEvent | None:
        """Return the first event of a directory's rename, so that the watches below it get their new paths."""
        return next((event for event in self._moved if event.ev.cookie == cookie), None)

    def lost(self) -> None:
        """Note that events were lost."""
        self._watch.astray = True
        self._watch._inbox.put(Event(EventKind.TROUBLE))  # noqa: SLF001  the same module: it belongs to the watch


class _WatchdogListener(logging.Handler):
    """Reads watchdog's log, the only place where it reports an overflow, and notices the end of its threads."""

    _shared: "_WatchdogListener | None" = None

    @classmethod
    def shared(cls) -> "_WatchdogListener":
        """Return the only instance of this process."""
        if cls._shared is None:
            cls._shared = cls()
        return cls._shared

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._watches: tuple[Watch, ...] = ()
        self._guard = threading.Lock()
        self._hook: Callable[[threading.ExceptHookArgs], object] | None = None

    def add(self, watch: Watch) -> None:
        """Listen for this watch, too."""
        with self._guard:
            if not self._watches:
                logger = logging.getLogger("watchdog")
                logger.addHandler(self)
                # Do not pass watchdog's messages on: the operator gets folder.degraded instead, with what is done about it.
                logger.propagate = False
                self._hook, threading.excepthook = threading.excepthook, self._died
            # A logging configuration may have disabled loggers that existed before it.
            for name in ("watchdog", "watchdog.observers.inotify_c", "watchdog.observers.inotify"):
                logger = logging.getLogger(name)
                logger.disabled = False
                if logger.getEffectiveLevel() > logging.WARNING:
                    logger.setLevel(logging.WARNING)
            self._watches = (*self._watches, watch)

    def remove(self, watch: Watch) -> None:
        """Stop listening for this watch."""
        with self._guard:
            was = self._watches
            self._watches = tuple(other for other in was if other is not watch)
            if was and not self._watches:
                logger = logging.getLogger("watchdog")
                logger.removeHandler(self)
                logger.propagate = True
                if self._hook is not None and threading.excepthook == self._died:
                    threading.excepthook = self._hook

    def count_others(self, watch: Watch) -> int:
        """Return the number of the kernel's watches that all others have."""
        return sum(other.count for other in self._watches if other is not watch)

    def emit(self, record: logging.LogRecord) -> None:
        """Set flags, and nothing else: this runs in watchdog's reader thread."""
        message = record.getMessage()
        # The only error that it logs with a traceback: after an overflow it could not set its watches again.
        broken = record.exc_info is not None
        if not broken and "overflow" not in message:
            return
        watches = self._watches
        concerned = [watch for watch in watches if watch.has_thread(record.thread)] or watches
        for watch in concerned:
            watch.overflowed = True
            if broken:
                watch.broken, watch.error = True, message
            watch._inbox.put(Event(EventKind.TROUBLE))  # noqa: SLF001  the same module: the listener belongs to the watches

    def _died(self, args: threading.ExceptHookArgs) -> None:
        """Note the end of a watch's thread; pass that of any other thread to the previous hook."""
        for watch in self._watches:
            if args.thread is not None and watch.has_thread(args.thread.ident):
                watch.error = f"{args.thread.name}: {args.exc_value!r}"
                watch._inbox.put(Event(EventKind.TROUBLE))  # noqa: SLF001  likewise
                return
        if self._hook is not None:
            self._hook(args)
