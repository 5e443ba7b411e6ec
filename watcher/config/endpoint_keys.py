"""The endpoints that the sources of settings name, and keys and secrets that come from elsewhere: files, credentials, OPENAI_API_KEY."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from watcher.address import host
from watcher.config import environment
from watcher.config.settings import Settings
from watcher.config.values import at_home
from watcher.config.webhooks import name_of

_DEFAULT_URL: Final = Settings().api.url


def read_files(layers: Mapping[str, dict[str, Any]], words: Callable[[str, str], str]) -> None:
    """Take the key out of the file that a source names, where it names no key itself."""
    for origin, layer in layers.items():
        tables = {"api": layer.get("api", {})}
        tables |= {f"endpoints.{name}": table for name, table in layer.get("endpoints", {}).items()}
        for place, table in tables.items():
            path, name = table.get("key_file"), f"{place}.key_file"
            if isinstance(path, str) and (whole := at_home(path)).startswith("/") and not table.get("key"):
                table["key"] = environment.key_in(Path(whole), name=name, source=words(origin, name))


def read_webhook_secrets(
    layers: Mapping[str, dict[str, Any]],
    words: Callable[[str, str], str],
    *,
    credential: Callable[[str], str],
) -> None:
    """Take the secrets out of credentials, by the webhook's name, and out of the files that a source names. Raises ConfigError.

    A credential goes before the settings file, and not before the environment.
    """
    for origin, layer in layers.items():
        tables = layer.get("webhooks")
        for table in tables if isinstance(tables, list) else ():
            if not isinstance(table, dict):
                continue
            if (name := name_of(table)) and origin not in _ABOVE and (secret := credential(name)):
                table["secret"] = secret
            path, key = table.get("secret_file"), "webhooks.secret_file"
            if isinstance(path, str) and (whole := at_home(path)).startswith("/") and not table.get("secret"):
                table["secret"] = environment.secrets_in(Path(whole), name=key, source=words(origin, key))


#: Sources that go before credentials.
_ABOVE: Final = frozenset({"command line", "environment"})


def leave_out(layers: Mapping[str, dict[str, Any]]) -> None:
    """Leave [endpoints] out, what folders say of them, and what belongs to the server of [api]: another one is used."""
    for layer in layers.values():
        layer.pop("endpoints", None)
        if isinstance(api := layer.get("api"), dict):
            for key in ("headers", "query", "ca_file"):
                api.pop(key, None)
        folders = layer.get("folders")
        for folder in folders if isinstance(folders, list) else ():
            if isinstance(folder, dict):
                folder.pop("endpoints", None)


def names_of(layers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the endpoints, the preferred first: as the settings file has them, then those of other sources."""
    found = [name for layer in reversed([*layers.values()]) for name in layer.get("endpoints", {})]
    return list(dict.fromkeys(found))


def take_openai(layers: Mapping[str, dict[str, Any]], environ: Mapping[str, str]) -> str:
    """Take OPENAI_BASE_URL and OPENAI_API_KEY where that is safe: a key never goes to a host it was not meant for.

    Return why that key is not taken; "" where it is, or there is none.
    """
    if names := names_of(layers):
        return _openai_endpoints(names, layers, environ.get("OPENAI_API_KEY", ""))
    urls = [url for layer in layers.values() if (url := layer.get("api", {}).get("url"))]
    base = environ.get("OPENAI_BASE_URL", "")
    ambient = layers["environment"]
    if not urls and base:
        ambient.setdefault("api", {})["url"] = base
    url = urls[0] if urls else base or _DEFAULT_URL
    has_key = any(layer.get("api", {}).get("key") for layer in layers.values())
    # What is no text names no host; it is refused like any other value of a wrong kind.
    meant = (not urls and base) or (isinstance(url, str) and host(url) == host(_DEFAULT_URL))
    ambient_key = environ.get("OPENAI_API_KEY", "")
    if not ambient_key:
        return ""
    if has_key:
        return "OPENAI_API_KEY is set, too, and not used: api.key goes before it"
    if not meant:
        return f"OPENAI_API_KEY is set and not used: it is sent to {host(_DEFAULT_URL)} alone"
    ambient.setdefault("api", {})["key"] = ambient_key
    return ""


def _openai_endpoints(names: Sequence[str], layers: Mapping[str, dict[str, Any]], ambient_key: str) -> str:
    """Take OPENAI_API_KEY for endpoints at OpenAI that have no key; return why it is not taken."""
    if not ambient_key:
        return ""
    at_openai = is_taken = False
    for name in names:
        tables = [layer.get("endpoints", {}).get(name, {}) for layer in layers.values()]
        url = next((url for table in tables if (url := table.get("url"))), "")
        if isinstance(url, str) and host(url) == host(_DEFAULT_URL):
            at_openai = True
            if not any(table.get("key") for table in tables):
                ambient = layers["environment"].setdefault("endpoints", {})
                ambient.setdefault(name, {})["key"] = ambient_key
                is_taken = True
    if is_taken:
        return ""
    if at_openai:
        return "OPENAI_API_KEY is set, too, and not used: the key of an endpoint goes before it"
    return f"OPENAI_API_KEY is set and not used: it is sent to {host(_DEFAULT_URL)} alone"
