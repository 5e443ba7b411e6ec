"""Convert the settings to the values that each package takes; only this module knows both."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from pydantic import TypeAdapter, ValidationError

from watcher import reach
from watcher.client import Endpoint, Request
from watcher.config import Config, FolderSettings, Settings, TranscriptSettings
from watcher.config.descriptions import keys
from watcher.config.descriptions import sections as kinds
from watcher.config.folder import OWN_KEYS
from watcher.config.kinds import sentences
from watcher.config.settings import SubtitleRules
from watcher.cues import CaptionRules
from watcher.errors import ConfigError
from watcher.folders import Folder, Mounts
from watcher.formats import TextLayout
from watcher.job import Job, SessionOptions, is_offline
from watcher.ledger import LONGEST_IN_POSTGRES
from watcher.log import quoted
from watcher.media import SoundChoice
from watcher.output_kinds import how_to_install, lacks_package, without_package
from watcher.overrides import FOLDER, UNKNOWN, InvalidOverride, Overrides, Sections
from watcher.pipeline import JobSettings
from watcher.service.endpoint_plan import MEBIBYTE, EndpointPlan, endpoint_plans, require_key
from watcher.service.webhook_deliveries import check_secrets
from watcher.settle import LONGEST
from watcher.sidecar import OutputTemplates
from watcher.spelling import forms
from watcher.text import printable
from watcher.timecode import TimecodeOptions
from watcher.tree import is_below
from watcher.webhooks.sender import Webhook

#: The settings that a folder's own `.watcher.toml` may have.
OVERRIDABLE: Final = {
    "transcript": tuple(keys("transcript")),
    "subtitles": tuple(keys("subtitles")),
    FOLDER: ("endpoints", *OWN_KEYS),
}
_RULES: Final = TypeAdapter[CaptionRules](SubtitleRules)


@dataclass(frozen=True, slots=True)
class Plan:
    """The values of one set of settings for all packages; immutable, so that a reload replaces it as a whole."""

    config: Config
    #: The endpoints by name, in order of preference.
    endpoints: Mapping[str, EndpointPlan]
    folders: tuple[Folder, ...]
    #: The webhooks by name.
    webhooks: Mapping[str, Webhook]
    #: Path and settings of each root; a path belongs to the longest root that contains it.
    roots: tuple[tuple[bytes, FolderSettings], ...]
    #: The same with real paths, for roots behind links whose mount answers.
    real_roots: tuple[tuple[bytes, FolderSettings], ...]

    @property
    def settings(self) -> Settings:
        """The settings themselves."""
        return self.config.settings

    @property
    def endpoint(self) -> Endpoint:
        """The preferred endpoint."""
        return next(iter(self.endpoints.values())).endpoint

    @property
    def is_free(self) -> bool:
        """Whether only offline engines are asked: nothing is bought."""
        return all(made.is_free for made in self.endpoints.values())

    @property
    def folders_by_endpoint(self) -> tuple[frozenset[bytes], ...]:
        """The roots in groups that prefer the same endpoint; none if all do."""
        groups: dict[str, set[bytes]] = {}
        for root, folder in self.roots:
            groups.setdefault(next(iter(folder.endpoints or self.endpoints)), set()).add(root)
        return tuple(map(frozenset, groups.values())) if len(groups) > 1 else ()

    def order(self, path: bytes, overrides: Sections | None = None) -> tuple[str, ...]:
        """Return the endpoints that may get a recording, the preferred first; `overrides`: see `wanted`."""
        folder = self.folder(path)
        order = (folder.endpoints if folder is not None else ()) or tuple(self.endpoints)
        # With --offline nothing leaves the machine, whatever a list says.
        if not overrides or (self.is_free and len(self.endpoints) == 1):
            return order
        return narrowed(order, overrides)

    def folder(self, path: bytes) -> FolderSettings | None:
        """Return the folder of a path, as in the ledger or without links; of nested roots, the inner one."""
        return next((folder for root, folder in (*self.roots, *self.real_roots) if is_below(path, root)), None)

    def wanted(self, job: Job, overrides: Sections | None = None) -> JobSettings:
        """Return the settings of a source; `overrides`: the values of the `.watcher.toml` files above it."""
        folder = self.folder(job.path)
        own = self._own(job.path, overrides)
        transcript = self.settings.transcript if folder is None else folder.transcript(self.settings.transcript)
        rules = self.settings.subtitles
        if overrides:
            transcript = _overridden(transcript, overrides)
            rules = _RULES.validate_python({**asdict(rules), **overrides["subtitles"]})
        return JobSettings(
            request=Request(
                task=transcript.task,
                language=transcript.language,
                prompt=transcript.prompt,
                temperature=transcript.temperature,
            ),
            formats=tuple(transcript.formats),
            names=OutputTemplates(transcript.output, transcript.names),
            rules=rules,
            text=TextLayout(
                wrap=transcript.wrap,
                bom=transcript.bom,
                timestamps=transcript.timestamps,
                vtt_words=transcript.vtt_words,
                lrc_words=transcript.lrc_words,
                times=transcript.times,
                markers=transcript.markers,
            ),
            timecode=TimecodeOptions(transcript.start_timecode, transcript.frame_rate),
            after=target(folder),
            skip_existing=transcript.skip_existing,
            replacements=transcript.replace,
            choice=SoundChoice(track=transcript.track, channel=transcript.channel),
            session=SessionOptions() if own is None else own.session,
            ahead=0.0 if own is None else own.ahead,
        )

    def session(self, path: bytes, overrides: Sections | None = None) -> SessionOptions:
        """Return what is done with the tracks of a recording; `overrides`: see `wanted`."""
        folder = self._own(path, overrides)
        return SessionOptions() if folder is None else folder.session

    def _own(self, path: bytes, overrides: Sections | None) -> FolderSettings | None:
        """Return the folder of a path, with the values of the `.watcher.toml` files above it for `OWN_KEYS`.

        What may be bought before a recording is whole is the operator's limit: they can only lower it.
        """
        folder = self.folder(path)
        if not overrides or not overrides.get(FOLDER):
            return folder
        kept = {} if folder is None else folder.model_dump(include=set(OWN_KEYS))
        own = FolderSettings.model_validate({**kept, **_own_keys(overrides)})
        most = min(one.while_recording_minutes for one in (own, folder) if one is not None)
        return own.model_copy(update={"while_recording_minutes": most})

    def check_overrides(self, sections: Sections) -> None:
        """Check that values of a `.watcher.toml` can be used on top of the settings. Raises ValueError with a sentence."""
        check_overrides(self.settings, sections)


def narrowed(order: Sequence[str], overrides: Sections) -> tuple[str, ...]:
    """Return the endpoints of a folder's order that the `.watcher.toml` files allow; see `Plan.wanted` for `overrides`.

    A file that cannot be read may allow only some of them, so it allows none, unless there is no choice anyway.
    """
    wished = overrides[FOLDER].get("endpoints")
    left = tuple(name for name in order if not isinstance(wished, list) or name in wished)
    return () if len(left) > 1 and UNKNOWN in overrides[FOLDER] else left


def check_overrides(settings: Settings, sections: Sections) -> None:
    """Check that values of a `.watcher.toml` can be used on top of some settings. Raises ValueError with the reason if not."""
    rules = {**asdict(settings.subtitles), **sections["subtitles"]}
    transcript = {**settings.transcript.model_dump(), **sections["transcript"]}
    check_endpoints(sections.get(FOLDER, {}))
    for name, judge, values in (
        ("folders", FolderSettings.model_validate, _own_keys(sections)),
        ("transcript", TranscriptSettings.model_validate, transcript),
        ("subtitles", _RULES.validate_python, rules),
    ):
        try:
            judge(values)
        except ValidationError as exc:
            raise ValueError("; ".join(text for _, text in sentences(exc, values, kinds(), section=name))) from exc


def _own_keys(sections: Sections) -> dict[str, object]:
    own = {key: value for key, value in sections.get(FOLDER, {}).items() if key in OWN_KEYS}
    return {"path": "/", **own}


def check_endpoints(keys: Mapping[str, object]) -> None:
    """Raise ValueError if the list of endpoints in a `.watcher.toml` is no list of names."""
    names = keys.get("endpoints", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError('endpoints has to be a list of names of endpoints, such as ["studio"]')


def _overridden(transcript: TranscriptSettings, sections: Sections) -> TranscriptSettings:
    return TranscriptSettings.model_validate({**transcript.model_dump(), **sections["transcript"]})


def plan(config: Config, *, keyless: bool = False, offline: bool = True) -> Plan:
    """Convert settings. Raises ConfigError for impossible ones: a root that is a file, no key for a public server, no package for a format.

    `keyless`: no request will be made, so a missing key or package is no error. `offline`: see `require_key`.
    """
    settings = config.settings
    endpoints = endpoint_plans(settings)
    webhooks = webhooks_of(settings)
    if not keyless:
        require_packages(settings.kinds)
        check_secrets([*webhooks.values()])
        for made in endpoints.values():
            require_key(made.endpoint, unused_key=config.unused_key, offline=offline)
    roots = [(os.fsencode(folder.path), folder) for folder in settings.folders]
    real = _looked_at([root for root, _ in roots])
    doubles = _doubles(real)
    folders = tuple(folder_for(settings, folder) for folder in settings.folders)
    return Plan(
        config=config,
        endpoints=endpoints,
        folders=folders,
        webhooks=webhooks,
        # If a directory has two names, the first one is used.
        roots=tuple(sorted(_longest_first(roots), key=lambda pair: pair[0] in doubles)),
        real_roots=_longest_first([(real[root], folder) for root, folder in roots if root in real]),
    )


def require_packages(kinds: Iterable[str]) -> None:
    """Raise ConfigError if one of the kinds of outputs needs an extra that is not installed."""
    for kind in without_package(kinds):
        raise ConfigError(lacks_package(kind), hint=how_to_install(kind))


def webhooks_of(settings: Settings) -> dict[str, Webhook]:
    """Return the webhooks of the settings by name."""
    return {
        made.name: Webhook(
            name=made.name,
            url=made.url,
            secrets=tuple(secret.get_secret_value() for secret in made.secret),
            events=made.events,
            headers=tuple((name, value.get_secret_value()) for name, value in made.headers.items()),
            ca_file=made.ca_file,
        )
        for made in settings.webhooks
    }


def _looked_at(roots: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the real path of each root that answers. Raises ConfigError for a root that is a file."""

    def look(root: bytes) -> bytes:
        if os.path.exists(root) and not os.path.isdir(root):  # noqa: PTH110, PTH112 - bytes
            raise not_a_folder(root)
        return reach.real_path(root)

    answers = reach.ask_all({root: partial(look, root) for root in roots})
    return {root: real for root, real in answers.items() if not isinstance(real, reach.SilentError)}


