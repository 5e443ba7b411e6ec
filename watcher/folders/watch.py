"""One watchdog Observer per root, supervised: its events are hints, its silence proves nothing.

watchdog 7.1 loses its reader thread on a path that is moved out and made again, drops events on overflow with a log line
only, skips unreadable and unwatchable directories without a word, and `is_alive` says that all is well. So a watch
knows its threads, hears the log, and can be asked what is wrong; who asks builds a new one. Everything that leans on
watchdog's internals is in this module.
"""

import ctypes
import errno
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from queue import SimpleQueue
from typing import Any, AnyStr, Final

import watchdog.events
import watchdog.observers.inotify
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import inotify_move_event_grouper
from watchdog.observers.api import EventDispatcher
from watchdog.observers.inotify import InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init

from watcher import tree
from watcher.settle import DEEPEST

#: Without a filter every write of a recorder would be an event; FileDeleted comes with DirDeleted at no cost.
_EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
#: Levels from the root of the file system down to which directories get watches; what is not watched here is looked at
#: now and then (see the audit), and far below `DEEPEST` nothing is looked at anyway.
_DEEPEST_WALK: Final = DEEPEST + 100
#: Events that wait to be read, some 20 MB of them. What comes beyond them counts as lost, as if the kernel's queue had
#: overflowed: everything is scanned.
MOST_EVENTS: Final = 50_000
#: Seconds all threads of a watch get to end.
_JOIN: Final = 2.0


class EventKind(StrEnum):
    """Kinds of events, by what has to be looked at."""

    #: Inspect this file.
    FILE = "file"
    #: Scan this directory.
    DIRECTORY = "directory"
    #: Something is not there any more.
    GONE = "gone"
    #: A thread of a watch ended, or the kernel's queue overflowed: ask the watches.
    TROUBLE = "trouble"
    #: Asked for by other threads: look at this path afresh; scan everything; stop waiting.
    AGAIN = "again"
    RESCAN = "rescan"
    WAKE = "wake"


@dataclass(frozen=True, slots=True)
class Event:
    """A hint about a path; with `source`, what the path was called before."""

    hint: EventKind
    path: str = ""
    source: str = ""


Inbox = SimpleQueue[Event]


class WatchFault(StrEnum):
    """Faults of a watch."""

    NONE = ""
    #: The kernel's event queue overflowed: events were lost, the watches were rebuilt.
    OVERFLOW = "overflow"
    #: A thread ended: no event will ever come again.
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
        """`enters`: whether anybody looks into the directory of that path below `directory`; of others no events come."""
        self._directory = directory
        self._prefix = directory.rstrip("/") + "/"
        self._enters = enters
        self._inbox = inbox
        self._recursive = recursive
        self._observer: Any = None
        self._threads: tuple[threading.Thread, ...] = ()
        self._emitters: tuple[Any, ...] = ()
        #: Set by the listener, in watchdog's threads.
        self.overflowed = False
        self.broken = False
        self.error = ""

    def start(self) -> None:
        """Watch; raises OSError (ENOENT, ENOSPC: watch limit, EMFILE: instance limit).

        An unreadable directory below is skipped without a word (the audit finds it).
        """
        _tame()
        self._observer = observer = InotifyObserver()
        observer.schedule(_EventHandler(self), self._directory, recursive=self._recursive, event_filter=_EVENTS)
        self._emitters = tuple(observer.emitters)
        # is_alive() of the observer says nothing about the other two, and without the reader no event ever comes.
        self._threads = (observer, *self._emitters, observer._inotify_fd)  # noqa: SLF001  it has no public name
        for thread, role in zip(self._threads, ("dispatch", "emit", "read"), strict=True):
            thread.name = f"watch-{role}"
        _WatchdogListener.shared().add(self)
        observer.start()

    def trouble(self) -> WatchFault:
        """Return what is wrong; an overflow is reported once."""
        if self.broken or not all(thread.is_alive() for thread in self._threads):
            return WatchFault.DEAF
        if self.overflowed:
            self.overflowed = False
            return WatchFault.OVERFLOW
        return WatchFault.NONE

    def hear(self, event: Event) -> None:
        """Pass an event on, in a thread of watchdog's: unless nobody looks there, or too many wait to be read."""
        if not any(self._is_of_interest(path) for path in (event.path, event.source) if path):
            return
        if self._inbox.qsize() < MOST_EVENTS:
            self._inbox.put(event)
        else:
            self.overflowed = True

    def _is_of_interest(self, path: str) -> bool:
        if not path.startswith(self._prefix):
            return True
        return self._enters(path[len(self._prefix) :].rpartition("/")[0])

    def has_thread(self, identifier: int | None) -> bool:
        """Return whether the thread is one of this watch's."""
        return any(thread.ident == identifier for thread in self._threads)

    def close(self) -> None:
        """End it, whatever state it is in: threads joined, descriptors closed. Never raises."""
        observer, self._observer = self._observer, None
        if observer is None:
            return
        groups = [emitter._inotify for emitter in self._emitters]  # noqa: SLF001  gone after a stop that half worked
        with suppress(Exception):  # after a storm watchdog's own books do not balance, and stop raises KeyError
            observer.stop()
        # What a stop that failed half-way leaves behind: threads asleep on their queues, an open inotify descriptor.
        for group in groups:
            if group is not None:
                group._is_active = False  # noqa: SLF001  no public way to end a watch group that cannot stop
                group._move_event_grouper.close()  # noqa: SLF001  likewise
        with suppress(Exception):
            observer._inotify_fd.stop()  # noqa: SLF001  likewise
        observer.event_queue.put(EventDispatcher.stop_event)
        deadline = time.monotonic() + _JOIN
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        _WatchdogListener.shared().remove(self)


