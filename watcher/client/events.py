"""Parse event streams (``text/event-stream``): some servers stream although they were not asked to.

The grammar is that of the HTML standard, section 9.2; JSON lines, one object per line, are read in the same way.
"""

import json
import re
from typing import Any, Final

_FIELD: Final = re.compile(r"(data|event|id|retry): ?|:")


def payloads(text: str) -> list[tuple[str, Any]] | None:
    """Return name ("": none) and data of each event: parsed JSON, or the text if it is none; None: this is no stream."""
    if text.startswith("{"):
        return _of_json_lines(text)
    if not _FIELD.match(text):
        return None
    found: list[tuple[str, Any]] = []
    name, data = "", list[str]()
    for line in [*re.split(r"\r\n|\n|\r", text), ""]:
        if not line.strip():
            if data:
                found.append((name, _loaded("\n".join(data))))
            name, data = "", []
            continue
        field = _FIELD.match(line)
        if field is None:
            return None
        value = line[field.end() :]
        if field[1] == "data":
            data.append(value)
        elif field[1] == "event":
            name = value.strip()
    return found or None


def _of_json_lines(text: str) -> list[tuple[str, Any]] | None:
    lines = [line for line in text.splitlines() if line.strip()]
    values = [_loaded(line) for line in lines if line.lstrip().startswith("{")]
    objects = [("", value) for value in values if isinstance(value, dict)]
    return objects if len(objects) == len(lines) > 1 else None


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