def _doubles(real: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return each root that is the same directory as an earlier one, with the earlier one; `real`: real path of each root."""
    mounts, first = Mounts(), dict[bytes, bytes]()
    mounts.close()
    found = {root: first.setdefault(mounts.spot(path), root) for root, path in real.items()}
    return {root: other for root, other in found.items() if root != other}


def doubles(settings: Settings) -> dict[bytes, bytes]:
    """Return each watched folder that is the same directory as an earlier one, with that one, as far as their mounts answer."""
    roots = [os.fsencode(folder.path) for folder in settings.folders]
    real = reach.real_paths(roots)
    return _doubles({root: real[root] for root in roots if root in real})


def spellings(settings: Settings, path: bytes) -> tuple[bytes, ...]:
    """Return the paths that the ledger may have for a file or folder that a person names, relative or through links.

    The ledger has sources below their folders as these are configured, links included. Do not wait for a mount that does not
    answer: its links are not resolved.
    """
    named = os.path.abspath(path)  # noqa: PTH100 - bytes; links stay
    places = reach.real_paths([named, *(os.fsencode(folder.path) for folder in settings.folders)])
    real = places.get(named, named)
    found = [named, real]
    for folder in settings.folders:
        root = os.fsencode(folder.path)
        there = places.get(root, root)
        if real == there or is_below(real, there):
            # If it is gone, its stored name may have another Unicode normalisation than the named one.
            found += [root.rstrip(b"/") + below for below in forms(real[len(there.rstrip(b"/")) :])]
    return tuple(dict.fromkeys(found))


def _longest_first(roots: list[tuple[bytes, FolderSettings]]) -> tuple[tuple[bytes, FolderSettings], ...]:
    return tuple(sorted(roots, key=lambda pair: -len(pair[0])))


def target(folder: FolderSettings | None) -> str:
    """Return the folder, below the watched one, to which finished recordings are moved; "" if they stay."""
    return "" if folder is None or folder.after == "keep" else folder.after.removeprefix("move:")


def wanted_by_folder(
    made: Plan, report: Callable[[InvalidOverride], None] = lambda _problem: None
) -> Callable[[Job], JobSettings]:
    """Return a function for the settings of a source, with the `.watcher.toml` files above it. The function accesses these folders.

    A file that cannot be used is ignored, as by the worker, which reports it; `report` is called for it.
    """
    overrides = Overrides(OVERRIDABLE, validate=made.check_overrides, report=report)
    return lambda job: made.wanted(job, overrides.effective(job.root, os.path.dirname(job.path)))  # noqa: PTH120 - bytes


def folder_for(settings: Settings, folder: FolderSettings) -> Folder:
    """Return the finder's settings of a folder."""
    done = target(folder).strip("/")
    # What is sent as it is has to suit the endpoint that gets it; at another one it is cut if it must be.
    server = settings.servers[folder.endpoints[0]] if folder.endpoints else next(iter(settings.servers.values()))
    return Folder(
        name=folder.name,
        path=folder.path,
        recursive=folder.recursive,
        include=folder.include,
        exclude=folder.exclude,
        backlog=folder.backlog,
        quiet_seconds=folder.quiet_seconds,
        detect=folder.detect,
        max_upload_bytes=int(server.max_upload_mb * MEBIBYTE),
        piece_seconds=settings.media.piece_seconds,
        prune=(done,) if done else (),
        longest_path=LONGEST_IN_POSTGRES if settings.state.url else LONGEST,
        price_per_minute=0.0 if is_offline(server.model) else server.price_per_minute,
    )


def no_folder(path: str) -> ConfigError:
    """Return the error for a folder that is to be watched and does not exist."""
    hint = "mount it first, if it lies on a disk or a share of its own; else make it: mkdir -p "
    return ConfigError(f"there is no folder {printable(path)}", hint=f"{hint}{quoted(path)}")


def not_a_folder(path: bytes) -> ConfigError:
    """Return the error for a file in place of a folder."""
    return ConfigError(f"{printable(path)} is a file, not a folder", hint="give the folder it lies in")
