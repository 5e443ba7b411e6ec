"""Transcribe a recording while it is being recorded: ask for its pieces that can no longer change, and only store the answers.

The cuts depend on the sound alone (`MediaOptions.steady`), and answers are found by it. So the ordinary run of the whole recording makes the
same pieces, finds their answers, and asks for the rest. Nothing else is stored, and nothing is written. That run may take over the
cutting (`handover`), so that it does not decode all of the recording again.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from watcher import media
from watcher.client import Upload
from watcher.errors import RemedyError, StoppedError
from watcher.job import Job, is_offline
from watcher.pipeline.asker import Asker
from watcher.pipeline.cuttings import former_cuts, samples
from watcher.pipeline.handover import Followed, PendingAnswer
from watcher.pipeline.heard import part_of, recalled
from watcher.pipeline.question import Question
from watcher.pipeline.remedies import Remedies, UploadForm, given_up
from watcher.pipeline.requests import wait_alive, with_upload
from watcher.pipeline.spending import Spending
from watcher.pipeline.tools import HeartbeatCallback, JobSettings, Tools
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: Seconds for which bytes must have been there: they are the sound's by then, not those of a footer that comes at the end.
HOLD: Final = 5.0
#: Seconds for which the cutting of a recording that is whole is kept for the run of the whole file.
KEPT: Final = 30.0
#: Seconds between two looks whether it is this recording's turn, or its piece is answered.
_GLANCE: Final = 0.1


class GrowingTranscription:
    """One run through a growing recording, from its start on."""

    def __init__(
        self,
        job: Job,
        descriptor: int,
        wanted: JobSettings,
        tools: Tools,
        beat: HeartbeatCallback,
        *,
        stop: threading.Event,
        has_turn: Callable[[], bool],
        told: Callable[[float, float], object],
        hold: float = HOLD,
        kept: float = KEPT,
    ) -> None:
        """`stop` is set once the recording is whole, or work ends. `has_turn` returns whether nothing else needs the server now.

        `told` is called several times a second with the seconds that were recorded, and those that are transcribed.
        `hold`: seconds for which bytes must have been there; `kept`: for which the cutting is offered to the ordinary run once `stop` is set.
        """
        self._job = job
        self._descriptor = descriptor
        self._wanted = wanted
        self._tools = tools
        self._beat = beat
        self._stop = stop
        self._has_turn = has_turn
        self._told = told
        self._hold = hold
        self._kept = kept
        model = tools.client.endpoint.model
        self._question = Question.of(wanted.request, model, tools.other_models, None)
        self._spending = Spending(job, tools.ledger.memory, is_free=is_offline(model))
        self._asker = Asker(job, tools, self._spending)
        self._transcribed = 0.0
        #: The last answer that was asked for.
        self._pending: PendingAnswer | None = None

    def follow(self) -> None:
        """Transcribe until `wanted.ahead` seconds are. Raises StoppedError once `stop` is set, and JobError; answers stay stored."""
        client = self._tools.client
        remedies = Remedies(self._wanted.media_options(self._tools.media), whole=False, refused=client.limits().refused)
        while True:
            try:
                self._follow(remedies.form)
            except RemedyError as error:
                if remedies.next(error, refused=client.limits().refused) is None:
                    raise given_up(error) from error
            else:
                return

    def _follow(self, form: UploadForm) -> None:
        limits = self._tools.client.limits()
        with (
            self._tools.handovers.following(self._descriptor, self._stop) as offer,
            media.Cutting(
                self._descriptor,
                form.options,
                spool=self._tools.spool,
                stop=self._stop,
                planned=former_cuts(self._tools.ledger, self._job.content),
                in_flight=lambda: 1,
                choice=self._wanted.choice,
                max_bytes=limits.max_bytes,
                max_seconds=limits.max_seconds or 0.0,
                growing=self._hold,
                # Of a recording that is sent as it is when it is whole, nothing is sent before. A track is always cut.
                least_seconds=0.0 if self._wanted.as_track else 1.1 * media.SENT_WHOLE,
                waiting=lambda: self._tell(cutting),
            ) as cutting,
            self._answered(),
        ):
            try:
                self._transcribe(cutting, form)
            except StoppedError:
                offer(Followed(cutting, self._pending), self._kept, self._beat, self._tools.stop)
                raise

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Wait for the last answer behind the block: it is paid for, whatever happens to the recording."""
        try:
            yield
        finally:
            while self._pending is not None and not self._pending.answer.done():
                wait_alive([self._pending.answer], self._beat, _GLANCE)

    def _transcribe(self, cutting: "media.Cutting", form: UploadForm) -> None:
        questions: Sequence[Question] = [self._question]
        for piece in cutting:
            if piece.cut.end_seconds > self._wanted.ahead:
                return
            question, transcript = self._answer(piece, questions, form, cutting)
            self._transcribed = piece.cut.end_seconds
            if piece.cut.index == 0 and self._tools.client.diarizes(self._wanted.request.task):
                questions = self._acquainted(piece, question, transcript, form, cutting)

    def _tell(self, cutting: "media.Cutting") -> None:
        self._beat()
        self._told(cutting.heard, self._transcribed)

    def _answer(
        self, piece: media.Piece, questions: Sequence[Question], form: UploadForm, cutting: "media.Cutting"
    ) -> tuple[Question, Transcript]:
        """Return the stored answer about a piece, or ask for it when it is this recording's turn, with the question that it answers."""
        for question in questions:
            known = recalled(self._tools.ledger, piece.cut, question)
            if known is not None:
                piece.release()
                return question, known
        while not self._has_turn():
            self._check(cutting)
            if self._stop.wait(_GLANCE):
                raise StoppedError("the recording is whole, or work ends")
        self._spending.reach(piece.cut.end_seconds)
        ask = partial(self._ask, form, questions[0], piece)
        asked = self._tools.submit(lambda: with_upload(piece, ask))
        self._pending = PendingAnswer(piece.cut.index, questions[0], self._tools.client.endpoint.name, asked)
        while not asked.done():
            if self._stop.is_set():
                raise StoppedError("the recording is whole, or work ends")
            wait_alive([asked], self._beat, _GLANCE)
            self._check(cutting)
        self._pending = None
        return questions[0], asked.result()[0]

    def _check(self, cutting: "media.Cutting") -> None:
        self._tell(cutting)
        cutting.check_spool()

    def _ask(self, form: UploadForm, question: Question, piece: media.Piece, upload: Upload) -> tuple[Transcript, bool]:
        # The ordinary run of the whole recording may have begun, and ask for the same piece.
        with self._beat.beside() as beat, self._tools.sound_locks.take(piece.cut.digest, waiting=beat):
            known = recalled(self._tools.ledger, piece.cut, question, alive=beat)
            return known if known is not None else self._asker.ask(upload, question, form, beat).transcript, True

    def _acquainted(
        self, first: media.Piece, question: Question, transcript: Transcript, form: UploadForm, cutting: "media.Cutting"
    ) -> list[Question]:
        """Return the questions about the pieces after the first, as `Transcription` asks them."""
        part = part_of(first.cut, transcript, question)
        acquainted = self._question.acquainted(first.cut, part.transcript)
        if acquainted == self._question:
            return [self._question]
        if not self._tools.client.takes_voices(self._wanted.request.task):
            return [self._question, acquainted]
        self._asker.voices = samples(
            self._descriptor,
            acquainted.speakers,
            form.options,
            replace(self._tools, stop=self._stop),
            choice=self._wanted.choice,
            limits=media.ChildLimits(),
            look=lambda: self._check(cutting),
        )
        return [acquainted, self._question]
