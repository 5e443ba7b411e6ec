"""The parallel requests of one recording, and their answers in the recording's order."""

import errno
import os
import stat
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from watcher import media, tree
from watcher.client import Upload
from watcher.errors import ChangedError, JobError, OutputError
from watcher.job import Cut, Job
from watcher.pipeline.handover import PendingAnswer
from watcher.pipeline.heard import part_of, recalled
from watcher.pipeline.question import Question
from watcher.pipeline.text_budget import TextBudget
from watcher.pipeline.tools import HeartbeatCallback, Tools
from watcher.transcript import PieceTranscript, Transcript

_Result = TypeVar("_Result")

#: A worker waits for its requests for this many seconds at a time, with a sign of life after each.
_SPELL: Final = 30.0
#: The same for a worker that has something else to check meanwhile.
_GLANCE: Final = 0.25
#: errno values for a piece that was removed, made unreadable or replaced by a link.
_ABOUT_PIECE: Final = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class OtherTracks:
    """The other tracks of a recording, for showing its progress."""

    #: Pieces of those before this one, and their seconds.
    pieces: int = 0
    seconds: float = 0.0
    #: Number of those after it.
    left: int = 0


class PieceRequests:
    """The parallel requests of one recording, and their answers in the recording's order."""

    def __init__(
        self,
        ask: Callable[..., tuple[Transcript, bool]],
        tools: Tools,
        job: Job,
        others: OtherTracks | None = None,
    ) -> None:
        self._ask = ask
        self._others = others or OtherTracks()
        self._tools = tools
        self._job = job
        self._pieces: list[media.Piece] = []
        self._questions: dict[int, Question] = {}
        self._answers: dict[int, Transcript] = {}
        self._running: dict[Future[tuple[Transcript, bool]], media.Piece] = {}
        self._cached: set[int] = set()
        #: Pieces that must have stored answers, which are still to be read, and their questions.
        self._unread: list[tuple[media.Piece, Sequence[Question]]] = []
        self._readings: set[Future[list[tuple[media.Piece, tuple[Question, Transcript] | None]]]] = set()
        #: An answer that was asked for while the recording was still being recorded.
        self.pending: PendingAnswer | None = None
        #: What all answers may say together.
        self.budget = TextBudget()
        #: Seconds of the answered pieces.
        self._heard = 0.0
        #: Number of pieces that the recording will probably have, for showing progress; 0: not known.
        self.expected = 0

    @property
    def cached(self) -> frozenset[int]:
        """Indexes of the pieces whose answers were stored already."""
        return frozenset(self._cached)

    def add(self, piece: media.Piece, questions: Sequence[Question]) -> None:
        """Send the first of these questions about a piece, unless an answer to one is stored. Raises the error of an earlier request.

        Raises FileError if all answers so far hold more text than anybody says, and CutAgainError.
        """
        self._pieces.append(piece)
        if self.pending is not None and self.pending.index == piece.cut.index:
            if self.pending.question not in questions:
                raise media.CutAgainError
            self._questions[piece.cut.index] = self.pending.question
            self._running[self.pending.answer] = piece
            self._read()
        elif piece.is_gone:
            # Reading its answer can wait until a piece is sent.
            self._unread.append((piece, questions))
        elif (known := self._stored(piece, questions)) is not None:
            self._enter_stored(piece, *known)
        else:
            question = self._questions[piece.cut.index] = questions[0]
            ask = partial(self._ask, question, cut=piece.cut)
            self._running[self._tools.submit(lambda: with_upload(piece, ask))] = piece
            self._read()
        self._collect({future for future in self._begun() if future.done()})

    def _read(self) -> None:
        """Begin to read the stored answers that must be there, beside the requests."""
        if self._unread:
            unread, self._unread = self._unread, []
            self._readings.add(
                self._tools.submit(lambda: [(piece, self._stored(piece, questions)) for piece, questions in unread])
            )

    def _stored(self, piece: media.Piece, questions: Sequence[Question]) -> tuple[Question, Transcript] | None:
        """Return the first of these questions that has a stored answer, and the answer."""
        for question in questions:
            answer = recalled(self._tools.ledger, piece.cut, question)
            if answer is not None:
                return question, answer
        return None

    def finish(self, beat: HeartbeatCallback, look: Callable[[], object] | None = None) -> None:
        """Wait for the answers about all pieces so far. Raises the error of the first failed request, CutAgainError, and what `look` raises.

        `look` is called several times a second meanwhile.
        """
        self.expected = 0
        self._read()
        while begun := self._begun():
            done = wait_alive(begun, beat, None if look is None else _GLANCE)
            if look is not None:
                look()
            if done:
                self._collect(done)

    def end(self, beat: HeartbeatCallback) -> None:
        """Do as `finish` does, after the last piece of this track."""
        if not self._others.left:
            self._tools.all_cut()
        self.finish(beat)

    def give_up(self, beat: HeartbeatCallback) -> float:
        """Send nothing more, but wait for requests in flight: their answers are paid for, and stored. Return the bought seconds."""
        sent = {future for future in self._running if not future.cancel()}
        left: set[Future[Any]] = {*sent, *(reading for reading in self._readings if not reading.cancel())}
        while left:
            left = left - wait_alive(left, beat)
        bought = {
            self._running[future].cut.index for future in sent if future.exception() is None and not future.result()[1]
        }
        bought |= self._answers.keys() - self._cached
        return sum(piece.seconds for piece in self._pieces if piece.cut.index in bought)

    def cuts(self) -> tuple[Cut, ...]:
        """Return the cuts, in order."""
        return tuple(piece.cut for piece in self._pieces)

    def parts(self) -> list[PieceTranscript]:
        """Return the answers, in the recording's order."""
        return [
            part_of(piece.cut, self._answers[piece.cut.index], self._questions[piece.cut.index])
            for piece in self._pieces
        ]

    def _begun(self) -> set[Future[Any]]:
        return {*self._running, *self._readings}

    def _collect(self, done: set[Future[Any]]) -> None:
        for reading in done & self._readings:
            self._readings.discard(reading)
            for piece, known in reading.result():
                if known is None:
                    raise media.CutAgainError
                self._enter_stored(piece, *known)
        for future in done & self._running.keys():
            piece = self._running.pop(future)
            answer, cached = self._result(future)
            self._enter(piece, answer, cached=cached)
        self._tools.ledger.queue.progress(
            self._job,
            piece=self._others.pieces + len(self._answers),
            pieces=self._others.pieces + (1 + self._others.left) * max(self.expected, len(self._pieces)),
            seconds_done=self._others.seconds + self._heard,
        )

    def _result(self, future: Future[tuple[Transcript, bool]]) -> tuple[Transcript, bool]:
        """Return the result of a request, or raise its error."""
        try:
            return future.result()
        except JobError as error:
            pending, asked = self.pending, self._tools.client.endpoint.name
            if pending is not None and pending.answer is future and pending.endpoint != asked:
                # It says nothing of this endpoint, and the piece has no file any more to ask for it here.
                raise media.CutAgainError from error
            raise

    def _enter_stored(self, piece: media.Piece, question: Question, answer: Transcript) -> None:
        piece.release()
        self._questions[piece.cut.index] = question
        self._enter(piece, answer, cached=True)

    def _enter(self, piece: media.Piece, answer: Transcript, *, cached: bool) -> None:
        self._answers[piece.cut.index] = answer
        self._heard += piece.seconds
        if cached:
            self._cached.add(piece.cut.index)
        self.budget.take(answer, piece.seconds)


