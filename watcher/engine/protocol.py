"""OpenAI's audio protocol: a request -> an answer, no sockets.

After the vendor's OpenAPI document (openai/openai-openapi, `CreateTranscriptionRequest`, `CreateTranslationRequest`,
`Error`) and the error texts that its servers are reported to send. Whatever name `model` has is accepted: there is one
recogniser behind, and a caller's configuration names the model of another server.
"""

import hmac
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Final, cast

from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from watcher.engine import text
from watcher.engine.busy import BusyTime
from watcher.engine.errors import ApiError, AudioError, CancelledError, TooShortError
from watcher.engine.languages import CODES
from watcher.engine.recognition import Recogniser, Recognition, RecognitionOptions, TellHeard

#: OpenAI's cap, in bytes of the request, not of the file.
MAX_REQUEST: Final = 26_214_400

#: Uploads beyond this many bytes are kept on disk while they are parsed and decoded.
_IN_MEMORY: Final = 1 << 20

_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt")
_COMMON: Final = frozenset({"file", "model", "prompt", "response_format", "temperature"})
#: The last three are for other models of OpenAI's; whisper-1 ignores them, and so do we.
_TRANSCRIPTION: Final = _COMMON | {
    "language", "timestamp_granularities[]", "stream", "chunking_strategy", "include[]",
}  # fmt: skip
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One HTTP request: `body` ends after `length` bytes; `abandoned` says whether the caller has hung up."""

    method: str
    path: str
    authorization: str
    content_type: str
    length: int
    body: IO[bytes]
    abandoned: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Api:
    """The routes below ``/v1``, guarded by a key when there is one."""

    def __init__(self, recogniser: Recogniser, *, key: str = "", heard: TellHeard = lambda _sound, _time: None) -> None:
        """`heard` is called for each upload that was heard."""
        self._recogniser = recogniser
        self._key = key
        self._heard = heard
        self._busy = BusyTime()

    def respond(self, call: ApiRequest) -> ApiResponse:
        """Answer any request; what is refused is answered too."""
        try:
            return self._route(call)
        except ApiError as error:
            return refusal(error)

    def _route(self, call: ApiRequest) -> ApiResponse:
        path = call.path.partition("?")[0]
        if path == "/v1/audio/transcriptions":
            self._admit(call, "POST")
            return self._listen(call, "transcribe", _TRANSCRIPTION)
        if path == "/v1/audio/translations":
            self._admit(call, "POST")
            return self._listen(call, "translate", _COMMON)
        if path == "/v1/models" or path.startswith("/v1/models/"):
            self._admit(call, "GET")
            return _models(path.removeprefix("/v1/models").removeprefix("/"), self._recogniser.model)
        raise ApiError(404, f"Invalid URL ({call.method} {path})")

    def _admit(self, call: ApiRequest, method: str) -> None:
        if call.method != method:
            message = f"Not allowed to {call.method} on this URL; use {method}."
            raise ApiError(405, message, code="method_not_allowed", headers=(("Allow", method),))
        if not self._key:
            return
        kind, _, given = call.authorization.partition(" ")
        bearer = (("WWW-Authenticate", "Bearer"),)
        if kind.lower() != "bearer" or not given.strip():
            message = "You didn't provide an API key. Send it in an Authorization header, as Bearer KEY."
            raise ApiError(401, message, headers=bearer)
        # Bytes, since compare_digest refuses text beyond ASCII.
        if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._key.encode()):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key", headers=bearer)

    def _listen(self, call: ApiRequest, task: str, known: frozenset[str]) -> ApiResponse:
        form, files = _parse(call)
        try:
            wanted = _read(form, files, known, task=task, languages=self._recogniser.languages)
            try:
                with self._busy.hearing() as part:
                    recording = self._recogniser.hear(
                        cast("BinaryIO", wanted.file.stream), wanted.options, abandoned=call.abandoned
                    )
                    self._heard(recording.seconds, part())
            except TooShortError as error:
                raise ApiError(400, error.message, param="file", code="audio_too_short") from error
            except AudioError as error:
                raise ApiError(
                    400, f"The audio file could not be decoded or its format is not supported. {error.message}",
                    param="file",
                ) from error  # fmt: skip
            except CancelledError as error:
                raise ApiError(503, error.message, kind="server_error") from error
            return _answer(recording, wanted)
        finally:
            for file in files.values():
                file.close()


def refusal(error: ApiError) -> ApiResponse:
    """Write an error as OpenAI does, with all four keys."""
    body = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
    return ApiResponse(error.status, _dump({"error": body}), headers=error.headers)


@dataclass(frozen=True, slots=True)
class _CheckedForm:
    """The fields of a valid form."""

    file: FileStorage
    response_format: str
    granularities: tuple[str, ...]
    options: RecognitionOptions


def _parse(call: ApiRequest) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    if call.length > MAX_REQUEST:
        raise ApiError(
            413, f"Maximum content size limit ({MAX_REQUEST}) exceeded ({call.length} bytes read)", kind="server_error"
        )
    mimetype, options = parse_options_header(call.content_type)
    if mimetype != "multipart/form-data":
        raise ApiError(400, "The request must be multipart/form-data.")
    spool = _OneSpool()
    parser = FormDataParser(stream_factory=spool, max_form_memory_size=_IN_MEMORY, max_form_parts=100, silent=False)
    try:
        _, form, files = parser.parse(call.body, mimetype, call.length, options)
    except BaseException as error:
        spool.close()
        if isinstance(error, ValueError | HTTPException):
            raise ApiError(400, f"Could not parse multipart form: {error}") from error
        raise
    return form, files


class _OneSpool:
    """Makes the file that the upload of a form is kept in, in memory at first; it is closed with its FileStorage.

    A form has one: of a hundred, all that are short would be in memory.
    """

    def __init__(self) -> None:
        self._made: IO[bytes] | None = None

    def __call__(self, *_: object, **__: object) -> IO[bytes]:
        """Make it. Raises ValueError for a second one."""
        if self._made is not None:
            raise ValueError("it has more than one file")
        self._made = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="engine-")  # noqa: SIM115 - closed with its FileStorage
        return self._made

    def close(self) -> None:
        """Close it, as the form could not be parsed to its end."""
        if self._made is not None:
            self._made.close()


def _read(
    form: MultiDict[str, str],
    files: MultiDict[str, FileStorage],
    known: frozenset[str],
    *,
    task: str,
    languages: frozenset[str],
) -> _CheckedForm:
    for name in (*form, *files):
        if name not in known:
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    file = files.get("file")
    if file is None:
        raise _missing("file")
    if not form.get("model"):
        raise _missing("model")
    response_format = form.get("response_format") or "json"
    if response_format not in _FORMATS:
        raise ApiError(
            400,
            f"Invalid value: '{response_format}'. Supported values are: {', '.join(map(repr, _FORMATS))}.",
            param="response_format",
            code="unsupported_value",
        )
    options = RecognitionOptions(
        task=task,
        language=_language(form, languages),
        prompt=form.get("prompt", ""),
        temperature=_temperature(form),
    )
    return _CheckedForm(file, response_format, _granularities(form, response_format), options)


def _language(form: MultiDict[str, str], languages: frozenset[str]) -> str:
    """Return the code of the language that the form names, "" where it names none."""
    given = form.get("language", "").lower()
    code = CODES.get(given, given)
    if code and code not in languages:
        known = "English ('en') only" if languages == {"en"} else f"{len(languages)} languages, by codes such as 'en'"
        raise ApiError(
            400,
            f"Invalid language '{given}'. This model understands {known}.",
            param="language",
            code="unsupported_language",
        )
    return code


def _granularities(form: MultiDict[str, str], response_format: str) -> tuple[str, ...]:
    given = tuple(form.getlist("timestamp_granularities[]"))
    for value in given:
        if value not in {"word", "segment"}:
            raise ApiError(
                400,
                f"Invalid value: '{value}'. Supported values are: 'word' and 'segment'.",
                param="timestamp_granularities[]",
                code="invalid_value",
            )
    if given and response_format != "verbose_json":
        raise ApiError(
            400,
            "The parameter timestamp_granularities[] needs response_format verbose_json.",
            param="timestamp_granularities[]",
            code="unsupported_value",
        )
    return given or ("segment",)


def _temperature(form: MultiDict[str, str]) -> float:
    given = form.get("temperature") or "0"
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ApiError(
            400, f"Invalid value for temperature: '{given}'. Expected a number between 0 and 1.",
            param="temperature", code="invalid_value",
        )  # fmt: skip
    return value


def _missing(name: str) -> ApiError:
    return ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _answer(recording: Recognition, wanted: _CheckedForm) -> ApiResponse:
    match wanted.response_format:
        case "text":
            return ApiResponse(200, (text.as_text(recording) + "\n").encode(), _TEXT)
        case "srt":
            return ApiResponse(200, text.as_srt(recording).encode(), _TEXT)
        case "vtt":
            return ApiResponse(200, text.as_vtt(recording).encode(), _TEXT)
        case "verbose_json":
            verbose = text.as_verbose_json(recording, task=wanted.options.task, granularities=wanted.granularities)
            return ApiResponse(200, _dump(verbose))
        case _:
            return ApiResponse(200, _dump(text.as_json(recording)))


def _models(name: str, own: str) -> ApiResponse:
    models = [{"id": model, "object": "model", "created": 0, "owned_by": "watcher"} for model in (own, "whisper-1")]
    if not name:
        return ApiResponse(200, _dump({"object": "list", "data": models}))
    for model in models:
        if model["id"] == name:
            return ApiResponse(200, _dump(model))
    raise ApiError(404, f"The model '{name}' does not exist", param="model", code="model_not_found")


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