class _EventHandler(FileSystemEventHandler):
    """Runs in the dispatcher's thread: it never blocks and never raises."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def dispatch(self, event: FileSystemEvent) -> None:
        """Turn the event into a hint."""
        self._watch.hear(_hint(event))


def _hint(event: FileSystemEvent) -> Event:
    source, target = str(event.src_path), str(event.dest_path)
    if event.event_type == "moved":
        return Event(EventKind.DIRECTORY if event.is_directory else EventKind.FILE, target, source)
    if event.event_type == "deleted":
        return Event(EventKind.GONE, source)
    return Event(EventKind.DIRECTORY if event.is_directory else EventKind.FILE, source)


class _WatchdogListener(logging.Handler):
    """Hears watchdog's log, the only place where it speaks of an overflow, and the deaths of its threads."""

    _shared: "_WatchdogListener | None" = None

    @classmethod
    def shared(cls) -> "_WatchdogListener":
        """Return the one of this process."""
        if cls._shared is None:
            cls._shared = cls()
        return cls._shared

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._watches: tuple[Watch, ...] = ()
        self._guard = threading.Lock()
        self._hook: Callable[[threading.ExceptHookArgs], object] | None = None

    def add(self, watch: Watch) -> None:
        """Hear for this watch too."""
        with self._guard:
            if not self._watches:
                logger = logging.getLogger("watchdog")
                logger.addHandler(self)
                # What it says is for us: an operator reads it as folder.degraded, with what is done about it.
                logger.propagate = False
                self._hook, threading.excepthook = threading.excepthook, self._died
            # A logging configuration may have silenced loggers that were there before it.
            for name in ("watchdog", "watchdog.observers.inotify_c", "watchdog.observers.inotify"):
                logger = logging.getLogger(name)
                logger.disabled = False
                if logger.getEffectiveLevel() > logging.WARNING:
                    logger.setLevel(logging.WARNING)
            self._watches = (*self._watches, watch)

    def remove(self, watch: Watch) -> None:
        """Hear for it no more."""
        with self._guard:
            was = self._watches
            self._watches = tuple(other for other in was if other is not watch)
            if was and not self._watches:
                logger = logging.getLogger("watchdog")
                logger.removeHandler(self)
                logger.propagate = True
                if self._hook is not None and threading.excepthook == self._died:
                    threading.excepthook = self._hook

    def emit(self, record: logging.LogRecord) -> None:
        """Only set flags: this runs in watchdog's reader thread."""
        message = record.getMessage()
        # The one error it logs with a traceback: after an overflow it could not set up its watches again.
        broken = record.exc_info is not None
        if not broken and "overflow" not in message:
            return
        watches = self._watches
        concerned = [watch for watch in watches if watch.has_thread(record.thread)] or watches
        for watch in concerned:
            watch.overflowed = True
            if broken:
                watch.broken, watch.error = True, message
            watch._inbox.put(Event(EventKind.TROUBLE))  # noqa: SLF001  the same module: the listener is a watch's ear

    def _died(self, args: threading.ExceptHookArgs) -> None:
        """Take note of a watch's thread that ends; that of any other thread goes to the previous hook."""
        for watch in self._watches:
            if args.thread is not None and watch.has_thread(args.thread.ident):
                watch.error = f"{args.thread.name}: {args.exc_value!r}"
                watch._inbox.put(Event(EventKind.TROUBLE))  # noqa: SLF001  likewise
                return
        if self._hook is not None:
            self._hook(args)


