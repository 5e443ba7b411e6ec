"""The settings themselves: sections, keys, defaults, ranges, and one line about each key.

Sections that belong to one package alone are that package's own option class; the others live here. The line about each key
is the only place where it is described: `watcher config --example` and the table in docs/configuration.md are made from it.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import (
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from watcher.address import routes
from watcher.config.folder import FolderSettings, TranscriptSettings
from watcher.config.http import check_hosts, check_listen
from watcher.config.section import Model, Section
from watcher.config.servers import Headers, Query, check_names, check_order
from watcher.config.values import (
    Argv,
    at_home,
    check_absolute,
    plain_values,
)
from watcher.config.webhooks import WebhookSettings, named
from watcher.cues import CaptionRules
from watcher.log import LogOptions
from watcher.masking import secrets_of
from watcher.media import MediaOptions
from watcher.output_kinds import OutputKind

_HOST_OF_OPENAI: Final = "https://api.openai.com/v1"


#: [subtitles], as the settings and folders give it.
SubtitleRules: TypeAlias = Annotated[CaptionRules, plain_values(CaptionRules)]


class ServerSettings(Section):
    """The settings of one endpoint, in [api] or in a table of [endpoints]."""

    url: str = Field(_HOST_OF_OPENAI, description="the server: host, host/v1 or the full path")
    key: SecretStr = Field(
        SecretStr(""), description="the API key; better given as WATCHER_API__KEY or a systemd credential"
    )
    key_file: str = Field("", description="a file that holds the key, a whole path; for containers' secrets")
    model: str = Field("whisper-1", description="the model asked for")
    concurrency: int = Field(4, ge=1, le=256, description="requests in flight, at most; adapts downwards by itself")
    fleet_concurrency: int = Field(
        0, ge=0, le=65_536, description="requests in flight of all hosts on one PostgreSQL ledger; 0: no limit"
    )
    requests_per_minute: int = Field(0, ge=0, le=1_000_000, description="pace of requests; 0: no limit")
    max_upload_mb: float = Field(24.0, gt=0, le=2048, description="largest upload in MiB; larger files are cut")
    daily_minutes: float = Field(
        0.0,
        ge=0,
        le=10_000_000,
        description="audio minutes bought per day at one server (each endpoint is counted separately); when a recording exceeds it, nothing "
        "more is sent until midnight, not even a short file that would still fit; 0: no limit",
    )
    monthly_minutes: float = Field(
        0.0,
        ge=0,
        le=310_000_000,
        description="audio minutes bought per month, likewise; when a recording exceeds it, nothing more is sent until the first of the "
        "next month; 0: no limit",
    )
    price_per_minute: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="what an audio minute costs, for the day's cost in status; 0: minutes alone",
    )
    deadline_factor: float = Field(
        6.0,
        ge=1,
        le=100,
        description="an answer may take this many times the length of its sound, and 10 minutes in any case; more for a slow server",
    )
    headers: Headers = Field(
        {}, description='further HTTP headers, such as {api-key = "…"}; their values are masked like a key'
    )
    query: Query = Field({}, description='parameters of the address, such as {api-version = "2024-10-21"}')
    ca_file: str = Field(
        "", description="certificates to trust at this server (PEM), a whole path; empty: the usual ones"
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

    @field_validator("key_file", "ca_file")
    @classmethod
    def _absolute_file(cls, value: str) -> str:
        return check_absolute(value) if value else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is shown to nobody."""
        headers = secrets_of(value.get_secret_value() for value in self.headers.values())
        return (self.key.get_secret_value(), *headers)


class ApiSettings(ServerSettings):
    """[api]: the server that transcribes; or, if there are [endpoints], what they have in common."""

    attempts: int = Field(
        10, ge=1, le=1000, description="attempts per file and span, waiting 1, 2, 4 … 300 s between them"
    )
    spread: bool = Field(
        default=False,
        description="true: use the places of all endpoints at once, with state.workers files in work; "
        "false: the next one only while the first cannot be used",
    )
    failover_seconds: float = Field(
        30.0,
        ge=1,
        le=3600,
        description="if an endpoint takes nothing for longer than this, files go to the next one",
    )


#: Keys of an endpoint that are never taken from [api]: where its requests go, and what proves who asks.
OWN_KEYS: Final = ("url", "key", "key_file", "headers", "query", "ca_file")
#: The name of the only endpoint where the settings have no [endpoints].
API: Final = "api"


class EndpointSettings(ServerSettings):
    """[endpoints.NAME]: one of several servers; what it does not say is taken from [api], but for `OWN_KEYS`."""

    url: str = Field(description="the server: host, host/v1 or the full path")
    key: SecretStr = Field(
        SecretStr(""), description="the API key; better given as WATCHER_ENDPOINTS__NAME__KEY or a systemd credential"
    )

    def completed(self, api: ApiSettings) -> "EndpointSettings":
        """Return these settings with those of [api] where a key is not given."""
        keys = ServerSettings.model_fields.keys() - self.model_fields_set - set(OWN_KEYS)
        return self.model_copy(update={key: getattr(api, key) for key in keys})


class StateSettings(Section):
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
        description="files in work at once; from 2 on: one worker takes only short files, extra workers prepare further short files, "
        "the next file is begun when a long one only waits for its last answers, "
        "and with several folders there are two more workers, and one folder never has all of them",
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
        description="days a deleted file stays known, 100,000 of them at most (fewer, if their paths are very long); a file that "
        "exists, or whose disk is unmounted, is never forgotten",
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            message = "it has to be empty, or postgresql://user@host/database"
            raise ValueError(message)
        return value


