"""A thread's worth of posts: waits for events and due looks, gives scans their slices, keeps the clocks."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from queue import Empty
from typing import Final

import structlog

from watcher import reach
from watcher.folders import notes as notes_of_failures
from watcher.folders.folder import Folder
from watcher.folders.mounts import Mounts
from watcher.folders.post import FolderState, Post, identity
from watcher.folders.watch import MOST_EVENTS, Event, Hint, Inbox
from watcher.ledger.protocol import Ledger, Owned
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
#: Events taken in one step, and waiting files of a folder looked at again in one.
_EVENTS: Final = 10_000
_LOOKS: Final = 200
#: A wait that is late by so many seconds: we were stopped, and anything may have been missed. (The monotonic clock stands
#: still while the machine sleeps, so that this sees no sleep.)
_LATE: Final = 3.0
#: Seconds between two looks whether failure notes were deleted, and notes looked at between two questions whether that was
#: enough for now.
_NOTES: Final = 30.0
_AT_ONCE: Final = 4
#: Ends the name of a failure note.
NOTE_SUFFIX: Final = ".transcription-failed.txt"
_SETTINGS: Final = "/" + os.fsdecode(NAME)


class Lane:
    """The posts of one thread. Only `inbox`, `again` and `beat` are for other threads; `states` and `begun` may be read."""

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
        """Begin without a post; `settings` hears of each `.watcher.toml` that is met, changes or goes.

        `quotas`: bounds what is said of each folder.
        """
        self.inbox: Inbox = Inbox()
        self.posts: list[Post] = []
        self.mounts = Mounts()
        #: Monotonic time of the last sign of life.
        self.beat = monotonic()
        self.states: tuple[FolderState, ...] = ()
        #: The mount table changed since somebody last asked.
        self.remounted = False
        #: Set by other threads: paths to look at again were not told.
        self._missed = False
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._tick_seconds = tick
        self._next_tick = 0.0
        self._next_notes = 0.0
        #: The failure notes that are still to be looked at this time.
        self._notes: Iterator[Owned] | None = None
        self._settings = settings
        self._quotas = quotas

    def add(self, folder: Folder, foreign: frozenset[bytes], why: str) -> None:
        """Watch a folder; `foreign` are the roots of other folders inside it. ValueError for a broken glob."""
        post = Post(
            folder,
            self._ledger,
            self.mounts,
            self.inbox,
            clock=self._clock,
            monotonic=self._monotonic,
            settings=self._settings,
            quotas=self._quotas,
        )
        post.root.foreign = foreign
        self.posts.append(post)
        post.begin(why)

    def remove(self, post: Post) -> None:
        """Watch a folder no more."""
        self.posts.remove(post)
        post.close()

    def close(self) -> None:
        """End all watches."""
        for post in self.posts:
            post.close()
        self.mounts.close()

    def again(self, path: bytes) -> None:
        """Have a path looked at as if nothing were known of it; where too many events wait, everything. Thread-safe."""
        if self.inbox.qsize() < MOST_EVENTS:
            self.inbox.put(Event(Hint.AGAIN, os.fsdecode(path)))
        else:
            self._missed = True

    @property
    def begun(self) -> bool:
        """Whether the first scan of every folder that is there has begun."""
        return all(post.begun for post in self.posts)

    def step(self, timeout: float = TICK) -> None:
        """Wait at most `timeout` seconds for something to do, and do it."""
        events = self._receive(timeout)
        self.beat = self._monotonic()
        # What was said of directories comes first: a file below one of them is met by its scan.
        for hint in (Hint.DIRECTORY, Hint.FILE):
            self._meet(hint, [event for event in events if event.hint is hint])
        for event in events:
            self._handle(event)
        if self._missed:
            self._missed = False
            for post in self.posts:
                post.missed()
        for post in self.posts:
            if post.present:
                post.look(_LOOKS, self._for(_LOOKING))
                post.root.flush(bulk=post.busy)
        self._scan()
        self._check_notes()
        now = self.beat = self._monotonic()
        if now >= self._next_tick:
            self._next_tick = now + self._tick_seconds
            self._tick()

    # Events.

    def _receive(self, timeout: float) -> dict[Event, None]:
        """Wait for events until something else is due; equal ones count once."""
        began = self._monotonic()
        due = min([self._next_tick, *(post.next_need() for post in self.posts)])
        busy = self._notes is not None or any(post.busy for post in self.posts)
        wait = 0.0 if busy else max(0.0, min(timeout, due - began))
        events: dict[Event, None] = {}
        try:
            events[self.inbox.get(timeout=wait) if wait else self.inbox.get_nowait()] = None
            while len(events) < _EVENTS:
                events[self.inbox.get_nowait()] = None
        except Empty:
            pass
        if self._monotonic() - began > wait + _LATE:
            for post in self.posts:
                post.want_full("stopped_for_a_while")
        return events

    def _meet(self, hint: Hint, events: list[Event]) -> None:
        """Look where events point, each post at what lies below its root."""
        paths = [os.fsencode(event.path) for event in events]
        for post in self.posts:
            if not post.present:
                continue
            below = [post.heard(path) for path in paths if path.startswith(post.real_prefix)]
            want = post.want_look if hint is Hint.FILE else post.want_subtree
            for path in below:
                if path is not None:
                    want(path)

    def _handle(self, event: Event) -> None:
        match event.hint:
            case Hint.FILE:
                self._maybe_note(event.source)
                self._maybe_settings(event.path)
                self._maybe_settings(event.source)
            case Hint.GONE:
                self._maybe_note(event.path)
                self._maybe_settings(event.path)
            case Hint.TROUBLE:
                self._next_tick = 0.0
            case Hint.AGAIN:
                for post in self.posts:
                    post.again(os.fsencode(event.path))
            case Hint.RESCAN:
                for post in self.posts:
                    post.want_full("asked_for")
            case Hint.DIRECTORY | Hint.WAKE:
                pass

    # Scans and regular checks.

    def _scan(self) -> None:
        """Give the scan of each folder a slice of time; an event that comes in ends it."""
        for post in self.posts:
            post.scan(self._for(_SLICE, or_event=True))
            post.root.flush(bulk=post.busy)

    def _for(self, seconds: float, *, or_event: bool = False) -> Callable[[], bool]:
        """Return a function that tells when so many seconds are over, or soon after an event; each call is a sign of life."""
        began = self._monotonic()

        def over() -> bool:
            self.beat = self._monotonic()
            took = self.beat - began
            return took >= seconds or (or_event and took >= _SURE and not self.inbox.empty())

        return over

    def _tick(self) -> None:
        if self.mounts.changed():
            self.remounted = True
            for post in self.posts:
                post.remounted()
        for post in self.posts:
            post.check()
        self.states = tuple(post.state() for post in self.posts)

    # Settings of folders.

    def _maybe_settings(self, path: str) -> None:
        if self._settings is None or not path.endswith(_SETTINGS):
            return
        real = os.fsencode(path)
        for post in self.posts:
            if post.present and real.startswith(post.real_prefix) and post.root.owns(named := post.named(real)):
                self._settings(named)

    # Failure notes.

    def _maybe_note(self, path: str) -> None:
        """Have the notes looked at soon where one, or a recording with one, is gone."""
        if path.endswith(NOTE_SUFFIX) or (path and os.path.lexists(path + NOTE_SUFFIX)):
            self._next_notes = 0.0

    def _check_notes(self) -> None:
        """Put back the sources whose failure note a person deleted, and forget the failures of recordings that are gone.

        Where there are many notes, the next steps go on.
        """
        if self._notes is None:
            if (now := self._monotonic()) < self._next_notes:
                return
            self._next_notes = now + _NOTES
            self._notes = self._ledger.notes()
        enough = self._for(_LOOKING)
        while some := list(islice(self._notes, _AT_ONCE)):
            self._heed(some)
            if enough():
                return
        self._notes = None

    def _heed(self, some: list[Owned]) -> None:
        def post_of(path: bytes) -> Post | None:
            return next((post for post in self.posts if post.present and post.root.owns(path)), None)

        def is_intact(note: Owned) -> bool:
            post = post_of(note.path)
            return post is not None and post.intact()

        notes = [note for note in some if post_of(note.path) is not None]
        _, forgotten = notes_of_failures.heed(self._ledger, notes, is_intact)
        for path in forgotten:
            for post in self.posts:
                # So that it is new, should it ever come back as it was.
                post.root.unlearn(path)


class RemoteLane:
    """A folder that may hang, in a thread of its own: a server that does not answer holds up nobody else."""

    def __init__(self, folder: Folder, foreign: frozenset[bytes], lane: Lane) -> None:
        self.folder = folder
        self.lane = lane
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
            for post in self.lane.posts:
                post.root.foreign = foreign
            self.lane.inbox.put(Event(Hint.RESCAN))

    def stop(self) -> None:
        """Ask it to end."""
        self._stop.set()
        self.lane.inbox.put(Event(Hint.WAKE))

    def ask(self) -> None:
        """Have a helper thread look whether the root answers, unless one is at it."""
        reach.poke(self._path, lambda: identity(self._path))

    @property
    def unanswered(self) -> bool:
        """Whether the root did not answer in time."""
        return reach.is_silent(self._path)

    def say_again(self) -> None:
        """Log how the folder is watched, as it was watched before its server fell silent."""
        for state in self.lane.states:
            state.tell()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self.lane.add(self.folder, self._foreign, "start")
            while not self._stop.is_set():
                self.lane.step()
            self.lane.close()
        except Exception as error:  # noqa: BLE001  the thread's boundary: the detector raises it where it is seen
            self.failure = error