def wait_alive(
    requests: Collection[Future[_Result]], beat: HeartbeatCallback, spell: float | None = None
) -> set[Future[_Result]]:
    """Wait for one of the requests to end, `spell` seconds at most (None: _SPELL); return those that have ended.

    Each request gives its own signs of life, so a long wait does not mean that something hangs.
    """
    beat(2 * _SPELL)
    return wait(requests, timeout=_SPELL if spell is None else spell, return_when=FIRST_COMPLETED).done


def with_upload(piece: media.Piece, ask: Callable[[Upload], _Result]) -> _Result:
    """Call `ask` with the piece's file, and remove the file afterwards.

    Raises FileError if the file was changed since it was made, OutputError if the spool cannot be read.
    """
    try:
        descriptor = _opened(piece)
        try:
            return ask(Upload(descriptor, piece.size, piece.seconds, piece.name, piece.mime, digest=piece.cut.digest))
        except ChangedError as exc:
            raise media.invalid_message() from exc
        finally:
            os.close(descriptor)
    finally:
        piece.release()


def _opened(piece: media.Piece) -> int:
    """Open the piece's file. An attacker in the child may have replaced it since it was checked.

    A spool that cannot be read costs no attempt, so only errors that the child cannot cause count as such.
    """
    try:
        descriptor = os.open(piece.path, tree.FILE)
    except OSError as exc:
        if exc.errno in _ABOUT_PIECE and os.access(piece.path.parent, os.R_OK | os.X_OK):
            raise media.invalid_message() from exc
        raise OutputError(
            f"A piece cannot be read from the state directory: {exc.strerror or exc}",
            hint="check its disk, and let no other program remove files there",
            reason="spool",
        ) from exc
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != piece.size:
        os.close(descriptor)
        raise media.invalid_message()
    return descriptor
