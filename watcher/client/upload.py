"""The file to send to a server, and the response."""

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.client.request import RequestLimits
from watcher.errors import Remedy, RemedyError


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send. It is read with pread, so that several threads may share the descriptor.

    `seconds`: length of the audio. `name`: ASCII, with the true container's extension in lower case; `mime`: the
    part's type; servers use one or the other. `digest`: identifies the sound; "" if only size and length do.
    """

    descriptor: int
    size: int
    seconds: float
    name: str
    mime: str
    digest: str = ""
    #: `digest` is the SHA-256 (hex) of the file's bytes: what is sent is compared with it, as somebody may write meanwhile.
    compared: bool = False

    @property
    def format(self) -> str:
        """The format that servers see: the extension of `name`."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A server's answer, whatever its status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_limits(upload: Upload, limits: RequestLimits) -> None:
    """Raise RemedyError, without a request, for a file that is larger or longer than the server takes."""
    if upload.size > limits.max_bytes:
        raise RemedyError("the file is larger than the server takes", remedy=Remedy.SHRINK, reason="too_large")
    if limits.max_seconds is not None and upload.seconds > limits.max_seconds:
        raise RemedyError(
            f"the model takes at most {limits.max_seconds:.0f} s of audio",
            remedy=Remedy.SPLIT,
            reason="too_long",
            seconds=limits.max_seconds,
        )


def deadline(upload: Upload, factor: float) -> float:
    """Return the seconds that one exchange may take: `factor` times the audio, within 10 minutes and 12 hours, plus the upload.

    Servers answer only at the end, and some queue requests; the upload is assumed to run at 50 kB/s or more.
    """
    return min(max(factor * upload.seconds, 600.0), 12 * 3600.0) + upload.size / 50_000
