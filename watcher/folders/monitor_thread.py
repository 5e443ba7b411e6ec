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

#: Seconds between two looks at roots, watches and clocks; the death of a watch is heard of at once.
TICK: Final = 0.5
#: Seconds of a step in which one folder is scanned, and in which its files are looked at: then it is the next one's turn.
_SLICE: Final = 0.02
_LOOKING: Final = 0.05
#: Seconds of a scan's turn that no event cuts short: a flood of events needs a scan, as some of them are lost.
_SURE: Final = 0.005
#: Events taken in one step, and bytes of them; and waiting files of a folder looked at again in one.
_EVENTS: Final = 10_000
_EVENTS_BYTES: Final = 3_000_000
_LOOKS: Final = 200
#: A wait that is late by so many seconds: we were stopped, and anything may have been missed. (The monotonic clock
#: stops while the machine sleeps, so that this sees no sleep.)
_LATE: Final = 3.0
#: Seconds between two looks whether failure notes were deleted.
_NOTES: Final = 30.0
#: Notes checked before the time limit is tested.
_AT_ONCE: Final = 4
#: Ends the name of a failure note.
NOTE_SUFFIX: Final = f".{FAILED_NOTE}.txt"
_SETTINGS: Final = "/" + os.fsdecode(NAME)


class MonitorThread:
    """The monitors of one thread. Only `inbox`, `again` and `beat` are for other threads; `states` and `begun` may be read."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        tick: float = TICK,
        settings: Callable[[bytes], None] | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        """Begin without a monitor; `settings` is called for each `.watcher.toml` that is found, changed or removed.

        `quotas`: bounds what is said of each folder.
        """
        self.inbox: Inbox = Inbox()
        self.monitors: list[FolderMonitor] = []
        self.mounts = Mounts()
        #: Monotonic time of the last sign of life.
        self.beat = monotonic()
        self.states: tuple[FolderState, ...] = ()
        #: Set on a mount change; cleared by the finder.
        self.remounted = False
        #: Monitors below whose roots something was mounted since the step began: they look at nothing more in it.
        self._concerned: set[FolderMonitor] = set()
        #: Set by other threads: paths to look at again were dropped.
        self._missed = False
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._tick_seconds = tick
        self._next_tick = 0.0
        self._next_notes = 0.0
        #: The failure notes that are still to be looked at this time.
        self._notes: Iterator[OwnedOutput] | None = None
        self._settings = settings
        self._quotas = quotas

    def add(self, folder: Folder, foreign: frozenset[bytes], why: str) -> None:
        """Watch a folder; `foreign` are the roots of other folders inside it. ValueError for a broken glob."""
        monitor = FolderMonitor(
            folder,
            self._ledger,
            self.mounts,
            self.inbox,
            clock=self._clock,
            monotonic=self._monotonic,
            settings=self._settings,
            quotas=self._quotas,
        )
        monitor.root.location.foreign = foreign
        self.monitors.append(monitor)
        monitor.begin(why)

    def remove(self, monitor: FolderMonitor) -> None:
        """Watch a folder no more."""
        self.monitors.remove(monitor)
        monitor.close()

    def close(self) -> None:
        """End all watches."""
        for monitor in self.monitors:
            monitor.close()
        self.mounts.close()

    def again(self, path: bytes) -> None:
        """Have a path looked at as if nothing were known of it; where too many events wait, everything. Thread-safe."""
        if self.inbox.full:
            self._missed = True
        else:
            self.inbox.put(Event(EventKind.AGAIN, os.fsdecode(path)))

    @property
    def begun(self) -> bool:
        """Whether the first scan of every folder that is there has begun."""
        return all(monitor.begun for monitor in self.monitors)

    def step(self, timeout: float = TICK) -> None:
        """Wait at most `timeout` seconds for something to do, and do it."""
        events = self._receive(timeout)
        self.beat = self._monotonic()
        self._concerned.clear()
        self._see_mounts()
        # What was said of directories comes first: a file below one of them is met by its scan.
        for kind in (EventKind.DIRECTORY, EventKind.FILE):
            self._meet(kind, [event for event in events if event.kind is kind])
        for event in events:
            self._handle(event)
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
        # Below a concerned root there may be a mount now that hangs: first the finder gives it a thread of its own.
        for monitor in self.monitors:
            if monitor.present and monitor not in self._concerned:
                monitor.look(_LOOKS, self._for(_LOOKING, monitor))
                monitor.root.flush(bulk=monitor.busy)
        for monitor in self.monitors:
            if monitor not in self._concerned:
                # An event that comes in ends it.
                monitor.scan(self._for(_SLICE, monitor, or_event=True))
                monitor.root.flush(bulk=monitor.busy)
        if not self._concerned:
            self._check_notes()

    def _see_mounts(self) -> None:
        """Note whose roots are concerned if something was mounted; the finder may give them threads of their own."""
        if self.mounts.changed():
            self.remounted = True
            self._concerned.update([monitor for monitor in self.monitors if monitor.remounted()])

    # Events.

    def _receive(self, timeout: float) -> dict[Event, None]:
        """Wait for events until something else is due; equal ones count once."""
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
        """Look where events point, each monitor at what lies below its root."""
        paths = [os.fsencode(event.path) for event in events]
        for monitor in self.monitors:
            if not monitor.present:
                continue
            below = [monitor.heard(path) for path in paths if path.startswith(monitor.real_prefix)]
            want = monitor.want_look if kind is EventKind.FILE else monitor.want_subtree
            for path in below:
                if path is not None:
                    want(path)

    def _handle(self, event: Event) -> None:
        match event.kind:
            case EventKind.FILE:
                self._maybe_settings(event.path)
            case EventKind.GONE:
                self._maybe_note(event.path)
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
        """Return a function that tells when so many seconds are over, or soon after an event; each call is a sign of life.

        Also when something was mounted below the monitor's root; without one, below any.
        """
        began = self._monotonic()

        def over() -> bool:
            self.beat = self._monotonic()
            self._see_mounts()
            took = self.beat - began
            mounted = bool(self._concerned) if monitor is None else monitor in self._concerned
            return mounted or took >= seconds or (or_event and took >= _SURE and not self.inbox.empty())

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

    def _maybe_note(self, path: str) -> None:
        """Have the notes looked at soon where one, or a recording with one, is gone."""
        if self._concerned or path.endswith(NOTE_SUFFIX) or self._has_note(os.fsencode(path)):
            self._next_notes = 0.0

    def _has_note(self, path: bytes) -> bool:
        note = path + os.fsencode(NOTE_SUFFIX)
        return any(
            monitor.present and path.startswith(monitor.real_prefix) and tree.stands(monitor.real_prefix, note)
            for monitor in self.monitors
        )

    def _check_notes(self) -> None:
        """Put back the sources whose failure note a person deleted, and forget the failures of recordings that are gone.

        Where there are many notes, the next steps go on.
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
        def monitor_of(path: bytes) -> FolderMonitor | None:
            return next(
                (monitor for monitor in self.monitors if monitor.present and monitor.root.location.owns(path)), None
            )

        def root_of(path: bytes) -> bytes | None:
            monitor = monitor_of(path)
            return None if monitor is None else monitor.root.path

        def is_intact(note: OwnedOutput) -> bool:
            monitor = monitor_of(note.path)
            return monitor is not None and monitor.intact()

        _, forgotten = notes_of_failures.heed(self._ledger, some, root_of, is_intact)
        for path in forgotten:
            for monitor in self.monitors:
                # So that it is new, should it ever come back as it was.
                monitor.root.unlearn(path)


