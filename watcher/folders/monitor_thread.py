"""Run the monitors of one thread: wait for events and due looks, and give each scan a slice of time."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from queue import Empty
from typing import Final

import structlog

from watcher import reach, tree
from watcher.folders import notes as notes_of_failures
from watcher.folders.folder import Folder
from watcher.folders.folder_state import FolderState
from watcher.folders.handover import AssignSessions
from watcher.folders.inbox import Event, EventKind, Inbox, size
from watcher.folders.monitor import FolderMonitor
from watcher.folders.mounts import Mounts
from watcher.folders.root_location import identity
from watcher.job import FAILED_NOTE
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput
from watcher.overrides import NAME
from watcher.settle import Quotas

_log = structlog.get_logger()

#: Seconds between two checks of roots, watches and clocks; the end of a watch's thread is noticed at once.
TICK: Final = 0.5
#: Seconds of a step for scanning one folder, and for looking at its files; then it is the next folder's turn.
_SLICE: Final = 0.02
_LOOKING: Final = 0.05
#: Seconds of a scan's turn that no event interrupts: while many events come, some are lost, and the scan is needed.
_SURE: Final = 0.005
#: Most events handled in one step, and their bytes; and most waiting files of a folder checked in one step.
_EVENTS: Final = 10_000
_EVENTS_BYTES: Final = 3_000_000
_LOOKS: Final = 200
#: If a wait ends this many seconds late, the process was stopped, and events may have been missed. (The monotonic clock
#: stops while the machine sleeps, so this does not notice sleep.)
_LATE: Final = 3.0
#: Seconds between two checks for deleted failure notes.
_NOTES: Final = 30.0
#: Notes checked between two checks of the time limit.
_AT_ONCE: Final = 4
#: End of a failure note's name.
NOTE_SUFFIX: Final = f".{FAILED_NOTE}.txt"
_SETTINGS: Final = "/" + os.fsdecode(NAME)


class MonitorThread:
    """The monitors of one thread. Other threads may use `inbox`, `again` and `beat`, and read `states` and `begun`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        tick: float = TICK,
        settings: Callable[[bytes], None] | None = None,
        assign: AssignSessions | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        """Begin without monitors; `settings` is called for each `.watcher.toml` that is found, changed or removed.

        `quotas`: limits the log lines about each folder.
        """
        self.inbox: Inbox = Inbox()
        self.monitors: list[FolderMonitor] = []
        self.mounts = Mounts()
        #: Monotonic time of the last sign of life.
        self.beat = monotonic()
        self.states: tuple[FolderState, ...] = ()
        #: Set after a change of mounts; cleared by the finder.
        self.remounted = False
        #: Monitors below whose roots something was mounted since the step began: they do nothing more in this step.
        self._concerned: set[FolderMonitor] = set()
        #: Set by other threads: paths to look at again were dropped.
        self._missed = False
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._tick_seconds = tick
        self._next_tick = 0.0
        self._next_notes = 0.0
        #: The failure notes that are still to be checked in this round.
        self._notes: Iterator[OwnedOutput] | None = None
        self._settings = settings
        self._assign = assign
        self._quotas = quotas

    def add(self, folder: Folder, foreign: frozenset[bytes], why: str) -> None:
        """Watch a folder; `foreign`: the roots of other folders inside it. ValueError for a broken glob."""
        self.beat = self._monotonic()
        monitor = FolderMonitor(
            folder,
            self._ledger,
            self.mounts,
            self.inbox,
            clock=self._clock,
            monotonic=self._monotonic,
            settings=self._settings,
            assign=self._assign,
            quotas=self._quotas,
        )
        monitor.root.location.foreign = foreign
        self.monitors.append(monitor)
        monitor.begin(why)

    def remove(self, monitor: FolderMonitor) -> None:
        """Stop watching a folder."""
        self.monitors.remove(monitor)
        monitor.close()

    def close(self) -> None:
        """End all watches."""
        for monitor in self.monitors:
            monitor.close()
        self.mounts.close()

    def abandon(self) -> None:
        """End the watches of a thread that hangs, for another thread; it may go on one day, and closes the rest itself."""
        for monitor in self.monitors:
            monitor.drop_watch()

    def again(self, path: bytes) -> None:
        """Request a look at a path as if it were unknown; if too many events wait, request a full scan. Thread-safe."""
        if self.inbox.full:
            self._missed = True
        else:
            self.inbox.put(Event(EventKind.AGAIN, os.fsdecode(path)))

    @property
    def begun(self) -> bool:
        """Whether the first scan of every existing folder has begun."""
        return all(monitor.begun for monitor in self.monitors)

    def step(self, timeout: float = TICK) -> None:
        """Wait at most `timeout` seconds for something to do, and do it."""
        events = self._receive(timeout)
        self.beat = self._monotonic()
        self._concerned.clear()
        self._see_mounts()
        # Events about directories come first: a scan of a directory finds the files below it.
        for kind in (EventKind.DIRECTORY, EventKind.FILE):
            self._meet(kind, [event for event in events if event.kind is kind])
        enough = self._for(_LOOKING)
        for event in events:
            self._handle(event, enough)
        if self._missed:
            self._missed = False
            for monitor in self.monitors:
                monitor.missed()
        self._look()
        now = self.beat = self._monotonic()
        if now >= self._next_tick:
            self._next_tick = now + self._tick_seconds
            self._tick()

    def _look(self) -> None:
        # A mount that hangs may have appeared below this root: wait until the finder gives it a separate thread.
        for monitor in self.monitors:
            if monitor.present and monitor not in self._concerned:
                monitor.look(_LOOKS, self._for(_LOOKING, monitor))
                monitor.root.flush(bulk=monitor.busy)
        for monitor in self.monitors:
            if monitor not in self._concerned:
                # An arriving event ends it.
                monitor.scan(self._for(_SLICE, monitor, or_event=True))
                monitor.root.flush(bulk=monitor.busy)
        self._check_notes()

    def _see_mounts(self) -> None:
        """Note the roots below which something was mounted; the finder may give them separate threads."""
        if self.mounts.changed():
            self.remounted = True
            self._concerned.update([monitor for monitor in self.monitors if monitor.remounted()])

    # Events.

    def _receive(self, timeout: float) -> dict[Event, None]:
        """Wait for events until something else is due; equal events count once."""
        began = self._monotonic()
        due = min([self._next_tick, *(monitor.next_need() for monitor in self.monitors)])
        busy = self._notes is not None or any(monitor.busy for monitor in self.monitors)
        wait = 0.0 if busy else max(0.0, min(timeout, due - began))
        events: dict[Event, None] = {}
        taken = 0
        with suppress(Empty):
            event = self.inbox.get(timeout=wait) if wait else self.inbox.get_nowait()
            events[event] = None
            while len(events) < _EVENTS and (taken := taken + size(event.path)) < _EVENTS_BYTES:
                event = self.inbox.get_nowait()
                events[event] = None
        if self._monotonic() - began > wait + _LATE:
            for monitor in self.monitors:
                monitor.want_full("stopped_for_a_while")
        return events

    def _meet(self, kind: EventKind, events: list[Event]) -> None:
        """Pass each event to the monitor of the root that it lies below."""
        paths = [os.fsencode(event.path) for event in events]
        for monitor in self.monitors:
            if not monitor.present:
                continue
            below = [monitor.heard(path) for path in paths if path.startswith(monitor.real_prefix)]
            want = monitor.want_look if kind is EventKind.FILE else monitor.want_subtree
            for path in below:
                if path is not None:
                    want(path)

    def _handle(self, event: Event, enough: Callable[[], bool]) -> None:
        match event.kind:
            case EventKind.FILE:
                self._maybe_settings(event.path)
            case EventKind.GONE:
                self._maybe_note(event.path, enough)
                self._maybe_settings(event.path)
            case EventKind.TROUBLE | EventKind.WATCHED:
                self._next_tick = 0.0
            case EventKind.AGAIN:
                for monitor in self.monitors:
                    monitor.again(os.fsencode(event.path))
            case EventKind.RESCAN:
                for monitor in self.monitors:
                    monitor.want_full("asked_for")
            case EventKind.DIRECTORY | EventKind.WAKE:
                pass

    # Scans and regular checks.

    def _for(
        self, seconds: float, monitor: FolderMonitor | None = None, *, or_event: bool = False
    ) -> Callable[[], bool]:
        """Return a function that returns True after `seconds`, or soon after an event; each call is a sign of life.

        It also returns True if something was mounted below the monitor's root.
        """
        began = self._monotonic()

        def over() -> bool:
            self.beat = self._monotonic()
            self._see_mounts()
            took = self.beat - began
            return (
                monitor in self._concerned or took >= seconds or (or_event and took >= _SURE and not self.inbox.empty())
            )

        return over

    def _tick(self) -> None:
        for monitor in self.monitors:
            if monitor not in self._concerned:
                monitor.check()
        self.states = tuple(monitor.state() for monitor in self.monitors)

    # Settings of folders.

    def _maybe_settings(self, path: str) -> None:
        if self._settings is None or not path.endswith(_SETTINGS):
            return
        real = os.fsencode(path)
        for monitor in self.monitors:
            if (
                monitor.present
                and real.startswith(monitor.real_prefix)
                and monitor.root.location.owns(named := monitor.named(real))
            ):
                self._settings(named)

    # Failure notes.

    def _maybe_note(self, path: str, enough: Callable[[], bool]) -> None:
        """Check the notes soon if a note, or a recording with a note, is gone; or if that is not known when it is `enough`."""
        if not self._next_notes:
            return
        if self._concerned or path.endswith(NOTE_SUFFIX) or enough() or self._has_note(os.fsencode(path)):
            self._next_notes = 0.0

    def _has_note(self, path: bytes) -> bool:
        note = path + os.fsencode(NOTE_SUFFIX)
        return any(
            monitor.present and path.startswith(monitor.real_prefix) and tree.stands(monitor.real_prefix, note)
            for monitor in self.monitors
        )

    def _check_notes(self) -> None:
        """Put back the sources whose failure note a person deleted, and forget the failures of recordings that are gone.

        If there are many notes, the next steps continue. Those below whose root something was mounted are left for the next round.
        """
        if self._notes is None:
            if (now := self._monotonic()) < self._next_notes:
                return
            self._next_notes = now + _NOTES
            self._notes = self._ledger.outputs.notes()
        enough = self._for(_LOOKING)
        while some := list(islice(self._notes, _AT_ONCE)):
            self._heed(some)
            if enough():
                return
        self._notes = None

    def _heed(self, some: list[OwnedOutput]) -> None:
        present = [monitor for monitor in self.monitors if monitor.present]

        def monitor_of(path: bytes) -> FolderMonitor | None:
            return next((one for one in present if one not in self._concerned and one.root.location.owns(path)), None)

        def root_of(path: bytes) -> bytes | None:
            monitor = monitor_of(path)
            return None if monitor is None else monitor.root.path

        def is_intact(note: OwnedOutput) -> bool:
            monitor = monitor_of(note.path)
            return monitor is not None and monitor.intact()

        _, forgotten = notes_of_failures.heed(self._ledger, some, root_of, is_intact)
        for path in forgotten:
            for monitor in self.monitors:
                # So that it counts as new if it ever comes back unchanged.
                monitor.root.unlearn(path)


