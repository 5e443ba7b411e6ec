"""Our client, as these tests use it: one clip, one endpoint, one question."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.memory import Memory

from watcher.client import Answer, Client, Endpoint, Request, Upload

DATA = Path(__file__).resolve().parents[2] / "watcher" / "data"
#: One second, "Hello there."
CLIP = DATA / "second.flac"


@contextmanager
def client(
    url: str, *, key: str = "sk-of-the-test", model: str = "whisper-1", most: int = 24 << 20
) -> Iterator[Client]:
    """Make a client that has never met this server."""
    made = Client(Endpoint(url, model=model, key=key, max_upload_bytes=most), memory=Memory())
    try:
        yield made
    finally:
        made.close()


@contextmanager
def upload(path: Path = CLIP, *, seconds: float = 1.0, name: str = "audio.flac") -> Iterator[Upload]:
    """Open a file as the pipeline does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Upload(descriptor, os.fstat(descriptor).st_size, seconds, name, "audio/flac")
    finally:
        os.close(descriptor)


def ask(url: str, request: Request | None = None, *, key: str = "sk-of-the-test", model: str = "whisper-1") -> Answer:
    """Ask once, with a client that has never met this server."""
    with client(url, key=key, model=model) as asking, upload() as clip:
        return asking.ask(clip, request or Request())
