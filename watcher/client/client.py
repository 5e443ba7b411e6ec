"""Transcribe one file at a server: negotiate the form of the answer, read it, and request it in a simpler form if needed."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import structlog

from watcher import container
from watcher.client.classify import Classification, classify, redirect_error, scrubbed
from watcher.client.endpoint import Endpoint
from watcher.client.failures import UploadFailures
from watcher.client.found import NoTranscriptError
from watcher.client.negotiation import (
    VOICES,
    Negotiation,
    fewer_granularities,
    fields_of,
    left_out_warnings,
    may_be_voices,
    other_format,
    shorter_prompt,
    without_field,
    without_voices,
)
from watcher.client.profile import (
    DIARIZED,
    JSON,
    SHORTEST_LIMIT,
    VERBOSE,
    Brackets,
    ClientMemory,
    ModelProfile,
    ResponseForm,
    ServerProfile,
    ladder,
    longest_seconds,
    takes_prompt,
)
from watcher.client.reading import garbled_error, read_answer
from watcher.client.refusal import is_station, refusal_of
from watcher.client.request import Answer, Request, RequestLimits, Voice, fitted
from watcher.client.rulings import ErrorClass
from watcher.client.upload import HttpResponse, Upload, check_limits, deadline
from watcher.client.wire import Wire
from watcher.errors import AccountError, FileError, JobError, PassingError, Remedy, RemedyError, StoppedError
from watcher.languages import spellings
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: Requests in one conversation: each rung of the ladder, each optional field, and the prompt twice.
_MOST_CALLS: Final = 12
#: A refusal of anything this small is no matter of the file: half a minute of speech as mp3.
_SMALLEST_BYTES: Final = 256 * 1024
#: Room for the form around the file, where a server's limit is on the whole request.
_FORM_BYTES: Final = 64 * 1024
#: Cloudflare waits about 100 s for the first byte of an answer (524), nginx 60 s unless configured otherwise (504).
#: What comes sooner is no matter of the piece's length; nor is anything, for pieces that are short already.
_GATEWAY_TIMEOUTS: Final = {504, 524}
_GATEWAY_SECONDS: Final = 30.0
_SHORTEST_SECONDS: Final = 60.0
#: Seconds around an exchange that its deadline does not bound: a name is looked up, the answer is read.
_AROUND: Final = 60.0
_WORTH: Final = {"text": 0, "segments": 1, "words": 2}
#: Failures (500) of a form that never worked here, before it is taken for the form's fault.
_DOUBTS: Final = 2


class Client:
    """The way to one endpoint; `ask` may be called from any number of threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        memory: ClientMemory,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect nothing yet; what was learned of this endpoint and model comes from `memory`."""
        self.endpoint = endpoint
        #: Other settings have taken the place of these; what was begun goes on.
        self.retired = False
        self._clock = clock
        self._monotonic = monotonic
        self._wire = Wire(endpoint, monotonic=monotonic)
        self._profile = ServerProfile(endpoint.name, endpoint.model, memory, clock=clock)
        self._lock = threading.Lock()
        #: Failures of forms that never worked, and what was logged once.
        self._doubts: dict[tuple[str, str], int] = {}
        self._noted: set[str] = set()
        #: Formats of what was answered.
        self._taken: set[str] = set()
        self._failures = UploadFailures()
        #: Tasks for which a refusal that names nothing met the plainest format, too.
        self._plainest_refused: set[str] = set()

    def ask(
        self,
        upload: Upload,
        request: Request,
        *,
        voices: Sequence[Voice] = (),
        suspect: bool = False,
        thorough: bool = False,
        announce: Callable[[float], None] = lambda _: None,
    ) -> Answer:
        """Return the server's answer about one file, asked in the richest form it honours.

        `suspect`: the server failed at this sound in another encoding, and at no other sound; a failure counts as a refusal
        then. `thorough`: no other encoding of it is left, so what names nothing is met with simpler response formats,
        then without the prompt, even where others pass as they are.

        `voices`: at most four speakers to be called by their names, where the server tells speakers apart and knows the field.

        `announce` hears before each exchange for how many seconds it may be silent: a little longer than its deadline.

        Raises AccountError and NoChannelError (every file would fail), PassingError (later), GarbledError (an answer came that
        cannot be read), RemedyError (another form of the file may pass: smaller, shorter, another encoding), FileError,
        ChangedError, and StoppedError (`cancel`).
        Refusals of a format, an optional field or the prompt are met here, each once; no request is sent twice alike. What was
        wanted and had to be left out for it, the answer's warnings say.
        """
        check_limits(upload, self.limits())
        known = tuple(voices) if self.takes_voices(request.task) else ()
        opening = replace(self._opening(request), voices=known, suspect=suspect, thorough=thorough)
        state = opening
        for calls in range(1, _MOST_CALLS + 1):
            reply = self._post(state, upload, request, announce)
            found = self._understood(reply, state, upload, request)
            if isinstance(found, Transcript):
                again = self._second_thought(state, request)
                if again is None:
                    self._learn_success(state, opening, upload, request, found)
                    warnings = left_out_warnings(state, request, self.endpoint.model)
                    return Answer(reply.body, found, state.form.name, calls, warnings, simplified=state.exception)
            else:
                again = (
                    self._second_thought(state, request)
                    or self._bracketed(state, found, request)
                    or self._simpler(state, found, request)
                )
                if again is None:
                    error = self._failure(state, found, upload) or self._error(found, upload, request)
                    if self.retired and isinstance(error, AccountError):
                        # Of an account that nobody uses any more: no reason to hold up the others.
                        raise StoppedError("it was asked with settings that were replaced meanwhile") from error
                    raise error
            state = again
        raise FileError("the server refuses this request in every form we know", reason="refused")

    def limits(self) -> RequestLimits:
        """Return what one request may hold, by what is known of the model and by what the server refused before."""
        server = self._profile.server()
        seconds = [limit for limit in (longest_seconds(self.endpoint.model), server.max_seconds) if limit]
        sizes = [limit for limit in (self.endpoint.max_upload_bytes, server.max_bytes) if limit]
        return RequestLimits(min(seconds, default=None), min(sizes), server.refused)

    def learn_refused(self, formats: Collection[str]) -> None:
        """Note that the server refused these formats of a sound that it took in another; in which others pass is not noted."""
        self._profile.learn_server(refused=set(formats) - self._taken)

    def form(self, task: str = "transcribe") -> str:
        """Name the form this server is known to honour, like ``verbose_json+word+segment``; "" before the first answer."""
        return self._profile.model_profile(task).form

    def diarizes(self, task: str) -> bool:
        """Return whether the server is asked to tell speakers apart."""
        return DIARIZED in ladder(self.endpoint.model, task, station=self._profile.server().station)

    def takes_voices(self, task: str) -> bool:
        """Return whether the server may get samples of known speakers: it diarizes, and did not refuse to know the field."""
        return self.diarizes(task) and VOICES not in self._profile.model_profile(task).dropped

    def cancel(self) -> None:
        """End all requests in flight with StoppedError, soon; later ones at once."""
        self._wire.cancel()

    @property
    def given_up(self) -> int:
        """Return how many requests `cancel` ended before their answer was complete."""
        return self._wire.given_up

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _opening(self, request: Request) -> Negotiation:
        """Begin where the last conversation with this server ended well."""
        server, model_profile = self._profile.server(), self._profile.model_profile(request.task)
        rungs = ladder(self.endpoint.model, request.task, station=server.station)
        known = next((rung for rung in rungs if rung.name == model_profile.form), None)
        prompt = fitted(request.prompt, characters=model_profile.prompt) if takes_prompt(self.endpoint.model) else ""
        return Negotiation(
            form=known or rungs[0],
            dropped=model_profile.dropped,
            prompt=prompt,
            prompt_limit=model_profile.prompt,
            proven=known is not None,
            whisper_cpp=server.whisper_cpp or self.endpoint.transcriptions.endswith("/inference"),
            languages=spellings(request.language) if request.language else (),
            bare=model_profile.brackets in {Brackets.IGNORED, Brackets.OFF},
        )

    def _post(
        self, state: Negotiation, upload: Upload, request: Request, announce: Callable[[float], None]
    ) -> HttpResponse:
        url, fields = fields_of(state, self.endpoint, request)
        _log.debug(
            "api.request",
            url=url,
            model=self.endpoint.model,
            form=state.form.name,
            bytes=upload.size,
            audio_seconds=round(upload.seconds, 3),
        )
        began, seconds = self._monotonic(), deadline(upload)
        announce(seconds + _AROUND)
        try:
            reply = self._wire.post(url, fields, upload, seconds=seconds)
        except PassingError as error:
            self._failures.note(upload)
            if error.reason == "reset_sending" and self._failures.again("reset", upload):
                raise RemedyError(
                    "the server cuts the connection while the file is sent: it may be too large",
                    remedy=Remedy.SHRINK,
                    reason="too_large",
                ) from error
            raise
        elapsed = self._monotonic() - began
        _log.debug("api.response", status=reply.status, bytes=len(reply.body), elapsed=round(elapsed, 3))
        self._profile.learn_server(station=is_station(reply), whisper_cpp=_is_whisper_cpp(reply))
        if reply.status == 200:  # noqa: PLR2004 - an answer: what comes from a proxy in front may lack the server's headers
            other = "server" in reply.headers and not _is_whisper_cpp(reply)
            self._profile.doubt_server(station=not is_station(reply), whisper_cpp=other)
        if reply.status in _GATEWAY_TIMEOUTS and elapsed > _GATEWAY_SECONDS and self._failures.again("timeout", upload):
            self._give_up_on_length(upload, reply.status, elapsed)
        return reply

    def _give_up_on_length(self, upload: Upload, status: int, elapsed: float) -> None:
        """Request shorter pieces where a proxy in front of the server does not wait for the whole of this one."""
        if upload.seconds < 2 * _SHORTEST_SECONDS:
            return
        half = upload.seconds / 2
        self._profile.learn_server(max_seconds=half)
        raise RemedyError(
            f"a proxy in front of the server does not wait longer than {elapsed:.0f} s for it (HTTP {status})",
            remedy=Remedy.SPLIT,
            reason="too_long",
            seconds=half,
        )

    def _understood(
        self, reply: HttpResponse, state: Negotiation, upload: Upload, request: Request
    ) -> Transcript | Classification:
        station = self._profile.server().station
        if 200 <= reply.status < 300:  # noqa: PLR2004 - success, by the standard
            try:
                # 204 says in so many words that there is nothing to say.
                plain = state.form.plain or reply.status == HTTPStatus.NO_CONTENT
                return read_answer(reply.body, upload.seconds, request, plain=plain)
            except NoTranscriptError as unfit:
                if unfit.error is None:
                    raise garbled_error(reply, unfit, secret=self.endpoint.secret) from unfit
                refusal = refusal_of(reply, now=self._clock(), error=unfit.error, secret=self.endpoint.secret)
        else:
            refusal = refusal_of(reply, now=self._clock(), secret=self.endpoint.secret)
        meaning = classify(refusal, station=station)
        if meaning.refusal.marked:
            self._profile.learn_server(marked=True)
        later = meaning.error_class in {ErrorClass.PASSING, ErrorClass.CROWDED}
        (_log.debug if later else _log.info)(
            "api.refused",
            status=reply.status,
            error_class=meaning.error_class.value,
            reason=meaning.reason,
            form=state.form.name,
            message=scrubbed(meaning.refusal.message, self.endpoint.secret)[:300],
        )
        return meaning

    def _second_thought(self, state: Negotiation, request: Request) -> Negotiation | None:
        """Repeat the request when the answer's headers showed that the server is whisper.cpp, and that changes the question."""
        if state.whisper_cpp or not self._profile.server().whisper_cpp:
            return None
        again = replace(state, whisper_cpp=True)
        return again if fields_of(again, self.endpoint, request) != fields_of(state, self.endpoint, request) else None

    def _simpler(self, state: Negotiation, meaning: Classification, request: Request) -> Negotiation | None:
        """Return a simpler question after a refusal; None: there is none, or it was not about the question."""
        rungs = ladder(self.endpoint.model, request.task, station=self._profile.server().station)
        below = rungs[rungs.index(state.form) + 1 :] if state.form in rungs else rungs
        again: Negotiation | None = None
        match meaning.error_class:
            case ErrorClass.FIELD | ErrorClass.RECODE | ErrorClass.FILE | ErrorClass.SHRINK if (
                state.voices and may_be_voices(meaning)
            ):
                again = without_voices(state, meaning)
            case ErrorClass.FORMAT:
                again = other_format(state, meaning, below)
            case ErrorClass.FIELD if meaning.name == "timestamp_granularities":
                again = fewer_granularities(state, meaning, below)
            case ErrorClass.FIELD if meaning.name in {name for name, _ in fields_of(state, self.endpoint, request)[1]}:
                again = without_field(state, meaning)
            case ErrorClass.PROMPT if state.prompt:
                again = shorter_prompt(state, meaning)
            case ErrorClass.PASSING if state.suspect and state.thorough and meaning.reason == "server":
                again = self._plainer(state, request, below)
            case ErrorClass.RECODE if meaning.reason == "refused" and (state.thorough or not state.proven):
                # It names nothing: on first contact, see whether a plainer question passes before the file is blamed.
                again = self._plainer(state, request, below)
            case ErrorClass.PASSING if meaning.refusal.status == 500 and not state.proven and state.form.granularities:  # noqa: PLR2004 - a bare 500
                again = self._doubted(state, request)
        if again is not None:
            _log.info(
                "api.degraded",
                asked=state.form.name,
                next=again.form.name,
                reason=meaning.reason,
                model=self.endpoint.model,
            )
        return again

    def _bracketed(self, state: Negotiation, meaning: Classification, request: Request) -> Negotiation | None:
        """Return the question with the brackets back, where it was tried without them and that may be what is refused."""
        if not state.bare or self._brackets(request) is not Brackets.IGNORED:
            return None
        refused = meaning.error_class in {ErrorClass.FIELD, ErrorClass.FORMAT} or meaning.reason == "refused"
        if refused or meaning.error_class is ErrorClass.PASSING:
            self._profile.learn_model_profile(request.task, ModelProfile(brackets=Brackets.ON))
        return replace(state, bare=False) if refused else None

    def _brackets(self, request: Request) -> Brackets | None:
        return self._profile.model_profile(request.task).brackets

    def _plainer(self, state: Negotiation, request: Request, below: tuple[ResponseForm, ...]) -> Negotiation | None:
        """Return the question in the next plainer format; after the plainest, where nothing else is left, without prompt.

        Where the plainest was refused once, these refusals are not about the format: only the last encoding tries it again.
        """
        if request.task in self._plainest_refused and not state.thorough:
            return None
        for rung in below:
            if rung in {VERBOSE, JSON}:
                return replace(state, form=rung, exception=state.exception or state.proven)
        self._plainest_refused.add(request.task)
        if not (state.thorough and state.prompt):
            return None
        return replace(state, prompt="", omitted=state.omitted | {"prompt"}, exception=True)

    def _doubted(self, state: Negotiation, request: Request) -> Negotiation | None:
        """Suspect the form after it failed twice and never worked: some servers fail on granularities (speaches)."""
        with self._lock:
            key = (request.task, state.form.name)
            self._doubts[key] = self._doubts.get(key, 0) + 1
            doubted = self._doubts[key] >= _DOUBTS
        return replace(state, form=VERBOSE) if doubted else None

    def _learn_success(
        self, state: Negotiation, opening: Negotiation, upload: Upload, request: Request, transcript: Transcript
    ) -> None:
        """Note what this conversation taught: what it began with was taught by an earlier one, and lives no longer for it."""
        self._failures.answered(upload)
        with self._lock:
            self._doubts.pop((request.task, state.form.name), None)
        self._taken.add(upload.format)
        self._profile.doubt_server(refused=upload.format)
        if state.exception:
            return
        known = state.proven and state.form == opening.form
        model_profile = ModelProfile(
            form="" if known else state.form.name,
            dropped=state.dropped - opening.dropped,
            prompt=None if state.prompt_limit == opening.prompt_limit else state.prompt_limit,
        )
        rungs = ladder(self.endpoint.model, request.task, station=self._profile.server().station)
        self._profile.learn_model_profile(request.task, model_profile, best=state.form == rungs[0])
        if not transcript.segments:
            return
        got = "text" if not transcript.timed else "segments"
        if any(segment.words for segment in transcript.segments):
            got = "words"
        wanted = "words" if "word" in state.form.granularities else "text" if state.form.name == "json" else "segments"
        if state.form.granularities and self._brackets(request) in {None, Brackets.IGNORED}:
            self._learn_brackets(state, request, enough=_WORTH[got] >= _WORTH[wanted])
        if _WORTH[got] < _WORTH[wanted] and got not in self._noted:
            self._noted.add(got)
            _log.info("api.degraded", asked=state.form.name, got=got, reason="ignored", model=self.endpoint.model)

    def _failure(self, state: Negotiation, meaning: Classification, upload: Upload) -> RemedyError | None:
        """Return the error for a failure that follows these bytes: their sound may pass in another encoding."""
        if meaning.error_class not in {ErrorClass.PASSING, ErrorClass.CROWDED}:
            return None
        if meaning.reason != "server":
            self._failures.note(upload)
            return None
        # Other bytes, but the sound is the one that it failed at before.
        again, alone = (True, False) if state.suspect else self._failures.failed(upload)
        if not again:
            return None
        message = meaning.error(secret=self.endpoint.secret).message
        return RemedyError(message, remedy=Remedy.RECODE, reason=meaning.reason, passing=True, alone=alone)

    def _learn_brackets(self, state: Negotiation, request: Request, *, enough: bool) -> None:
        """Note whether the granularities are heard of with their brackets, or without them only."""
        if state.bare:
            found = Brackets.OFF if enough else Brackets.ON
        elif enough:
            return
        else:
            found = Brackets.IGNORED
        self._profile.learn_model_profile(request.task, ModelProfile(brackets=found))

    def _error(self, meaning: Classification, upload: Upload, request: Request) -> JobError:
        """Return the error to raise, after noting what it teaches about the server."""
        match meaning.error_class:
            case ErrorClass.RECODE if meaning.offered and (sent := upload.format) not in meaning.offered:
                # What it names is all that it takes; where it names what was sent, too, it only dislikes this file.
                self._profile.learn_server(refused=(container.ACCEPTED | {sent}) - meaning.offered)
            case ErrorClass.SHRINK if upload.size <= _SMALLEST_BYTES:
                return AccountError(
                    f"the server, or a proxy in front of it, refuses even {upload.size // 1024} KiB as too large",
                    reason="too_large",
                    hint="raise the limit on the request's size there (nginx: client_max_body_size)",
                )
            case ErrorClass.SHRINK:
                most = int(meaning.limit) - _FORM_BYTES
                named = most >= _SMALLEST_BYTES
                most = max(min(most if named else upload.size // 2, upload.size - 1), _SMALLEST_BYTES)
                self._profile.learn_server(max_bytes=most)
            case ErrorClass.SPLIT:
                named = SHORTEST_LIMIT <= meaning.limit < upload.seconds
                limit = meaning.limit if named else upload.seconds / 2
                if named or limit >= _SHORTEST_SECONDS:
                    self._profile.learn_server(max_seconds=limit)
                meaning = replace(meaning, limit=limit)
            case ErrorClass.ACCOUNT if request.task == "translate" and meaning.reason == "url" and self.form():
                return FileError(
                    "this server does not translate, it only transcribes",
                    reason="no_translation",
                    hint='set task = "transcribe" for this folder, then watcher retry',
                )
            case ErrorClass.ACCOUNT if meaning.reason == "redirect":
                return redirect_error(meaning, self.endpoint)
            case ErrorClass.FIELD | ErrorClass.FORMAT | ErrorClass.PROMPT:
                meaning = replace(meaning, error_class=ErrorClass.RECODE, reason="refused")
        return meaning.error(secret=self.endpoint.secret)


def _is_whisper_cpp(reply: HttpResponse) -> bool:
    return reply.headers.get("server", "").lower() == "whisper.cpp"
