"""What sections and keys there are, with their defaults and the line about each: for the example file, the docs and `check`."""

from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from typing import Any, Final

from pydantic import BaseModel

from watcher.config.folder import FolderSettings, TranscriptSettings
from watcher.config.settings import (
    OWN_KEYS,
    ApiSettings,
    EndpointSettings,
    HookSettings,
    HttpSettings,
    OfflineSettings,
    ServiceSettings,
    StateSettings,
)
from watcher.config.webhooks import WebhookSettings
from watcher.cues import CaptionRules
from watcher.log import LogOptions
from watcher.media import MediaOptions

#: Sections that are another package's dataclass: what each key means.
_OF_DATACLASSES: Final = {
    "subtitles": {
        "max_chars": "characters per line; 16 wide ones for Chinese, Japanese and Korean",
        "max_lines": "lines per cue",
        "max_chars_per_second": "reading speed; 17 for children, 9 for Chinese, Japanese and Korean",
        "min_seconds": "shortest time a cue is shown",
        "max_seconds": "longest time a cue is shown",
        "gap_seconds": "pause between two cues (2 frames)",
        "guard": "leave out phantom text (two signs), flag doubtful text (one)",
        "music_marks": "show ♪ where nothing else is written; other text without a word is no caption",
        "punctuation": "keep: as the server wrote it; full: of full width beside Chinese",
        "speakers": "dashes: before the lines of a dialogue; names: Anna: before each speaker's caption or line; off: no marks",
    },
    "media": {
        "pieces": "auto: cut long recordings at silences so that all places are busy; fixed: always near piece_seconds",
        "piece_seconds": "longest piece, and longest file that is sent as it is",
        "codec": "what pieces are sent as: flac (lossless for the model), mp3 (small) or wav (taken everywhere)",
        "skip_silence": "silence is not uploaded, nor paid for",
    },
    "log": {
        "level": "debug, info, warning or error",
        "format": "auto (console at a terminal, journal under systemd, else json), console, json or journal",
    },
}


def sections() -> dict[str, type]:
    """Return every section's class by its name, in the order of the example file; "folders" means one folder, and so on."""
    return {
        "api": ApiSettings,
        "endpoints": EndpointSettings,
        "transcript": TranscriptSettings,
        "subtitles": CaptionRules,
        "folders": FolderSettings,
        "media": MediaOptions,
        "state": StateSettings,
        "log": LogOptions,
        "hooks": HookSettings,
        "webhooks": WebhookSettings,
        "service": ServiceSettings,
        "http": HttpSettings,
        "offline": OfflineSettings,
    }


def keys(section: str) -> dict[str, Any]:
    """Return a section's own keys with their defaults; "" for those that have none: a folder's `path`, an endpoint's `url`.

    Keys that a folder has from [transcript], or an endpoint from [api], are not among them: see `all_keys`.
    """
    kind = sections()[section]
    if is_dataclass(kind):
        return {field.name: field.default for field in dataclass_fields(kind)}
    if not issubclass(kind, BaseModel):  # pragma: no cover - a third kind of section would be a programming error
        raise TypeError(kind)
    return {
        name: "" if field.is_required() else field.default
        for name, field in kind.model_fields.items()
        if (section != "folders" or name not in TranscriptSettings.model_fields)
        and (section != "endpoints" or name in OWN_KEYS)
    }


def all_keys(section: str) -> list[str]:
    """Return the keys that a section takes, those of another section included."""
    kind = sections()[section]
    return [*kind.model_fields] if issubclass(kind, BaseModel) else [*keys(section)]


def about(section: str, key: str) -> str:
    """Return the line about a key."""
    kind = sections()[section]
    if section in _OF_DATACLASSES:
        return _OF_DATACLASSES[section][key]
    if not issubclass(kind, BaseModel):  # pragma: no cover - see above
        raise TypeError(kind)
    return kind.model_fields[key].description or ""
