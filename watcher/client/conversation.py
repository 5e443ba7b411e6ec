"""One conversation with a server about one file: simpler and simpler requests until it answers, or refuses for good."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog

from watcher.client.classify import Classification, classify, scrubbed
from watcher.client.endpoint import Endpoint
from watcher.client.failures import UploadFailures
from watcher.client.found import NoTranscriptError
from watcher.client.lessons import SHORTEST_SECONDS, refusal_error
from watcher.client.negotiation import (
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
from watcher.client.profile import JSON, VERBOSE, Brackets, ModelProfile, ResponseForm, ServerProfile, ladder
from watcher.client.reading import garbled_error, read_answer
from watcher.client.refusal import is_station, refusal_of
from watcher.client.request import Answer, Request
from watcher.client.rulings import ErrorClass
from watcher.client.upload import HttpResponse, Upload, deadline
from watcher.client.wire import Wire
from watcher.errors import FileError, PassingError, Remedy, RemedyError
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: Most requests in one conversation: each response form, each optional field, and the prompt twice.
_MOST_CALLS: Final = 12
#: Cloudflare waits about 100 s for the first byte of an answer (524), nginx 60 s unless configured otherwise (504).
#: A timeout that comes sooner does not depend on the piece's length. Short pieces are never split after a timeout.
_GATEWAY_TIMEOUTS: Final = {504, 524}
_GATEWAY_SECONDS: Final = 30.0
#: Seconds that an exchange may take in addition to its deadline: for the name lookup, and for parsing the answer.
_AROUND: Final = 60.0
#: Seconds to read a large answer on a slow machine with much to do; on a PC the largest takes half a minute.
_READING: Final = 600.0
_WORTH: Final = {"text": 0, "segments": 1, "words": 2}
#: If a form never worked here, this many failures (500) are believed to be the form's fault.
_DOUBTS: Final = 2


class Experience:
    """What conversations with one endpoint have shown in this process; every method may be called from any thread."""

    def __init__(self) -> None:
        self.failures = UploadFailures()
        #: Formats of files for which there was an answer.
        self.taken: set[str] = set()
        #: Tasks for which even the plainest format was refused without a reason.
        self.plainest_refused: set[str] = set()
        self._lock = threading.Lock()
        #: Failures of forms that never worked, by task and form; and facts that were logged already.
        self._doubts: dict[tuple[str, str], int] = {}
        self._logged: set[str] = set()

    def answered(self, upload: Upload, task: str, form: str) -> None:
        """Note an answer to a request in this form."""
        self.failures.answered(upload)
        self.taken.add(upload.format)
        with self._lock:
            self._doubts.pop((task, form), None)

    def doubts(self, task: str, form: str) -> int:
        """Count a failure of a form that never worked; return how many there were since the last answer in it."""
        with self._lock:
            self._doubts[task, form] = self._doubts.get((task, form), 0) + 1
            return self._doubts[task, form]

    def is_news(self, what: str) -> bool:
        """Return True if `what` is seen for the first time."""
        with self._lock:
            known = what in self._logged
            self._logged.add(what)
        return not known


@dataclass(frozen=True, slots=True)
class Conversation:
    """Requests about one file to one endpoint; see `Client.ask`."""

    endpoint: Endpoint
    wire: Wire
    profile: ServerProfile
    experience: Experience
    upload: Upload
    request: Request
    announce: Callable[[float], None]
    #: Called for each request, except the last, that may be paid for.
    charged: Callable[[], object]
    clock: Callable[[], float]
    monotonic: Callable[[], float]

    def run(self, opening: Negotiation) -> Answer:
        """Make requests in the form of `opening`, then in simpler ones; return the answer, or raise what `Client.ask` does."""
        state = opening
        for calls in range(1, _MOST_CALLS + 1):
            reply = self._post(state)
            found = self._understood(reply, state)
            again = self._second_thought(state)
            if isinstance(found, Transcript):
                if again is None:
                    self._learn_success(state, opening, found)
                    warnings = left_out_warnings(state, self.request, self.endpoint.model)
                    return Answer(reply.body, found, state.form.name, calls, warnings, simplified=state.exception)
            else:
                again = again or self._bracketed(state, found) or self._simpler(state, found)
                if again is None:
                    error = self._failure(state, found) or refusal_error(
                        found, self.upload, self.request, self.endpoint, self.profile
                    )
                    error.maybe_paid = _is_success(reply)
                    raise error
            if _is_success(reply):
                self.charged()
            state = again
        raise FileError("the server refuses this request in every form that Watcher knows", reason="refused")

    def _rungs(self) -> tuple[ResponseForm, ...]:
        return ladder(self.endpoint.model, self.request.task, station=self.profile.server().station)

    def _post(self, state: Negotiation) -> HttpResponse:
        url, fields = fields_of(state, self.endpoint, self.request)
        upload = self.upload
        _log.debug(
            "api.request",
            url=url,
            model=self.endpoint.model,
            form=state.form.name,
            bytes=upload.size,
            audio_seconds=round(upload.seconds, 3),
        )
        began, seconds = self.monotonic(), deadline(upload, self.endpoint.deadline_factor)
        self.announce(seconds + _AROUND)
        try:
            reply = self.wire.post(url, fields, upload, seconds=seconds)
        except PassingError as error:
            self.experience.failures.note(upload)
            if error.reason == "reset_sending" and self.experience.failures.again("reset", upload):
                raise RemedyError(
                    "the server cuts the connection while the file is sent: it may be too large",
                    remedy=Remedy.SHRINK,
                    reason="too_large",
                ) from error
            raise
        elapsed = self.monotonic() - began
        _log.debug("api.response", status=reply.status, bytes=len(reply.body), elapsed=round(elapsed, 3))
        self._note_headers(reply)
        waited = reply.status in _GATEWAY_TIMEOUTS and elapsed > _GATEWAY_SECONDS
        if waited and self.experience.failures.again("timeout", upload):
            self._give_up_on_length(reply.status, elapsed)
        return reply

    def _note_headers(self, reply: HttpResponse) -> None:
        self.profile.learn_server(station=is_station(reply), whisper_cpp=_is_whisper_cpp(reply))
        if reply.status == HTTPStatus.OK:
            # A proxy's own answer may lack the server's headers.
            other = "server" in reply.headers and not _is_whisper_cpp(reply)
            self.profile.doubt_server(station=not is_station(reply), whisper_cpp=other)

    def _give_up_on_length(self, status: int, elapsed: float) -> None:
        """Raise an error that asks for shorter pieces, if a proxy in front of the server does not wait long enough for this one."""
        if self.upload.seconds < 2 * SHORTEST_SECONDS:
            return
        half = self.upload.seconds / 2
        self.profile.learn_server(max_seconds=half)
        raise RemedyError(
            f"a proxy in front of the server does not wait longer than {elapsed:.0f} s for it (HTTP {status})",
            remedy=Remedy.SPLIT,
            reason="too_long",
            seconds=half,
        )

    def _understood(self, reply: HttpResponse, state: Negotiation) -> Transcript | Classification:
        station = self.profile.server().station
        if _is_success(reply):
            try:
                # 204 means that there is no text.
                plain = state.form.plain or reply.status == HTTPStatus.NO_CONTENT
                waiting = partial(self.announce, _READING)
                return read_answer(reply.body, self.upload.seconds, self.request, plain=plain, waiting=waiting)
            except NoTranscriptError as unfit:
                if unfit.error is None:
                    raise garbled_error(reply, unfit, secrets=self.endpoint.secrets) from unfit
                refusal = refusal_of(reply, now=self.clock(), error=unfit.error, secrets=self.endpoint.secrets)
        else:
            refusal = refusal_of(reply, now=self.clock(), secrets=self.endpoint.secrets)
        meaning = classify(refusal, station=station)
        if meaning.refusal.marked:
            self.profile.learn_server(marked=True)
        later = meaning.error_class in {ErrorClass.PASSING, ErrorClass.CROWDED}
        (_log.debug if later else _log.info)(
            "api.refused",
            status=reply.status,
            error_class=meaning.error_class.value,
            reason=meaning.reason,
            form=state.form.name,
            message=scrubbed(meaning.refusal.message, self.endpoint.secrets)[:300],
        )
        return meaning

    def _second_thought(self, state: Negotiation) -> Negotiation | None:
        """Return the request to repeat if the answer's headers show whisper.cpp and its fields differ, else None."""
        if state.whisper_cpp or not self.profile.server().whisper_cpp:
            return None
        again = replace(state, whisper_cpp=True)
        return (
            again
            if fields_of(again, self.endpoint, self.request) != fields_of(state, self.endpoint, self.request)
            else None
        )

    def _simpler(self, state: Negotiation, meaning: Classification) -> Negotiation | None:
        """Return a simpler request after a refusal; None: there is none, or the refusal was not about the request's form."""
        rungs = self._rungs()
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
            case ErrorClass.FIELD if meaning.name in {
                name for name, _ in fields_of(state, self.endpoint, self.request)[1]
            }:
                again = without_field(state, meaning)
            case ErrorClass.PROMPT if state.prompt:
                again = shorter_prompt(state, meaning)
            case ErrorClass.PASSING if state.failing and state.thorough and meaning.reason == "server":
                again = self._plainer(state, below)
            case ErrorClass.RECODE if meaning.reason == "refused" and (state.thorough or not state.proven):
                # It gives no reason: if no form has worked here yet, try a simpler form before blaming the file.
                again = self._plainer(state, below)
            case ErrorClass.PASSING if meaning.refusal.status == 500 and not state.proven and state.form.granularities:  # noqa: PLR2004 - a bare 500
                again = self._doubted(state)
        if again is not None:
            _log.info(
                "api.degraded",
                asked=state.form.name,
                next=again.form.name,
                reason=meaning.reason,
                model=self.endpoint.model,
            )
        return again

    def _bracketed(self, state: Negotiation, meaning: Classification) -> Negotiation | None:
        """Return the request with brackets again, if it was tried without them and that may be why it is refused."""
        if not state.bare or self._brackets() is not Brackets.IGNORED:
            return None
        refused = meaning.error_class in {ErrorClass.FIELD, ErrorClass.FORMAT} or meaning.reason == "refused"
        if refused or meaning.error_class is ErrorClass.PASSING:
            self.profile.learn_model_profile(self.request.task, ModelProfile(brackets=Brackets.ON))
        return replace(state, bare=False) if refused else None

    def _brackets(self) -> Brackets | None:
        return self.profile.model_profile(self.request.task).brackets

    def _plainer(self, state: Negotiation, below: tuple[ResponseForm, ...]) -> Negotiation | None:
        """Return the request in the next simpler format; after the simplest, as the last possibility, without prompt; or None.

        If the simplest format was refused before, the format is not the cause: try it again only with the last encoding.
        """
        if self.request.task in self.experience.plainest_refused and not state.thorough:
            return None
        for rung in below:
            if rung in {VERBOSE, JSON}:
                return replace(state, form=rung, exception=state.exception or state.proven)
        self.experience.plainest_refused.add(self.request.task)
        if not (state.thorough and state.prompt):
            return None
        return replace(state, prompt="", omitted=state.omitted | {"prompt"}, exception=True)

    def _doubted(self, state: Negotiation) -> Negotiation | None:
        """Return a simpler request after a form failed twice and never worked: some servers fail on granularities (speaches)."""
        doubted = self.experience.doubts(self.request.task, state.form.name) >= _DOUBTS
        return replace(state, form=VERBOSE) if doubted else None

    def _learn_success(self, state: Negotiation, opening: Negotiation, transcript: Transcript) -> None:
        """Store what was learned in this conversation; facts known at its start were learned earlier, so their expiry stays."""
        self.experience.answered(self.upload, self.request.task, state.form.name)
        self.profile.doubt_server(refused=self.upload.format)
        if state.exception:
            return
        known = state.proven and state.form == opening.form
        model_profile = ModelProfile(
            form="" if known else state.form.name,
            dropped=state.dropped - opening.dropped,
            prompt=None if state.prompt_limit == opening.prompt_limit else state.prompt_limit,
        )
        best = state.form == self._rungs()[0]
        self.profile.learn_model_profile(self.request.task, model_profile, best=best)
        if transcript.segments:
            self._compare(state, transcript)

    def _compare(self, state: Negotiation, transcript: Transcript) -> None:
        """Note whether the answer has less than was asked for, and whether the brackets of the granularities are the cause."""
        got = "text" if not transcript.timed else "segments"
        if any(segment.words for segment in transcript.segments):
            got = "words"
        wanted = "words" if "word" in state.form.granularities else "text" if state.form.name == "json" else "segments"
        enough = _WORTH[got] >= _WORTH[wanted]
        if state.form.granularities and self._brackets() in {None, Brackets.IGNORED}:
            self._learn_brackets(state, enough=enough)
        if not enough and self.experience.is_news(got):
            _log.info("api.degraded", asked=state.form.name, got=got, reason="ignored", model=self.endpoint.model)

    def _learn_brackets(self, state: Negotiation, *, enough: bool) -> None:
        """Note whether the server reads the granularities with their brackets, or only without them."""
        if state.bare:
            found = Brackets.OFF if enough else Brackets.ON
        elif enough:
            return
        else:
            found = Brackets.IGNORED
        self.profile.learn_model_profile(self.request.task, ModelProfile(brackets=found))

    def _failure(self, state: Negotiation, meaning: Classification) -> RemedyError | None:
        """Return an error if the server failed twice at the same bytes: the sound may pass in another encoding. Else None."""
        if meaning.error_class not in {ErrorClass.PASSING, ErrorClass.CROWDED}:
            return None
        if meaning.reason != "server":
            self.experience.failures.note(self.upload)
            return None
        # The bytes differ, but the server failed at this sound before.
        again, alone = (True, False) if state.failing else self.experience.failures.failed(self.upload)
        if not again:
            return None
        message = meaning.error(secrets=self.endpoint.secrets).message
        return RemedyError(message, remedy=Remedy.RECODE, reason=meaning.reason, passing=True, alone=alone)


def _is_success(reply: HttpResponse) -> bool:
    return 200 <= reply.status < 300  # noqa: PLR2004 - by the standard


def _is_whisper_cpp(reply: HttpResponse) -> bool:
    return reply.headers.get("server", "").lower() == "whisper.cpp"
