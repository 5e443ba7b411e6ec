"""Limit the size of the state over the years: once a day, in slices, delete rows about files that are gone for good.

A source's row prevents that its file is paid for again, so it stays as long as the file exists, and for
``state.keep_history_days`` after it was first missing, since it may come back. A file on a disk
that is not mounted now, or below a root that does not exist, is away and not gone; after a year it counts
as gone. Rows of outputs stay as long as their source is known, or the output exists.

The sweep accesses the disks, and a server that does not answer blocks the call forever: so a file system that does not answer counts
as away, and the sweep has its own thread, which no other thread waits for if a file system stops answering.
"""

import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import structlog

from watcher import reach
from watcher.config.settings import StateSettings
from watcher.errors import StateBusyError
from watcher.folders import Mounts
from watcher.ledger import Ledger
from watcher.service import allocator
from watcher.service.crash_cleanup import clear
from watcher.service.failures import forget_gone, root_above, standing
from watcher.sidecar import note_temporaries
from watcher.tree import is_below

_log = structlog.get_logger()
_T = TypeVar("_T")

DAY: Final = 86_400.0
#: Memory key of the last sweep, and of the file systems that were mounted.
HISTORY: Final = "history"
#: Seconds between two checks of the mounts, and of whether a sweep is due.
_LOOK: Final = 60.0
#: Seconds between two slices of a sweep, in which other threads can use the ledger and the disk.
_PAUSE: Final = 0.05
#: Most files that are gone and still known; and how many more files than at the last sweep may be known until the next sweep comes
#: after only an hour: making copies of a recording and deleting them again costs nothing, so there may be very many.
MOST_GONE: Final = 100_000
#: Files of a watched folder that stay known because their disk is away, in parts of MOST_GONE at most: anybody who may mount something
#: there can do so with other files again and again, and unmount it before each sweep.
_AWAY_PARTS: Final = 10
#: Bytes of a path for which its file counts once; it counts once more for each further such part, as a row has the path several times.
_USUAL: Final = 256
#: Bytes by which the ledger may grow until the next sweep comes after only an hour.
_GROWN: Final = 256 << 20
_HOUR: Final = 3600.0
#: Files checked in a slice.
_SLICE: Final = 200
#: Longest time (seconds) that a sweep assumes since the last one, whatever the clock says.
_STEP: Final = 7 * DAY
#: Most file systems below one root that are remembered, also those that are away, and most mount points that are checked: anybody who
#: may mount something there can do so under new names again and again. Each is remembered for years, and each that hangs takes a thread.
_MOST_BELOW: Final = 500
#: Seconds after which a file system that is away counts as gone.
_AWAY: Final = 365 * DAY
#: Seconds for which a stop waits for the thread: it may hang in a disk that does not answer.
JOIN: Final = 2.0
_MEBIBYTE: Final = 1 << 20


