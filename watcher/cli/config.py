"""`watcher config`: the effective settings with their origin, or the example file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.config import example as example_file
from watcher.config.descriptions import keys, sections
from watcher.config.example import toml
from watcher.masking import without_passwords
from watcher.report import Result


def config(*, config: Path | None, given: Sequence[str] | None, example: bool, as_json: bool) -> int:
    """Print the settings."""
    if example:
        return show(Result("config", data={"example": example_file()}, text=example_file()), as_json=as_json)
    loaded = configured(config, given)
    rows = list(_rows(loaded))
    width = max(len(key) for key, _, _ in rows)
    value_width = min(44, max(len(toml(value)) for _, value, _ in rows))
    lines = [f"{key:<{width}}  {toml(value):<{value_width}}  {origin}" for key, value, origin in rows]
    head = f"# settings file: {loaded.file or 'none'}\n# state: {loaded.state_directory}\n"
    data = {
        "file": str(loaded.file) if loaded.file else None,
        "state_directory": str(loaded.state_directory),
        "settings": {key: {"value": _plain(value), "origin": origin} for key, value, origin in rows},
    }
    return show(Result("config", data=data, text=head + "\n".join(lines)), as_json=as_json)


def _rows(loaded: Config) -> "list[tuple[str, Any, str]]":
    settings = loaded.settings
    rows: list[tuple[str, Any, str]] = []
    for section in sections():
        if section == "endpoints":
            rows += _endpoint_rows(loaded)
        elif section not in _TABLES:
            values = getattr(settings, section)
            for key in keys(section):
                name = f"{section}.{key}"
                value = getattr(values, key)
                # The password in the ledger's address is a secret, too.
                shown = without_passwords(value) if name == "state.url" else value
                rows.append((name, shown, loaded.origin(name)))
        else:
            rows += _table_rows(loaded, section, _TABLES[section])
    return rows


def _endpoint_rows(loaded: Config) -> "Iterator[tuple[str, Any, str]]":
    for name, endpoint in loaded.settings.endpoints.items():
        for key, value in endpoint:
            if key in endpoint.model_fields_set:
                dotted = f"endpoints.{name}.{key}"
                yield dotted, value, loaded.origin(dotted)


#: Sections that are lists of tables, and the key that each table has.
_TABLES: Final = {"folders": "path", "webhooks": "url"}


def _table_rows(loaded: Config, section: str, first: str) -> "Iterator[tuple[str, Any, str]]":
    for table in getattr(loaded.settings, section):
        for key, value in table:
            if value is not None and (key == first or key in table.model_fields_set):
                yield f"{section}.{table.name}.{key}", value, loaded.origin(section)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "**********" if value.get_secret_value() else ""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
