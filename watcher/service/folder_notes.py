"""Write notes for people who only see the folders: that work is paused, or that a folder's own settings are broken.

Folders may be away, full or read-only, and a server that does not answer blocks the call: so a separate thread does
all of this, folder by folder for a limited time, and tries again what cannot be done now.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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

#: Seconds after which a hold gets a note in the folders.
LASTING: Final = 3600.0
#: What to do about a `.watcher.toml` that can't be used.
FIX_HINT: Final = "fix the file; until then the folder keeps its previous settings, and while its list of endpoints cannot be read, recordings wait"
#: Memory key of the roots that may have a pause note.
PAUSED: Final = "pause-notes"
#: Seconds until a failed write is tried again, and between two checks of broken settings files.
_AGAIN: Final = 10.0
_REVIEW: Final = 30.0
#: Most settings files checked in a step, most waiting ones of a root, and most notes of a root beside them: anyone
#: who can write into a folder can make many.
_AT_ONCE: Final = 50
_WAITING: Final = 1000
_MOST: Final = 250


class PauseNotes:
    """``transcription-paused.txt`` in each root during a long hold. One thread calls `step`."""

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
        #: Root that may have a note -> the note's facts; None: not known, or not written yet.
        self._standing: dict[bytes, object] | None = None
        #: The roots stored in the ledger.
        self._noted: set[bytes] = set()
        self._later: dict[bytes, float] = {}
        self._told: dict[bytes, str] = {}

    def step(self, states: Mapping[bytes, GateState], *, lost: Collection[bytes] = (), wanted: bool = True) -> None:
        """Write or remove notes by the state of each root's endpoints; `lost` roots follow when they are back.

        Raises StateError.
        """
        held = {root for root, state in states.items() if wanted and self._is_long_held(state)}
        standing = self._standing
        if standing is None:
            standing = self._standing = self._recalled(states)
        now = self._monotonic()
        due = {root for root in (*standing, *states) if root not in lost and self._later.get(root, now) <= now}
        for root, state in states.items():
            said = (state.message, state.hint, state.since)
            if root in held and root in due and standing.get(root) != said:
                self._write(root, state, said, standing)
        for root in [root for root in standing if root not in held]:
            if root in due:
                self._remove(root, standing)

    def _is_long_held(self, state: GateState) -> bool:
        return is_held(state) and self._clock() - state.since >= LASTING

    def _recalled(self, roots: Collection[bytes]) -> dict[bytes, object]:
        """Return the roots in which a former run may have left notes."""
        match self._ledger.memory.remembered(PAUSED):
            case {"roots": list(paths)}:
                self._noted.update(os.fsencode(path) for path in paths)
        return dict.fromkeys((*roots, *self._noted))

    def _write(self, root: bytes, state: GateState, said: object, standing: dict[bytes, object]) -> None:
        standing.setdefault(root, None)
        if root not in self._noted:
            # Store this before writing the note: after a crash in between, the note must be known.
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
            # The finder reports this.
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
        self,
        ledger: Ledger,
        snapshot: Callable[[], Snapshot],
        *,
        on_look: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_look` is called by `look`."""
        self._ledger = ledger
        self._snapshot = snapshot
        self._on_look = on_look
        self._monotonic = monotonic
        self._met = _PathQueue()
        self._named: tuple[bytes, ...] = ()
        #: Settings that could not be used at the last check, of the roots in turn, as only some are shown; replaced as a whole.
        self.problems: tuple[InvalidOverride, ...] = ()
        #: Notes that exist or could not be written: the settings' path -> their root, and the note's text.
        self._standing: dict[bytes, tuple[bytes, str]] | None = None
        self._reviewed = float("-inf")
        #: Those of them for which it was logged that the note could not be written or removed.
        self._silent: set[bytes] = set()

    def include(self, roots: Sequence[bytes]) -> None:
        """Write notes below these folders, too, which are not watched: a person named them for a batch."""
        self._named = tuple(roots)

    def look(self, path: bytes) -> None:
        """Request a check of a settings file: it was found, changed, or is gone.

        Of a folder with thousands of them, only some wait at a time: the next full scan finds the others again.
        """
        self._met.put(self._root_of(path), path)
        self._on_look()

    def step(self, *, lost: Collection[bytes] = (), wanted: bool = True) -> None:
        """Check requested files, and regularly all broken ones. Raises StateError."""
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
        """Return the watched folder of a path, or one that `include` got; empty if there is none."""
        watched = (root for root, _ in self._snapshot().plan.roots)
        return next((root for root in (*watched, *self._named) if is_below(path, root)), b"")

    def _current(self, lost: Collection[bytes]) -> Iterator[list[InvalidOverride]]:
        """Yield the current problems of each root; for a root that cannot be accessed, those of the last check."""
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
                # The root is no longer watched: leave the note as it is.
                place = root or former
                if not place or ask_in(place, partial(remove, place, path, self._ledger)):
                    standing.pop(path, None)
            self._silent.discard(path)
        except JobError as error:
            if not root or isinstance(error, GoneError):
                # If its directory comes back, the ledger still has the note.
                standing.pop(path, None)
                self._silent.discard(path)
            elif path in standing and path not in self._silent:
                self._silent.add(path)
                _log.warning("note.failed", path=path, reason=error.reason, message=error.message, hint=error.hint)


def _has_room(standing: dict[bytes, tuple[bytes, str]], root: bytes) -> bool:
    return sum(owner == root for owner, _ in standing.values()) < _MOST


def _problem(overrides: Overrides, root: bytes, path: bytes) -> InvalidOverride | None:
    """Return why a settings file cannot be used now; None if it can, or does not exist."""
    overrides.effective(root, os.path.dirname(path))  # noqa: PTH120 - bytes
    problem = overrides.problem(path)
    return problem if problem is not None and overrides.is_current(problem) else None


def _current(overrides: Overrides, problems: Collection[InvalidOverride]) -> list[InvalidOverride]:
    return [problem for problem in problems if overrides.is_current(problem)]


class _PathQueue:
    """Paths to check, each once, with a limit for each root; roots take turns, so that none waits for another's paths."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[bytes, dict[bytes, None]] = {}

    def put(self, root: bytes, path: bytes) -> None:
        """Add a path; drop it if too many of its root wait. Thread-safe."""
        with self._lock:
            waiting = self._paths.setdefault(root, {})
            if len(waiting) < _WAITING:
                waiting[path] = None

    def take(self, count: int) -> list[bytes]:
        """Remove and return at most `count` paths, the longest waiting ones of each root. Thread-safe."""
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
