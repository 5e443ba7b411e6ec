"""The daemon's side of the media child: start it, check and return its pieces, and end it.

Nothing large is imported here; only the child uses PyAV and numpy.
"""

import contextlib
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from watcher.errors import FileError, JobError, PassingError, StoppedError
from watcher.job import SAMPLE_RATE, Cut
from watcher.loudness import RATE
from watcher.media.childprocess import ChildProcess
from watcher.media.failures import failure_of, invalid_message, summary_of, unwritable
from watcher.media.protocol import (
    Continue,
    Ended,
    Failed,
    Grant,
    Made,
    Message,
    Opened,
    Order,
    Progress,
    ProtocolError,
    Replanned,
)
from watcher.media.spool import empty, new_directory, sizes
from watcher.media.values import (
    FORMS,
    OVERLAP,
    ChildLimits,
    Compared,
    CutAgainError,
    MediaOptions,
    Opening,
    Piece,
    SoundChoice,
    Summary,
)
from watcher.sandbox import FILE_SIZE

_log = structlog.get_logger()

#: Pieces that may exist in addition to those in flight: one that was just sent, one that is being made.
_AHEAD: Final = 2
#: Seconds between checks of `stop` and `in_flight` while no message comes.
_GLANCE: Final = 0.25
#: Shortest piece in seconds, whatever the server takes; and how far a cut may lie from its planned position.
_SHORTEST: Final = 5.0
_SLACK: Final = 2.0
#: Most bytes per second of sound in any codec (16 bits a sample, plus a quarter), and those of a header.
_BYTES_A_SECOND: Final = SAMPLE_RATE * 2 * 5 // 4
_HEADER: Final = 64 << 10
#: Most bytes of messages of an honest child: the loudness of a day, a message each second, and one for each piece.
_MESSAGES: Final = 8 << 20
_MESSAGES_A_SECOND: Final = 2 << 10
#: Bytes per second from the slowest disk or share; some of them are read twice if the decoder seeks.
_READ_A_SECOND: Final = 25_000
#: Most planned cuts that are passed on, each with 130 bytes: a day of the shortest pieces has fewer.
_MOST_PLANNED: Final = 20_000
#: Bytes that a recording that is being written may reach, for the memory that its child gets.
_GROWN: Final = 64 << 20
#: The unit of `st_blocks`, on every file system.
_SECTOR: Final = 512


