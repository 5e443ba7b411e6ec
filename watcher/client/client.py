"""The client of one endpoint: what is known about it, and `ask`, which transcribes one file."""

import time
from collections.abc import Callable, Collection, Sequence

from watcher.client.conversation import Conversation, Experience
from watcher.client.endpoint import Endpoint
from watcher.client.negotiation import VOICES, Negotiation
from watcher.client.profile import (
    DIARIZED,
    Brackets,
    ServerProfile,
    ladder,
    longest_seconds,
    takes_prompt,
)
from watcher.client.request import Answer, Request, RequestLimits, Voice, fitted
from watcher.client.upload import Upload, check_limits
from watcher.client.wire import Wire
from watcher.errors import AccountError, JobError, StoppedError
from watcher.languages import spellings
from watcher.memory import KeyedMemory


class Client:
    """The client of one endpoint; `ask` may be called from any number of threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        memory: KeyedMemory,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make no connection yet. What was learned about this endpoint and model is read from `memory`."""
        self.endpoint = endpoint
        #: These settings were replaced; requests that have begun go on.
        self.retired = False
        self._clock = clock
        self._monotonic = monotonic
        self._wire = Wire(endpoint, monotonic=monotonic)
        self._profile = ServerProfile(endpoint.profile_name, endpoint.model, memory, clock=clock)
        self._experience = Experience()

    def ask(
        self,
        upload: Upload,
        request: Request,
        *,
        voices: Sequence[Voice] = (),
        failing: bool = False,
        thorough: bool = False,
        announce: Callable[[float], None] = lambda _: None,
        charged: Callable[[], object] = lambda: None,
    ) -> Answer:
        """Return the server's answer about one file, in the richest form that the server supports.

        `failing`: the server failed at this sound in another encoding, and at no other sound; then a failure counts as a
        refusal. `thorough`: there is no other encoding to try, so after a refusal without a reason, simpler response formats are
        tried, then none of the prompt, even if other files pass unchanged.

        `voices`: at most four speakers with their names, for servers that tell speakers apart and know the field.
        `announce` is called before each exchange, and while a large answer waits to be read, with the seconds until the next call.
        `charged` is called for each request that may be paid for although another one follows it; the outcome says this about
        the last one (`JobError.maybe_paid`).

        Raises AccountError and NoChannelError (every file would fail), PassingError (it may pass later), GarbledError (the
        answer cannot be read), RemedyError (another form of the file may pass: smaller, shorter, another encoding), FileError,
        ChangedError, and StoppedError (`cancel`).
        After a refusal of a format, an optional field or the prompt, a simpler request is made here, once for each; no request is
        sent twice unchanged. The answer's warnings say which settings had to be left out.
        """
        check_limits(upload, self.limits())
        known = tuple(voices) if self.takes_voices(request.task) else ()
        opening = self._opening(request, known, failing=failing, thorough=thorough)
        conversation = Conversation(
            endpoint=self.endpoint,
            wire=self._wire,
            profile=self._profile,
            experience=self._experience,
            upload=upload,
            request=request,
            announce=announce,
            charged=charged,
            clock=self._clock,
            monotonic=self._monotonic,
        )
        try:
            return conversation.run(opening)
        except JobError as error:
            if self.retired and isinstance(error, AccountError):
                # The error is about an account that is no longer used: no reason to hold the others.
                raise StoppedError("it was asked with settings that were replaced meanwhile") from error
            error.hint = self.endpoint.with_own_keys(error.hint)
            raise

    def limits(self) -> RequestLimits:
        """Return the limits of one request, from what is known about the model and from earlier refusals."""
        server = self._profile.server()
        seconds = [limit for limit in (longest_seconds(self.endpoint.model), server.max_seconds) if limit]
        sizes = [limit for limit in (self.endpoint.max_upload_bytes, server.max_bytes) if limit]
        return RequestLimits(min(seconds, default=None), min(sizes), server.refused)

    def learn_refused(self, formats: Collection[str]) -> None:
        """Note that the server refused these formats of a sound that it took in another; leave out formats in which others passed."""
        self._profile.learn_server(refused=set(formats) - self._experience.taken)

    def form(self, task: str = "transcribe") -> str:
        """Return the form that this server is known to support, like ``verbose_json+word+segment``; "" before the first answer."""
        return self._profile.model_profile(task).form

    def diarizes(self, task: str) -> bool:
        """Return whether requests ask the server to tell speakers apart."""
        return DIARIZED in ladder(self.endpoint.model, task, station=self._profile.server().station)

    def takes_voices(self, task: str) -> bool:
        """Return whether to send samples of known speakers: the server diarizes, and has not said that it does not know the field."""
        return self.diarizes(task) and VOICES not in self._profile.model_profile(task).dropped

    def cancel(self) -> None:
        """End all requests in flight with StoppedError, soon; end later ones at once."""
        self._wire.cancel()

    @property
    def given_up(self) -> int:
        """Return how many requests `cancel` ended before their answer was complete."""
        return self._wire.given_up

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _opening(self, request: Request, voices: tuple[Voice, ...], *, failing: bool, thorough: bool) -> Negotiation:
        """Begin with the form in which the last conversation with this server succeeded."""
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
            voices=voices,
            failing=failing,
            thorough=thorough,
            bare=model_profile.brackets in {Brackets.IGNORED, Brackets.OFF},
        )
