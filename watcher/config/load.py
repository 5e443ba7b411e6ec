"""Merge the sources of settings: which value counts, where it came from, and what is wrong with it."""

import difflib
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from watcher.config import endpoint_keys, environment, files
from watcher.config.descriptions import all_keys, keys, sections
from watcher.config.folder import FolderSettings
from watcher.config.kinds import LISTS, sentences, shown, table, takes
from watcher.config.settings import ServerSettings, Settings
from watcher.errors import ConfigError
from watcher.text import printable

_Server = TypeVar("_Server", bound=ServerSettings)
#: Characters of an unknown key that are shown, and compared with the known ones.
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class _SettingPlaces:
    """Names the place in which a person gave a setting."""

    #: Dotted key -> option, where that is not ``--set``.
    options: Mapping[str, str]
    #: Dotted key -> variable.
    variables: Mapping[str, str]

    def words(self, origin: str, key: str) -> str:
        """Return where to look for a dotted key (or section) of a source: ``from the variable WATCHER_API__URL``."""
        if origin == "command line":
            return f"from {self.options.get(key, '--set')}"
        if origin == "environment":
            names = (name for known, name in self.variables.items() if known == key or known.startswith(f"{key}."))
            name = self.variables.get(key) or next(names, "")
            return f"from the variable {name}" if name else "from the environment"
        if origin == "credential":
            _, *endpoint, _ = key.split(".")
            return f"from the credential {'.'.join(('api_key', *endpoint))}"
        return f"in {origin}"


@dataclass(frozen=True, slots=True)
class Config:
    """The effective settings, and where each came from."""

    settings: Settings
    #: The TOML file, if there is one.
    file: Path | None
    #: Where the ledger lives.
    state_directory: Path
    #: Dotted key -> "command line", "environment", "credential", the file's path, or "default".
    origins: Mapping[str, str]
    #: Tells whether the file is still the one that was read; "": there is none, or it is no regular file.
    digest: str = ""
    #: Likewise of what it says of the state; "": something else decides on that, or it cannot be known.
    state_digest: str = ""
    #: Why a key that is in OPENAI_API_KEY is not used; "" where there is none, or it is.
    unused_key: str = ""

    def origin(self, key: str) -> str:
        """Return where the value of a dotted key came from."""
        return self.origins.get(key, "default")


def load(
    given: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str],
    file: Path | None = None,
    folders: Sequence[str] = (),
    credential: Callable[[str], Path | None] | None = None,
    options: Mapping[str, str] | None = None,
    alone: bool = False,
) -> Config:
    """Read all sources and merge them.

    `given`: settings of the command line, nested; `folders`: absolute paths added to the configured ones; `credential`: the
    file of each endpoint's key, for commands that inspect a service from outside; `options`: the option that gave a dotted key of `given`,
    where that was not ``--set``; `alone`: [api] is the only endpoint, whatever [endpoints] says. Raises one ConfigError that
    names everything that is wrong, with the nearest valid key for an unknown one.
    """
    path = environment.config_file(file, environ)
    sources = _SettingPlaces(options or {}, environment.variables(environ))
    content = _content(path)
    layers: dict[str, dict[str, Any]] = {
        "command line": {name: _from_texts(name, section) for name, section in (given or {}).items()},
        "environment": {
            name: _from_texts(name, section) for name, section in environment.from_environment(environ).items()
        },
        "credential": {},
        str(path): _parsed(content, path),
    }
    if alone:
        endpoint_keys.leave_out(layers)
    problems = [problem for origin, layer in layers.items() for problem in _unknown(layer, origin, sources)]
    if problems:
        raise ConfigError("\n".join(problems), hint="watcher config --example shows every key")
    names = endpoint_keys.names_of(layers)
    layers["credential"].update(
        environment.from_credential(environ, names)
        or (environment.from_credential_files(credential, names) if credential is not None else {})
    )
    endpoint_keys.read_files(layers, sources.words)
    endpoint_keys.read_webhook_secrets(layers, sources.words, credential=partial(environment.webhook_secret, environ))
    unused = endpoint_keys.take_openai(layers, environ)
    settings = _validated(layers, folders, sources)
    origins = {key: origin for origin, layer in reversed(layers.items()) for key in _flat(layer)}
    return Config(
        settings=settings,
        file=path,
        state_directory=_expanded(settings.state.dir) or environment.state_directory(environ, path),
        origins=origins,
        # A pipe cannot be looked at again.
        digest=digest(content) if path is not None and path.is_file() else "",
        state_digest=state_digest(content) if _is_from_file(origins, path) else "",
        unused_key=unused,
    )


def state_place(
    given: Mapping[str, Any] | None = None, *, environ: Mapping[str, str], file: Path | None = None
) -> tuple[Path, str] | None:
    """Return the directory of the state and its address ("": none), also where other settings are broken.

    None where they cannot be known: the file cannot be read, or its section [state] is broken itself. `given` and
    `file` as for `load`.
    """
    path = environment.config_file(file, environ)
    try:
        layers = [given or {}, environment.from_environment(environ), _state_alone(_content(path))]
        named = {key: _first(layers, key) for key in ("dir", "url")}
        directory = _expanded(named["dir"])
    except (ConfigError, ValueError, RecursionError):
        return None
    return directory or environment.state_directory(environ, path), named["url"]