class Cutting:
    """Cuts a recording into pieces: a context manager around one child process.

    Iterate to get each piece as soon as it is cut; call `Piece.release` when it was sent. At most `in_flight() + 2`
    pieces exist at a time, so a caller that releases none gets no more. Only one thread may iterate; any thread may
    call `release`, or `close`, which ends the iteration with StoppedError, as `stop` does.

    The recording is read from `descriptor` with pread only. `planned`: cuts of an earlier run, which are repeated
    as long as the sound is the same; if not, `replanned` is the index of the first new cut.
    `in_flight` returns how many requests may run at once; pieces are made shorter to keep that many busy.
    With `excerpts` (first sample, end sample; in order of time) only these stretches are made, and fewer if the
    recording is shorter; then the iteration ends, and there is a `summary` only if all of it was decoded. Without `pieces`,
    the recording is only decoded and summed up.

    Raises FileError (reasons "undecodable", "unsupported", "no_audio", "too_long", "limits", "crashed"), PassingError
    ("unreadable", "stalled", "killed", "child"), OutputError ("spool") and StoppedError while iterating.
    """

    def __init__(
        self,
        descriptor: int,
        options: MediaOptions,
        *,
        spool: Path,
        stop: threading.Event,
        in_flight: Callable[[], int],
        choice: SoundChoice | None = None,
        planned: Sequence[Cut] = (),
        excerpts: Sequence[tuple[int, int]] = (),
        pieces: bool = True,
        compare: Compared = "",
        max_seconds: float = 0.0,
        max_bytes: int = 24 << 20,
        growing: float | None = None,
        least_seconds: float = 0.0,
        limits: ChildLimits | None = None,
        waiting: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_seconds`, `max_bytes`: the longest (0: any) and the largest piece that the server takes.

        `growing`: the recording is being written, and its bytes are read once they have been there for so many seconds; then the
        iteration ends only with an error, such as StoppedError, or FileError ("growing") for a format that is read
        when it is whole. No piece is made before `least_seconds` were heard.

        `waiting` is called by the thread that iterates, several times a second while it waits for the next piece.
        """
        self._descriptor = descriptor
        self._options = options
        self._spool = spool
        self._stop = stop
        self._in_flight = in_flight
        self._choice = choice or SoundChoice()
        self._planned = tuple(planned)
        self._excerpts = tuple(excerpts)
        self._pieces = pieces
        self._compare = compare
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._growing = growing
        self._least_seconds = least_seconds
        self._limits = limits or ChildLimits()
        self._waiting = waiting
        self._clock = clock
        #: Facts of the header; None until the iteration has begun.
        self.opening: Opening | None = None
        #: The index of the first piece for which `planned` did not fit; None: it fits so far.
        self.replanned: int | None = None
        #: Seconds of the recording that were decoded so far.
        self.heard = 0.0
        self._summary: Summary | None = None
        self._lock = threading.Lock()
        self._granted = 0
        self._existing: dict[int, Path] = {}
        #: Number of released pieces, and the most that were allowed to exist at a time: the child uses emptied files again.
        self._released = 0
        self._most = 0
        #: The pieces so far of a recording that is being written.
        self._made: list[Piece] = []
        self._begun = self._goes_on = False
        #: The next piece's index and earliest first sample; the seconds for which the child has worked, and those before `go_on`.
        self._next_index = self._reached = 0
        self._worked = self._worked_before = 0.0
        self._closed = False
        #: Resources to close at the end.
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the child."""
        self._directory = new_directory(self._spool)
        self._held.callback(shutil.rmtree, self._directory, ignore_errors=True)
        try:
            self._child = ChildProcess(self._descriptor, self._directory)
        except PassingError:
            self._held.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child and remove its pieces."""
        with self._lock:
            self._closed = True
        self._child.close(self._waiting)
        self._held.close()

    def __iter__(self) -> Iterator[Piece]:
        """Yield each piece as soon as it is in the spool; after `go_on`, first those that there were before."""
        if not self._begun:
            self._begun = True
            self._child.send(self._order())
        with self._lock:
            made = [replace(piece, is_gone=piece.cut.index not in self._existing) for piece in self._made]
        yield from made
        for piece in self._messages(lambda: self._summary is None):
            if self._growing is not None:
                self._made.append(piece)
            yield piece

    def _messages(self, are_wanted: Callable[[], bool]) -> Iterator[Piece]:
        """Do what the child's messages say, as long as they are wanted, and yield its pieces."""
        while are_wanted():
            match self._next():
                case Opened() as opened:
                    # What it says bounds what may be paid for the recording.
                    seconds = None if opened.seconds is None else min(opened.seconds, self._limits.seconds)
                    self.opening = Opening(seconds, opened.pieces, opened.stream, opened.others)
                case Made() as made:
                    yield self._piece(made)
                    if made.cut.index + 1 == len(self._excerpts):
                        return
                case Progress() as progress:
                    self.heard = progress.samples / SAMPLE_RATE
                case Replanned() as replanned:
                    self.replanned = replanned.index
                case Ended() as ended if self._is_possible(ended):
                    self.heard = ended.seconds
                    # It has finished; end it, so that an attacker who controls it can do nothing more, and no zombie stays until all
                    # answers are there.
                    self._child.end()
                    self._summary = summary_of(ended)
                case Failed() if self._goes_on:
                    raise CutAgainError
                case Failed() as failed:
                    raise failure_of(failed, spool=self._spool, max_bytes=self._max_bytes, descriptor=self._descriptor)
                case _:
                    raise invalid_message()

    def go_on(self, whole: "Cutting") -> bool:
        """Go on with a recording that was being written, and is whole: do what `whole`, which was not begun, would do.

        Return False if that would make other pieces, or if what was decoded was changed since: then this cutting is of no more use.
        If True, an iteration yields the pieces of the whole recording, but some of them have no file any more (`Piece.is_gone`),
        and it may raise CutAgainError. Only while no other thread iterates. Raises StoppedError.
        """
        if not self._begun or self._growing is None or self._rules() != whole._rules():  # noqa: SLF001 - one of this class
            return False
        self._growing, self._goes_on, self._worked_before = None, True, self._worked
        self._descriptor, self._stop = whole._descriptor, whole._stop  # noqa: SLF001 - one of this class
        self._in_flight, self._waiting = whole._in_flight, whole._waiting  # noqa: SLF001 - one of this class
        self._child.send_at_once(Continue())
        self.opening = None
        try:
            self._made += self._messages(lambda: self.opening is None)
        except StoppedError:
            raise
        except (JobError, CutAgainError):
            return False
        return True

    def _rules(self) -> tuple[object, ...]:
        """Return what the pieces of a recording depend on."""
        return (self._options, self._choice, self._planned, self._max_seconds, self._max_bytes, self._limits)

    @property
    def summary(self) -> Summary:
        """Facts about the whole recording, once the iteration has ended; RuntimeError before."""
        if self._summary is None:
            raise RuntimeError("the recording was not heard to its end")
        return self._summary

    def release(self, piece: Piece) -> None:
        """Empty the piece's file, and allow the child to make another piece."""
        self._release(piece.cut.index)

    def close(self) -> None:
        """Kill the child; its pieces stay until the context is left."""
        with self._lock:
            self._closed = True
        self._child.kill()

    def check_spool(self) -> None:
        """Raise FileError if the child has written more than its pieces can have; OutputError if the spool cannot be read.

        Call it several times a second while waiting for something else between two pieces.
        """
        with self._lock:
            released = self._released
        try:
            found = sizes(self._directory)
        except OSError as exc:
            raise unwritable(self._spool, exc) from exc
        with self._lock:
            # Read the counts after the directory: while it is read, other threads release pieces, and the child
            # makes new ones at once, so that the listing may have pieces that never existed at the same time.
            pieces, names = len(self._existing) + self._granted + self._released - released, self._most
        if len(found) > names + 1 or sum(found) > pieces * self._max_bytes + FILE_SIZE:
            self._child.kill()
            raise FileError(
                "The process that decodes this file wrote more data than its pieces can have.",
                hint="It is probably damaged, or made to do harm; export it again.",
                reason="limits",
            )

    # The child.

    def _order(self) -> Order:
        options, limits = self._options, self._limits
        status = os.fstat(self._descriptor)
        # Holes of a sparse file take no disk space. Some network and cloud file systems do not tell the size on the disk.
        stored = status.st_blocks * _SECTOR or status.st_size
        if self._growing is not None:
            stored = max(stored, _GROWN)
        return Order(
            spool=str(self._directory),
            codec=options.codec,
            piece_seconds=options.piece_seconds,
            auto=options.pieces == "auto",
            places=max(1, self._in_flight()),
            skip_silence=options.skip_silence,
            longest_silence=options.longest_silence,
            max_seconds=self._max_seconds,
            max_bytes=self._max_bytes,
            limit_seconds=limits.seconds,
            limit_memory=limits.memory_for(stored, options.piece_seconds),
            limit_cpu_base=limits.cpu_base,
            limit_cpu_ratio=limits.cpu_ratio,
            limit_cpu_most=limits.cpu_most,
            track=self._choice.track,
            channel=self._choice.channel,
            planned=self._planned[:_MOST_PLANNED],
            excerpts=self._excerpts,
            measure=not self._pieces,
            compare=self._compare,
            steady=options.steady,
            growing=self._growing,
            least_seconds=self._least_seconds,
        )

    def _grant(self) -> None:
        """Allow the child to make as many pieces as may exist."""
        with self._lock:
            free = max(1, self._in_flight()) + _AHEAD - len(self._existing) - self._granted
            if free > 0:
                self._granted += free
                self._most = max(self._most, len(self._existing) + self._granted)
                # An honest child has so few unread grants that there is room for one more.
                self._child.send_at_once(Grant(free))

    def _next(self) -> Message:
        """Wait for the child's next message."""
        since = self._clock()
        while True:
            if self._stop.is_set() or self._closed:
                raise StoppedError("Stopped before it was finished; it goes on at the next start.")
            self._waiting()
            self._grant()
            self.check_spool()
            try:
                message = self._child.get(_GLANCE)
            except EOFError:
                raise self._death() from None
            except ProtocolError as exc:
                raise invalid_message() from exc
            now = self._clock()
            if message is None and not self._granted and self.opening is not None:
                # The child waits for a grant; and answers `go_on` without one.
                since = now
                continue
            spent = now - since
            if message is None and spent <= self._limits.patience:
                continue
            self._worked += spent
            if self._child.taken > _MESSAGES + _MESSAGES_A_SECOND * (self._worked + self._next_index):
                raise invalid_message()
            # Signs of life without any decoded sound count only for a time, unless a recorder may pause.
            if message is None or (self._growing is None and self._worked - self._worked_before > self._longest_work()):
                raise PassingError(
                    f"Reading the recording made no progress for {min(spent, self._worked):.0f} s.",
                    hint="Check the disk or the network share it lies on.",
                    reason="stalled",
                )
            return message

    def _death(self) -> JobError | CutAgainError:
        death = self._child.death()
        if self._closed:
            return StoppedError("Stopped before it was finished; it goes on at the next start.")
        return CutAgainError() if self._goes_on else death  # A new child may have more memory.

    def _longest_work(self) -> float:
        """Return the seconds that the slowest disk and machine need for the progress that the child reports."""
        reading = min(os.fstat(self._descriptor).st_size / _READ_A_SECOND, self._limits.seconds)
        heard = min(self.heard, self._limits.seconds)
        return self._limits.patience + self._limits.cpu_base + reading + heard

    # The pieces.

    def _piece(self, made: Made) -> Piece:
        path = self._directory / made.file
        if not self._is_in_turn(made.cut) or not self._is_a_piece(made, path):
            raise invalid_message()
        self._next_index, self._reached = made.cut.index + 1, made.cut.end
        if self._next_index == len(self._excerpts):
            # It has finished, and nothing checks it while the piece is sent.
            self._child.end()
        with self._lock:
            self._granted -= 1
            self._existing[made.cut.index] = path
        name, mime = FORMS[self._options.codec]
        return Piece(
            cut=made.cut,
            path=path,
            size=made.size,
            seconds=made.cut.seconds,
            name=name,
            mime=mime,
            overlap=made.overlap,
            on_release=partial(self._release, made.cut.index),
        )

    def _is_in_turn(self, cut: Cut) -> bool:
        """Return whether this piece may come next: each piece is paid for, so check its order and the sound that it needs."""
        if not self._granted:
            return False
        if self._excerpts:
            if not self._next_index <= cut.index < len(self._excerpts):
                return False
            start, end = self._excerpts[cut.index]
            return cut.start == start and cut.end <= end
        return (
            self._pieces
            and cut.index == self._next_index
            and cut.start >= self._reached - OVERLAP
            and self._reached < cut.end <= (self._limits.seconds + _SLACK) * SAMPLE_RATE
            and cut.end >= (cut.index - _SLACK) * SAMPLE_RATE
            and (not self._max_seconds or cut.seconds <= max(self._max_seconds, _SHORTEST) + _SLACK)
        )

    def _is_possible(self, ended: Ended) -> bool:
        """Return whether a recording may have ended there: after its pieces, and within the limit."""
        within = self._reached / SAMPLE_RATE - _SLACK <= ended.seconds <= self._limits.seconds + _SLACK
        return within and len(ended.loudness) <= (ended.seconds + _SLACK) * RATE

    def _is_a_piece(self, made: Made, path: Path) -> bool:
        """Return whether a file agrees with its message, and is not larger than allowed for its length."""
        try:
            status = path.lstat()
        except OSError:
            return False
        most = min(self._max_bytes, made.cut.seconds * _BYTES_A_SECOND + _HEADER)
        return stat.S_ISREG(status.st_mode) and status.st_size == made.size <= most

    def _release(self, index: int) -> None:
        with self._lock:
            path = self._existing.pop(index, None)
            if path is not None:
                self._released += 1
                empty(path)
        if path is not None:
            self._grant()