class MountedPlaces:
    """Remembers the file systems of roots, and those mounted below them: files on one that is missing now are away, not gone.

    A mounted file system is recognised by its device, not by the mount table: systemd binds the folders of a sandboxed
    service one by one, whether or not something is mounted there. The table only tells the paths to check.
    """

    def __init__(self, mounts: Mounts, *, device: Callable[[bytes], int] = lambda path: os.stat(path).st_dev) -> None:  # noqa: PTH116
        self._mounts = mounts
        self._device = device
        #: A path of the ledger, and its file system -> Unix time at which it was last mounted.
        self._seen: dict[tuple[bytes, _MountedPlace], float] = {}

    def note(self, roots: Iterable[bytes], *, now: float) -> bool:
        """Note the file systems of roots, and those mounted below them; return whether any is new."""
        self._mounts.changed()
        before = set(self._seen)
        for root in roots:
            real = self._mounts.locate(os.path.abspath(root))  # noqa: PTH100 - bytes; links stay
            place = self._place(real)
            if place is None:
                if all(path != root for path, _ in self._seen):
                    # It was never seen: its year begins.
                    self._seen[root, _MountedPlace(b"", own=False)] = now
                continue
            self._seen[root, place] = now
            self._note_below(root.rstrip(b"/") + b"/", real.rstrip(b"/") + b"/", now)
        return set(self._seen) != before

    def _note_below(self, root: bytes, real: bytes, now: float) -> None:
        """Note the file systems mounted below a root; leave out new ones if there are too many. Both paths end with a slash."""
        known = [path for path, _ in self._seen if path.startswith(root)]
        former, room = frozenset(known), _MOST_BELOW - len(known)
        points = {root + point[len(real) :]: point for point in self._mounts.points if point.startswith(real)}
        # Those that are known come first.
        for path in sorted(points.keys() - {root}, key=lambda path: path not in former)[:_MOST_BELOW]:
            place = self._place(points[path])
            if place is None or place.top != points[path]:
                continue
            if (path, place) not in self._seen:
                if room <= 0:
                    continue
                room -= 1
            self._seen[path, place] = now

    def away(self, *, now: float) -> tuple[bytes, ...]:
        """Return the paths whose file system is away, so that no file below counts as gone."""
        self._mounts.changed()
        # Remember it for some time after it counts as gone, since otherwise it would count as new.
        self._seen = {key: seen for key, seen in self._seen.items() if abs(now - seen) < 2 * _AWAY}
        missed = {
            path for (path, place), seen in self._seen.items() if now - seen < _AWAY and not self._is(path, place)
        }
        return tuple(sorted(missed))

    def _is(self, path: bytes, place: "_MountedPlace") -> bool:
        # Another disk may be mounted there now. But if the path is on the system's disk now, or on that of the folder
        # above, and was not before, it is a mount point with nothing mounted.
        now = self._place(self._mounts.locate(path))
        return now is not None and len(now.top) >= len(place.top) and now.own >= place.own

    def _place(self, real: bytes) -> "_MountedPlace | None":
        """Return the file system of a directory; None: it does not exist, does not answer, or cannot be accessed.

        It may appear and disappear between two calls, if somebody can write into a folder above, and a disk may fail at any of them.
        """
        try:
            return reach.ask(real, partial(self._place_of, real))
        except OSError:  # SilentError is an OSError
            return None

    def _place_of(self, real: bytes) -> "_MountedPlace | None":
        if not os.path.isdir(real):  # noqa: PTH112 - bytes
            return None
        top, device = real, self._device(real)
        while (above := os.path.dirname(top)) != top and self._device(above) == device:  # noqa: PTH120 - bytes
            top = above
        return _MountedPlace(top, own=device != self._device(b"/"))

    def written(self) -> list[tuple[str, str, bool, float]]:
        """Return all of it as values for JSON."""
        return [
            (os.fsdecode(path), os.fsdecode(place.top), place.own, seen) for (path, place), seen in self._seen.items()
        ]

    def read(self, words: object) -> None:
        """Restore what `written` returned."""
        if isinstance(words, list):
            for path, top, own, seen in words:
                self._seen.setdefault((os.fsencode(path), _MountedPlace(os.fsencode(top), own=bool(own))), float(seen))


@dataclass(frozen=True, slots=True)
class _MountedPlace:
    """The file system that a directory lies on."""

    #: The topmost directory above it on the same file system.
    top: bytes
    #: Whether it is another file system than that of ``/``.
    own: bool


