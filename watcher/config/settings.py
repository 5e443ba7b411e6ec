"""The settings themselves: sections, keys, defaults, ranges, and one line about each key.

Sections that belong to one room alone are that room's own option class; the others live here. The line about each key
is the only place where it is described: `watcher config --example` and the README's table are made from it.
"""

import math
import re
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from watcher.address import routes
from watcher.config.kinds import shown, takes, wanted
from watcher.cues import Rules
from watcher.languages import code as language_code
from watcher.log import LogOptions
from watcher.media import MediaOptions
from watcher.sidecar import check_template

_HOST_OF_OPENAI: Final = "https://api.openai.com/v1"


def _plain(kind: type, key: str, value: object) -> object:
    """Return a value that pydantic may judge. Raises ValueError for what it would take, and what is meant by nobody."""
    if isinstance(value, bool) and not takes(kind, key, bool) and not takes(kind, key, str):
        # It makes 1 of true.
        message = f"it has to be {wanted(kind, key)}"
        raise ValueError(message)
    for text in value if isinstance(value, list | tuple) else [value]:
        if isinstance(text, str) and "\0" in text:
            message = "it must not contain the character NUL"
            raise ValueError(message)
        if isinstance(text, str) and (kind.__name__, key) not in _PATHS and not _is_unicode(text):
            message = "it has to be text in UTF-8"
            raise ValueError(message)
    return value


#: Only these may hold bytes that are no UTF-8, as names on a disk may.
_PATHS: Final = {
    ("ApiSettings", "key_file"),
    ("FolderSettings", "path"),
    ("FolderSettings", "name"),
    ("StateSettings", "dir"),
    ("HookSettings", "on_done"),
    ("HookSettings", "on_failed"),
    ("HookSettings", "on_held"),
}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class _Section(_Model):
    @field_validator("*", mode="before")
    @classmethod
    def _plain_value(cls, value: object, info: ValidationInfo) -> object:
        return _plain(cls, info.field_name or "", value)


def _plain_values(kind: type) -> BeforeValidator:
    """Do for a section that is another package's dataclass what `_Section` does for its own."""

    def check(values: object) -> object:
        if isinstance(values, dict):
            names = [field.name for field in dataclass_fields(kind)]
            for key in [key for key in values if key in names]:
                if isinstance(values[key], float) and not math.isfinite(values[key]):
                    kind(**{key: values[key]})  # which names the range
                try:
                    _plain(kind, key, values[key])
                except ValueError as exc:
                    message = f"{shown(key, values[key])} is wrong: {exc}"
                    raise ValueError(message) from exc
        return values

    return BeforeValidator(check)


#: [subtitles], as the settings and folders give it.
SubtitleRules: TypeAlias = Annotated[Rules, _plain_values(Rules)]


def _language(value: str) -> str:
    """Return the code of a language that is given by a code."""
    code = language_code(value)
    if not value or (code and _CODE.fullmatch(value.strip())):
        return code
    if code:
        region = " alone: Whisper knows no regions" if "-" in value or "_" in value else ""
        message = f'write the code "{code}"{region}'
        raise ValueError(message)
    message = 'Whisper knows no such language; write an ISO-639-1 code, for example "en", "de" or "zh"'
    raise ValueError(message)


def _track(value: object) -> int | str:
    if (number := _number(value)) is not None:
        return number
    if value in ("auto", "all"):
        return str(value)
    if isinstance(value, str) and (found := language_code(value)):
        return found
    message = 'it has to be "auto", "all", the number of an audio track, from 1, or a language code such as "de"'
    raise ValueError(message)


def _channel(value: object) -> int | str:
    if (number := _number(value)) is not None:
        return number
    if value == "mix":
        return "mix"
    message = 'it has to be "mix", or the number of a channel, from 1'
    raise ValueError(message)