class HookSettings(Section):
    """[hooks]: programs run after a file, or on a hold, with the facts as JSON on stdin, never through a shell."""

    on_done: Argv = Field((), description="argv of the program run after a transcript is in place")
    on_failed: Argv = Field((), description="argv of the program run after a file failed for good")
    on_held: Argv = Field((), description="argv of the program run when the queue is held")
    timeout_seconds: float = Field(60.0, gt=0, le=86400, description="a hook that takes longer is ended")
    concurrency: int = Field(
        4, ge=1, le=64, description="hooks run at a time, of different files; 1: one after the other"
    )


class ServiceSettings(Section):
    """[service]: behaviour of the daemon."""

    error_notes: bool = Field(
        default=True,
        description="leave a note beside a file that failed for good (deleting it retries), or whose result is in doubt",
    )
    drain_seconds: float = Field(60.0, ge=0, le=86400, description="how long requests in flight may finish at a stop")


class HttpSettings(Section):
    """[http]: the operator's listener of the daemon: metrics, health and state, read-only."""

    listen: str = Field(
        "",
        description='"127.0.0.1:9464", a path of a Unix socket, or "systemd" for the socket that systemd has opened; empty: none',
    )
    hosts: tuple[str, ...] = Field(
        (), description="further names by which it may be asked; needed for an address that other machines reach"
    )

    @field_validator("listen")
    @classmethod
    def _where(cls, value: str) -> str:
        check_listen(value)
        return value

    @field_validator("hosts")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_hosts(value)
        return value


class OfflineSettings(Section):
    """[offline]: the offline engine, of --offline and `watcher engine`."""

    model: str = Field(
        "small",
        min_length=1,
        max_length=4096,
        description="the Whisper model: tiny, base, small, medium, large-v3, turbo …, or a folder that holds one; pocketsphinx: none",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="what the model runs on: auto, cpu or cuda")
    compute: str = Field(
        "default",
        pattern="^[a-z0-9_]{1,32}$",
        description="CTranslate2's type of numbers, such as int8 (small and fast) or float16; default: as the model has them",
    )
    threads: int = Field(0, ge=0, le=256, description="processors that the model uses; 0: all")
    beam: int = Field(5, ge=1, le=20, description="hypotheses that are followed; 1 is fastest")
    unload_minutes: float = Field(
        10.0, ge=0, le=525_600, description="minutes without work after which the model leaves the memory; 0: never"
    )

    @field_validator("model")
    @classmethod
    def _model_at_home(cls, value: str) -> str:
        return at_home(value)


class Settings(Model):
    """All settings."""

    api: ApiSettings = ApiSettings()
    endpoints: dict[str, EndpointSettings] = Field({})
    transcript: TranscriptSettings = TranscriptSettings()
    subtitles: SubtitleRules = CaptionRules()
    folders: tuple[FolderSettings, ...] = ()
    media: Annotated[MediaOptions, plain_values(MediaOptions)] = MediaOptions()
    state: StateSettings = StateSettings()
    log: Annotated[LogOptions, plain_values(LogOptions)] = LogOptions()
    hooks: HookSettings = HookSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    service: ServiceSettings = ServiceSettings()
    http: HttpSettings = HttpSettings()
    offline: OfflineSettings = OfflineSettings()

    @property
    def servers(self) -> Mapping[str, ServerSettings]:
        """The endpoints by name, in order of preference; `[api]` alone is one, called "api"."""
        if not self.endpoints:
            return {API: self.api}
        return {name: endpoint.completed(self.api) for name, endpoint in self.endpoints.items()}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys, and other values that are shown to nobody."""
        servers = (self.api, *self.endpoints.values())
        return tuple(secret for owners in (servers, self.webhooks) for owner in owners for secret in owner.secrets)

    @property
    def kinds(self) -> frozenset[OutputKind]:
        """The kinds of outputs that are wanted anywhere."""
        return frozenset(self.transcript.formats).union(*(folder.formats or () for folder in self.folders))

    @property
    def roots(self) -> dict[str, str]:
        """Path of every folder by its name: a shared ledger knows sources by that and the path below it."""
        return {folder.name: folder.path for folder in self.folders}

    @field_validator("webhooks")
    @classmethod
    def _named_webhooks(cls, value: tuple[WebhookSettings, ...]) -> tuple[WebhookSettings, ...]:
        return named(value)

    @field_validator("endpoints")
    @classmethod
    def _plain_names(cls, value: dict[str, EndpointSettings]) -> dict[str, EndpointSettings]:
        check_names(value)
        return value

    @field_validator("folders")
    @classmethod
    def _known_endpoints(cls, value: tuple[FolderSettings, ...], info: ValidationInfo) -> tuple[FolderSettings, ...]:
        # If [endpoints] is wrong, that is reported, and it is not known which names are right.
        if (endpoints := info.data.get("endpoints")) is not None:
            for folder in value:
                check_order(folder.endpoints, endpoints or (API,))
        return value

    @field_validator("folders")
    @classmethod
    def _named(cls, value: tuple[FolderSettings, ...]) -> tuple[FolderSettings, ...]:
        """Name each folder; the same path twice, or the same explicit name twice, is an error."""
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