class RemoteMonitorThread:
    """A folder that may hang, in a thread of its own: a server that does not answer holds up nobody else."""

    def __init__(self, folder: Folder, foreign: frozenset[bytes], monitor_thread: MonitorThread) -> None:
        self.folder = folder
        self.monitor_thread = monitor_thread
        #: What ended the thread unexpectedly.
        self.failure: Exception | None = None
        #: It was reported as not answering.
        self.silent = False
        self._path = os.fsencode(os.path.abspath(folder.path))  # noqa: PTH100 - keeps symbolic links
        self._foreign = foreign
        self._stop = threading.Event()
        # The exception to "no daemonic threads": one that is stuck in the kernel cannot be asked to end, and must not
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

    def stop(self) -> None:
        """Request the thread's end."""
        self._stop.set()
        self.monitor_thread.inbox.put(Event(EventKind.WAKE))

    def ask(self) -> None:
        """Have a helper thread look whether the root answers, unless one is at it."""
        reach.poke(self._path, lambda: identity(self._path))

    @property
    def unanswered(self) -> bool:
        """Whether the root did not answer in time."""
        return reach.is_silent(self._path)

    def say_again(self) -> None:
        """Log how the folder is watched, as it was watched before its server fell silent."""
        for state in self.monitor_thread.states:
            state.log()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self.monitor_thread.add(self.folder, self._foreign, "start")
            while not self._stop.is_set():
                self.monitor_thread.step()
            self.monitor_thread.close()
        except Exception as error:  # noqa: BLE001  the thread's boundary: the finder raises it where it is seen
            self.failure = error
