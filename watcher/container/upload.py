"""The name under which a container is sent to a server, if servers take it as it is."""

from typing import Final

#: The extension is the true container's: relays tell the type from it alone.
#: Ogg with Opus in it is named .ogg: OpenAI refuses these bytes when they are named .opus, and takes them as .ogg, which
#: new-api measures too. A webm goes as it is although new-api refuses every webm: it does so before it asks for money,
#: and the remedy of that refusal is to convert. Whatever is missing here is converted first; so is mp2, since its
#: extensions (.mpga, .mpeg) are refused by new-api.
_UPLOADS: Final = {
    "flac": ("audio.flac", "audio/flac"),
    "m4a": ("audio.m4a", "audio/mp4"),
    "mp3": ("audio.mp3", "audio/mpeg"),
    "mp4": ("audio.mp4", "audio/mp4"),
    "ogg": ("audio.ogg", "audio/ogg"),
    "opus": ("audio.ogg", "audio/ogg"),
    "wav": ("audio.wav", "audio/wav"),
    "webm": ("audio.webm", "audio/webm"),
}

#: The formats that servers take as they are.
ACCEPTED: Final = frozenset(_UPLOADS)


def upload_name(form: str) -> tuple[str, str] | None:
    """Return the ASCII file name and the MIME type a format is sent under; None when it must be converted first."""
    return _UPLOADS.get(form)