def _tame() -> None:
    """Take watchdog's sharp edges off, for the whole process.

    It walks with `os.walk`, which until Python 3.12 calls itself for every level: a thousand directories inside each other
    end its reader, or the start. So its modules get another walk. By default every later event of a root waits 500 ms for the other half of a rename out of the tree, and a burst of
    renames starves the reader until the kernel's queue overflows. Without the delay some renames come as FileCreated:
    all the same to us. And where warnings are errors, one of its own would end its reader.
    """
    grouper = inotify_move_event_grouper.InotifyMoveEventGrouper
    if getattr(grouper, "delay", 0.0):
        grouper.delay = 0.0
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        # The text of the warning just silenced is made all the same, and by a slip it shows a bound method (inotify_c.py:449):
        # its watch, the group, every path of the group. A few hundred new directories took seconds, and the events waited.
        watchdog.observers.inotify.InotifyWatchGroup.__repr__ = object.__repr__  # type: ignore[method-assign] # see above
        for module in (watchdog.events, watchdog.observers.inotify):
            vars(module)["os"] = _BoundedOs()


class _BoundedOs:
    """The module `os`, with a walk that needs no stack, and that ends where nobody looks any more.

    watchdog walks all that lies below a new directory once for each directory in it: a thousand of them inside each other
    made a million steps, and every other event waited.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @staticmethod
    def walk(top: AnyStr, *, followlinks: bool = False) -> Iterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
        """Yield as `tree.walk` does."""
        return tree.walk(top, follow_links=followlinks, deepest=_DEEPEST_WALK)


def watched() -> frozenset[tuple[int, int]]:
    """Return (device, inode) of every directory this process has inotify watches on, from /proc/self/fdinfo."""
    pairs: set[tuple[int, int]] = set()
    # Without Path: it enters every name into the interpreter's table of strings, which grows by those that come and go.
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):  # closed by another thread in the meantime
            if os.readlink(f"/proc/self/fd/{number}") != "anon_inode:inotify":  # noqa: PTH115
                continue
            with open(f"/proc/self/fdinfo/{number}", "rb") as told:  # noqa: PTH123
                lines = told.read().splitlines()
            for line in lines:
                if line.startswith(b"inotify "):
                    fields = dict(field.partition(b":")[::2] for field in line.split()[1:4])
                    pairs.add((int(fields[b"sdev"], 16), int(fields[b"ino"], 16)))
    return frozenset(pairs)


def kernel_device(device: int) -> int:
    """Write a `st_dev` the way fdinfo does."""
    return os.major(device) << 20 | os.minor(device)


def diagnose(directory: bytes) -> int:
    """Find out from the kernel why a directory has no watch: 0 when it gives one now, else the errno."""
    descriptor = inotify_init()
    if descriptor < 0:
        return ctypes.get_errno()
    try:
        given = inotify_add_watch(descriptor, directory, InotifyConstants.IN_CREATE)
        return 0 if given >= 0 else ctypes.get_errno()
    finally:
        os.close(descriptor)


#: What the kernel's refusals mean, with the remedy.
REMEDIES: Final = {
    errno.ENOSPC: "raise fs.inotify.max_user_watches, e.g. sysctl -w fs.inotify.max_user_watches=524288",
    errno.EMFILE: "raise fs.inotify.max_user_instances, e.g. sysctl -w fs.inotify.max_user_instances=512",
}
