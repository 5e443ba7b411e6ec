"""One piece of audio to a Transcript, by any server that speaks OpenAI's ``/v1/audio/transcriptions``.

`Client.ask` streams a file, negotiates the richest form of answer the server honours, understands what comes back by its
content, and says of every refusal whose fault it is (see `errors`). `parse` reads a stored answer again.
"""

from watcher.client.client import Client
from watcher.client.endpoint import Endpoint
from watcher.client.reading import parse
from watcher.client.request import Answer, Request, RequestLimits, Voice, fitted
from watcher.client.upload import Upload

__all__ = [
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
