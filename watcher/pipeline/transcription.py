"""Transcribe a source: from stored answers where they exist, from the server where they don't."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import structlog

from watcher import media
from watcher.client import Answer, Upload, fitted
from watcher.errors import FileError, JobError, PassingError, Remedy, RemedyError
from watcher.job import SAMPLE_RATE, Cut, Job, ResultWarning, is_offline
from watcher.join import is_stretched
from watcher.ledger.values import Content
from watcher.loudness import UNMEASURED
from watcher.pipeline import empty
from watcher.pipeline.as_is import upload_form
from watcher.pipeline.asker import Asker
from watcher.pipeline.cuttings import cut_keys, former_cuts, logged, samples
from watcher.pipeline.empty import has_timecode, silence
from watcher.pipeline.heard import (
    TranscriptionResult,
    check_digest,
    checked,
    joined,
    part_of,
    recalled,
    recalled_answer,
)
from watcher.pipeline.heard import known as known_result
from watcher.pipeline.identity import OF_RECORDING, Identity, plain
from watcher.pipeline.measurement import Measurement, Weighed, weighed
from watcher.pipeline.question import Question
from watcher.pipeline.remedies import Remedies, UploadForm, given_up, no_text
from watcher.pipeline.requests import OtherTracks, PieceRequests, wait_alive, with_upload
from watcher.pipeline.source import unchanged
from watcher.pipeline.spending import Spending
from watcher.pipeline.text_budget import TextBudget
from watcher.pipeline.tools import HeartbeatCallback, JobSettings, Tools
from watcher.transcript import PieceTranscript, Transcript

_log = structlog.get_logger()


class Transcription:
    """One run of a recording through the server."""

    def __init__(
        self,
        job: Job,
        descriptor: int,
        wanted: JobSettings,
        tools: Tools,
        beat: HeartbeatCallback,
        *,
        spending: Spending,
        identity: Identity | None = None,
        others: OtherTracks | None = None,
    ) -> None:
        """`spending`: what the job has cost so far. `identity`: that of a track, and the `others` of the recording."""
        self._job = job
        self._descriptor = descriptor
        self._wanted = wanted
        self._tools = tools
        self._beat = beat
        self._spending = spending
        self._question = Question.of(wanted.request, tools.client.endpoint.model, tools.other_models, job.again)
        self._parameters = self._question.parameters
        self._other_tracks = others
        self._limits = media.SHORT_LIMITS if job.small else media.ChildLimits()
        #: st_ctime_ns, which a program that changes bytes cannot set back, unlike the time of modification.
        self._changed_at = unchanged(job, descriptor).st_ctime_ns
        self._identity = identity or plain(descriptor, wanted.choice)
        self._sketch = self._identity.sketch
        #: Keys under which the cuts of this run are stored: hashes of the parameters of the request and of the cutting.
        self.cut_keys: list[str] = []
        #: Seconds paid for abandoned cuttings.
        self._given_up = 0.0
        #: End of the last abandoned cutting, in seconds of the recording.
        self._cut_until = 0.0
        self._asker = Asker(job, tools, spending)
        #: Settings that the server did not take; and whether more than the encoding had to change for an answer.
        self._warnings: dict[ResultWarning, None] = {}
        self._simplified = False
        #: The result of sending the file as it is, used only if every other form is refused: it has no text although there is sound,
        #: or the server heard timecode.
        self._fallback: TranscriptionResult | None = None
        self._measurement = Measurement(descriptor, tools, self._limits, beat)

    def transcribe(self) -> TranscriptionResult:
        """Return the whole recording's transcript. Raises JobError; the answers received until then stay stored."""
        self._spending.begin(self._sketch)
        heard = self.hear()
        heard = replace(heard, paid_seconds=self._spending.seconds, paid_before_seconds=self._spending.before)
        if self._question.token:
            # Only now are all the new answers there: until now the former ones counted.
            self._tools.ledger.answers.supersede(self._job, heard.content, cut=self.cut_keys, keep=self._is_untouched())
        return heard

    def hear(self) -> TranscriptionResult:
        """Return what was heard, in whatever form it was sent, without its costs. New answers for `again` do not count yet."""
        try:
            return self._heard()
        except FileError:
            if self._fallback is None:
                raise
            # Every other form was refused: this result is all there is, and its warning says so.
            return self._fallback

    def _heard(self) -> TranscriptionResult:
        ledger = self._tools.ledger
        known = known_result(self._identity, ledger, self._question, digest=self._digest, alive=self._beat)
        if known is not None:
            return known
        client = self._tools.client
        accepted = None
        # The offline engine has the rights of this process: it hears what the confined decoder has made, and no bytes of others.
        if self._job.small and not self._wanted.as_track and not is_offline(client.endpoint.model):
            accepted = upload_form(self._job, self._descriptor, self._wanted.choice, client.limits())
        options = self._wanted.media_options(self._tools.media)
        if accepted is not None and options.steady and accepted[2] > media.SENT_WHOLE:
            # Its pieces may have been answered while it was being recorded.
            accepted = None
        remedies = Remedies(options, whole=accepted is not None, refused=client.limits().refused)
        while True:
            form = remedies.form
            try:
                heard = self._whole(form, *accepted) if form.whole and accepted is not None else self._pieces(form)
            except RemedyError as error:
                tried = error.passing and self._sketch in self._tools.exhausted
                other = None if tried or self._is_sold() else remedies.next(error, refused=client.limits().refused)
                if other is None:
                    raise self._without_remedy(error, tried=tried) from error
                _log.info("api.degraded", remedy=str(error.remedy), codec=other.options.codec, message=error.message)
            else:
                if not self._simplified:
                    client.learn_refused(remedies.rejected)
                return heard

    def _is_sold(self) -> bool:
        """Return whether the abandoned cuttings cost more seconds than the recording has: then stop."""
        return self._given_up > self._cut_until > 0

    def _without_remedy(self, error: RemedyError, *, tried: bool) -> JobError:
        """Return the error of a recording for which there is no other form to try.

        If the server failed rather than refused it, the server may be about to go down: then the recording keeps its attempts, and
        each is one request (`tried`: all forms were tried before). The recording fails once the server has answered others since.
        """
        if not error.passing or (tried and error.alone):
            return given_up(error)
        self._tools.exhausted.add(self._sketch)
        return PassingError(error.message, hint=error.hint, reason=error.reason)

    def _digest(self) -> str:
        return media.digest(self._descriptor, self._tools.stop, self._beat)

    def _whole(self, form: UploadForm, name: str, mime: str, seconds: float) -> TranscriptionResult:
        """Send the file as it is, in one request."""
        digest = self._digest()
        size = self._job.fingerprint.size
        self._spending.reach(seconds)
        upload = Upload(self._descriptor, size, seconds, name, mime, digest=digest, compared=True)
        body, transcript, cached = self._answered_whole(upload, digest, form)
        # If more is said than fits the header's seconds, the answer is read by the measured seconds instead.
        answer = Weighed(transcript, transcript.duration, transcript.duration)
        try:
            answer = self._weighed(body, transcript, digest)
        finally:
            self._correct(upload, answer.bought, cached=cached)
        measured, seconds = answer.measured, answer.seconds
        TextBudget().take(answer.transcript, seconds)
        content = Content(
            digest=digest,
            sketch=self._sketch,
            parameters=self._parameters,
            seconds=seconds,
            cuts=(Cut(0, 0, round(seconds * SAMPLE_RATE), digest),),
            warnings=(*self._warnings, *(silence(measured) if measured else ())),
            loudness=measured.loudness if measured else UNMEASURED,
            others=self._others([transcript]),
        )
        parts = [PieceTranscript(0.0, seconds, replace(answer.transcript, origin=transcript.origin))]
        heard = joined(
            parts,
            content,
            empty.warnings(parts, content.loudness.tenths),
            cached=frozenset({0} if cached else ()),
        )
        if measured is not None and has_timecode(measured):
            # Do not store this answer: the one without the timecode will be stored, also after a restart in between.
            self._fallback = heard
            raise RemedyError("the server heard timecode beside the voice", remedy=Remedy.RECODE, reason="timecode")
        self._keep_content(content)
        if not heard.answered:
            self._fallback, self._question = heard, replace(self._question, insistent=True)
            # A recording that cannot be decoded cannot be sent in another form.
            raise self._measurement.undecodable or no_text()
        return heard

    def _answered_whole(self, upload: Upload, digest: str, form: UploadForm) -> tuple[bytes, Transcript, bool]:
        """Return the answer about the file as it is, what it says, and whether it was stored."""
        with self._tools.sound_locks.take(digest, waiting=self._beat):
            known = recalled_answer(
                self._tools.ledger,
                digest,
                upload.seconds,
                self._question,
                measured=self._measurement.seconds,
                alive=self._beat,
            )
            if known is not None:
                return *known, True
            answer = self._asker.ask(upload, self._question, form, self._beat, measurement=self._measurement)
            self._note(self._question, answer)
            return answer.body, answer.transcript, False

    def _weighed(self, body: bytes, transcript: Transcript, digest: str) -> Weighed:
        """Return the answer about the file as it is, compared with the measured sound if the answer is in doubt.

        Raises ChangedError, or FileError, where other bytes were measured than those of `digest`: what is known of it is for all files.
        """
        request, seconds = self._wanted.request, transcript.duration
        in_doubt = is_stretched(transcript) or empty.in_doubt(
            transcript, seconds, prompt=fitted(request.prompt), guarded=self._wanted.rules.guard
        )
        answer = weighed(transcript, body, seconds, request, self._measurement, in_doubt=in_doubt)
        if answer.measured is not None and answer.measured.content != digest:
            unchanged(self._job, self._descriptor)
            raise media.invalid_message()
        return answer

    def _correct(self, upload: Upload, bought: float, *, cached: bool) -> None:
        """Correct the count: `bought` is how many seconds the request about the file as it is has really cost."""
        self._tools.gate.correct(self._measurement.receipt, bought)
        self._spending.reach(bought)
        if not cached:
            self._spending.add(bought - upload.seconds)

    def _pieces(self, form: UploadForm) -> TranscriptionResult:
        """Cut the recording, request its pieces in parallel while it is being cut, and join the answers."""
        options = form.options
        own, *others = cut_keys(self._question, options)
        self.cut_keys += [own, *others]
        # Who began the recording at another endpoint has the answers about the pieces that were cut there.
        ledger = self._tools.ledger
        planned: Sequence[Cut] = max((ledger.answers.cuts(self._sketch, key) for key in (own, *others)), key=len)
        if not planned and self._job.content:
            planned = former_cuts(ledger, self._identity.digest(self._job.content))
        while True:
            requests = PieceRequests(partial(self._ask_piece, form), self._tools, self._job, self._other_tracks)
            # Only the first time, there may be a cutting to go on with.
            with suppress(media.CutAgainError), self._cutting(form.options, planned, requests) as cutting:
                summary = self._cut_and_ask(cutting, requests, form.options, own)
                break
        check_digest(self._identity, summary.content, self._tools.ledger, actual=self._digest)
        cuts = requests.cuts()
        self._beat()
        parts, doubts = checked(
            requests.parts(),
            summary.loudness.tenths,
            self._question,
            lambda index, question: self._again(cuts[index], question, form),
            requests.budget,
        )
        content = Content(
            digest=self._identity.digest(summary.content),
            sketch=self._sketch,
            parameters=self._parameters,
            seconds=summary.seconds,
            cuts=cuts,
            loudness=summary.loudness,
            warnings=(*self._said(summary), *self._warnings),
            others=self._others(part.transcript for part in parts),
        )
        self._keep_content(content)
        return joined(parts, content, doubts, cached=requests.cached, alive=self._beat)

    def _others(self, transcripts: Iterable[Transcript]) -> tuple[str, ...]:
        """Return the parameters of other endpoints, if some of these answers are from them."""
        own = self._tools.client.endpoint.model
        return self._question.others if any(one.origin.model not in {"", own} for one in transcripts) else ()

    @contextmanager
    def _cutting(
        self, options: media.MediaOptions, planned: Sequence[Cut], requests: PieceRequests
    ) -> Iterator[media.Cutting]:
        """Yield the cutting of who followed the recording, whose pending answer joins the `requests`, if it can go on, or else a new one."""
        tools, limits = self._tools, self._tools.client.limits()
        whole = media.Cutting(
            self._descriptor,
            options,
            spool=tools.spool,
            planned=planned,
            stop=tools.stop,
            in_flight=tools.gate.places,
            choice=self._wanted.choice,
            max_bytes=limits.max_bytes,
            max_seconds=limits.max_seconds or 0.0,
            limits=self._limits,
            waiting=self._beat,  # `Cutting` bounds how long the child may be silent; requests have their own deadline.
        )
        with tools.handovers.taken(self._descriptor, self._beat, tools.stop) as former:
            if former is not None and former.cutting.go_on(whole):
                _log.info("media.continued", seconds=former.cutting.heard)
                requests.pending = former.pending
                yield former.cutting
                return
        with whole:
            yield whole

    def _cut_and_ask(
        self, cutting: media.Cutting, requests: PieceRequests, options: media.MediaOptions, key: str
    ) -> media.Summary:
        """Send the pieces as they are cut, and wait for all answers; the cuts are kept under `key`. Raises CutAgainError."""
        tools, ledger = self._tools, self._tools.ledger

        def look() -> None:
            self._beat()
            cutting.check_spool()

        try:
            questions = [self._question]
            for piece in logged(cutting):
                opening = cutting.opening
                requests.expected = opening.pieces if opening is not None else 0
                self._spending.reach(max(piece.cut.end_seconds, (opening and opening.seconds) or 0.0))
                ledger.answers.keep_cut(self._sketch, key, piece.cut)
                if piece.cut.index == 1 and tools.client.diarizes(self._wanted.request.task):
                    requests.finish(self._beat, look)
                    questions = self._acquainted(requests, options, look)
                requests.add(piece, questions)
            # It takes a while, which passes as the last answers are awaited.
            _ = cutting.summary.loudness.tenths
            requests.end(self._beat)
        except BaseException:
            # The child must make no more pieces, and not write while nobody checks the spool.
            cutting.close()
            self._given_up += requests.give_up(self._beat)
            self._cut_until = max((cut.end_seconds for cut in requests.cuts()), default=0.0)
            raise
        return cutting.summary

    def _said(self, summary: media.Summary) -> tuple[ResultWarning, ...]:
        """Return the child's warnings about the recording, or about this track of it."""
        of_whole = OF_RECORDING if self._identity.track else ()
        return tuple(warning for warning in summary.warnings if warning.code not in of_whole)

    def _acquainted(
        self, requests: PieceRequests, options: media.MediaOptions, look: Callable[[], object]
    ) -> list[Question]:
        """Return the questions about the pieces after the first, best first: each may have a stored answer already.

        The best question is sent with samples of the speakers of the first piece, if the server takes samples. `look` is
        called several times a second while the samples are cut.
        """
        (first,), (part,) = requests.cuts(), requests.parts()
        acquainted = self._question.acquainted(first, part.transcript)
        if acquainted == self._question:
            return [self._question]
        if not self._tools.client.takes_voices(self._wanted.request.task):
            return [self._question, acquainted]
        self._asker.voices = samples(
            self._descriptor,
            acquainted.speakers,
            options,
            self._tools,
            choice=self._wanted.choice,
            limits=self._limits,
            look=look,
        )
        return [acquainted, self._question]

    def _again(self, cut: Cut, question: Question, form: UploadForm) -> PieceTranscript | None:
        """Return a second answer about a piece, or None if there is none.

        A refusal does not fail the recording: it is complete without the second answer. Errors that close the gate (AccountError,
        HeldError and others) are raised.
        """
        if question.insistent:
            # A file that was sent as it is and answered without text has been sent in two encodings already.
            may_differ = self._fallback is None or self._fallback.answered
            other = Remedies(form.options, whole=False).next(no_text()) if may_differ else None
            if other is None:
                return None
            form = other
        self._beat()
        transcript = recalled(self._tools.ledger, cut, question, alive=self._beat)
        if transcript is None:
            try:
                transcript = self._asked_again(cut, question, form)
            except (FileError, RemedyError, PassingError) as error:
                _log.info("api.degraded", reason=error.reason, message=error.message)
        return None if transcript is None else part_of(cut, transcript, question)

    def _asked_again(self, cut: Cut, question: Question, form: UploadForm) -> Transcript | None:
        """Cut the piece out once more and ask for it; None if it no longer has the same digest."""
        tools = self._tools
        with media.Cutting(
            self._descriptor,
            form.options,
            spool=tools.spool,
            stop=tools.stop,
            in_flight=lambda: 1,
            choice=self._wanted.choice,
            excerpts=((cut.start, cut.end),),
            max_bytes=tools.client.limits().max_bytes,
            limits=self._limits,
            waiting=self._beat,
        ) as cutting:
            piece = next(iter(cutting), None)
            if piece is None or piece.cut.digest != cut.digest:
                return None
            asked = tools.submit(lambda: with_upload(piece, partial(self._ask_piece, form, question, cut=cut)))
            while not asked.done():
                wait_alive([asked], self._beat)
            return asked.result()[0]

    def _ask_piece(self, form: UploadForm, question: Question, upload: Upload, cut: Cut) -> tuple[Transcript, bool]:
        """Return the piece's transcript, and whether it was stored already: another job may have asked for the same piece."""
        with self._beat.beside() as beat, self._tools.sound_locks.take(cut.digest, waiting=beat):
            known = recalled(self._tools.ledger, cut, question, alive=beat)
            if known is not None:
                return known, True
            answer = self._asker.ask(upload, question, form, beat)
            self._note(question, answer)
            return answer.transcript, False

    def _note(self, question: Question, answer: Answer) -> None:
        """Note what had to be left out of the request for this answer, and whether more than the encoding had to change."""
        if question is self._question:
            self._warnings |= dict.fromkeys(answer.warnings)
        self._simplified = self._simplified or answer.simplified

    def _keep_content(self, content: Content) -> None:
        """Store how the recording was cut. If it is transcribed again, this is stored at the end, together with the new answers."""
        if not self._question.token and self._is_untouched():
            self._tools.ledger.answers.keep_content(content, cut=self.cut_keys)

    def _is_untouched(self) -> bool:
        """Return whether nothing happened to the file since it was opened, so that the bytes decoded are those of the digest.

        Otherwise somebody may have changed bytes and put them back, and all identical recordings would be taken for cut that way.
        A renamed file counts as touched, too: it is decoded once more, and its answers are stored.
        """
        return unchanged(self._job, self._descriptor).st_ctime_ns == self._changed_at
