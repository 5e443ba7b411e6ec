"""Transcribe one piece of audio with any server that has OpenAI's ``/v1/audio/transcriptions``.

`Client.ask` streams a file, negotiates the richest form of answer that the server supports, reads the answer by its
content, and turns every refusal into an error that says what is at fault (see `errors`). `parse` reads a stored answer again.
"""

from watcher.client.client import Client
from watcher.client.endpoint import Endpoint
from watcher.client.reading import parse
from watcher.client.request import Answer, Request, RequestLimits, Voice, fitted
from watcher.client.upload import Upload
from watcher.client.wire import CONNECT_SECONDS

__all__ = [
    "CONNECT_SECONDS",
    "Answer",
    "Client",
    "Endpoint",
    "Request",
    "RequestLimits",
    "Upload",
    "Voice",
    "fitted",
    "parse",
]
