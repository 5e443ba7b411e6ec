"""From settings to what each room takes: the only place where the two vocabularies meet."""

import os
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from watcher.client import Endpoint, Request
from watcher.config import Config, FolderSettings, Settings, TranscriptSettings
from watcher.config.settings import keys
from watcher.cues import Rules
from watcher.errors import ConfigError
from watcher.folders import Folder
from watcher.formats import Text
from watcher.gate import GateOptions
from watcher.job import Job
from watcher.overrides import Sections
from watcher.pipeline import Wanted

#: What a folder's own `.watcher.toml` may say.
OVERRIDABLE: Final = {"transcript": tuple(keys("transcript")), "subtitles": tuple(keys("subtitles"))}
_RULES: Final = TypeAdapter(Rules)
_MEBIBYTE: Final = 1024 * 1024
#: A host that refuses whoever comes without a key; a server of one's own may not.
_OPENAI: Final = "api.openai.com"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one set of settings means for every room; immutable, so that a reload swaps it whole."""

    config: Config
    endpoint: Endpoint
    gate: GateOptions
    folders: tuple[Folder, ...]
    #: Path of each root -> its settings; the longest one that holds a path owns it.
    roots: tuple[tuple[bytes, FolderSettings], ...]
    #: The same by real path, where links lead to it.
    real_roots: tuple[tuple[bytes, FolderSettings], ...]

    @property
    def settings(self) -> Settings:
        """The settings themselves."""
        return self.config.settings

    def folder(self, path: bytes) -> FolderSettings | None:
        """Give the folder that owns a path, as the ledger knows it or without links: of nested roots, the nearest."""
        return next((folder for root, folder in (*self.roots, *self.real_roots) if is_below(path, root)), None)

    def wanted(self, job: Job, overrides: Sections | None = None) -> Wanted:
        """Say what is to be made of a source; `overrides`: what the `.watcher.toml` above it say."""
        folder = self.folder(job.path)
        transcript = self.settings.transcript if folder is None else folder.transcript(self.settings.transcript)
        rules = self.settings.subtitles
        if overrides:
            transcript = _overridden(transcript, overrides)
            rules = _RULES.validate_python({**asdict(rules), **overrides["subtitles"]})
        return Wanted(
            request=Request(
                task=transcript.task,
                language=transcript.language,
                prompt=transcript.prompt,
                temperature=transcript.temperature,
            ),
            formats=tuple(transcript.formats),
            output=transcript.output,
            rules=rules,
            text=Text(wrap=transcript.wrap, bom=transcript.bom),
            after=target(folder),
        )

    def check_overrides(self, sections: Sections) -> None:
        """Say whether values of a `.watcher.toml` can be used on top of the settings. Raises ValueError with words."""
        try:
            _overridden(self.settings.transcript, sections)
            _RULES.validate_python({**asdict(self.settings.subtitles), **sections["subtitles"]})
        except ValidationError as exc:
            problems = [
                f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in exc.errors()
            ]
            raise ValueError("; ".join(problems)) from exc


def _overridden(transcript: TranscriptSettings, sections: Sections) -> TranscriptSettings:
    return TranscriptSettings.model_validate({**transcript.model_dump(), **sections["transcript"]})


def endpoint_of(settings: Settings) -> Endpoint:
    """Give the server that the settings name. Raises ConfigError."""
    api = settings.api
    return Endpoint(url=api.url, model=api.model, key=api.key, max_upload_bytes=int(api.max_upload_mb * _MEBIBYTE))


def require_key(endpoint: Endpoint) -> None:
    """Raise ConfigError when there is no key for a host that refuses whoever comes without."""
    if not endpoint.secret and urlsplit(endpoint.transcriptions).hostname == _OPENAI:
        raise ConfigError(
            "there is no API key",
            hint="set WATCHER_API__KEY (or api.key), or run with --offline to use the embedded engine",
        )


def plan(config: Config, *, keyless: bool = False) -> Plan:
    """Translate settings. Raises ConfigError for what can't work: a root that is a file, no key for OpenAI's host.

    `keyless`: nothing will be asked of the server, so a missing key is no error.
    """
    settings = config.settings
    api = settings.api
    endpoint = endpoint_of(settings)
    if not keyless:
        require_key(endpoint)
    for folder in settings.folders:
        if os.path.exists(folder.path) and not os.path.isdir(folder.path):  # noqa: PTH110, PTH112 - a plain question
            raise ConfigError(f"{folder.path} is a file, not a folder", hint="give the folder it lies in")
    folders = tuple(folder_for(settings, folder) for folder in settings.folders)
    for found in folders:
        try:
            found.names()
        except ValueError as exc:
            raise ConfigError(f"folder {found.name}: {exc}", hint="see include and exclude of that folder") from exc
    roots = [(os.fsencode(folder.path), folder) for folder in settings.folders]
    return Plan(
        config=config,
        endpoint=endpoint,
        gate=GateOptions(
            concurrency=api.concurrency,
            requests_per_minute=api.requests_per_minute,
            daily_minutes=api.daily_minutes,
            fleet_concurrency=api.fleet_concurrency,
        ),
        folders=folders,
        roots=_longest_first(roots),
        real_roots=_longest_first([(os.path.realpath(root), folder) for root, folder in roots]),
    )


def spellings(settings: Settings, path: bytes) -> tuple[bytes, ...]:
    """Give the paths under which the ledger may know a file or folder that a person names, relative or through links.

    It knows sources below their folders as these are configured, links included.
    """
    real = os.path.realpath(path)
    found = [os.path.abspath(path), real]  # noqa: PTH100 - bytes; links stay
    for folder in settings.folders:
        root = os.fsencode(folder.path)
        there = os.path.realpath(root)
        if real == there or is_below(real, there):
            found.append(root.rstrip(b"/") + real[len(there.rstrip(b"/")) :])
    return tuple(dict.fromkeys(found))


def is_below(path: bytes, folder: bytes) -> bool:
    """Say whether a path lies below a folder, by the names alone."""
    return path.startswith(folder.rstrip(b"/") + b"/")


def _longest_first(roots: list[tuple[bytes, FolderSettings]]) -> tuple[tuple[bytes, FolderSettings], ...]:
    return tuple(sorted(roots, key=lambda pair: -len(pair[0])))


def target(folder: FolderSettings | None) -> str:
    """Give the folder, below the watched one, that finished recordings move to; "" when they stay."""
    return "" if folder is None or folder.after == "keep" else folder.after.removeprefix("move:")


def folder_for(settings: Settings, folder: FolderSettings) -> Folder:
    """Give what finding needs to know of a folder."""
    done = target(folder).strip("/")
    return Folder(
        name=folder.name,
        path=folder.path,
        recursive=folder.recursive,
        include=folder.include,
        exclude=folder.exclude,
        backlog=folder.backlog,
        quiet_seconds=folder.quiet_seconds,
        detect=folder.detect,
        max_upload_bytes=int(settings.api.max_upload_mb * _MEBIBYTE),
        piece_seconds=settings.media.piece_seconds,
        prune=(done,) if done else (),
    )