class RemoteMonitorThread:
    """A folder that may hang, with its own thread: so a server that does not answer delays no other folder."""

    def __init__(self, folder: Folder, foreign: frozenset[bytes], monitor_thread: MonitorThread) -> None:
        self.folder = folder
        self.monitor_thread = monitor_thread
        #: The unexpected error that ended the thread.
        self.failure: Exception | None = None
        #: Whether it was reported as not answering.
        self.silent = False
        self._path = os.fsencode(os.path.abspath(folder.path))  # noqa: PTH100 - keeps symbolic links
        self._foreign = foreign
        self._stop = threading.Event()
        # The exception to "no daemonic threads": a thread that hangs in the kernel cannot be stopped, and must not
        # keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"finder-{folder.name}", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def assign(self, foreign: frozenset[bytes]) -> None:
        """Note which roots inside it belong to other folders."""
        if foreign != self._foreign:
            self._foreign = foreign
            for monitor in self.monitor_thread.monitors:
                monitor.root.location.foreign = foreign
            self.monitor_thread.inbox.put(Event(EventKind.RESCAN))

    @property
    def started(self) -> bool:
        """Whether its thread was started."""
        return self._thread.ident is not None

    def stop(self) -> None:
        """Request the thread's end."""
        self._stop.set()
        if not self.started:
            self.monitor_thread.close()
        self.monitor_thread.inbox.put(Event(EventKind.WAKE))

    def ask(self) -> None:
        """Start a helper thread that tests whether the root answers, unless one is running."""
        reach.poke(self._path, lambda: identity(self._path))

    @property
    def unanswered(self) -> bool:
        """Whether the root did not answer in time."""
        return reach.is_silent(self._path)

    def say_again(self) -> None:
        """Log again how the folder is watched, now that its server answers."""
        for state in self.monitor_thread.states:
            state.log()

    @property
    def alive(self) -> bool:
        """Whether its thread runs, or another one that it started."""
        return self._thread.is_alive() or any(monitor.hangs for monitor in self.monitor_thread.monitors)

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        if self.started:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self.monitor_thread.add(self.folder, self._foreign, "start")
            while not self._stop.is_set():
                self.monitor_thread.step()
            self.monitor_thread.close()
        except Exception as error:  # noqa: BLE001  the thread's boundary: the finder raises it where it is seen
            self.failure = error
