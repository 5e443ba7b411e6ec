"""What a refusal teaches about a server: its limits of size and length, and the formats that it takes."""

from dataclasses import replace
from typing import Final

from watcher import container
from watcher.client.classify import Classification, redirect_error
from watcher.client.endpoint import Endpoint
from watcher.client.profile import SHORTEST_LIMIT, ServerProfile
from watcher.client.request import Request
from watcher.client.rulings import ErrorClass
from watcher.client.upload import Upload
from watcher.errors import AccountError, FileError, JobError

#: A refusal of a file as small as this is not about its size: it holds half a minute of speech as mp3.
_SMALLEST_BYTES: Final = 256 * 1024
#: Bytes for the form around the file, if a server's limit is on the whole request.
_FORM_BYTES: Final = 64 * 1024
#: Shortest limit (seconds) that is concluded from a refusal that names none.
SHORTEST_SECONDS: Final = 60.0


def refusal_error(
    meaning: Classification, upload: Upload, request: Request, endpoint: Endpoint, profile: ServerProfile
) -> JobError:
    """Return the error to raise for a refusal, after noting in `profile` what it teaches about the server."""
    match meaning.error_class:
        case ErrorClass.RECODE if meaning.offered and (sent := upload.format) not in meaning.offered:
            # The named formats are all that it takes; if the format that was sent is among them, it refuses only this file.
            profile.learn_server(refused=(container.ACCEPTED | {sent}) - meaning.offered)
        case ErrorClass.SHRINK if upload.size <= _SMALLEST_BYTES:
            return AccountError(
                f"the server, or a proxy in front of it, refuses even {upload.size // 1024} KiB as too large",
                reason="too_large",
                hint="raise the limit on the request's size there (nginx: client_max_body_size)",
            )
        case ErrorClass.SHRINK:
            profile.learn_server(max_bytes=_largest(meaning, upload))
        case ErrorClass.SPLIT:
            named = SHORTEST_LIMIT <= meaning.limit < upload.seconds
            limit = meaning.limit if named else upload.seconds / 2
            if named or limit >= SHORTEST_SECONDS:
                profile.learn_server(max_seconds=limit)
            meaning = replace(meaning, limit=limit)
        case ErrorClass.ACCOUNT if request.task == "translate" and meaning.reason == "url" and _transcribes(profile):
            return FileError(
                "this server does not translate, it only transcribes",
                reason="no_translation",
                hint='set task = "transcribe" for this folder, then watcher retry',
            )
        case ErrorClass.ACCOUNT if meaning.reason == "redirect":
            return redirect_error(meaning, endpoint)
        case ErrorClass.FIELD | ErrorClass.FORMAT | ErrorClass.PROMPT:
            meaning = replace(meaning, error_class=ErrorClass.RECODE, reason="refused")
    return meaning.error(secrets=endpoint.secrets)


def _largest(meaning: Classification, upload: Upload) -> int:
    """Return the largest file (bytes) that the server may take: the named limit if it is usable, else half of this file."""
    named = int(meaning.limit) - _FORM_BYTES
    most = named if named >= _SMALLEST_BYTES else upload.size // 2
    return max(min(most, upload.size - 1), _SMALLEST_BYTES)


def _transcribes(profile: ServerProfile) -> bool:
    return bool(profile.model_profile("transcribe").form)
