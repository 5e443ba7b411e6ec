"""Bringing the sources together: which value holds, where it came from, and what is wrong with it."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from watcher.config import environment
from watcher.config.settings import FolderSettings, Settings, keys, sections
from watcher.errors import ConfigError

_DEFAULT_URL: Final = Settings().api.url


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

    def origin(self, key: str) -> str:
        """Say where the value of a dotted key came from."""
        return self.origins.get(key, "default")


def load(
    given: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str],
    file: Path | None = None,
    folders: Sequence[str] = (),
    credential: Path | None = None,
) -> Config:
    """Read all sources and hold them against each other.

    `given`: settings of the command line, nested; `folders`: absolute paths added to the configured ones; `credential`: the
    file of the key, for who looks at a service from outside. Raises one
    ConfigError that names everything that is wrong, with the nearest valid key for an unknown one.
    """
    path = environment.config_file(file, environ)
    layers = {
        "command line": dict(given or {}),
        "environment": environment.from_environment(environ),
        "credential": environment.from_credential(environ) or environment.from_key_file(credential),
        str(path): _from_file(path),
    }
    problems = [problem for origin, layer in layers.items() for problem in _unknown(layer, origin)]
    if problems:
        raise ConfigError("\n".join(problems), hint="watcher config --example shows every key")
    _openai(layers, environ)
    settings = _validated(layers, folders)
    own = Path(settings.state.dir).expanduser() if settings.state.dir else None
    origins = {key: origin for origin, layer in reversed(layers.items()) for key in _flat(layer)}
    return Config(
        settings=settings,
        file=path,
        state_directory=own or environment.state_directory(environ, path),
        origins=origins,
    )


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as exc:
        raise ConfigError(
            f"there is no settings file {path}", hint=f"watcher config --example > {path} makes one"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}") from exc


def _openai(layers: Mapping[str, dict[str, Any]], environ: Mapping[str, str]) -> None:
    """Take OPENAI_BASE_URL and OPENAI_API_KEY where that is safe: a key never goes to a host it was not meant for."""
    urls = [url for layer in layers.values() if (url := layer.get("api", {}).get("url"))]
    base = environ.get("OPENAI_BASE_URL", "")
    ambient = layers["environment"]
    if not urls and base:
        ambient.setdefault("api", {})["url"] = base
    url = urls[0] if urls else base or _DEFAULT_URL
    has_key = any(layer.get("api", {}).get("key") for layer in layers.values())
    meant = (not urls and base) or urlsplit(url).hostname == urlsplit(_DEFAULT_URL).hostname
    if not has_key and meant and environ.get("OPENAI_API_KEY"):
        ambient.setdefault("api", {})["key"] = environ["OPENAI_API_KEY"]


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


def _validated(layers: Mapping[str, Mapping[str, Any]], folders: Sequence[str]) -> Settings:
    merged = dict(_Sources(layers=list(layers.values())).model_extra or {})
    try:
        settings = Settings.model_validate(_from_strings(merged))
    except ValidationError as exc:
        raise ConfigError("\n".join(_sentences(exc, layers))) from exc
    extra = [FolderSettings(path=path) for path in folders]
    known = {folder.path for folder in settings.folders}
    if added := [folder for folder in extra if folder.path not in known]:
        settings = Settings.model_validate({**dict(settings), "folders": [*settings.folders, *added]})
    key = settings.api.key.get_secret_value()
    if key != (clean := key.strip().removeprefix("Bearer ").strip()):
        settings = settings.model_copy(update={"api": settings.api.model_copy(update={"key": SecretStr(clean)})})
    return settings


def _from_strings(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Read lists and tables, which come out of the environment as text, in TOML's notation; scalars are pydantic's business."""
    values: dict[str, Any] = {}
    for name, section in merged.items():
        if isinstance(section, dict):
            values[name] = {key: _value(value) for key, value in section.items()}
        else:
            values[name] = _value(section)
    return values


def _value(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{" and value:
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value
    return value


def _unknown(layer: Mapping[str, Any], origin: str) -> Iterator[str]:
    for name, section in layer.items():
        if name not in sections():
            yield _nearest(name, [*sections()], origin, what="section")
            continue
        tables = section if isinstance(section, list) else [section]
        valid = [*keys(name), *(keys("transcript") if name == "folders" else ())]
        for table in tables:
            if not isinstance(table, Mapping):
                if name != "folders" or origin != "environment":
                    yield f"{name} has to be a table ([{name}]) of keys (in {origin})"
                continue
            for key in table:
                if key not in valid:
                    yield _nearest(f"{name}.{key}", [f"{name}.{k}" for k in valid], origin, what="key")


def _nearest(name: str, valid: Sequence[str], origin: str, *, what: str) -> str:
    everywhere = [f"{section}.{key}" for section in sections() for key in keys(section)]
    last = name.rpartition(".")[2]
    here = {full.rpartition(".")[2]: full for full in valid}
    near = [here[word] for word in difflib.get_close_matches(last, here, n=1)]
    near = near or [full for full in everywhere if full.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(name, everywhere, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"there is no {what} {name} (in {origin}){meant}"


def _sentences(error: ValidationError, layers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    origins = {key: origin for origin, layer in reversed([*layers.items()]) for key in _flat(layer)}
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in problem["loc"])
        message = str(problem["msg"]).removeprefix("Value error, ")
        known = [key for key in origins if where == key or where.startswith(key + ".") or key.startswith(where + ".")]
        origin = origins[known[0]] if known else next((o for o, layer in layers.items() if layer.get("folders")), "")
        yield f"{where}: {message}" + (f" (in {origin})" if origin else "")


def _flat(layer: Mapping[str, Any]) -> Iterator[str]:
    for name, section in layer.items():
        if isinstance(section, Mapping):
            yield from (f"{name}.{key}" for key in section)
        else:
            yield name
