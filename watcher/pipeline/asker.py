"""Send a piece of a recording, or the whole file, through the gate; count what it costs, and store the answer at once."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from watcher import reach
from watcher.client import Answer, Upload, Voice
from watcher.errors import AccountError, FileError, GarbledError, NoChannelError, SourceError
from watcher.job import Job
from watcher.ledger.values import RETRIED, unreadable
from watcher.pipeline.measurement import Measurement, booked
from watcher.pipeline.question import Question
from watcher.pipeline.remedies import UploadForm, of_its_own_model
from watcher.pipeline.source import unchanged
from watcher.pipeline.spending import RequestCost, Spending
from watcher.pipeline.tools import HeartbeatCallback, Tools

#: Bytes stored of a garbled answer; it is only for people to look at.
_LOOKED_AT: Final = 65_536


class Asker:
    """The requests of one job; `ask` may be called from any thread."""

    def __init__(self, job: Job, tools: Tools, spending: Spending) -> None:
        self._job = job
        self._tools = tools
        self._spending = spending
        #: Voice samples of the speakers in the first piece, for questions that name speakers.
        self.voices: tuple[Voice, ...] = ()
        #: A request has begun: the recording stays at this endpoint while it is open.
        self._has_sent = False

    def ask(
        self,
        upload: Upload,
        question: Question,
        form: UploadForm,
        beat: HeartbeatCallback,
        *,
        measurement: Measurement | None = None,
    ) -> Answer:
        """Send the request through the gate, and store the answer in the ledger before anything else.

        `beat`: sign of life of the calling thread. `measurement`: given if the upload is the recording as it is, whose length is known
        only from the header; it measures the sound.
        """
        small = measurement is not None
        seconds = booked(upload.size, upload.seconds) if small else upload.seconds
        with self._spending.request(upload.seconds) as cost:
            answer = self._tools.gate.run(
                partial(self._call, upload, question, form, beat, cost=cost, seconds=seconds),
                seconds=seconds,
                small=small,
                path=self._job.path,
                root=self._job.root,
                sound=f"{upload.digest} {question.key}",
                retried=f"{RETRIED}{self._job.id}",
                announce=beat,
                leaves=lambda: not self._has_sent and self._tools.leaves(),
                reread=None if measurement is None else partial(self._reread, upload, question, measurement),
                receipt=None if measurement is None else measurement.receipt,
            )
        beat()
        if small:
            # The digest was taken before the upload; an answer about other bytes must not be stored under it. If this cannot
            # be checked, because the share is away or hangs, store it: it was paid for, and nothing shows that it is wrong.
            with suppress(SourceError, reach.SilentError):
                reach.ask(self._job.root, partial(unchanged, self._job, upload.descriptor))
        self._keep(upload.digest, question, answer.body, upload.seconds)
        self._tools.answered()
        return replace(answer, transcript=replace(answer.transcript, origin=self._tools.origin))

    def _call(
        self,
        upload: Upload,
        question: Question,
        form: UploadForm,
        beat: HeartbeatCallback,
        *,
        cost: RequestCost,
        seconds: float,
    ) -> Answer:
        """Make one request; the caller has passed the gate. A garbled answer is stored for people to look at.

        `seconds`: seconds of audio counted for it.
        """
        gate, client = self._tools.gate, self._tools.client
        self._has_sent = True

        def charge() -> None:
            gate.charge(seconds)
            cost.charge()

        try:
            with cost.counted():
                return client.ask(
                    upload,
                    question.request,
                    voices=self.voices if question.speakers else (),
                    failing=form.failing,
                    thorough=form.last,
                    announce=beat,
                    charged=charge,
                )
        except (AccountError, NoChannelError) as error:
            raise of_its_own_model(error, self._job) from error
        except GarbledError as error:
            self._keep(unreadable(upload.digest), question, error.body[:_LOOKED_AT], upload.seconds)
            raise

    def _reread(self, upload: Upload, question: Question, measurement: Measurement, error: GarbledError) -> Answer:
        """Read an answer that has too much text for the header's seconds, with the measured length. Raises as `Measurement.reread`."""
        # Store it first: it is paid for, and a crash meanwhile must not lose it.
        self._keep(upload.digest, question, error.body, upload.seconds)
        try:
            transcript = measurement.reread(error, upload.seconds, question.request)
        except (GarbledError, FileError):
            self._tools.ledger.answers.discard(upload.digest, question.key)
            raise
        return Answer(error.body, transcript, format="", calls=1)

    def _keep(self, digest: str, question: Question, body: bytes, seconds: float) -> None:
        tools = self._tools
        origin = tools.origin
        tools.ledger.answers.keep(
            digest, question.key, body, seconds=seconds, model=origin.model, endpoint=origin.endpoint
        )