def _state_alone(content: bytes) -> dict[str, Any]:
    """Return the section [state] of a settings file, read by itself where the whole is no TOML. Raises ValueError."""
    # What is no UTF-8 elsewhere does not matter here.
    text = content.decode("utf-8-sig", "surrogateescape")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        lines = text.splitlines()
        starts = [index for index, line in enumerate(lines) if line.strip() == "[state]"]
        if not starts and "state" in text:
            raise
        behind = lines[starts[0] + 1 :] if starts else []
        section = takewhile(lambda line: not line.lstrip().startswith("["), behind)
        return {"state": tomllib.loads("\n".join(section))}


def _first(layers: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return the value of a key of [state] in the first layer that has it. Raises ValueError for what is no text."""
    sections = [section for layer in layers if (section := layer.get("state")) is not None]
    if not all(isinstance(section, Mapping) for section in sections):
        raise ValueError("state is no table")
    value = next((section[key] for section in sections if key in section), "")
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"state.{key} is no text")
    return value


def state_digest(content: bytes) -> str:
    """Return what tells whether a settings file names the same state, by directory or address; "" where it cannot be known."""
    try:
        layers = [_state_alone(content)]
        named = [_first(layers, key) for key in ("dir", "url")]
    except (ValueError, RecursionError):
        return ""
    return digest("\0".join(named).encode())


def _is_from_file(origins: Mapping[str, str], path: Path | None) -> bool:
    """Return whether the settings file decides which state is used: nothing above it names one."""
    return path is not None and {origins.get(f"state.{key}", str(path)) for key in ("dir", "url")} == {str(path)}


def digest(content: bytes) -> str:
    """Return what tells whether a settings file is still the one that was read."""
    return sha256(content).hexdigest()[:16]


def _expanded(directory: str) -> Path | None:
    try:
        # Made absolute here: a relative path would lead elsewhere in each directory that a command is run in.
        return Path(directory).expanduser().absolute() if directory else None
    except RuntimeError as exc:
        message = f"{shown('state.dir', directory)} is wrong: there is no such user, or no home of that user"
        raise ConfigError(message, hint="write the whole path") from exc


def _content(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        return files.regular_or_stream(path, files.LARGEST_SETTINGS)
    except FileNotFoundError as exc:
        raise ConfigError(
            f"there is no settings file {path}", hint=f"watcher config --example > {path} makes one"
        ) from exc
    except OSError as exc:
        right = "let this user read it" if isinstance(exc, PermissionError) else "name a file of settings in TOML"
        raise ConfigError(f"the settings file {path} cannot be read: {exc.strerror or exc}", hint=right) from exc


def _parsed(content: bytes, path: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not valid TOML: it is no text in UTF-8", hint="save it as UTF-8") from exc
    except (ValueError, RecursionError) as exc:
        # Also a number of thousands of digits, and brackets in brackets without an end.
        reason = "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise ConfigError(f"{path} is not valid TOML: {reason}", hint=_toml_hint(reason)) from exc


def _toml_hint(reason: str) -> str:
    """Return what is probably to be done about a fault that tomllib names; "" where nobody can tell."""
    return next((hint for words, hint in _TOML_HINTS if any(word in reason for word in words)), "")


#: By words of tomllib's sentences.
_TOML_HINTS: Final = (
    (("twice", "overwrite"), "each table and each key may appear once"),
    (("']'", "Unclosed"), "close the bracket"),
    (("Invalid value", "Illegal character", "after a statement", '"\'"'), "texts need straight quotes"),
)


def _from_texts(name: str, section: Any) -> Any:
    """Read the values of a section that came as text, from the command line or the environment, as TOML has them.

    What a key takes as text stays as it is: it may look like a number or a list.
    """
    if name in LISTS and isinstance(section, str):
        return _from_toml(section)
    if isinstance(section, list):
        return [_from_texts(name, one) for one in section]
    if not isinstance(section, Mapping) or name not in sections():
        return section
    if name == "endpoints" and any(isinstance(one, Mapping) for one in section.values()):
        return {endpoint: _from_texts(name, one) for endpoint, one in section.items()}
    kind = sections()[name]
    read = [key for key in all_keys(name) if not takes(kind, key, str) and not takes(kind, key, SecretStr)]
    return {
        key: _from_toml(value) if key in read and isinstance(value, str) else value for key, value in section.items()
    }


def _from_toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


class _Sources(BaseSettings):
    """Merges the layers; pydantic-settings does it deeply, so that a key of one layer does not hide its whole section."""

    model_config = SettingsConfigDict(extra="allow")
    layers: Any = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the layers handed over, first one first; nothing is read behind `load`'s back."""
        _ = env_settings, dotenv_settings, file_secret_settings
        layers = init_settings()["layers"]
        return tuple(InitSettingsSource(settings_cls, init_kwargs=layer) for layer in layers)


def _validated(layers: Mapping[str, Mapping[str, Any]], folders: Sequence[str], sources: _SettingPlaces) -> Settings:
    merged = dict(_Sources(layers=list(layers.values())).model_extra or {})
    if names := endpoint_keys.names_of(layers):
        # Merging puts those first that the environment names.
        merged["endpoints"] = {name: merged["endpoints"][name] for name in names}
    try:
        settings = Settings.model_validate(merged)
        known = {folder.path for folder in settings.folders}
        if added := [FolderSettings(path=path) for path in folders if path not in known]:
            settings = Settings.model_validate({**dict(settings), "folders": [*settings.folders, *added]})
    except ValidationError as exc:
        raise ConfigError("\n".join(_sentences(exc, merged, layers, sources)), hint=_HINT) from exc
    endpoints = {name: _with_clean_key(endpoint) for name, endpoint in settings.endpoints.items()}
    return settings.model_copy(update={"api": _with_clean_key(settings.api), "endpoints": endpoints})


def _with_clean_key(server: _Server) -> _Server:
    key = server.key.get_secret_value()
    clean = key.strip().removeprefix("Bearer ").strip()
    return server if clean == key else server.model_copy(update={"key": SecretStr(clean)})


_HINT: Final = "watcher config --example shows every key with its default"


def _unknown(layer: Mapping[str, Any], origin: str, sources: _SettingPlaces) -> Iterator[str]:
    for name, section in layer.items():
        if name not in sections():
            yield _nearest(name, [*sections()], sources.words(origin, name), what="section")
            continue
        if name == "endpoints" and isinstance(section, Mapping):
            yield from _unknown_of_endpoints(section, origin, sources)
            continue
        tables = section if isinstance(section, list) and name in LISTS else [section]
        valid = all_keys(name)
        for number, one in enumerate(tables):
            which = f" ({LISTS[name]} {number + 1})" if section is not one and len(tables) > 1 else ""
            place = f"{name}.{number}" if section is not one else name
            if not isinstance(one, Mapping) or (name in {*LISTS, "endpoints"} and section is one):
                yield f"{shown(name, one)}{which} is wrong: {_right(name, origin)} ({sources.words(origin, place)})"
                continue
            for key in one:
                if key not in valid:
                    near = [f"{name}.{k}" for k in valid]
                    yield _nearest(f"{name}.{key}", near, sources.words(origin, f"{place}.{key}"), which, what="key")


def _unknown_of_endpoints(tables: Mapping[str, Any], origin: str, sources: _SettingPlaces) -> Iterator[str]:
    valid = all_keys("endpoints")
    for name, one in tables.items():
        place = f"endpoints.{name}"
        if not isinstance(one, Mapping):
            label = printable(place[:_LONGEST_NAME])
            yield f"{label} is wrong: {_right('endpoints', origin)} ({sources.words(origin, place)})"
            continue
        for key in one:
            if key not in valid:
                near = [f"{place}.{known}" for known in valid]
                yield _nearest(f"{place}.{key}", near, sources.words(origin, f"{place}.{key}"), what="key")


def _right(section: str, origin: str) -> str:
    """Return how a section is given in a source."""
    if origin == "environment":
        return f"write {environment.example(section)}"
    if origin == "command line":
        if section == "folders":
            return "folders go behind the command, as in watcher run /srv/recordings, or in the settings file"
        if section == "webhooks":
            return "webhooks are in the settings file, or in the environment"
        if section == "endpoints":
            return "write --set endpoints.NAME.KEY=VALUE"
        return f"write --set {section}.KEY=VALUE"
    return f"it has to be {table(section)}"


def _nearest(name: str, valid: Sequence[str], source: str, which: str = "", *, what: str) -> str:
    name = printable(name[:_LONGEST_NAME])
    everywhere = [f"{section}.{key}" for section in sections() for key in keys(section)]
    last = name.rpartition(".")[2]
    here = {full.rpartition(".")[2]: full for full in valid}
    near = [here[word] for word in difflib.get_close_matches(last, here, n=1)]
    near = near or [full for full in everywhere if full.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(name, everywhere, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"there is no {what} {name}{which} ({source}){meant}"


def _sentences(
    error: ValidationError, merged: Mapping[str, Any], layers: Mapping[str, Mapping[str, Any]], sources: _SettingPlaces
) -> Iterator[str]:
    origins = {key: origin for origin, layer in reversed([*layers.items()]) for key in _flat(layer)}
    for where, sentence in sentences(error, merged, sections()):
        origin = next(
            (
                origins[key]
                for key in origins
                if where == key or where.startswith(f"{key}.") or key.startswith(f"{where}.")
            ),
            "",
        )
        yield sentence + (f" ({sources.words(origin, where)})" if origin else "")


def _flat(layer: Mapping[str, Any]) -> Iterator[str]:
    for name, section in layer.items():
        if name == "endpoints" and isinstance(section, Mapping):
            yield from (f"{name}.{endpoint}.{key}" for endpoint, table in section.items() for key in table)
        elif isinstance(section, Mapping):
            yield from (f"{name}.{key}" for key in section)
        else:
            yield name