def _number(value: object) -> int | None:
    """Return the number of a track or channel, which the environment gives as text; None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:_LONGEST_NUMBER])
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_TRACKS else None


def _output(value: str) -> str:
    check_template(value)
    return value


def _wrap(value: int) -> int:
    if value and not _NARROWEST <= value <= _WIDEST:
        message = f"it has to be 0, or a width from {_NARROWEST} to {_WIDEST}"
        raise ValueError(message)
    return value


def _argv(value: tuple[str, ...]) -> tuple[str, ...]:
    if value and not value[0].strip():
        message = "the first one has to name a program; write [] for none"
        raise ValueError(message)
    return value


#: A code of two or three letters.
_CODE: Final = re.compile(r"[A-Za-z]{2,3}")
#: More tracks or channels no file has, and digits of such a number.
_MOST_TRACKS: Final = 999
_LONGEST_NUMBER: Final = 4
#: As `watcher.formats.Text` takes it.
_NARROWEST: Final = 20
_WIDEST: Final = 1000

Format = Literal["srt", "txt", "vtt", "json"]
_Task: TypeAlias = Literal["transcribe", "translate"]
_Language: TypeAlias = Annotated[str, AfterValidator(_language)]
_Temperature: TypeAlias = Annotated[float, Field(ge=0, le=1)]
_Track: TypeAlias = Annotated[int | str, BeforeValidator(_track)]
_Channel: TypeAlias = Annotated[int | str, BeforeValidator(_channel)]
_Formats: TypeAlias = Annotated[
    tuple[Format, ...], Field(min_length=1), AfterValidator(lambda value: tuple(dict.fromkeys(value)))
]
_Output: TypeAlias = Annotated[str, AfterValidator(_output)]
_Wrap: TypeAlias = Annotated[int, AfterValidator(_wrap)]
_Argv: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_argv)]


class ApiSettings(_Section):
    """[api]: the server that transcribes."""

    url: str = Field(_HOST_OF_OPENAI, description="the server: host, host/v1 or the full path")
    key: SecretStr = Field(
        SecretStr(""), description="the API key; better given as WATCHER_API__KEY or a systemd credential"
    )
    key_file: str = Field("", description="a file that holds the key, an absolute path; for containers' secrets")
    model: str = Field("whisper-1", description="the model asked for")
    concurrency: int = Field(4, ge=1, le=256, description="requests in flight, at most; adapts downwards by itself")
    fleet_concurrency: int = Field(
        0, ge=0, le=65_536, description="requests in flight of all hosts on one PostgreSQL ledger; 0: no limit"
    )
    attempts: int = Field(
        10, ge=1, le=1000, description="attempts per file and span, waiting 1, 2, 4 … 300 s between them"
    )
    requests_per_minute: int = Field(0, ge=0, le=1_000_000, description="pace of requests; 0: no limit")
    max_upload_mb: float = Field(24.0, gt=0, le=2048, description="largest upload in MiB; larger files are cut")
    daily_minutes: float = Field(
        0.0,
        ge=0,
        le=10_000_000,
        description="audio minutes bought per day at one server (another api.url counts for itself), then hold until midnight; 0: no limit",
    )
    monthly_minutes: float = Field(
        0.0,
        ge=0,
        le=310_000_000,
        description="audio minutes bought per month, likewise, then hold until the first of the next; 0: no limit",
    )
    price_per_minute: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="what an audio minute costs, for the day's cost in status; 0: minutes alone",
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            routes(value)
        except ValueError as exc:
            message = f"it {exc}; write it like https://api.openai.com/v1"
            raise ValueError(message) from exc
        return value

    @field_validator("model")
    @classmethod
    def _model(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            message = 'it has to be the name of a model, for example "whisper-1"'
            raise ValueError(message)
        return value

    @field_validator("key_file")
    @classmethod
    def _absolute_key(cls, value: str) -> str:
        return _absolute(value) if value else ""


class TranscriptSettings(_Section):
    """[transcript]: what is asked for and what is written; any key may stand in a folder, too."""

    task: _Task = Field("transcribe", description="transcribe, or translate (to English)")
    language: _Language = Field("", description="ISO-639-1 code of the speech; empty: detected")
    prompt: str = Field("", description="names and spelling that help the recognition, at most 224 tokens")
    temperature: _Temperature = Field(0.0, description="0 to 1; at 0 the server raises it by itself")
    track: _Track = Field(
        "auto",
        description="which audio track: auto (the default one, unless it is silent and another is not), a number from 1, "
        "all (mixed), or a language code",
    )
    channel: _Channel = Field(
        "mix", description="which channel: mix (all but timecode), or a number from 1; small files are decoded then"
    )
    formats: _Formats = Field(("srt", "txt"), description="what is written beside the source: srt, txt, vtt, json")
    output: _Output = Field("{stem}", description="output name; {stem} {name} {language}")
    wrap: _Wrap = Field(0, description="width at which the .txt is wrapped, from 20 to 1000; 0: one line per paragraph")
    bom: bool = Field(default=False, description="begin text outputs with a byte order mark, for old Windows programs")


class FolderSettings(_Section):
    """[[folders]]: a watched folder; keys of [transcript] that stand here count for it alone."""

    path: str = Field(description="the folder, an absolute path")
    name: str = Field("", description="its name in status and log; default: the last part of path")
    recursive: bool = Field(default=True, description="watch what lies below it, too")
    include: tuple[str, ...] = Field((), description="globs of further files, beside the audio suffixes")
    exclude: tuple[str, ...] = Field((), description="globs of files and folders to leave alone")
    backlog: bool = Field(default=True, description="false: what is there at the first start is left alone")
    quiet_seconds: float = Field(
        2.0,
        ge=0,
        le=86400,
        description="wait when a file's end can't be proved; 5 without a lease, 30 on network mounts",
    )
    after: str = Field("keep", description='"keep", or "move:done/": source and outputs together, never overwriting')
    detect: Literal["auto", "events", "scan"] = Field("auto", description="auto, events or scan")
    task: _Task | None = None
    language: _Language | None = None
    prompt: str | None = None
    temperature: _Temperature | None = None
    track: _Track | None = None
    channel: _Channel | None = None
    formats: _Formats | None = None
    output: _Output | None = None
    wrap: _Wrap | None = None
    bom: bool | None = None

    @field_validator("path")
    @classmethod
    def _absolute_path(cls, value: str) -> str:
        return _absolute(value)

    @field_validator("include", "exclude")
    @classmethod
    def _globs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from watcher.settle.names import Globs  # noqa: PLC0415 - `status` starts quickly, and most folders have none

        try:
            Globs(value)
        except ValueError as exc:
            message = 'one of them is not a glob of paths below the folder, such as "*.bak" or "drafts/"'
            raise ValueError(message) from exc
        return value

    @field_validator("after")
    @classmethod
    def _keep_or_move(cls, value: str) -> str:
        if value == "keep":
            return value
        target = PurePosixPath(value.removeprefix("move:"))
        if not value.startswith("move:") or target.is_absolute() or ".." in target.parts or not target.parts:
            message = 'it has to be "keep", or "move:" and a folder below this one, such as "move:done/"'
            raise ValueError(message)
        return value

    def transcript(self, defaults: TranscriptSettings) -> TranscriptSettings:
        """Return `defaults` with this folder's own keys on top."""
        own = {key: value for key in TranscriptSettings.model_fields if (value := getattr(self, key)) is not None}
        return TranscriptSettings.model_validate({**defaults.model_dump(), **own})


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        message = "it has to be a whole path, beginning with /, for example /srv/recordings"
        raise ValueError(message)
    return value


