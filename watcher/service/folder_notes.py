"""Notes for people who only see the folders: that work is paused, or that a folder's own settings are broken.

Folders may be away, full or read-only, and a server that does not answer blocks the call: so all of this is done by
a thread of its own, folder by folder for a bounded time, and what cannot be done now is tried again until it can.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from itertools import zip_longest
from typing import Final

import structlog

from watcher import sidecar
from watcher.errors import GoneError, JobError
from watcher.gate import GateState, GateStatus
from watcher.ledger import Ledger
from watcher.overrides import NAME, InvalidOverride, Overrides
from watcher.reach import SilentError
from watcher.service.crash_cleanup import ask_in
from watcher.service.snapshot import Snapshot
from watcher.tree import is_below

_log = structlog.get_logger()

#: A hold that lasts this long gets a note in the folders; seconds.
LASTING: Final = 3600.0
#: What to do about a `.watcher.toml` that can't be used.
FIX_HINT: Final = "fix the file; until then the folder keeps its previous settings"
#: Under this key the ledger knows in which roots a pause note may stand.
PAUSED: Final = "pause-notes"
#: Seconds until what failed is tried again, and between two looks at settings that are broken.
_AGAIN: Final = 10.0
_REVIEW: Final = 30.0
#: Settings files looked at in a step, those of a root that wait for a look, and notes of a root beside them, at most: anyone
#: who can write into a folder can make many.
_AT_ONCE: Final = 50
_WAITING: Final = 1000
_MOST: Final = 250


class PauseNotes:
    """``transcription-paused.txt`` in each root, while a hold lasts. One thread calls `step`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        #: Where a note may be -> what it says; None: not known, or not written yet.
        self._standing: dict[bytes, object] | None = None
        #: What the ledger knows of that.
        self._noted: set[bytes] = set()
        self._later: dict[bytes, float] = {}
        self._told: dict[bytes, str] = {}

    def step(
        self, state: GateState, roots: Collection[bytes], *, lost: Collection[bytes] = (), wanted: bool = True
    ) -> None:
        """Bring the notes in line with the gate's state; what is `lost` gets its turn when it is back.

        Raises StateError.
        """
        held = wanted and is_held(state) and self._clock() - state.since >= LASTING
        standing = self._standing
        if standing is None:
            standing = self._standing = self._recalled(roots)
        now = self._monotonic()
        due = {root for root in (*standing, *roots) if root not in lost and self._later.get(root, now) <= now}
        for root in roots:
            said = (state.message, state.hint, state.since)
            if held and root in due and standing.get(root) != said:
                self._write(root, state, said, standing)
        for root in [root for root in standing if not (held and root in roots)]:
            if root in due:
                self._remove(root, standing)

    def _recalled(self, roots: Collection[bytes]) -> dict[bytes, object]:
        """Return where a former run may have left notes."""
        match self._ledger.memory.remembered(PAUSED):
            case {"roots": list(paths)}:
                self._noted.update(os.fsencode(path) for path in paths)
        return dict.fromkeys((*roots, *self._noted))

    def _write(self, root: bytes, state: GateState, said: object, standing: dict[bytes, object]) -> None:
        standing.setdefault(root, None)
        if root not in self._noted:
            # Before the note: a crash in between must not leave one that nobody knows of.
            self._noted.add(root)
            self._save()
        try:
            ask_in(
                root,
                partial(
                    sidecar.write_pause_note,
                    root,
                    message=state.message,
                    hint=state.hint,
                    since=state.since,
                    ledger=self._ledger,
                ),
            )
        except JobError as error:
            self._failed(root, error)
            return
        except SilentError:
            # The finder says so.
            self._later[root] = self._monotonic() + _AGAIN
            return
        standing[root] = said
        self._succeeded(root)

    def _remove(self, root: bytes, standing: dict[bytes, object]) -> None:
        standing[root] = None
        try:
            gone = ask_in(root, partial(sidecar.remove_pause_note, root, ledger=self._ledger))
        except JobError as error:
            self._failed(root, error)
            return
        except SilentError:
            gone = False
        if not gone:
            self._later[root] = self._monotonic() + _AGAIN
            return
        del standing[root]
        self._succeeded(root)
        if root in self._noted:
            self._noted.discard(root)
            self._save()

    def _save(self) -> None:
        if self._noted:
            self._ledger.memory.remember(PAUSED, {"roots": sorted(os.fsdecode(root) for root in self._noted)})
        else:
            self._ledger.memory.forget(PAUSED)

    def _failed(self, root: bytes, error: JobError) -> None:
        self._later[root] = self._monotonic() + _AGAIN
        if self._told.get(root) != error.reason:
            self._told[root] = error.reason
            _log.warning("note.failed", path=root, reason=error.reason, message=error.message, hint=error.hint)

    def _succeeded(self, root: bytes) -> None:
        self._later.pop(root, None)
        self._told.pop(root, None)