class DailySweep:
    """Sweeps once a day: `start` in a thread, `catch_up` at once.

    The thread also deletes temporaries and returns free memory to the system, every minute.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        settings: Callable[[], StateSettings],
        roots: Callable[[], Iterable[bytes]],
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
        mounts: Mounts | None = None,
        device: Callable[[bytes], int] | None = None,
        look: float = _LOOK,
        amnesia: bool = False,
        most_gone: int = MOST_GONE,
    ) -> None:
        """`roots` returns the watched folders; `look`: seconds between two checks whether a sweep is due.

        If more than `most_gone` files are gone, those that were missing first are forgotten before their time.
        `amnesia`: the ledger was damaged, so that it does not have the temporaries that a crash has left.
        `device` replaces the device numbers of directories.
        """
        self._ledger = ledger
        self._settings = settings
        self._roots = roots
        self._stop = stop
        self._clock = clock
        self._look = look
        self._mounts = mounts or Mounts()
        self._places = MountedPlaces(self._mounts) if device is None else MountedPlaces(self._mounts, device=device)
        self._amnesia = amnesia
        self._most_gone = most_gone
        #: `gone_at` of the oldest file over the limit, found by the last sweep.
        self._too_many_before = 0.0
        #: Number of known files at the end of the last sweep.
        self._known = -1
        #: Bytes of the ledger at the end of the last sweep.
        self._size = 0
        self._swept: float | None = None
        #: The date used by the last sweep: see `_date`.
        self._dated = 0.0
        #: Temporaries at the last check: those that are placed are gone at the next one.
        self._noted: frozenset[bytes] = frozenset()
        self._inspect: Callable[[bytes], None] = lambda _path: None
        self._on_death: Callable[[], None] = lambda: None
        # Daemonic, as for a folder on a network mount: a thread that hangs in the kernel must not keep the process from ending.
        self._thread = threading.Thread(target=self._guarded, name="history", daemon=True)
        #: The unexpected error that ended the thread.
        self.error: BaseException | None = None

    def start(self, *, inspect: Callable[[bytes], None], on_death: Callable[[], None]) -> None:
        """Start the thread; `inspect` requests a look at a path as if it were unknown."""
        self._inspect, self._on_death = inspect, on_death
        self._thread.start()

    def join(self, seconds: float = JOIN) -> None:
        """Wait a short time for the thread, after the stop was set; it cannot be started again."""
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._mounts.close()

    def catch_up(self, *, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Sweep if it is due, for `seconds` at most: if the daemon never runs, batches have to do it."""
        deadline = monotonic() + seconds
        self._forget_failures()
        if self.due():
            for _ in self.sweep():
                if self._stop.is_set() or monotonic() > deadline:
                    return

    def run(self) -> None:
        """Sweep whenever it is due, until stop is set."""
        self._recollect()
        while not self._stop.wait(self._look):
            # The ledger could not be read or changed: the next sweep does it.
            with suppress(StateBusyError):
                self.step()

    def step(self) -> None:
        """Check the mounts, return free memory to the system, and sweep if it is due."""
        due = self.due()
        allocator.give_back()
        self._clear()
        if self._places.note(self._roots(), now=self._date()):
            # Store it at once: it may be unplugged before the next sweep.
            self._remember()
        self._forget_failures()
        if due:
            for _ in self.sweep():
                if self._stop.wait(_PAUSE):
                    return

    def _forget_failures(self) -> None:
        """Forget the failures of recordings that are gone; in folders that are not watched, also if the folder is gone."""
        now, roots = self._date(), list(self._roots())
        self._places.note(roots, now=now)

        def away(paths: Collection[bytes]) -> list[bytes]:
            places = self._places.away(now=now)
            return [path for path in paths if _is_below(path, roots) and _is_below(path, places)]

        for path in forget_gone(self._ledger, away=away):
            # So that it counts as new if it ever comes back unchanged.
            self._inspect(path)

    def _recollect(self) -> None:
        """Note temporaries that a crash may have left before the ledger was lost; those that are there at two more checks are deleted."""
        for root in self._roots() if self._amnesia else ():
            # In a thread of its own: something below may hang, and how long an honest walk takes nobody knows.
            reach.poke(b"temporaries in " + root, partial(self._note_temporaries, root))
        self._amnesia = False

    def _note_temporaries(self, root: bytes) -> None:
        for _ in note_temporaries(root, self._ledger):
            if self._stop.is_set():
                return

    def _clear(self) -> None:
        """Delete temporaries that could not be deleted before: those that were there at the last check, too."""
        noted = frozenset(self._ledger.outputs.temporaries())
        if left := noted & self._noted:
            clear(self._ledger, left, self._roots())
        self._noted = noted

    def due(self) -> bool:
        """Return whether the last sweep was a day ago, or an hour if there are many more files, or the ledger is much larger."""
        # A time in the future was stored while the clock was wrong.
        passed = abs(self._clock() - self._last())
        known, size = self._count(), self._ledger.history.size()
        if self._known < 0:
            self._known, self._size = known, size
        grown = known - self._known >= self._most_gone or size - self._size >= _GROWN
        return passed >= (_HOUR if grown else DAY)

    def _count(self) -> int:
        """Return the number of known files."""
        return sum(self._ledger.history.counts().values())

    def sweep(self) -> Iterator[None]:
        """Sweep once, with a yield after every few milliseconds."""
        now, date = self._clock(), self._date()
        keep = self._settings()
        forgotten = {"answers": 0, "files": 0, "outputs": 0}
        for slices in (
            self._answers(keep, date, forgotten),
            self._sources(date - keep.keep_history_days * DAY, date, forgotten),
            self._outputs(date, forgotten),
        ):
            yield from slices
        while self._ledger.history.tidy():
            yield
        self._swept, self._dated = now, date
        self._known, self._size = self._count(), self._ledger.history.size()
        self._remember()
        if any(forgotten.values()):
            _log.info("service.tidied", **forgotten, bytes=self._ledger.history.size())

    def _answers(self, keep: StateSettings, now: float, forgotten: dict[str, int]) -> Iterator[None]:
        oldest, most = now - keep.keep_answers_days * DAY, keep.keep_answers_mb * _MEBIBYTE
        while dropped := self._ledger.answers.prune_some(answers_older_than=oldest, max_bytes=most):
            forgotten["answers"] += dropped
            yield

    def _sources(self, before: float, now: float, forgotten: dict[str, int]) -> Iterator[None]:
        noted, missed = set(self._roots()), array("d")
        before = max(before, self._too_many_before)
        kept_away = self._kept_away()
        self._places.note(noted, now=now)
        for some in _slices(self._ledger.history.finished()):
            # Including folders that are no longer watched.
            strange = {kept.root for kept in some} - noted
            self._places.note(strange, now=now)
            noted |= strange
            away = self._places.away(now=now)
            looked = (kept for kept in some if not (_is_below(kept.path, away) and kept_away(kept.root, kept.path)))
            stand = standing((kept.path for kept in looked), noted)
            gone, back, old = [], [], []
            for kept in some:
                there = stand.get(kept.path)
                if kept.gone_at and (there or kept.gone_at > self._clock()):
                    # Or it was stored while the clock was wrong.
                    back.append(kept.path)
                elif there is False and not kept.gone_at:
                    gone.append(kept.path)
                    missed.extend([self._clock()] * _weight(kept.path))
                elif there is False and kept.gone_at <= before:
                    old.append(kept.path)
                elif there is False:
                    missed.extend([kept.gone_at] * _weight(kept.path))
            # Check that nothing was unmounted meanwhile.
            if self._places.away(now=now) == away:
                if gone or back:
                    self._ledger.history.note_gone(gone, back)
                for path in self._ledger.history.retire(old, gone_before=before) if old else ():
                    forgotten["files"] += 1
                    # So that it counts as new if it ever comes back unchanged.
                    self._inspect(path)
            yield
        self._too_many_before = sorted(missed)[-self._most_gone - 1] if len(missed) > self._most_gone else 0.0

    def _outputs(self, now: float, forgotten: dict[str, int]) -> Iterator[None]:
        roots, kept_away = set(self._roots()), self._kept_away()
        for some in _slices(self._ledger.outputs.orphans()):
            away = self._places.away(now=now)
            looked = (path for path in some if not (_is_below(path, away) and kept_away(root_above(path, roots), path)))
            stand = standing(looked, roots)
            gone = [path for path, there in stand.items() if there is False]
            if gone and self._places.away(now=now) == away:
                self._ledger.outputs.disown_orphans(gone)
                forgotten["outputs"] += len(gone)
            yield

    def _kept_away(self) -> Callable[[bytes, bytes], bool]:
        """Return a function that returns whether a file, by its root and path, stays known because its disk is away."""
        counts = Counter[bytes]()

        def is_kept(root: bytes, path: bytes) -> bool:
            counts[root] += _weight(path)
            return counts[root] <= self._most_gone * _AWAY_PARTS

        return is_kept

    def _last(self) -> float:
        """Return when the last sweep began; if not known, read it from the ledger, with the file systems and the date."""
        if self._swept is None:
            known = self._ledger.memory.remembered(HISTORY) or {}
            self._places.read(known.get("places"))
            swept = known.get("swept")
            self._swept = float(swept) if isinstance(swept, int | float) else 0.0
            dated = known.get("dated")
            self._dated = float(dated) if isinstance(dated, int | float) else self._swept
        return self._swept

    def _date(self) -> float:
        """Return the Unix time that decides how old things are: at most a week after that of the last sweep.

        Otherwise, with a clock that is wrong for some time (a board without a battery, a wrong year typed in), stored
        answers, which cost money, and known files would be deleted as a year old.
        """
        self._last()
        now = self._clock()
        return min(now, self._dated + _STEP) if self._dated else now

    def _remember(self) -> None:
        self._ledger.memory.remember(
            HISTORY, {"swept": self._swept or 0.0, "dated": self._dated, "places": self._places.written()}
        )

    def _guarded(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: the error is kept, and ends the service
            if self._stop.is_set():
                # It hung, and was not waited for: the ledger is closed.
                return
            _log.critical("service.stopping", reason="crashed", thread=self._thread.name, exc_info=error)
            self.error = error
            self._on_death()


def _slices(walk: Iterator[_T]) -> Iterator[list[_T]]:
    while some := list(islice(walk, _SLICE)):
        yield some


def _weight(path: bytes) -> int:
    """Return how many times a file counts, by the length of its path."""
    return 1 + len(path) // _USUAL


def _is_below(path: bytes, places: Iterable[bytes]) -> bool:
    return any(path == place or is_below(path, place) for place in places)