class StateSettings(_Section):
    """[state]: the queue, the paid answers, and who works on them."""

    dir: str = Field(
        "",
        description="where the ledger lives; empty: $STATE_DIRECTORY, else /var/lib/watcher with a config in /etc, "
        "else ~/.local/state/watcher",
    )
    url: str = Field("", description="empty: SQLite in dir; postgresql://user@host/database: one queue for many hosts")
    workers: int = Field(
        4,
        ge=1,
        le=256,
        description="files in work at once; one is kept free for short files, and some more of those are made ready ahead",
    )
    keep_answers_days: float = Field(
        365.0, ge=1, le=36_500, description="days a paid answer is kept after its last use"
    )
    keep_answers_mb: int = Field(
        4096,
        ge=0,
        le=1_000_000_000,
        description="MiB that paid answers may take, those used longest ago go first; 0: no limit",
    )
    keep_history_days: float = Field(
        30.0,
        ge=1,
        le=36_500,
        description="days a file that is gone stays known; one that is there, or whose disk is away, always does",
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            message = "it has to be empty, or postgresql://user@host/database"
            raise ValueError(message)
        return value


class HookSettings(_Section):
    """[hooks]: programs run after a file, or on a hold, with the facts as JSON on stdin, never through a shell."""

    on_done: _Argv = Field((), description="argv of the program run after a transcript is in place")
    on_failed: _Argv = Field((), description="argv of the program run after a file failed for good")
    on_held: _Argv = Field((), description="argv of the program run when the queue is held, so that all stands still")
    timeout_seconds: float = Field(60.0, gt=0, le=86400, description="a hook that takes longer is ended")
    concurrency: int = Field(
        4, ge=1, le=64, description="hooks run at a time, of different files; 1: one after the other"
    )


class ServiceSettings(_Section):
    """[service]: manners of the daemon."""

    error_notes: bool = Field(
        default=True,
        description="leave a note beside a file that failed for good (deleting it retries), or whose result is in doubt",
    )
    drain_seconds: float = Field(60.0, ge=0, le=86400, description="how long requests in flight may finish at a stop")


class Settings(_Model):
    """All settings."""

    api: ApiSettings = ApiSettings()
    transcript: TranscriptSettings = TranscriptSettings()
    subtitles: SubtitleRules = Rules()
    folders: tuple[FolderSettings, ...] = ()
    media: Annotated[MediaOptions, _plain_values(MediaOptions)] = MediaOptions()
    state: StateSettings = StateSettings()
    log: Annotated[LogOptions, _plain_values(LogOptions)] = LogOptions()
    hooks: HookSettings = HookSettings()
    service: ServiceSettings = ServiceSettings()

    @property
    def places(self) -> dict[str, str]:
        """Path of every folder by its name: a shared ledger knows sources by that and the path below it."""
        return {folder.name: folder.path for folder in self.folders}

    @field_validator("folders")
    @classmethod
    def _named(cls, value: tuple[FolderSettings, ...]) -> tuple[FolderSettings, ...]:
        """Give each folder a name of its own; the same path twice, or the same explicit name twice, is an error."""
        named: dict[str, FolderSettings] = {}
        paths: set[str] = set()
        for folder in value:
            path = str(PurePosixPath(folder.path))
            if path in paths:
                message = f"{path} is given twice"
                raise ValueError(message)
            paths.add(path)
            name = folder.name or PurePosixPath(path).name or "root"
            if name in named and folder.name:
                message = f"two folders are called {name!r}; names tell them apart, so give each its own"
                raise ValueError(message)
            unique = next(n for i in range(1, len(value) + 1) if (n := name if i == 1 else f"{name}-{i}") not in named)
            named[unique] = folder.model_copy(update={"name": unique, "path": path})
        return tuple(named.values())


#: Sections that are another room's dataclass: what each key means.
_OF_ROOMS: Final = {
    "subtitles": {
        "max_chars": "characters per line; 16 wide ones for Chinese, Japanese and Korean",
        "max_lines": "lines per cue",
        "max_chars_per_second": "reading speed; 17 for children, 9 for Chinese, Japanese and Korean",
        "min_seconds": "shortest time a cue stands",
        "max_seconds": "longest time a cue stands",
        "gap_seconds": "pause between two cues (2 frames)",
        "guard": "leave out phantom text (two signs), flag doubtful text (one)",
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
    """Give every section's class by its name, in the order of the example file; "folders" stands for one folder."""
    return {
        "api": ApiSettings,
        "transcript": TranscriptSettings,
        "subtitles": Rules,
        "folders": FolderSettings,
        "media": MediaOptions,
        "state": StateSettings,
        "log": LogOptions,
        "hooks": HookSettings,
        "service": ServiceSettings,
    }


def keys(section: str) -> dict[str, Any]:
    """Give a section's keys with their defaults (folders: `path` has none, and gives "")."""
    kind = sections()[section]
    if is_dataclass(kind):
        return {field.name: field.default for field in dataclass_fields(kind)}
    if not issubclass(kind, BaseModel):  # pragma: no cover - a third kind of section would be a programming error
        raise TypeError(kind)
    return {
        name: "" if field.is_required() else field.default
        for name, field in kind.model_fields.items()
        if section != "folders" or name not in TranscriptSettings.model_fields
    }


def about(section: str, key: str) -> str:
    """Give the line about a key."""
    kind = sections()[section]
    if section in _OF_ROOMS:
        return _OF_ROOMS[section][key]
    if not issubclass(kind, BaseModel):  # pragma: no cover - see above
        raise TypeError(kind)
    return kind.model_fields[key].description or ""
