"""The detector: one thread that owns all state of finding, and asks `settle` about whatever it finds."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Final

import structlog

from watcher.folders.folder import Folder
from watcher.folders.mounts import Mounts
from watcher.folders.post import FolderState, Post
from watcher.folders.watch import Event, Hint, Inbox
from watcher.ledger.protocol import Ledger

_log = structlog.get_logger()

#: Seconds between two looks at roots, watches and clocks.
TICK: Final = 0.25
#: Seconds of scanning between two looks at the events.
_SLICE: Final = 0.02
#: Events taken in one step, and candidates looked at again in one.
_EVENTS: Final = 1000
_LOOKS: Final = 200
#: Seconds by which a wait may be late before we must have been stopped, or asleep, and may have missed anything.
_LATE: Final = 3.0
#: Seconds between two looks whether failure notes were deleted.
_NOTES: Final = 30.0
#: Ends the name of a failure note (see `sidecar`).
NOTE_SUFFIX: Final = ".transcription-failed.txt"


class Finder:
    """Finds every finished recording below the folders and hands it to the ledger.

    `start_watching`, then `run` in a thread of its own, then `close` when the thread has ended; or `step` by step. Only
    `rescan`, `inspect`, `replace`, `states`, `ready` and `beat` are for other threads.
    """

    def __init__(
        self,
        folders: Sequence[Folder],
        ledger: Ledger,
        *,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Set when the first scan of every folder that is there has begun.
        self.ready = threading.Event()
        #: Monotonic time of the last sign of life.
        self.beat = monotonic()
        self._ledger = ledger
        self._stop = stop
        self._clock = clock
        self._monotonic = monotonic
        self._inbox: Inbox = Inbox()
        self._mounts = Mounts()
        self._replacement: tuple[Folder, ...] | None = None
        self._next_tick = 0.0
        self._next_notes = 0.0
        self._states: tuple[FolderState, ...] = ()
        self._posts: list[Post] = [self._post(folder) for folder in folders]

    def start_watching(self) -> None:
        """Start the watches, so that nothing that happens from now on goes unseen. Does not scan yet."""
        self._assign()
        for post in self._posts:
            post.begin()
        self._assign()

    def run(self) -> None:
        """Repeat `step` until stop is set; whatever is not expected escapes."""
        while not self._stop.is_set():
            self.step()

    def step(self, timeout: float = TICK) -> None:
        """Wait at most `timeout` seconds for something to do, and do it."""
        events = self._receive(timeout)
        self.beat = self._monotonic()
        self._handle(events)
        for post in self._posts:
            if post.present:
                post.root.check_due(_LOOKS)
                post.root.flush()
        self._scan()
        now = self._monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._tick(now)
        self.beat = now

    def close(self) -> None:
        """End the watches; call it after the thread that steps has ended."""
        for post in self._posts:
            post.close()
        self._mounts.close()

    def rescan(self) -> None:
        """Ask for a full scan of every folder; thread-safe."""
        self._inbox.put(Event(Hint.RESCAN))

    def inspect(self, path: bytes) -> None:
        """Have a path looked at as if nothing were known of it; thread-safe."""
        self._inbox.put(Event(Hint.AGAIN, os.fsdecode(path)))

    def replace(self, folders: Sequence[Folder]) -> None:
        """Watch these folders from now on; what is unchanged goes on undisturbed. Thread-safe."""
        self._replacement = tuple(folders)
        self._inbox.put(Event(Hint.REPLACE))

    def states(self) -> tuple[FolderState, ...]:
        """Give how each folder is watched; thread-safe, at most a moment old."""
        return self._states

    # Events.

    def _receive(self, timeout: float) -> dict[Event, None]:
        """Wait for events until something else is due; equal ones count once."""
        now = self._monotonic()
        due = min([self._next_tick, *(post.next_need() for post in self._posts)])
        wait = 0.0 if any(post.busy for post in self._posts) else max(0.0, min(timeout, due - now))
        events: dict[Event, None] = {}
        try:
            events[self._inbox.get(timeout=wait) if wait else self._inbox.get_nowait()] = None
            while len(events) < _EVENTS:
                events[self._inbox.get_nowait()] = None
        except Empty:
            pass
        if self._monotonic() - now > wait + _LATE:
            for post in self._posts:
                post.want_full("stopped_for_a_while")
        return events

    def _handle(self, events: dict[Event, None]) -> None:
        for event in events:
            path = os.fsencode(event.path)
            match event.hint:
                case Hint.FILE:
                    self._file(path)
                    self._maybe_note(event.source)
                case Hint.DIRECTORY:
                    self._directory(path)
                case Hint.GONE:
                    self._maybe_note(event.path)
                case Hint.TROUBLE:
                    self._next_tick = 0.0
                case Hint.AGAIN:
                    for post in self._posts:
                        if post.present and post.root.owns(path):
                            post.root.again(path)
                case Hint.RESCAN:
                    for post in self._posts:
                        post.want_full("asked_for")
                case Hint.REPLACE:
                    self._replace()

    def _file(self, path: bytes) -> None:
        for post in self._posts:
            if post.proved(path):
                return
        found = self._at(path)
        if found is not None:
            post, below = found
            post.root.inspect(below)

    def _directory(self, path: bytes) -> None:
        found = self._at(path)
        if found is not None:
            post, below = found
            post.want_subtree(below)

    def _at(self, path: bytes) -> tuple[Post, bytes] | None:
        """Give the nearest root above the real path of an event, and the path as that root's."""
        for post in self._posts:  # longest real path first
            if post.present and path.startswith(post.real.rstrip(b"/") + b"/"):
                return post, post.root.path + path[len(post.real.rstrip(b"/")) :]
        return None

    # Scans and regular checks.

    def _scan(self) -> None:
        """Give the scans a slice of time; an event that comes in ends it."""
        end = self._monotonic() + _SLICE

        def enough() -> bool:
            now = self._monotonic()
            self.beat = now
            return now >= end or not self._inbox.empty()

        for post in self._posts:
            post.schedule()
            post.scan(enough)
            post.root.flush()
        if not self.ready.is_set() and all(post.begun for post in self._posts):
            self.ready.set()

    def _tick(self, now: float) -> None:
        if self._mounts.changed():
            for post in self._posts:
                if post.present:
                    post.remounted()
        for post in self._posts:
            post.check()
        if now >= self._next_notes:
            self._next_notes = now + _NOTES
            self._check_notes()
        self._states = tuple(post.state() for post in self._posts)

    # Failure notes.

    def _maybe_note(self, path: str) -> None:
        if path.endswith(NOTE_SUFFIX):
            self._next_notes = 0.0
            self._next_tick = 0.0

    def _check_notes(self) -> None:
        """Put back the sources whose failure note a person deleted."""
        gone = []
        for note in self._ledger.notes():
            post = next((post for post in self._posts if post.root.owns(note.path)), None)
            if note.placed and post is not None and post.present and not os.path.lexists(note.path):
                gone.append((post, note))
        for post, note in gone:
            if not post.intact():  # the whole root went away, not the note
                continue
            for source in self._ledger.put_back([note.source]):
                _log.info("file.queued", path=os.fsdecode(source), reason="note_deleted")
            self._ledger.disown(note.path)

    # The folders.

    def _post(self, folder: Folder) -> Post:
        return Post(folder, self._ledger, self._mounts, self._inbox, clock=self._clock, monotonic=self._monotonic)

    def _assign(self) -> None:
        """Let the nearest root own what lies below it."""
        self._posts.sort(key=lambda post: len(post.real or post.root.path), reverse=True)
        for post in self._posts:
            here = post.real or post.root.path
            post.root.foreign = frozenset(
                post.root.path + (other.real or other.root.path)[len(here) :]
                for other in self._posts
                if (other.real or other.root.path).startswith(here.rstrip(b"/") + b"/")
            )

    def _replace(self) -> None:
        wanted, self._replacement = self._replacement, None
        if wanted is None:
            return
        kept = {post.folder: post for post in self._posts}
        posts = [kept.pop(folder, None) or self._post(folder) for folder in wanted]
        for post in kept.values():
            post.close()
        new = [post for post in posts if post not in self._posts]
        self._posts = posts
        self._assign()
        for post in new:
            post.begin("reloaded")
        self._assign()
