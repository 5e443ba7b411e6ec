"""The example file: every key with its default and what it means, made from the settings themselves."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import SecretStr

from watcher.config.descriptions import about, keys, sections

_HEAD: Final = """\
# Settings of Watcher. Every key is shown with its default and may be left out.
# Read from --config FILE, else $WATCHER_CONFIG, else
# ~/.config/watcher/watcher.toml, else /etc/watcher/watcher.toml.
# Each key can be given in the environment too: [api] key is WATCHER_API__KEY.
"""
#: A line of the file, in a commented section two characters more, fits a terminal.
_COLUMNS: Final = 78
#: Sections of which there may be several tables: how one is headed, what it says there, and which keys it also takes.
_REPEATED: Final[Mapping[str, tuple[str, Mapping[str, str], str]]] = {
    "folders": (
        "[[folders]]",
        {"path": "/srv/recordings", "name": "recordings"},
        "… and any key of [transcript], for this folder alone",
    ),
    "endpoints": (
        "[endpoints.studio]",
        {"url": "http://192.168.1.5:8000"},
        "… and any key of [api] that is about one server, such as model",
    ),
    "webhooks": (
        "[[webhooks]]",
        {"url": "https://n8n.example.org/webhook/watcher", "name": "n8n", "secret": "whsec_…"},
        "",
    ),
}


def example() -> str:
    """Return the commented file; loading it yields the defaults."""
    return _HEAD + "\n" + "\n".join(_section(name) for name in sections())


#: A key that TOML takes without quotes.
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def toml(value: Any) -> str:
    """Write a setting's value in TOML's notation; a secret only as a mask."""
    if isinstance(value, SecretStr):
        return '"**********"' if value.get_secret_value() else '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = (f"{key if _BARE.fullmatch(key) else json.dumps(key)} = {toml(one)}" for key, one in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, int | float):
        return f"{value:g}" if value == int(value) else repr(value)
    return json.dumps(str(value), ensure_ascii=False)


def _section(name: str) -> str:
    if name in _REPEATED:
        # Commented out as a whole: the defaults watch no folder, have one endpoint, which is [api], and no webhook.
        head, sample, more = _REPEATED[name]
        lines = _lines({**keys(name), **sample}, name)
        return "\n".join([f"# {head}", *(f"# {line}" for line in lines), *([f"# {more}"] if more else []), ""])
    return "\n".join([f"[{name}]", *_lines(keys(name), name), ""])


def _lines(values: dict[str, Any], section: str) -> Iterable[str]:
    assignments = {
        # A key in a file is a risk; the line only shows where it would stand.
        key: '# key = "sk-…"' if key == "key" else f"{key} = {toml(value)}"
        for key, value in values.items()
    }
    lines: list[str] = []
    width = max(len(line) for line in assignments.values())
    for key, line in assignments.items():
        beside = f"{line:<{width}}  # {about(section, key)}"
        # What does not fit beside its key is above it.
        above = textwrap.wrap(about(section, key), _COLUMNS - 2, break_on_hyphens=False)
        lines += [beside] if len(beside) <= _COLUMNS else [*(f"# {part}" for part in above), line]
    return lines
