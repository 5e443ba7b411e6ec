"""What goes to a server, and what comes back: the file to send, and a reply."""

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.client.request import RequestLimits
from watcher.errors import Remedy, RemedyError


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send: read with pread, so that several threads may share the descriptor and its offset stays.

    `seconds` is the length of the audio. `name` is ASCII with the true container's extension in lower case, `mime` the
    part's type: servers go by either. `digest` tells the sound apart from others, "" only by its size and length.
    """

    descriptor: int
    size: int
    seconds: float
    name: str
    mime: str
    digest: str = ""

    @property
    def format(self) -> str:
        """The format by which servers know it: the extension of `name`."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A server's answer, whatever its status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_limits(upload: Upload, limits: RequestLimits) -> None:
    """Save a request whose refusal is known: raise RemedyError for what is larger or longer than the server takes."""
    if upload.size > limits.max_bytes:
        raise RemedyError("the file is larger than the server takes", remedy=Remedy.SHRINK, reason="too_large")
    if limits.max_seconds is not None and upload.seconds > limits.max_seconds:
        raise RemedyError(
            f"the model takes at most {limits.max_seconds:.0f} s of audio",
            remedy=Remedy.SPLIT,
            reason="too_long",
            seconds=limits.max_seconds,
        )


def deadline(upload: Upload) -> float:
    """Return the seconds one exchange may take: six times the audio, within 10 minutes and 12 hours, and the sending.

    Servers answer only at the end, and some queue requests behind others; the link is taken to carry 50 kB/s at least.
    """
    return min(max(6 * upload.seconds, 600.0), 12 * 3600.0) + upload.size / 50_000