class SettingsNotes:
    """A note beside each ``.watcher.toml`` that cannot be used. One thread calls `step`; any may call `look`."""

    def __init__(
        self, ledger: Ledger, snapshot: Callable[[], Snapshot], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._snapshot = snapshot
        self._monotonic = monotonic
        self._met = _PathQueue()
        #: Settings that can't be used, as they were looked at last, of each root in turns, as only some are shown; replaced whole.
        self.problems: tuple[InvalidOverride, ...] = ()
        #: Where a note is, or could not be left: the settings' path -> their root, and what it says.
        self._standing: dict[bytes, tuple[bytes, str]] | None = None
        self._reviewed = float("-inf")
        #: Those of them of which it was said that the note could not be written, or removed.
        self._silent: set[bytes] = set()

    def look(self, path: bytes) -> None:
        """Have a settings file looked at: it was met, it changed, or it is gone.

        Of a folder with thousands of them, only so many wait at a time: the others are met again by the next full scan.
        """
        self._met.put(self._root_of(path), path)

    def step(self, *, lost: Collection[bytes] = (), wanted: bool = True) -> None:
        """Look at what was met, and now and then at all that is broken. Raises StateError."""
        if self._standing is None:
            notes = [note.source for note in self._ledger.outputs.notes() if os.path.basename(note.source) == NAME]  # noqa: PTH119
            self._standing = {path: (self._root_of(path), "") for path in notes}
        paths = dict.fromkeys(self._met.take(_AT_ONCE))
        if self._monotonic() - self._reviewed >= _REVIEW:
            self._reviewed = self._monotonic()
            paths.update(dict.fromkeys(self._standing))
        for path in paths:
            with suppress(SilentError):
                self._regard(path, self._standing, lost, wanted=wanted)
        in_turns = zip_longest(*self._current(lost))
        self.problems = tuple(problem for turn in in_turns for problem in turn if problem is not None)

    def _root_of(self, path: bytes) -> bytes:
        """Return the watched folder that owns a path; empty where none does."""
        return next((root for root, _ in self._snapshot().plan.roots if is_below(path, root)), b"")

    def _current(self, lost: Collection[bytes]) -> Iterator[list[InvalidOverride]]:
        """Yield the problems of each root that are there now; where nobody can look, those of the last look."""
        overrides = self._snapshot().overrides
        by_root: dict[bytes, list[InvalidOverride]] = {}
        for problem in overrides.problems():
            by_root.setdefault(self._root_of(problem.path), []).append(problem)
        for root, problems in by_root.items():
            try:
                yield problems if root in lost else ask_in(root, partial(_current, overrides, problems))
            except SilentError:
                yield problems

    def _regard(
        self, path: bytes, standing: dict[bytes, tuple[bytes, str]], lost: Collection[bytes], *, wanted: bool
    ) -> None:
        snapshot = self._snapshot()
        former, said = standing.get(path, (b"", ""))
        root = self._root_of(path)
        if root in lost:
            return
        message = ""
        if root:
            problem = ask_in(root, partial(_problem, snapshot.overrides, root, path))
            message = problem.message if problem is not None and wanted else ""
        write, remove = sidecar.write_settings_note, sidecar.remove_settings_note
        try:
            if message and message != said and (path in standing or _has_room(standing, root)):
                standing[path] = (root, "")
                ask_in(root, partial(write, root, path, message=message, hint=FIX_HINT, ledger=self._ledger))
                standing[path] = (root, message)
            elif not message and (path in standing or self._ledger.outputs.owned(path)):
                # Of a root that is watched no more: as it was when it was.
                place = root or former
                if not place or ask_in(place, partial(remove, place, path, self._ledger)):
                    standing.pop(path, None)
            self._silent.discard(path)
        except JobError as error:
            if not root or isinstance(error, GoneError):
                # Should its directory come back, the ledger knows of the note.
                standing.pop(path, None)
                self._silent.discard(path)
            elif path in standing and path not in self._silent:
                self._silent.add(path)
                _log.warning("note.failed", path=path, reason=error.reason, message=error.message, hint=error.hint)


def _has_room(standing: dict[bytes, tuple[bytes, str]], root: bytes) -> bool:
    return sum(owner == root for owner, _ in standing.values()) < _MOST


def _problem(overrides: Overrides, root: bytes, path: bytes) -> InvalidOverride | None:
    """Return why a settings file cannot be used now; None when it can, or is not there."""
    overrides.effective(root, os.path.dirname(path))  # noqa: PTH120 - bytes
    problem = overrides.problem(path)
    return problem if problem is not None and overrides.is_current(problem) else None


def _current(overrides: Overrides, problems: Collection[InvalidOverride]) -> list[InvalidOverride]:
    return [problem for problem in problems if overrides.is_current(problem)]


class _PathQueue:
    """Paths to be looked at, each once, so many of each root; given back in turns, so that no root waits for another's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[bytes, dict[bytes, None]] = {}

    def put(self, root: bytes, path: bytes) -> None:
        """Add a path; forget it where too many of its root wait. Thread-safe."""
        with self._lock:
            waiting = self._paths.setdefault(root, {})
            if len(waiting) < _WAITING:
                waiting[path] = None

    def take(self, count: int) -> list[bytes]:
        """Return at most `count` of them, those that wait longest of each root. Thread-safe."""
        taken: list[bytes] = []
        with self._lock:
            while self._paths and len(taken) < count:
                for root, waiting in list(self._paths.items())[: count - len(taken)]:
                    path = next(iter(waiting))
                    taken.append(path)
                    del waiting[path]
                    if not waiting:
                        del self._paths[root]
        return taken


def is_held(state: GateState) -> bool:
    """Return whether the whole queue is held."""
    return state.status in {GateStatus.HELD, GateStatus.PROBING}
